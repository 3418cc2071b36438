"""Scores of classes and labels (by scikit-learn) and the report on a classifier, as values that JSON can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from elmokit.errors import InputError
from elmokit.tasks.checks import Label
from elmokit.tasks.label_metrics import LabelMetrics

_POINTS = 100  # of a precision-recall curve at most
_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)


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


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation over the folds."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise two values or more."""
        return cls(mean=round(float(np.mean(values)), 12), sd=float(np.std(values, ddof=1)))


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Scores over the folds of a cross-validation; `f1` is the report's main figure."""

    n_folds: int
    f1: Spread
    weighted_f1: Spread
    accuracy: Spread


@dataclass(frozen=True, kw_only=True)
class ReportEntry:
    """One classifier of the report."""

    name: str
    held_out: Scores
    folds: Folds | None
    C: Any  # the strength used on the held-out split, for several labels one each, None for the heads of PyTorch
    seconds: float  # to encode, fit and predict that split


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A held-out text that got a wrong class: its place among the texts (from 0), and the predicted probability."""

    row: int
    text: str
    label: Label
    predicted: Label
    probability: float


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """The main figure on the held-out rows after fitting on a part of the training rows."""

    n_rows: int
    f1: float


@dataclass(frozen=True, kw_only=True)
class ClassifierReport:
    """Evaluation of a classifier on held-out rows; several labels per text have no mistakes and no calibration."""

    model: str  # name of the ELMo model
    encoding: Mapping[str, Any]  # which vectors
    cleaning: tuple[str, ...]
    classes: tuple[Label, ...]  # in the order of the confusion matrices
    several: bool  # whether a text may have several labels
    positive: Label | None  # of two classes the one whose F1 is reported first
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[ReportEntry, ...]  # the classifier first, then those beside it, then the baselines
    mistakes: tuple[Mistake, ...] = ()  # the most confident ones, at most ten
    calibration_error: float | None = None  # expected calibration error
    calibration: tuple[CalibrationBin, ...] = ()
    precision_recall: tuple[PrecisionRecall, ...] = ()  # of the positive class, or of each that the held-out rows have
    learning_curve: tuple[LearningPoint, ...] = ()  # with the strength chosen on all training rows
    skipped: tuple[str, ...] = ()  # baselines that could not be fitted, and why

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return dataclasses.asdict(self)

    @property
    def f1_name(self) -> str:
        """Name of the main figure: micro F1 of several labels, F1 of the positive one of two classes, or macro F1."""
        return "micro F1" if self.several else "macro F1" if self.positive is None else f"F1 of {self.positive}"

    def f1(self, scores: Scores) -> float:
        """The main figure (`f1_name`)."""
        return main_f1(scores, self.positive)

    def __str__(self) -> str:
        return "\n\n".join(f"{entry.name}\n{entry.held_out}" for entry in self.entries)


def main_f1(scores: Scores, positive: Label | None) -> float:
    """Micro F1 of several labels, F1 of the positive one of two classes, or macro F1."""
    if not scores.confusion:
        return scores.micro_f1
    return scores.macro_f1 if positive is None else scores.f1_of(str(positive))


class ReportTable(NamedTuple):
    """A table of a report: its title, the names of its columns, its cells, and what else is to be said."""

    title: str
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


def report_tables(report: ClassifierReport, *, most_classes: int) -> dict[str, ReportTable]:
    """The tables of a report by name; those that have no rows, and confusion matrices of more classes, are left out."""
    ours, f1, several = report.entries[0], report.f1_name[:26], report.several
    right = ["macro F1", "weighted F1", "all right"] if several else ["weighted F1", "accuracy"]
    spread = [f"F1, {ours.folds.n_folds} folds"] if ours.folds else []
    split = f"{report.n_test:,} rows held out, {report.n_train:,} training rows, seed {report.seed}"
    settings = {**report.encoding, "cleaning": ", ".join(report.cleaning)}
    model = ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (None, False, ""))
    notes = [f"C {ours.C:.3g}"] if isinstance(ours.C, float) else []
    if report.calibration_error is not None:
        notes.append(f"probabilities are off by {report.calibration_error:.1%}")
    if ours.held_out.without_rows:
        notes.append(f"macro F1 leaves out labels without rows: {', '.join(ours.held_out.without_rows)}")
    few = [str(x) for x in report.classes] if len(report.classes) <= most_classes else []
    curves, classes = report.precision_recall, ours.held_out.classes
    tables: dict[str, tuple[Any, ...]] = {
        "classifiers": (
            split,
            ["features", f1, *right, *spread, "seconds"],
            [_entry(report, x) for x in report.entries],
        ),
        "classes": (
            f"{report.model}: {model}",
            ["label" if several else "class", "precision", "recall", "F1", "rows"],
            [(c.label, *_figures(c.precision, c.recall, c.f1), f"{c.support:,}") for c in classes],
            "; ".join([*notes, *report.skipped]),
        ),
        "confusion": (
            "confusion matrix, held out: rows are the true classes",
            ["class", *(f"as {label:.16}" for label in few)],
            [(name, *map("{:,}".format, row)) for name, row in zip(few, ours.held_out.confusion, strict=False)],
        ),
        "learning curve": (
            "learning curve, held out",
            ["training rows", f1],
            [(f"{point.n_rows:,}", f"{point.f1:.3f}") for point in report.learning_curve],
        ),
        "calibration": (
            "calibration, held out",
            ["confidence", "right", "rows"],
            [(f"{b.confidence:.0%}", f"{b.right:.0%}", f"{b.n:,}") for b in report.calibration],
        ),
        "precision": (
            "precision at a recall, held out",
            ["class", *map(str, _RECALLS), "average"],
            [(c.label, *_figures(*map(c.precision_at, _RECALLS), c.average_precision)) for c in curves],
        ),
        "mistakes": (
            "most confident mistakes, held out",
            ["row", "class", "predicted", "probability", "text"],
            [
                (f"{m.row + 1:,}", str(m.label), str(m.predicted), f"{m.probability:.0%}", " ".join(m.text.split()))
                for m in report.mistakes
            ],
        ),
    }
    return {name: ReportTable(*table) for name, table in tables.items() if table[2]}


def _entry(report: ClassifierReport, entry: ReportEntry) -> tuple[str, ...]:
    s, folds = entry.held_out, entry.folds
    macro = [s.macro_f1] if report.several else []
    spread = [f"{folds.f1.mean:.3f} ± {folds.f1.sd:.3f}"] if folds else []
    return entry.name, *_figures(report.f1(s), *macro, s.weighted_f1, s.accuracy), *spread, f"{entry.seconds:.1f}"


def _figures(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in values)
