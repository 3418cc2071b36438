"""Scores of predicted classes and labels, as values that JSON can hold; computed by scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from elmokit.errors import InputError
from elmokit.tasks.label_metrics import LabelMetrics

_POINTS = 100


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of a classifier, with one class or several labels per row."""

    accuracy: float  # share of the rows that are right; of several labels, all must be right
    micro_f1: float  # over all pairs of row and label; with one class per row the accuracy
    macro_f1: float  # mean F1 of the classes; of several labels, of those that occur
    weighted_f1: float  # mean F1 of the classes, weighted by their rows
    classes: tuple[LabelMetrics, ...]
    confusion: tuple[tuple[int, ...], ...] = ()  # rows by class and prediction; empty for several labels per row
    without_rows: tuple[str, ...] = ()  # labels that no row has; they are left out of the macro F1

    def f1_of(self, label: str) -> float:
        """F1 of one class; an InputError if there is no such class."""
        for one in self.classes:
            if one.label == label:
                return one.f1
        raise InputError(f"no class {label!r}; the classes are {', '.join(repr(s.label) for s in self.classes)}.")

    def __str__(self) -> str:
        """The layout of scikit-learn's `classification_report`."""
        averages = {} if self.confusion else {"micro F1": self.micro_f1}
        averages |= {"macro F1": self.macro_f1, "weighted F1": self.weighted_f1}
        averages["accuracy" if self.confusion else "all labels right"] = self.accuracy
        width = max(len(name) for name in [*averages, *(c.label for c in self.classes)])
        lines = [f"{'':>{width}}  precision  recall  F1-score  support", ""]
        lines += [
            f"{c.label:>{width}}  {c.precision:9.3f}  {c.recall:6.3f}  {c.f1:8.3f}  {c.support:7}" for c in self.classes
        ]
        lines += ["", *(f"{name:>{width}}  {'':9}  {'':6}  {value:8.3f}" for name, value in averages.items())]
        if self.without_rows:
            lines += ["", f"macro F1 leaves out labels without rows: {', '.join(self.without_rows)}"]
        return "\n".join(lines)


def score(truth: Iterable[Any], predicted: Iterable[Any], labels: Sequence[Any] | None = None) -> Scores:
    """Compare predictions with the truth; figures are 0 where nothing can be divided.

    `truth` and `predicted` are the class of each row, (n,), or whether each row has each label, (n, K). `labels` are
    the classes in the order of the report (None: all that occur), or the names of the K labels. InputError for no rows,
    or different numbers of rows.

    Example:
        >>> scores = score(["1", "1", "0"], ["1", "0", "0"])
        >>> round(scores.f1_of("1"), 3), scores.confusion
        (0.667, ((1, 0), (1, 1)))
        >>> score([[True, False]], [[True, True]], ["a", "b"]).micro_f1
        0.6666666666666666
    """
    truth, predicted = list(truth), list(predicted)
    if len(truth) != len(predicted) or not truth:
        raise InputError(f"{len(truth)} labels and {len(predicted)} predictions; expected as many, and at least one.")
    several = np.ndim(truth[0]) == 1
    names = sorted({*truth, *predicted}) if labels is None else list(labels)
    number = {name: k for k, name in enumerate(names)}
    y, guess = (np.array(rows if several else [number[row] for row in rows], int) for rows in (truth, predicted))
    accuracy = float((y == guess).reshape(len(y), -1).all(1).mean())
    if several and len(names) == 1:  # scikit-learn takes one column for classes 0 and 1
        y, guess = np.pad(y, ((0, 0), (0, 1))), np.pad(guess, ((0, 0), (0, 1)))
    some: dict[str, Any] = {"labels": range(len(names)), "zero_division": 0.0}
    table = metrics.precision_recall_fscore_support(y, guess, **some)
    micro, weighted = (float(metrics.f1_score(y, guess, average=how, **some)) for how in ("micro", "weighted"))
    classes = tuple(
        LabelMetrics(label=str(name), precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for name, p, r, f, n in zip(names, *table, strict=True)
    )
    confusion = () if several else tuple(map(tuple, metrics.confusion_matrix(y, guess, labels=some["labels"]).tolist()))
    return Scores(
        accuracy=accuracy,
        micro_f1=micro,
        macro_f1=float(np.mean([c.f1 for c in classes if c.support or not several] or [0.0])),
        weighted_f1=weighted,
        classes=classes,
        confusion=confusion,
        without_rows=tuple(c.label for c in classes if several and not c.support),
    )


def label_matrix(labels: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row has each label; labels that are not among the names are left out. Shape (n, K)."""
    place, matrix = {name: k for k, name in enumerate(names)}, np.zeros((len(labels), len(names)), np.bool_)
    for row, of_row in zip(matrix, labels, strict=True):
        row[[place[label] for label in of_row if label in place]] = True
    return matrix


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predictions of about equal confidence: how many, their mean probability, and the share that is right."""

    n: int
    confidence: float
    right: float


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Precision and recall of one class, from the highest threshold to the lowest."""

    label: str
    average_precision: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]

    def precision_at(self, recall: float) -> float:
        """The best precision at which the recall is at least this."""
        return max(p for p, r in zip(self.precision, self.recall, strict=True) if r >= recall)


def calibration_bins(confidence: NDArray[np.floating], right: ArrayLike) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width, by rising confidence of the predictions (n,); empty ones are left out."""
    bins, truth = np.minimum((confidence * 10).astype(int), 9), np.asarray(right, dtype=bool)
    return tuple(
        CalibrationBin(n=int(here.sum()), confidence=float(confidence[here].mean()), right=float(truth[here].mean()))
        for here in (bins == number for number in range(10))
        if here.any()
    )


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Expected calibration error: mean distance of confidence and share that is right, weighted by rows."""
    return sum(b.n * abs(b.confidence - b.right) for b in bins) / max(sum(b.n for b in bins), 1)


def precision_recall(label: str, truth: ArrayLike, probabilities: NDArray[np.floating]) -> PrecisionRecall:
    """The precision-recall curve of one class over n rows, in at most a hundred points."""
    precision, recall, thresholds = metrics.precision_recall_curve(truth, probabilities)
    precision, recall = precision[len(thresholds) - 1 :: -1], recall[len(thresholds) - 1 :: -1]
    shown = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(int))
    return PrecisionRecall(
        label=label,
        average_precision=float(metrics.average_precision_score(truth, probabilities)),
        precision=tuple(precision[shown].tolist()),
        recall=tuple(recall[shown].tolist()),
    )
