"""The report on a classifier, as values that JSON can hold, and its tables for the terminal and the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from elmokit.tasks.checks import Label
from elmokit.tasks.classify.scores import CalibrationBin, PrecisionRecall, Scores

_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)


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
