"""The heads that a text classifier can have, by name, and what it takes to be one.

A head gets rows (a matrix, texts with vectors, word layers) and classes, and owns all that is learned from them, so
that whoever holds rows out holds them out of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.checkpoints import Checkpoint
from elmokit.errors import ConfigError, MissingExtra
from elmokit.tasks.head_options import OWN_OPTIONS, Over
from elmokit.tasks.logistic import ClassWeight, LogisticRegression

HeadName = Literal["logistic", "votes", "mlp", "bilstm", "finetune"]
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


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Which head, and what it is told; what means nothing to it is left alone.

    Args:
        head: its name.
        join: what is put beside the vectors, for "logistic".
        over: how words become one vector, for "bilstm".
        C: of the heads with a logistic regression.
        class_weight: of all heads.
        seed: of all heads.
        epochs: of the heads that PyTorch learns, at most; None for each one's own number.
        snapshots: where "finetune" keeps a snapshot after each epoch.

    Raises:
        ConfigError: a head that is not known, counted words for another head than the logistic one, another way to
            pool.

    Example:
        >>> HeadSettings(join="tfidf").head
        'logistic'
    """

    head: HeadName = "logistic"
    join: Join = None
    over: Over = "attention"
    C: float | Literal["cv"] = "cv"
    class_weight: ClassWeight = "balanced"
    seed: int = 0
    epochs: int | None = None
    snapshots: Path | None = None

    def __post_init__(self) -> None:
        known = get_args(HeadName)
        if self.head not in known:
            raise ConfigError(f"no head is called {self.head!r}; known are {', '.join(map(repr, known))}.")
        if self.join not in (None, "tfidf"):
            raise ConfigError(f'vectors can be joined with "tfidf" or nothing, not {self.join!r}.')
        if self.join and self.head != "logistic":
            raise ConfigError(f"counted words (join={self.join!r}) go with the logistic head only, not {self.head!r}.")
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs is {self.epochs}; expected 1 or more.")
        if self.over not in get_args(Over):
            raise ConfigError(f'a BiLSTM\'s words are pooled by "attention" or "max", not {self.over!r}.')


def new_head(settings: HeadSettings, start: Callable[[], Checkpoint]) -> Head:
    """A head that has learned nothing yet.

    Args:
        settings: which, and what it is told.
        start: gives the biLM that "finetune" starts from; called when it is needed.

    Returns:
        the head.

    Raises:
        MissingExtra: a head that PyTorch learns, without PyTorch.

    Example:
        ``new_head(HeadSettings(head="mlp"), elmo.checkpoint)``
    """
    s = settings
    if s.head == "logistic" and s.join is None:
        return LogisticRegression(C=s.C, class_weight=s.class_weight, standardize=True, seed=s.seed)
    if s.head == "logistic":
        from elmokit.tasks.joined import JoinedHead

        return JoinedHead(C=s.C, class_weight=s.class_weight, seed=s.seed)
    if s.head == "votes":
        from elmokit.tasks.votes import VotesHead

        return VotesHead(C=s.C, class_weight=s.class_weight, seed=s.seed)
    try:
        return _torch_head(s, start)
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", f"the head {s.head!r}") from error


def _torch_head(s: HeadSettings, start: Callable[[], Checkpoint]) -> Head:
    from elmokit.tasks.bilstm_head import BiLSTMHead
    from elmokit.tasks.finetune_head import FinetuneHead
    from elmokit.tasks.mlp import MLPHead

    options = OWN_OPTIONS[s.head]
    if s.epochs is not None:
        options = replace(options, n_epochs=s.epochs, least_steps=0)
    if s.head == "mlp":
        return MLPHead(class_weight=s.class_weight, seed=s.seed, options=options)
    if s.head == "bilstm":
        return BiLSTMHead(over=s.over, class_weight=s.class_weight, seed=s.seed, options=options)
    return FinetuneHead(start, class_weight=s.class_weight, seed=s.seed, options=options, snapshots=s.snapshots)
