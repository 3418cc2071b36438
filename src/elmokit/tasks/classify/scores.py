"""Scores of predicted classes and labels, as values that JSON can hold; computed by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_recall_fscore_support,
)

from elmokit.errors import InputError

_POINTS = 100


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Scores of one class or label.

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
    """Scores of a classifier with one class per row.

    Args:
        accuracy: share of the rows that are right.
        macro_f1: mean of the classes' F1.
        weighted_f1: mean of the classes' F1, weighted by their rows.
        classes: scores of each class.
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
        for one in self.classes:
            if one.label == label:
                return one.f1
        raise InputError(f"no class {label!r}; the classes are {', '.join(repr(s.label) for s in self.classes)}.")

    def __str__(self) -> str:
        return _table(self.classes, {"macro F1": self.macro_f1, "weighted F1": self.weighted_f1,
                                     "accuracy": self.accuracy})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Scores of a classifier with several labels per row.

    Args:
        micro_f1: F1 over all pairs of row and label.
        macro_f1: mean of the F1 of the labels that occur.
        weighted_f1: mean of the labels' F1, weighted by their rows.
        accuracy: share of the rows whose labels are exactly right.
        classes: scores of each label.
        without_rows: labels that no row has; they are left out of the macro F1.
    """

    micro_f1: float
    macro_f1: float
    weighted_f1: float
    accuracy: float
    classes: tuple[ClassScore, ...]
    without_rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        averages = {"micro F1": self.micro_f1, "macro F1": self.macro_f1, "weighted F1": self.weighted_f1}
        return _table(self.classes, {**averages, "all labels right": self.accuracy})


def score(truth: Sequence[Any], predicted: Sequence[Any], labels: Sequence[Any] | None = None) -> Scores:
    """Compare predicted classes with the true ones.

    Args:
        truth: the class of each row. Shape (n,).
        predicted: the class predicted for it. Shape (n,).
        labels: the classes, in the order of the report; None for all that occur, sorted.

    Returns:
        the scores; 0 where nothing can be divided.

    Raises:
        InputError: no rows, or different numbers of rows.

    Example:
        >>> scores = score(["1", "1", "0"], ["1", "0", "0"])
        >>> round(scores.f1_of("1"), 3), scores.confusion
        (0.667, ((1, 0), (1, 1)))
    """
    truth, predicted = list(truth), list(predicted)
    if len(truth) != len(predicted) or not truth:
        raise InputError(f"{len(truth)} labels and {len(predicted)} predictions; expected as many, and at least one.")
    names = list(labels) if labels is not None else sorted({*truth, *predicted})
    number = {name: k for k, name in enumerate(names)}
    y, guess, numbers = [number[t] for t in truth], [number[p] for p in predicted], list(range(len(names)))
    return Scores(
        accuracy=float(accuracy_score(y, guess)),
        macro_f1=float(f1_score(y, guess, labels=numbers, average="macro", zero_division=0.0)),
        weighted_f1=float(f1_score(y, guess, labels=numbers, average="weighted", zero_division=0.0)),
        classes=_class_scores(y, guess, names),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion_matrix(y, guess, labels=numbers)),
    )


def score_labels(truth: NDArray[Any], predicted: NDArray[Any], names: Sequence[str]) -> LabelScores:
    """Compare predicted label sets with the true ones.

    Args:
        truth: whether each row has each label. Shape (n, K).
        predicted: whether it was predicted. Shape (n, K).
        names: of the K labels.

    Returns:
        the scores; 0 where nothing can be divided.

    Raises:
        InputError: no rows.

    Example:
        >>> score_labels(np.array([[True, False]]), np.array([[True, True]]), ["a", "b"]).micro_f1
        0.6666666666666666
    """
    if not len(truth):
        raise InputError("no rows to evaluate.")
    truth, predicted = np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int)
    each = tuple(_class_scores(t, p, [0, 1])[1] for t, p in zip(truth.T, predicted.T, strict=True))
    classes = tuple(
        ClassScore(label=name, precision=c.precision, recall=c.recall, f1=c.f1, support=c.support)
        for name, c in zip(names, each, strict=True)
    )
    f1, support = [c.f1 for c in classes], [c.support for c in classes]
    return LabelScores(
        micro_f1=float(2 * (truth & predicted).sum() / max(truth.sum() + predicted.sum(), 1)),
        macro_f1=float(np.mean([c.f1 for c in classes if c.support] or [0.0])),
        weighted_f1=float(np.dot(f1, support) / max(sum(support), 1)),
        accuracy=float((truth == predicted).all(1).mean()),
        classes=classes,
        without_rows=tuple(c.label for c in classes if not c.support),
    )


def _class_scores(truth: Sequence[int], predicted: Sequence[int], names: Sequence[Any]) -> tuple[ClassScore, ...]:
    numbers = list(range(len(names)))
    table = precision_recall_fscore_support(truth, predicted, labels=numbers, zero_division=0.0)
    return tuple(
        ClassScore(label=str(name), precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for name, p, r, f, n in zip(names, *table, strict=True)
    )


def _table(classes: Sequence[ClassScore], averages: dict[str, float]) -> str:
    """The layout of scikit-learn's `classification_report`."""
    width = max([len(c.label) for c in classes] + [len(name) for name in averages])
    lines = [f"{'':>{width}}  precision  recall  F1-score  support", ""]
    lines += [f"{c.label:>{width}}  {c.precision:9.3f}  {c.recall:6.3f}  {c.f1:8.3f}  {c.support:7}" for c in classes]
    lines += ["", *(f"{name:>{width}}  {'':9}  {'':6}  {value:8.3f}" for name, value in averages.items())]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predictions of about equal confidence.

    Args:
        n: how many.
        confidence: mean probability of the predicted class.
        right: share of them that are right.
    """

    n: int
    confidence: float
    right: float


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Precision and recall of one class, from the highest threshold to the lowest.

    Args:
        label: the class.
        average_precision: scikit-learn's `average_precision_score`.
        precision: at each point.
        recall: at each point.
    """

    label: str
    average_precision: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]

    def precision_at(self, recall: float) -> float:
        """The best precision at which at least this share of the class is found.

        Args:
            recall: the share, from 0 to 1.

        Returns:
            a precision.

        Example:
            >>> curve = PrecisionRecall(label="1", average_precision=0.8, precision=(1.0, 0.6), recall=(0.5, 1.0))
            >>> curve.precision_at(0.7)
            0.6
        """
        return max(p for p, r in zip(self.precision, self.recall, strict=True) if r >= recall)


def calibration_bins(confidence: NDArray[np.floating], right: ArrayLike) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width; empty ones are left out.

    Args:
        confidence: probability of the predicted class. Shape (n,).
        right: whether the prediction is right. Shape (n,).

    Returns:
        bins by rising confidence.

    Example:
        >>> [b.right for b in calibration_bins(np.array([0.55, 0.95, 0.97]), [False, True, True])]
        [0.0, 1.0]
    """
    bins, truth = np.minimum((confidence * 10).astype(int), 9), np.asarray(right, dtype=bool)
    return tuple(
        CalibrationBin(n=int(here.sum()), confidence=float(confidence[here].mean()), right=float(truth[here].mean()))
        for here in (bins == number for number in range(10))
        if here.any()
    )


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Mean distance between confidence and the share that is right, weighted by the rows of the bins.

    Args:
        bins: what `calibration_bins` returns.

    Returns:
        the expected calibration error, from 0 to 1.
    """
    return sum(b.n * abs(b.confidence - b.right) for b in bins) / max(sum(b.n for b in bins), 1)


def precision_recall(label: str, truth: ArrayLike, probabilities: NDArray[np.floating]) -> PrecisionRecall:
    """The precision-recall curve of one class.

    Args:
        label: the class.
        truth: whether each row has it, at least one. Shape (n,).
        probabilities: of it. Shape (n,).

    Returns:
        at most a hundred points, and the average precision of all of them.

    Example:
        >>> precision_recall("1", [True, False], np.array([0.9, 0.1])).average_precision
        1.0
    """
    precision, recall, thresholds = precision_recall_curve(truth, probabilities)
    precision, recall = precision[len(thresholds) - 1 :: -1], recall[len(thresholds) - 1 :: -1]
    shown = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(int))
    return PrecisionRecall(
        label=label,
        average_precision=float(average_precision_score(truth, probabilities)),
        precision=tuple(precision[shown].tolist()),
        recall=tuple(recall[shown].tolist()),
    )
