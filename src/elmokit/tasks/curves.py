"""How probabilities do: by how sure they are (calibration), and at every threshold (precision and recall)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_POINTS = 100


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Predictions that are about equally sure.

    Args:
        n: how many.
        confidence: mean probability of the class that was said.
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
        average_precision: mean precision over the steps in recall, as scikit-learn defines it.
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
    """Ten bins of equal width, those without predictions left out.

    Args:
        confidence: probability of the class that was said. Shape (n,).
        right: whether it was right. Shape (n,).

    Returns:
        bins, from unsure to sure.

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


def precision_recall(label: str, truth: ArrayLike, probabilities: NDArray[np.floating]) -> PrecisionRecall:
    """The curve of one class.

    Args:
        label: the class.
        truth: whether each row is of it, at least one. Shape (n,).
        probabilities: of it. Shape (n,).

    Returns:
        its points, a hundred at most, and the average precision of all of them.

    Example:
        >>> precision_recall("1", [True, False], np.array([0.9, 0.1])).average_precision
        1.0
    """
    order = np.argsort(-probabilities, kind="stable")
    found = np.cumsum(np.asarray(truth, dtype=bool)[order])
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    precision, recall = found[ends] / (ends + 1), found[ends] / found[-1]
    shown = np.unique(np.linspace(0, len(ends) - 1, _POINTS).astype(int))
    return PrecisionRecall(
        label=label,
        average_precision=float((np.diff(recall, prepend=0.0) * precision).sum()),
        precision=tuple(precision[shown].tolist()),
        recall=tuple(recall[shown].tolist()),
    )
