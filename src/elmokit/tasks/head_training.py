"""The training loop of the heads that PyTorch learns: short, deterministic, and its own judge of when to stop.

A tenth of the training rows (drawn evenly over the classes) is set aside; training ends when its loss has not fallen
for some epochs, and the weights of the best epoch are kept. Order and dropout come from the seed alone; the caller's
random generator is left as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from elmokit.errors import TrainingError
from elmokit.tasks.split import stratified_folds

Collate = Callable[[NDArray[np.integer]], tuple[Tensor, ...]]
"""Takes row numbers; gives what the network takes."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """How a head is trained.

    Args:
        n_epochs: at most; more where the rows are so few that this makes fewer than `least_steps` steps.
        patience: part of the epochs without a better held-aside loss after which training ends.
        least_steps: see `n_epochs`.
        batch_size: rows that are learned from together.
        learning_rate: of AdamW at the start; it falls to a tenth in a straight line.
        weight_decay: of AdamW.
        seed: of weights, order, dropout and the rows set aside.
    """

    n_epochs: int = 30
    patience: float = 0.15
    least_steps: int = 600
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0


def train_head(
    make_network: Callable[[], nn.Module],
    collate: Collate,
    numbers: NDArray[np.integer],
    row_weights: NDArray[np.floating],
    options: HeadOptions,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Train a network until the rows set aside say stop.

    Args:
        make_network: makes it; called once, under the seed.
        collate: makes a batch of row numbers.
        numbers: each row's class. Shape (n,).
        row_weights: each row's weight in the loss. Shape (n,).
        options: how.
        on_step: called with (epochs done, epochs at most).

    Returns:
        the network of the best epoch, in evaluation mode.

    Raises:
        TrainingError: the loss is no number.
    """
    targets, weights = torch.from_numpy(numbers.astype(np.int64)), torch.from_numpy(row_weights.astype(np.float32))
    learned, aside = _set_aside(numbers, options.seed)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = make_network()
        optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
        order = np.random.default_rng(options.seed)
        best, best_epoch, kept = np.inf, 0, copy.deepcopy(network.state_dict())
        n_epochs = max(options.n_epochs, -(-options.least_steps // -(-len(learned) // options.batch_size)))
        for epoch in range(n_epochs):
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * (1 - 0.9 * epoch / n_epochs)
            network.train()
            for rows in _cut(order.permutation(learned), options.batch_size):
                loss = (cross_entropy(network(*collate(rows)), targets[rows], reduction="none") * weights[rows]).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            found = _loss(network, collate, aside, targets, weights, options.batch_size)
            if not np.isfinite(found):
                raise TrainingError(f"the loss became {found} in epoch {epoch + 1}; are the features finite?")
            if found < best:
                best, best_epoch, kept = found, epoch, copy.deepcopy(network.state_dict())
            if on_step is not None:
                on_step(epoch + 1, n_epochs)
            if epoch - best_epoch >= options.patience * n_epochs:
                break
    network.load_state_dict(kept)
    return network.eval()


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
def _loss(
    network: nn.Module, collate: Collate, rows: NDArray[np.integer], targets: Tensor, weights: Tensor, size: int
) -> float:
    network.eval()
    parts = [
        (cross_entropy(network(*collate(part)), targets[part], reduction="none") * weights[part]).sum()
        for part in _cut(rows, size)
    ]
    return float(torch.stack(parts).sum() / weights[rows].sum())


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
