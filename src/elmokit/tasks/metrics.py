"""Precision, recall, F1, accuracy, confusion matrix: as scikit-learn defines them (tested against it)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is found.

    Args:
        label: the class.
        precision: share of the predictions of this class that are right; 0 if there are none.
        recall: share of the rows of this class that are found; 0 if there are none.
        f1: harmonic mean of the two.
        support: rows of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a classifier does on rows whose classes are known.

    Args:
        accuracy: share of the rows that are right.
        macro_f1: mean of the classes' F1.
        weighted_f1: mean of the classes' F1, weighted by their rows.
        classes: each class's scores.
        confusion: rows by class (first axis) and by prediction (second). Shape (n_classes, n_classes).
    """

    accuracy: float
    macro_f1: float
    weighted_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    def f1_of(self, label: str) -> float:
        """F1 of one class.

        Args:
            label: the class.

        Returns:
            its F1.

        Raises:
            InputError: no such class.
        """
        for score in self.classes:
            if score.label == label:
                return score.f1
        raise InputError(f"no class {label!r}; the classes are {', '.join(repr(s.label) for s in self.classes)}.")


def score(truth: Sequence[Any], predicted: Sequence[Any], labels: Sequence[Any] | None = None) -> Scores:
    """Compare predictions with the truth.

    Args:
        truth: the class of each row. Shape (n,).
        predicted: the class predicted for it. Shape (n,).
        labels: the classes, in the order of the report; None for all that occur, sorted.

    Returns:
        the scores.

    Raises:
        InputError: no rows, or two lengths.

    Example:
        >>> scores = score(["1", "1", "0"], ["1", "0", "0"])
        >>> round(scores.f1_of("1"), 3), scores.confusion
        (0.667, ((1, 0), (1, 1)))
    """
    if len(truth) != len(predicted) or not len(truth):
        raise InputError(f"{len(truth)} labels and {len(predicted)} predictions; expected as many, and at least one.")
    names = list(labels) if labels is not None else sorted({*truth, *predicted})
    confusion = _confusion(truth, predicted, names)
    classes = tuple(_class_score(confusion, i, str(name)) for i, name in enumerate(names))
    return Scores(
        accuracy=float(np.trace(confusion) / confusion.sum()),
        macro_f1=float(np.mean([c.f1 for c in classes])),
        weighted_f1=float(sum(c.f1 * c.support for c in classes) / confusion.sum()),
        classes=classes,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _confusion(truth: Sequence[Any], predicted: Sequence[Any], names: Sequence[Any]) -> NDArray[np.int64]:
    place = {name: i for i, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    for true, guess in zip(truth, predicted, strict=True):
        confusion[place[true], place[guess]] += 1
    return confusion


def _class_score(confusion: NDArray[np.int64], i: int, label: str) -> ClassScore:
    right, n_predicted, n_true = (int(n) for n in (confusion[i, i], confusion[:, i].sum(), confusion[i].sum()))
    return ClassScore(
        label=label,
        precision=right / n_predicted if n_predicted else 0.0,
        recall=right / n_true if n_true else 0.0,
        f1=2 * right / (n_predicted + n_true) if n_predicted + n_true else 0.0,
        support=n_true,
    )
