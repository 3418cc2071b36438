"""The report on a classifier, as values that JSON can hold, and its tables for the terminal and the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """One classifier of the report.

    `C` is the strength used on the held-out split, for several labels one each, None for the heads of PyTorch;
    `seconds` are those to encode, fit and predict that split.
    """

    name: str
    held_out: Scores
    folds: Folds | None
    C: Any
    seconds: float


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
    """Evaluation of a classifier on held-out rows, beside baselines.

    Args:
        model: name of the ELMo model.
        encoding: which vectors, as JSON values.
        cleaning: cleaning steps.
        classes: the classes, in the order of the confusion matrices.
        several: whether a text may have several labels; there are no mistakes and no calibration then.
        positive: the class whose F1 is reported first if there are two; else None.
        n_train: training rows of the held-out split.
        n_test: held-out rows.
        test_size: share held out.
        seed: of the split and the folds.
        entries: the classifier first, then those beside it, then the baselines.
        mistakes: the most confident ones on the held-out rows, at most ten.
        calibration_error: expected calibration error on the held-out rows; None for several labels.
        calibration: confidence and correctness on the held-out rows, in ten bins.
        precision_recall: curve of the positive class, or of each class that the held-out rows have.
        learning_curve: if asked for; with the strength chosen on all training rows.
        skipped: baselines that could not be fitted, and why.
    """

    model: str
    encoding: Mapping[str, Any]
    cleaning: tuple[str, ...]
    classes: tuple[Label, ...]
    several: bool
    positive: Label | None
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[ReportEntry, ...]
    mistakes: tuple[Mistake, ...] = ()
    calibration_error: float | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    precision_recall: tuple[PrecisionRecall, ...] = ()
    learning_curve: tuple[LearningPoint, ...] = ()
    skipped: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class ReportTable:
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
    curves = report.precision_recall
    tables = {
        "classifiers": ReportTable(split, ["features", f1, *right, *spread, "seconds"], [*_entries(report)]),
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
            [(f"{point.n_rows:,}", f"{point.f1:.3f}") for point in report.learning_curve],
        ),
        "calibration": ReportTable(
            "calibration, held out",
            ["confidence", "right", "rows"],
            [(f"{b.confidence:.0%}", f"{b.right:.0%}", f"{b.n:,}") for b in report.calibration],
        ),
        "precision": ReportTable(
            "precision at a recall, held out",
            ["class", *map(str, _RECALLS), "average"],
            [(c.label, *_figures(*map(c.precision_at, _RECALLS), c.average_precision)) for c in curves],
        ),
        "mistakes": ReportTable(
            "most confident mistakes, held out",
            ["row", "class", "predicted", "probability", "text"],
            [
                (f"{m.row + 1:,}", str(m.label), str(m.predicted), f"{m.probability:.0%}", " ".join(m.text.split()))
                for m in report.mistakes
            ],
        ),
    }
    return {name: table for name, table in tables.items() if table.rows}


def _entries(report: ClassifierReport) -> Iterable[tuple[str, ...]]:
    for entry in report.entries:
        s, folds = entry.held_out, entry.folds
        macro = [s.macro_f1] if report.several else []
        spread = [f"{folds.f1.mean:.3f} ± {folds.f1.sd:.3f}"] if folds else []
        figures = _figures(report.f1(s), *macro, s.weighted_f1, s.accuracy)
        yield entry.name, *figures, *spread, f"{entry.seconds:.1f}"


def _figures(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in values)
