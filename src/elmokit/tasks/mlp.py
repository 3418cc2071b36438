"""A small neural network on texts' vectors (extra `torch`): one hidden layer, dropout, standardised inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from elmokit.tasks.head_options import OWN_OPTIONS, HeadOptions
from elmokit.tasks.head_training import as_arrays, probabilities_of, train_head
from elmokit.tasks.logistic import ClassWeight, number_classes, weigh_rows

Array = NDArray[Any]
_HIDDEN = 256


class _Network(nn.Module):
    def __init__(self, width: int, hidden_width: int, n_classes: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.layers = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(width, hidden_width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden_width, n_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers((x - self.mean) / self.scale)
        return found


class MLPHead:
    """One hidden layer on pooled features.

    Args:
        class_weight: as in `LogisticRegression`.
        seed: of everything random.
        options: of the training; the seed above counts.

    Attributes:
        classes_: the classes, sorted.

    Example:
        >>> X = np.array([[0.0], [0.1], [1.0], [1.1]] * 8, np.float32)
        >>> MLPHead(seed=1).fit(X, [0, 0, 1, 1] * 8).predict(X[:4]).tolist()
        [0, 0, 1, 1]
    """

    C_: float | None = None

    def __init__(
        self, *, class_weight: ClassWeight = "balanced", seed: int = 0, options: HeadOptions | None = None
    ) -> None:
        self.class_weight, self.seed = class_weight, seed
        self.options = replace(options or OWN_OPTIONS["mlp"], seed=seed)
        self.classes_: Array = np.zeros(0)
        self._network: _Network | None = None

    def fit(self, X: Array, y: ArrayLike, *, on_step: Callable[[int, int], None] | None = None) -> MLPHead:
        """Learn.

        Args:
            X: features. Shape (n, d).
            y: a class per row. Shape (n,).
            on_step: called with (steps done, steps at most).

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes.
            TrainingError: the loss is no number.
        """
        self.classes_, numbers = number_classes(y, n_rows=len(X))
        data = torch.from_numpy(np.asarray(X, np.float32))

        def make() -> _Network:
            network = _Network(X.shape[1], _HIDDEN, len(self.classes_))
            network.mean.copy_(data.mean(0))
            network.scale.copy_(data.std(0, correction=0).clamp(min=1e-6))
            return network

        weights = weigh_rows(numbers, self.classes_, self.class_weight)
        self._network = train_head(  # type: ignore[assignment]  # what it made is what it gives
            make, lambda rows: (data[rows],), numbers, weights, self.options, on_step=on_step
        )
        return self

    def predict_proba(self, X: Array) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        assert self._network is not None, "fit or restore comes first"
        data = torch.from_numpy(np.asarray(X, np.float32))
        return probabilities_of(self._network, lambda rows: (data[rows],), len(X), len(self.classes_))

    def predict(self, X: Array) -> Array:
        """The most probable class of each row. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        assert self._network is not None, "fit or restore comes first"
        return {}, as_arrays(self._network)

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:  # noqa: ARG002
        """Take back what `state` gave."""
        self.classes_ = np.array(classes)
        hidden_width, width = arrays["layers.1.weight"].shape
        network = _Network(width, hidden_width, len(classes))
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        self._network = network.eval()
