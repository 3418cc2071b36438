"""The fitting loop of every small network here: classifier heads, fine-tuning and taggers (extra `torch`).

Shuffling and dropout of an epoch depend on the seed and the epoch's number alone, so a run that continues from its
snapshot takes exactly the steps it would have taken. The caller's random generator is left as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.files import atomic_path

Weights = dict[str, Tensor]
OnStep = Callable[[int, int], object]
"""Called with (steps done, steps at most)."""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a network is fitted.

    Args:
        n_epochs: passes over the rows, at most.
        patience: epochs without a better score after which fitting stops; None never stops early.
        learning_rate: peak rate of AdamW for the topmost part; it decays linearly to a tenth of it.
        weight_decay: of AdamW.
        warm_up: share of the steps during which the rate rises from 0 (ULMFiT's slanted triangle: 0.1).
        slow_down: factor by which each part learns more slowly than the one above it (ULMFiT: 2.6).
        clip_norm: bound on the norm of the gradient.
        seed: of weights, shuffling and dropout.

    Raises:
        ConfigError: a number out of range.

    Example:
        >>> FitOptions(n_epochs=3).clip_norm
        1.0
    """

    n_epochs: int
    patience: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warm_up: float = 0.0
    slow_down: float = 1.0
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_epochs < 1 or (self.patience is not None and self.patience < 1):
            raise ConfigError(f"expected n_epochs ≥ 1 and patience ≥ 1; got {self.n_epochs} and {self.patience}.")
        if not (self.learning_rate > 0 and self.clip_norm > 0 and 0 <= self.warm_up < 1 and self.slow_down >= 1):
            raise ConfigError(
                f"expected learning_rate > 0, clip_norm > 0, 0 ≤ warm_up < 1 and slow_down ≥ 1; got {self}."
            )


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """State of the fit after an epoch.

    Args:
        epoch: number of the epoch that has ended, from 1.
        loss: mean training loss over its batches.
        score: of the held-out rows; larger is better.
        best_score: score of the best epoch so far, whose weights are kept.
        best_epoch: number of that epoch.
        seconds: duration of the epoch.
        stopped: whether fitting has ended with it.
    """

    epoch: int = 0
    loss: float = float("nan")
    score: float = -float("inf")
    best_score: float = -float("inf")
    best_epoch: int = 0
    seconds: float = 0.0
    stopped: bool = False


class Objective(Protocol):
    """What a network is fitted to: its batches, their loss, and the score that chooses the best epoch."""

    def batches(self, rng: np.random.Generator) -> Sequence[Any]:
        """The batches of one epoch, shuffled by `rng`."""
        ...

    def loss(self, network: Any, batch: Any) -> Tensor:
        """Mean loss of a batch, a scalar."""
        ...

    def score(self, network: Any) -> float:
        """Score of the held-out rows; larger is better. The network is in evaluation mode."""
        ...


def fit(
    make_network: Callable[[], nn.Module],
    objective: Objective,
    options: FitOptions,
    *,
    parts: Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None = None,
    snapshot: Path | None = None,
    identity: str = "",
    on_step: OnStep | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[nn.Module, EpochReport]:
    """Fit a network and return it with the weights of its best epoch.

    Args:
        make_network: creates the network; called once, under the seed.
        objective: batches, loss and score.
        options: how to fit.
        parts: splits the parameters from the top of the network to its bottom. The parts are unfrozen one after the
            other during the first half of the epochs (Howard & Ruder 2018); None trains all from the start.
        snapshot: file written after each epoch; if it exists, the run continues from it. None writes none.
        identity: names the data, model and options of the run; a snapshot of another identity is refused.
        on_step: called after each step.
        on_epoch: called after each epoch.

    Returns:
        the network in evaluation mode, and the last report.

    Raises:
        TrainingError: the loss is not finite, or the snapshot is damaged or belongs to another run.
        OutputError: the snapshot can't be written.
    """
    with _randomness(options.seed, 0):
        run = _Run(make_network(), objective, options, parts)
    if snapshot is not None and snapshot.is_file():
        run.restore(snapshot, identity)
    while not run.report.stopped:
        run.epoch(on_step)
        if snapshot is not None:
            run.save(snapshot, identity)
        if on_epoch is not None:
            on_epoch(run.report)
    run.network.load_state_dict(run.best)
    return run.network.requires_grad_(True).eval(), run.report


class _Run:
    """A fit in progress: network, optimizer, best weights and report."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        options: FitOptions,
        parts: Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None,
    ) -> None:
        self.network, self.objective, self.options = network, objective, options
        self.parts = [list(part) for part in parts(network)] if parts else [list(network.parameters())]
        groups = [{"params": part} for part in self.parts]
        self.optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
        self.best: Weights = _weights(network)
        self.report = EpochReport()

    def epoch(self, on_step: OnStep | None) -> None:
        """Run one epoch and update the report and the best weights."""
        o, before, start = self.options, self.report, time.monotonic()
        number = before.epoch + 1
        self._unfreeze(before.epoch)
        self.network.train()
        losses = []
        with _randomness(o.seed, number):
            batches = self.objective.batches(np.random.default_rng([o.seed, number]))
            for place, batch in enumerate(batches):
                step = before.epoch * len(batches) + place
                self._set_rates(step / (o.n_epochs * len(batches)))
                losses.append(self._step(batch))
                if on_step is not None:
                    on_step(step + 1, o.n_epochs * len(batches))
        loss = float(np.mean(losses)) if losses else 0.0
        self.network.eval()
        with torch.no_grad():
            score = self.objective.score(self.network)
        if not np.isfinite(loss) or not np.isfinite(score):
            raise TrainingError(
                f"the loss became {loss} (score {score}) in epoch {number}; check that the features are finite, or"
                " lower the learning rate."
            )
        better = score > before.best_score
        best_epoch = number if better else before.best_epoch
        if better:
            self.best = _weights(self.network)
        self.report = EpochReport(
            epoch=number,
            loss=loss,
            score=score,
            best_score=max(score, before.best_score),
            best_epoch=best_epoch,
            seconds=time.monotonic() - start,
            stopped=number >= o.n_epochs or (o.patience is not None and number - best_epoch >= o.patience),
        )

    def _step(self, batch: Any) -> float:
        loss = self.objective.loss(self.network, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.optimizer.step()
        return float(loss.detach())

    def _unfreeze(self, epochs_done: int) -> None:
        """One part in the first epoch, all of them from the middle on."""
        n_open = 1 + 2 * len(self.parts) * epochs_done // self.options.n_epochs
        for number, part in enumerate(self.parts):
            for parameter in part:
                parameter.requires_grad_(number < n_open)

    def _set_rates(self, progress: float) -> None:
        o = self.options
        rise = progress / o.warm_up if progress < o.warm_up else 1 - 0.9 * (progress - o.warm_up) / (1 - o.warm_up)
        for number, group in enumerate(self.optimizer.param_groups):
            group["lr"] = o.learning_rate * rise / o.slow_down**number

    def save(self, path: Path, identity: str) -> None:
        """Write a snapshot; after the last epoch it holds the best weights only."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {f"best.{name}": tensor for name, tensor in self.best.items()}
        if not self.report.stopped:
            tensors |= {f"now.{name}": tensor for name, tensor in _weights(self.network).items()}
            for number, state in self.optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{number}.{name}": torch.as_tensor(x).cpu().clone() for name, x in state.items()}
        metadata = {"identity": identity, "report": json.dumps(asdict(self.report))}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                save_file(tensors, str(temporary), metadata=metadata)
        except (SafetensorError, OSError) as error:  # a full disk is a SafetensorError
            raise OutputError(f"{path}: can't be written ({error}). The previous snapshot is kept.") from error

    def restore(self, path: Path, identity: str) -> None:
        """Continue from a snapshot."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["identity"] != identity:
                raise TrainingError(
                    f"{path}: this run was started with other data, options or another model. Continue with the same"
                    " ones, or delete the file to start again."
                )
            report = EpochReport(**json.loads(metadata["report"]))
            self.best = {**self.best, **_prefixed(tensors, "best.")}
            self.network.load_state_dict(self.best)  # checks names and shapes
            if not report.stopped:
                self.network.load_state_dict(_prefixed(tensors, "now."))
                self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": self._adam_state(tensors)})
            self.report = report
        except TrainingError:
            raise
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise TrainingError(f"{path}: not a complete snapshot ({error}); delete it to start again.") from None

    def _adam_state(self, tensors: Weights) -> dict[int, Weights]:
        parameters = [parameter for part in self.parts for parameter in part]
        state: dict[int, Weights] = {}
        for key, tensor in _prefixed(tensors, "adam.").items():
            number, name = key.split(".", 1)
            if name != "step" and tensor.shape != parameters[int(number)].shape:
                raise ValueError(f"adam.{key} has the shape {tuple(tensor.shape)}")
            state.setdefault(int(number), {})[name] = tensor
        return state


def _weights(network: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _prefixed(tensors: Mapping[str, Tensor], prefix: str) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@contextmanager
def _randomness(seed: int, epoch: int) -> Iterator[None]:
    """Seed PyTorch for one epoch and restore the caller's generator afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed * 100_003 + epoch)
        yield
