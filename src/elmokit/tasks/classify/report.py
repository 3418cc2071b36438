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
from elmokit.tasks.tagging.bioes import LabelMetrics

Figures = Mapping[str, Any]  # values of the report, by name

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
        """F1 of one class; a KeyError if there is no such class."""
        return {one.label: one.f1 for one in self.classes}[label]

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


def calibration_bins(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[Figures, ...]:
    """Ten bins of equal width, by rising confidence of the predictions (n,); empty ones are left out.

    Each has its number of rows `n`, their mean `confidence`, and the share that is `right`.
    """
    bins = np.minimum((confidence * 10).astype(int), 9)
    return tuple(
        {"n": int(here.sum()), "confidence": float(confidence[here].mean()), "right": float(right[here].mean())}
        for here in (bins == number for number in np.unique(bins))
    )


def calibration_error(bins: Sequence[Figures]) -> float:
    """Expected calibration error: mean distance of confidence and share that is right, weighted by rows."""
    return float(np.average([abs(b["confidence"] - b["right"]) for b in bins], weights=[b["n"] for b in bins]))


def precision_recall(label: str, truth: ArrayLike, probabilities: NDArray[np.floating]) -> Figures:
    """The curve of one class over n rows, from the highest threshold to the lowest, in at most a hundred points."""
    *curve, thresholds = metrics.precision_recall_curve(truth, probabilities)
    shown = np.unique(np.linspace(0, len(thresholds) - 1, _POINTS).astype(int))
    precision, recall = (tuple(values[len(thresholds) - 1 :: -1][shown].tolist()) for values in curve)
    average = float(metrics.average_precision_score(truth, probabilities))
    return {"label": label, "average_precision": average, "precision": precision, "recall": recall}


def precision_at(curve: Figures, recall: float) -> float:
    """The best precision of a curve at which the recall is at least this."""
    return float(max(p for p, r in zip(curve["precision"], curve["recall"], strict=True) if r >= recall))


@dataclass(frozen=True, kw_only=True)
class ReportEntry:
    """One classifier of the report."""

    name: str
    held_out: Scores
    folds: Figures | None  # "n_folds", and "mean" and "sd" of "f1" (the main figure), "weighted_f1" and "accuracy"
    C: Any  # the strength used on the held-out split, for several labels one each, None for the heads of PyTorch
    seconds: float  # to encode, fit and predict that split


@dataclass(frozen=True, kw_only=True)
class ClassifierReport:
    """Evaluation of a classifier on held-out rows; several labels per text have no mistakes and no calibration."""

    model: str  # name of the ELMo model
    encoding: Figures  # which vectors
    cleaning: tuple[str, ...]
    classes: tuple[Label, ...]  # in the order of the confusion matrices
    several: bool  # whether a text may have several labels
    positive: Label | None  # of two classes the one whose F1 is reported first
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[ReportEntry, ...]  # the classifier first, then the baselines
    mistakes: tuple[Figures, ...]  # the ten most confident: "row" (from 0), "text", "label", "predicted", "probability"
    calibration_error: float | None  # expected calibration error
    calibration: tuple[Figures, ...]  # see `calibration_bins`
    precision_recall: tuple[Figures, ...]  # of the positive class, or of each that the held-out rows have
    learning_curve: tuple[Figures, ...]  # "n_rows" and "f1" (the main figure), with the strength of all training rows
    skipped: tuple[str, ...]  # baselines that could not be fitted, and why

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
    spread = [f"F1, {ours.folds['n_folds']} folds"] if ours.folds else []
    split = f"{report.n_test:,} rows held out, {report.n_train:,} training rows, seed {report.seed}"
    settings = {**report.encoding, "cleaning": ", ".join(report.cleaning)}
    model = ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (None, False, ""))
    notes = [f"C {ours.C:.3g}"] if isinstance(ours.C, float) else []
    if report.calibration_error is not None:
        notes.append(f"probabilities are off by {report.calibration_error:.1%}")
    if ours.held_out.without_rows:
        notes.append(f"macro F1 leaves out labels without rows: {', '.join(ours.held_out.without_rows)}")
    few = [str(x) for x in report.classes] if len(report.classes) <= most_classes else []
    tables = {
        "classifiers": ReportTable(
            split, ["features", f1, *right, *spread, "seconds"], [_entry(report, x) for x in report.entries]
        ),
        "classes": ReportTable(
            f"{report.model}: {model}",
            ["label" if several else "class", "precision", "recall", "F1", "rows"],
            [(c.label, *_figures(c.precision, c.recall, c.f1), f"{c.support:,}") for c in ours.held_out.classes],
            "; ".join([*notes, *report.skipped]),
        ),
        "confusion": ReportTable(
            "confusion matrix, held out: rows are the true classes",
            ["class", *(f"as {label:.16}" for label in few)],
            [(name, *map("{:,}".format, row)) for name, row in zip(few, ours.held_out.confusion, strict=False)],
        ),
        "learning curve": ReportTable(
            "learning curve, held out",
            ["training rows", f1],
            [(f"{point['n_rows']:,}", f"{point['f1']:.3f}") for point in report.learning_curve],
        ),
        "calibration": ReportTable(
            "calibration, held out",
            ["confidence", "right", "rows"],
            [(f"{b['confidence']:.0%}", f"{b['right']:.0%}", f"{b['n']:,}") for b in report.calibration],
        ),
        "precision": ReportTable(
            "precision at a recall, held out",
            ["class", *map(str, _RECALLS), "average"],
            [_precisions(curve) for curve in report.precision_recall],
        ),
        "mistakes": ReportTable(
            "most confident mistakes, held out",
            ["row", "class", "predicted", "probability", "text"],
            [
                (
                    f"{m['row'] + 1:,}",
                    str(m["label"]),
                    str(m["predicted"]),
                    f"{m['probability']:.0%}",
                    " ".join(m["text"].split()),
                )
                for m in report.mistakes
            ],
        ),
    }
    return {name: table for name, table in tables.items() if table.rows}


def _entry(report: ClassifierReport, entry: ReportEntry) -> tuple[str, ...]:
    s, folds = entry.held_out, entry.folds
    macro = [s.macro_f1] if report.several else []
    spread = [f"{folds['f1']['mean']:.3f} ± {folds['f1']['sd']:.3f}"] if folds else []
    return entry.name, *_figures(report.f1(s), *macro, s.weighted_f1, s.accuracy), *spread, f"{entry.seconds:.1f}"


def _precisions(curve: Figures) -> tuple[str, ...]:
    return curve["label"], *_figures(*(precision_at(curve, x) for x in _RECALLS), curve["average_precision"])


def _figures(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in values)
