"""The report on a classifier, as values that JSON can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elmokit.tasks.checks import Label
from elmokit.tasks.classify.scores import CalibrationBin, LabelScores, PrecisionRecall, Scores


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
    """Scores over the folds of a cross-validation.

    Args:
        n_folds: number of folds.
        f1: of the positive class, or macro F1 with more than two classes.
        weighted_f1: mean of the classes' F1, weighted by their rows.
        accuracy: share of the rows that are right.
    """

    n_folds: int
    f1: Spread
    weighted_f1: Spread
    accuracy: Spread


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One classifier of the report.

    Args:
        name: for people.
        held_out: scores on the held-out rows.
        folds: scores over the folds, if asked for.
        C: strength used on the held-out split; None for the heads of PyTorch.
        seconds: to encode, fit and predict the held-out split.
    """

    name: str
    held_out: Scores
    folds: Folds | None
    C: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A held-out text that got a wrong class.

    Args:
        row: its place among the texts, from 0.
        text: the text.
        label: its class.
        predicted: the class predicted.
        probability: of the predicted class.
    """

    row: int
    text: str
    label: Label
    predicted: Label
    probability: float


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """F1 after fitting on a part of the training rows.

    Args:
        n_rows: size of the part; smaller parts are contained in larger ones.
        f1: on the held-out rows: of the positive class, or macro.
    """

    n_rows: int
    f1: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Evaluation of a classifier on held-out rows, beside baselines.

    Args:
        model: name of the ELMo model.
        encoding: which vectors, as JSON values.
        cleaning: cleaning steps.
        classes: the classes, in the order of the confusion matrices.
        positive: the class whose F1 is reported first if there are two; else None.
        n_train: training rows of the held-out split.
        n_test: held-out rows.
        test_size: share held out.
        seed: of the split and the folds.
        entries: the classifier first, then those beside it, then the baselines.
        calibration_error: expected calibration error on the held-out rows, in ten bins.
        mistakes: the most confident ones on the held-out rows, at most ten.
        calibration: confidence and correctness on the held-out rows, in ten bins.
        precision_recall: curve of the positive class, or of each class if there are more than two.
        learning_curve: if asked for; with the strength chosen on all training rows.
        skipped: baselines that could not be fitted, and why.
    """

    model: str
    encoding: Mapping[str, Any]
    cleaning: tuple[str, ...]
    classes: tuple[Label, ...]
    positive: Label | None
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[Entry, ...]
    calibration_error: float
    mistakes: tuple[Mistake, ...]
    calibration: tuple[CalibrationBin, ...] = ()
    precision_recall: tuple[PrecisionRecall, ...] = ()
    learning_curve: tuple[LearningPoint, ...] = ()
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return dataclasses.asdict(self)

    def f1(self, scores: Scores) -> float:
        """The F1 that the report is about: of the positive class, or macro with more than two classes."""
        return scores.macro_f1 if self.positive is None else scores.f1_of(str(self.positive))

    def __str__(self) -> str:
        return "\n\n".join(f"{entry.name}\n{entry.held_out}" for entry in self.entries)


@dataclass(frozen=True, kw_only=True)
class LabelEntry:
    """One classifier of the report.

    Args:
        name: for people.
        held_out: scores on the held-out rows.
        seconds: to encode, fit and predict.
    """

    name: str
    held_out: LabelScores
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """Evaluation of a multi-label classifier on held-out rows, beside baselines.

    Args:
        model: name of the ELMo model.
        encoding: which vectors, as JSON values.
        cleaning: cleaning steps.
        labels: all labels, sorted.
        n_train: training rows of the held-out split.
        n_test: held-out rows.
        test_size: share held out.
        seed: of the split.
        entries: the classifier first, then the baselines.
        precision_recall: of the classifier, for each label that occurs in the held-out rows.
        skipped: baselines that could not be fitted, and why.
    """

    model: str
    encoding: Mapping[str, Any]
    cleaning: tuple[str, ...]
    labels: tuple[str, ...]
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[LabelEntry, ...]
    precision_recall: tuple[PrecisionRecall, ...] = ()
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return "\n\n".join(f"{entry.name}\n{entry.held_out}" for entry in self.entries)
