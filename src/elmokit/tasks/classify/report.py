"""The report on a classifier, as values that JSON can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elmokit.tasks.checks import Label
from elmokit.tasks.classify.scores import CalibrationBin, PrecisionRecall, Scores


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation over the folds.

    Example:
        >>> Spread.of([0.7, 0.8, 0.9]).mean
        0.8
    """

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise two values or more."""
        return cls(mean=round(float(np.mean(values)), 12), sd=float(np.std(values, ddof=1)))


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Scores over the folds of a cross-validation; `f1` is the report's main figure (`Report.f1`)."""

    n_folds: int
    f1: Spread
    weighted_f1: Spread
    accuracy: Spread


@dataclass(frozen=True, kw_only=True)
class ReportEntry:
    """One classifier of the report.

    Args:
        name: for people.
        held_out: scores on the held-out rows.
        folds: scores over the folds, if asked for.
        C: strength used on the held-out split, for several labels one each; None for the heads of PyTorch.
        seconds: to encode, fit and predict the held-out split.
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
    """F1 on the held-out rows after fitting on a part of the training rows; smaller parts lie in larger ones."""

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
        calibration_error: expected calibration error on the held-out rows, in ten bins; None for several labels.
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
