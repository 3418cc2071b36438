"""The heads that a text classifier can have, by name, and what it takes to be one.

A head gets rows (a matrix, texts with vectors, word layers) and classes, and owns all that is learned from them, so
that whoever holds rows out holds them out of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError, MissingExtra
from elmokit.tasks.logistic import ClassWeight, LogisticRegression

HeadName = Literal["logistic", "mlp", "bilstm"]
Join = Literal["tfidf"] | None
Array = NDArray[Any]


class Rows(Protocol):
    """What a head learns from: rows that can be counted and taken."""

    def __len__(self) -> int:
        """Rows."""
        ...

    def __getitem__(self, rows: NDArray[np.integer]) -> Any:
        """Some of them."""
        ...


class Head(Protocol):
    """What a classifier asks of its head."""

    @property
    def classes_(self) -> Array:
        """The classes, sorted."""
        ...

    @property
    def C_(self) -> float | None:  # noqa: N802  # scikit-learn's name
        """Inverse of the penalty's strength; NaN where there is no such thing."""
        ...

    def fit(self, X: Any, y: ArrayLike, *, on_step: Callable[[int, int], None] | None = None) -> Head:
        """Learn."""
        ...

    def predict_proba(self, X: Any) -> Array:
        """Shape (n, n_classes)."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        ...

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        ...


def check_head(head: str, join: str | None) -> None:
    """Refuse a head that is not there, or that can't have what it is joined with.

    Args:
        head: its name.
        join: what is put beside the vectors.

    Raises:
        ConfigError: not known, or counted words for another head than the logistic one.

    Example:
        >>> check_head("logistic", "tfidf")
    """
    if head not in get_args(HeadName):
        raise ConfigError(f"no head is called {head!r}; known are {', '.join(map(repr, get_args(HeadName)))}.")
    if join not in (None, "tfidf"):
        raise ConfigError(f'vectors can be joined with "tfidf" or nothing, not {join!r}.')
    if join and head != "logistic":
        raise ConfigError(f"counted words (join={join!r}) go with the logistic head only, not with {head!r}.")


def new_head(head: HeadName, *, join: Join, C: float | Literal["cv"], class_weight: ClassWeight, seed: int) -> Head:
    """A head that has learned nothing yet.

    Args:
        head: its name.
        join: what is put beside the vectors.
        C: of the logistic heads.
        class_weight: of all heads.
        seed: of all heads.

    Returns:
        the head.

    Raises:
        MissingExtra: a head that PyTorch learns, without PyTorch.

    Example:
        >>> type(new_head("logistic", join=None, C=1.0, class_weight=None, seed=0)).__name__
        'LogisticRegression'
    """
    if join:
        from elmokit.tasks.joined import JoinedHead

        return JoinedHead(C=C, class_weight=class_weight, seed=seed)
    if head == "logistic":
        return LogisticRegression(C=C, class_weight=class_weight, standardize=True, seed=seed)
    try:
        from elmokit.tasks.bilstm_head import BiLSTMHead
        from elmokit.tasks.mlp import MLPHead
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", f"the head {head!r}") from error
    return (MLPHead if head == "mlp" else BiLSTMHead)(class_weight=class_weight, seed=seed)
