"""What the heads that PyTorch fits have in common, and the BiLSTM head (extra `torch`).

A tenth of the training rows is held out, stratified by class; fitting stops when their loss has not fallen for some
epochs, and the weights of the best epoch are kept. Padding is masked, so a text's score depends on that text alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
from elmokit.nn.bilm import LayerMixer
from elmokit.progress import progress_bar
from elmokit.tasks.saved import SavedHead
from elmokit.tasks.torch_parts import PackedLSTM, pad_layers, restore_weights

Array = NDArray[Any]
_HIDDEN_WIDTH = 64  # of the BiLSTM, in each direction


@dataclass(eq=False, repr=False, kw_only=True)
class TorchHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier whose network PyTorch fits; subclasses provide the network and its inputs.

    After `fit`, `classes_` are the classes, sorted, and `network_` is the network.
    """

    class_weight: Any = "balanced"  # or a weight per class, or None
    epochs: int | None = None  # passes over the rows at most; None for the default of the head
    batch_size: int = 32  # rows per step
    seed: int = 0  # of weights, shuffling, dropout and the held-out rows
    show_progress: bool | None = False  # see `Elmo.encode`

    default_epochs: ClassVar[int]
    least_steps: ClassVar[int]  # the default is more epochs than `default_epochs` if those make fewer steps
    patience: ClassVar[float] = 1.0  # share of the epochs without a better held-out loss after which fitting stops
    rates: ClassVar[dict[str, float]]  # as in `FitOptions`

    @abstractmethod
    def _make_network(self, X: Any, n_classes: int) -> nn.Module: ...

    @abstractmethod
    def _inputs(self, network: Any, X: Any, rows: Array) -> tuple[Tensor, ...]:
        """The arguments of the network for some rows."""

    def _parts(self, network: Any) -> Sequence[Sequence[nn.Parameter]]:
        return [list(network.parameters())]

    def _snapshots(self, *data: Any) -> dict[str, Any]:  # noqa: ARG002
        """The arguments of `fit` for a head that writes snapshots."""
        return {}

    def fit(self, X: Any, y: ArrayLike) -> TorchHead:
        """Fit the network on n rows of the head's kind and a class per row, shape (n,).

        ConfigError for fewer than one epoch, TrainingError if the loss is not finite.
        """
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        weights = compute_sample_weight(self.class_weight, y)
        rows, held_out = _hold_out(numbers, self.seed)
        n_batches = math.ceil(len(rows) / self.batch_size)
        least = math.ceil(self.least_steps / n_batches)
        n_epochs = max(self.default_epochs, least) if self.epochs is None else self.epochs
        patience = max(1, math.ceil(self.patience * n_epochs))
        options = FitOptions(n_epochs=n_epochs, patience=patience, weight_decay=1e-2, seed=self.seed, **self.rates)
        classes, shares = torch.from_numpy(numbers.astype(np.int64)), torch.from_numpy(weights.astype(np.float32))

        def losses(network: nn.Module, rows: Array) -> Tensor:
            logits = network(*self._inputs(network, X, rows))
            return cross_entropy(logits, classes[rows], reduction="none") * shares[rows]

        def score(network: nn.Module) -> float:
            total = sum(float(losses(network, part).sum()) for part in _cut(held_out, self.batch_size))
            return -total / float(shares[held_out].sum())

        with progress_bar("fitting", total=options.n_epochs * n_batches, show=self.show_progress) as advance:
            self.network_, _ = fit(
                lambda: self._make_network(X, len(self.classes_)),
                options,
                batches=lambda rng: _cut(rng.permutation(rows), self.batch_size),
                loss=lambda network, batch: losses(network, batch).mean(),
                score=score,
                parts=self._parts,
                advance=advance,
                **self._snapshots(X, numbers, weights),
            )
        return self

    @torch.no_grad()
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        network, parts = self.network_.eval(), _cut(np.arange(len(X)), 128)
        logits = [network(*self._inputs(network, X, rows)) for rows in parts]
        shares = [torch.softmax(part.double(), 1).numpy() for part in logits]
        return np.concatenate(shares) if shares else np.zeros((0, len(self.classes_)))

    def predict(self, X: Any) -> Array:
        """The most probable class of each row. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def restore(self, saved: SavedHead, n_classes: int, config: ElmoConfig) -> TorchHead:
        """Set the weights of a saved head; the classes are 0 … n_classes - 1."""
        no_words = np.zeros((config.n_layers, 0, config.dim))
        self.network_ = restore_weights(self._make_network([no_words], n_classes), saved, left_out="bilm.")
        self.classes_ = np.arange(n_classes)
        return self

    def arrays(self) -> dict[str, Array]:
        """The weights of the network by name."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.network_.state_dict().items()}


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


class _BiLSTM(nn.Module):
    """Word vectors of all layers → a learned layer mix → a BiLSTM → attention or maximum over words → classes."""

    def __init__(self, n_layers: int, width: int, n_classes: int, over: str) -> None:
        super().__init__()
        self.over = over
        self.mix = LayerMixer(n_layers, layer_norm=True)
        self.dropout = nn.Dropout(0.4)
        self.lstm = PackedLSTM(width, _HIDDEN_WIDTH)
        self.attention = nn.Linear(2 * _HIDDEN_WIDTH, 1)
        self.classes = nn.Linear(2 * _HIDDEN_WIDTH, n_classes)

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:  # (L, B, T, 2P), (B, T) → (B, K)
        x = self.dropout(self.mix(layers, mask))  # (B, T, 2P)
        lengths = mask.sum(1).clamp(min=1)  # a text without words is one position of zeros
        hidden = self.lstm(x, lengths)  # (B, T, 2H)
        real = torch.arange(mask.shape[1])[None] < lengths[:, None]  # (B, T)
        if self.over == "max":
            pooled = hidden.masked_fill(~real[..., None], -torch.inf).amax(1)
        else:
            scores = self.attention(torch.tanh(hidden))[..., 0].masked_fill(~real, -torch.inf)
            pooled = (torch.softmax(scores, 1)[..., None] * hidden).sum(1)
        logits: Tensor = self.classes(self.dropout(pooled))
        return logits


@dataclass(eq=False, repr=False)
class BiLSTMHead(TorchHead):
    """A BiLSTM over word vectors, as in ``TextClassifier(elmo, head=BiLSTMHead(over="max"))``.

    `over` says how words become one vector: "attention" or "max"; ConfigError in `fit` for another.
    """

    over: Literal["attention", "max"] = "attention"

    default_epochs: ClassVar[int] = 15
    least_steps: ClassVar[int] = 600
    patience: ClassVar[float] = 0.15
    rates: ClassVar[dict[str, float]] = {"learning_rate": 3e-3}

    def _make_network(self, X: Sequence[Array], n_classes: int) -> nn.Module:
        if self.over not in ("attention", "max"):
            raise ConfigError(f'over is {self.over!r}; expected "attention" or "max".')
        n_layers, _, width = X[0].shape
        return _BiLSTM(n_layers, width, n_classes, self.over)

    def _inputs(self, network: Any, X: Sequence[Array], rows: Array) -> tuple[Tensor, ...]:  # noqa: ARG002
        return pad_layers([X[int(row)] for row in rows])
