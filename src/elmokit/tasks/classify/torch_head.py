"""What the heads that PyTorch fits have in common: classes, weights of rows, early stopping, arrays (extra `torch`).

A tenth of the training rows is held out, stratified by class; fitting stops when their loss has not fallen for some
epochs, and the weights of the best epoch are kept.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.fitting import FitOptions, fit
from elmokit.progress import progress_bar
from elmokit.tasks.saved import SavedHead
from elmokit.tasks.torch_parts import restore_weights

Array = NDArray[Any]
Collate = Callable[[Array], tuple[Tensor, ...]]
"""Row numbers → the arguments of the network."""


@dataclass(frozen=True, kw_only=True)
class HeadDefaults:
    """Training settings of a head, as in `FitOptions`.

    `n_epochs` are more if they make fewer than `least_steps` steps; `patience` is the share of the epochs without a
    better held-out loss after which training stops.
    """

    n_epochs: int
    patience: float
    least_steps: int
    learning_rate: float
    warm_up: float = 0.0
    slow_down: float = 1.0


@dataclass(eq=False, repr=False, kw_only=True)
class TorchHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier whose network PyTorch fits; subclasses provide the network and its batches.

    Args:
        class_weight: "balanced", a weight per class, or None.
        epochs: passes over the rows at most; None for the default of the head.
        batch_size: rows per step.
        seed: of weights, shuffling, dropout and the held-out rows.
        show_progress: whether to draw a progress bar (see `Elmo.encode`).

    Attributes:
        classes_: the classes, sorted.
        network_: the fitted network.
    """

    defaults: ClassVar[HeadDefaults]
    class_weight: Any = "balanced"
    epochs: int | None = None
    batch_size: int = 32
    seed: int = 0
    show_progress: bool | None = False

    @abstractmethod
    def _make_network(self, X: Any, n_classes: int) -> nn.Module: ...

    @abstractmethod
    def _empty_network(self, n_classes: int, config: ElmoConfig) -> nn.Module: ...

    @abstractmethod
    def _collate(self, X: Any, network: nn.Module) -> Collate: ...

    def _parts(self) -> Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None:
        return None

    def _snapshot(self, X: Any, y: Array, weights: Array) -> tuple[Path | None, str]:  # noqa: ARG002
        return None, ""

    def fit(self, X: Any, y: ArrayLike) -> TorchHead:
        """Fit the network on n rows of the head's kind and a class per row, shape (n,).

        Raises:
            ConfigError: fewer than one epoch.
            TrainingError: the loss is not finite.
        """
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        weights = compute_sample_weight(self.class_weight, y)
        rows, held_out = _hold_out(numbers, self.seed)
        options = self._options(math.ceil(len(rows) / self.batch_size))
        network = None

        def make() -> nn.Module:
            nonlocal network
            network = self._make_network(X, len(self.classes_))
            objective.collate = self._collate(X, network)
            return network

        objective = _Objective(numbers, weights, rows, held_out, self.batch_size)
        snapshot, identity = self._snapshot(X, numbers, weights)
        n_steps = options.n_epochs * math.ceil(len(rows) / self.batch_size)
        with progress_bar("fitting", total=n_steps, show=self.show_progress) as advance:
            self.network_, _ = fit(
                make,
                objective,
                options,
                parts=self._parts(),
                snapshot=snapshot,
                identity=identity,
                on_step=lambda _done, _total: advance(1),
            )
        return self

    def _options(self, n_batches: int) -> FitOptions:
        d = self.defaults
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs is {self.epochs}; expected 1 or more.")
        n_epochs = self.epochs or max(d.n_epochs, math.ceil(d.least_steps / n_batches))
        return FitOptions(
            n_epochs=n_epochs,
            patience=max(1, math.ceil(d.patience * n_epochs)),
            learning_rate=d.learning_rate,
            weight_decay=1e-2,
            warm_up=d.warm_up,
            slow_down=d.slow_down,
            seed=self.seed,
        )

    @torch.no_grad()
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        collate, network = self._collate(X, self.network_), self.network_.eval()
        parts = [torch.softmax(network(*collate(rows)).double(), 1).numpy() for rows in _cut(np.arange(len(X)), 128)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)))

    def predict(self, X: Any) -> Array:
        """The most probable class of each row. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def restore(self, saved: SavedHead, n_classes: int, config: ElmoConfig) -> TorchHead:
        """Set the weights of a saved head; the classes are 0 … n_classes - 1."""
        self.network_ = restore_weights(self._empty_network(n_classes, config), saved, left_out="bilm.")
        self.classes_ = np.arange(n_classes)
        return self

    def arrays(self) -> dict[str, Array]:
        """The weights of the network by name."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.network_.state_dict().items()}


class _Objective:
    """Weighted cross-entropy on the training rows; the score is minus the mean loss of the held-out rows."""

    def __init__(self, numbers: Array, weights: Array, rows: Array, held_out: Array, batch_size: int) -> None:
        self.targets = torch.from_numpy(numbers.astype(np.int64))
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.rows, self.held_out, self.batch_size = rows, held_out, batch_size
        self.collate: Collate

    def batches(self, rng: np.random.Generator) -> list[Array]:
        return _cut(rng.permutation(self.rows), self.batch_size)

    def loss(self, network: nn.Module, batch: Array) -> Tensor:
        return self._losses(network, batch).mean()

    def score(self, network: nn.Module) -> float:
        total = sum(float(self._losses(network, rows).sum()) for rows in _cut(self.held_out, self.batch_size))
        return -total / float(self.weights[self.held_out].sum())

    def _losses(self, network: nn.Module, rows: Array) -> Tensor:
        return cross_entropy(network(*self.collate(rows)), self.targets[rows], reduction="none") * self.weights[rows]


def _hold_out(numbers: Array, seed: int) -> tuple[Array, Array]:
    """Nine tenths to train on and one to stop by; all rows for both if there are few."""
    rows, counts = np.arange(len(numbers)), np.bincount(numbers)
    n_held_out = math.ceil(len(rows) / 10)
    if len(rows) < 20 or counts.max() < 10:
        return rows, rows
    stratify = numbers if counts.min() >= 2 and n_held_out >= len(counts) else None
    train, held_out = train_test_split(rows, test_size=n_held_out, random_state=seed, stratify=stratify)
    return train, held_out


def _cut(rows: Array, size: int) -> list[Array]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
