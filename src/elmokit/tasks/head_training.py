"""The training loop of the heads that PyTorch learns: short, deterministic, and its own judge of when to stop.

A tenth of the training rows (drawn evenly over the classes) is set aside; training ends when its loss has not fallen
for some epochs, and the weights of the best epoch are kept. Order and dropout of an epoch come from the seed and the
epoch's number alone: a run that goes on from its snapshot takes the very steps that it would have taken. The caller's
random generator is left as it was.

Where parts of the network have learned before (a biLM), the loop does what ULMFiT does (Howard & Ruder 2018): the head
learns alone at first, the parts below join one after the other, and each learns more slowly than the one above it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path
from elmokit.tasks.head_options import HeadOptions
from elmokit.tasks.split import stratified_folds

Collate = Callable[[NDArray[np.integer]], tuple[Tensor, ...]]
"""Takes row numbers; gives what the network takes."""

Parts = Callable[[nn.Module], Sequence[Sequence[nn.Parameter]]]
"""Takes a network; gives its parameters part by part, from the top to the bottom."""

OnStep = Callable[[int, int], None]


def train_head(
    make_network: Callable[[], nn.Module],
    collate: Collate,
    numbers: NDArray[np.integer],
    row_weights: NDArray[np.floating],
    options: HeadOptions,
    *,
    parts: Parts | None = None,
    snapshot: Path | None = None,
    on_step: OnStep | None = None,
) -> nn.Module:
    """Train a network until the rows set aside say stop.

    Args:
        make_network: makes it; called once, under the seed.
        collate: makes a batch of row numbers.
        numbers: each row's class. Shape (n,).
        row_weights: each row's weight in the loss. Shape (n,).
        options: how.
        parts: of the network; they join one after the other until half of the epochs are over. None for one part.
        snapshot: a file of this training alone, written after each epoch; if it is there, training goes on from it.
        on_step: called with (steps done, steps at most).

    Returns:
        the network of the best epoch, in evaluation mode.

    Raises:
        TrainingError: the loss is no number, or the snapshot can't be read.
        OutputError: the snapshot can't be written.
    """
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        training = _Training(make_network(), collate, numbers, row_weights, options, parts)
        if snapshot is not None and snapshot.is_file():
            training.restore(snapshot)
        while not training.ended:
            training.run_epoch(on_step)
            if snapshot is not None:
                training.save(snapshot)
    training.network.load_state_dict(training.kept)
    return training.network.requires_grad_(True).eval()


class _Training:
    """A network on its way: rows, optimiser, and the best epoch so far."""

    def __init__(
        self,
        network: nn.Module,
        collate: Collate,
        numbers: NDArray[np.integer],
        row_weights: NDArray[np.floating],
        options: HeadOptions,
        parts: Parts | None,
    ) -> None:
        self.network, self.collate, self.options = network, collate, options
        self.targets = torch.from_numpy(numbers.astype(np.int64))
        self.weights = torch.from_numpy(row_weights.astype(np.float32))
        self.learned, self.aside = _set_aside(numbers, options.seed)
        self.parts = [list(network.parameters())] if parts is None else [list(part) for part in parts(network)]
        self.optimizer = torch.optim.AdamW([{"params": part} for part in self.parts], weight_decay=options.weight_decay)
        self.n_batches = -(-len(self.learned) // options.batch_size)
        self.n_epochs = max(options.n_epochs, -(-options.least_steps // self.n_batches))
        self.epoch, self.best, self.best_epoch, self.kept = 0, np.inf, 0, copy.deepcopy(network.state_dict())

    @property
    def ended(self) -> bool:
        """Whether all epochs are over, or the last ones were no better."""
        return self.epoch == self.n_epochs or self.epoch - self.best_epoch >= self.options.patience * self.n_epochs

    def run_epoch(self, on_step: OnStep | None) -> None:
        self._open_parts()
        torch.manual_seed(self.options.seed * 100_003 + self.epoch)
        order = np.random.default_rng([self.options.seed, self.epoch]).permutation(self.learned)
        self.network.train()
        for number, rows in enumerate(_cut(order, self.options.batch_size), start=self.epoch * self.n_batches):
            self._set_rates(number / (self.n_epochs * self.n_batches))
            loss = (self._losses(rows) * self.weights[rows]).mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            if on_step is not None:
                on_step(number + 1, self.n_epochs * self.n_batches)
        self.epoch += 1
        found = self._loss_aside()
        if not np.isfinite(found):
            raise TrainingError(f"the loss became {found} in epoch {self.epoch}; are the features finite?")
        if found < self.best:
            self.best, self.best_epoch, self.kept = found, self.epoch, copy.deepcopy(self.network.state_dict())

    def _open_parts(self) -> None:
        """From the top: one part in the first epoch, all of them from the middle on."""
        n_open = 1 + 2 * len(self.parts) * self.epoch // self.n_epochs
        for number, part in enumerate(self.parts):
            for parameter in part:
                parameter.requires_grad_(number < n_open)

    def _set_rates(self, progress: float) -> None:
        """Up in a straight line during the warm-up, then down to a tenth; each part slower than the one above."""
        o = self.options
        rise = progress / o.warm_up if progress < o.warm_up else 1 - 0.9 * (progress - o.warm_up) / (1 - o.warm_up)
        for number, group in enumerate(self.optimizer.param_groups):
            group["lr"] = o.learning_rate * rise / o.slow_down**number

    def _losses(self, rows: NDArray[np.integer]) -> Tensor:
        return cross_entropy(self.network(*self.collate(rows)), self.targets[rows], reduction="none")

    @torch.no_grad()
    def _loss_aside(self) -> float:
        self.network.eval()
        parts = [(self._losses(rows) * self.weights[rows]).sum() for rows in _cut(self.aside, self.options.batch_size)]
        return float(torch.stack(parts).sum() / self.weights[self.aside].sum())

    def save(self, path: Path) -> None:
        """Write a snapshot, whole or not at all; of a training that has ended, only its result."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {f"best.{name}": tensor.clone() for name, tensor in self.kept.items()}
        if not self.ended:
            tensors |= {f"now.{name}": tensor.clone() for name, tensor in self.network.state_dict().items()}
            for number, values in self.optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{number}.{name}": torch.as_tensor(value).clone() for name, value in values.items()}
        facts = {"epoch": self.epoch, "best": self.best, "best_epoch": self.best_epoch}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                save_file(tensors, str(temporary), metadata={"facts": json.dumps(facts)})
        except (SafetensorError, OSError) as error:
            raise OutputError(f"{path}: can't be written ({error}). The snapshot before it is kept.") from error

    def restore(self, path: Path) -> None:
        """Go back to where a snapshot was written."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                facts = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.kept = _part(tensors, "best.")
            self.network.load_state_dict(_part(tensors, "now.") or self.kept)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{path}: not a whole snapshot ({error}); delete it to begin anew.") from None
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _part(tensors, "adam.").items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.epoch, self.best, self.best_epoch = facts["epoch"], facts["best"], facts["best_epoch"]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _set_aside(numbers: NDArray[np.integer], seed: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Nine tenths to learn from and one to stop by; all rows for both where there are few."""
    rows = np.arange(len(numbers))
    if len(numbers) < 20 or np.bincount(numbers).max() < 10:
        return rows, rows
    folds = stratified_folds(numbers, 10, seed=seed)
    return rows[folds != 0], rows[folds == 0]


def _cut(rows: NDArray[np.integer], size: int) -> Sequence[NDArray[np.integer]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@torch.no_grad()
def probabilities_of(network: nn.Module, collate: Collate, n_rows: int, n_classes: int) -> NDArray[np.float64]:
    """What a trained network says of all rows.

    Args:
        network: that has learned.
        collate: makes a batch of row numbers.
        n_rows: how many there are.
        n_classes: classes, K.

    Returns:
        probabilities. Shape (n_rows, K).
    """
    network.eval()
    found = [torch.softmax(network(*collate(rows)).double(), 1).numpy() for rows in _cut(np.arange(n_rows), 128)]
    return np.concatenate(found) if found else np.zeros((0, n_classes))


def as_arrays(network: nn.Module) -> dict[str, NDArray[np.floating]]:
    """The weights of a network as NumPy arrays, by name."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}
