"""How well similarity scores agree: Pearson and Spearman correlation, as STS is evaluated (extra `tasks`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elmokit.errors import InputError, MissingExtra


@dataclass(frozen=True, kw_only=True)
class SimilarityScores:
    """How well predicted similarity scores agree with the truth; a correlation is NaN where one side is constant."""

    pearson: float
    spearman: float
    mean_squared_error: float
    n_pairs: int

    def __str__(self) -> str:
        return (
            f"Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f}, mean squared error"
            f" {self.mean_squared_error:.3f} ({self.n_pairs:,} pairs)"
        )


def compare_scores(truth: ArrayLike, predicted: ArrayLike) -> SimilarityScores:
    """Correlations and mean squared error of predicted scores, both of shape (n,).

    Raises:
        InputError: fewer than two scores, or different lengths.
        MissingExtra: SciPy is not installed.

    Example:
        >>> scores = compare_scores([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        >>> round(scores.pearson, 3), round(scores.spearman, 3)
        (0.982, 1.0)
    """
    try:
        from scipy.stats import pearsonr, spearmanr
    except ImportError as error:
        raise MissingExtra("scipy", "tasks", "correlations") from error
    a, b = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"{len(a)} true and {len(b)} predicted scores; expected as many, and at least two.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, whose correlation is NaN
        pearson, spearman = float(pearsonr(a, b).statistic), float(spearmanr(a, b).statistic)
    squared = float(np.mean((a - b) ** 2))
    return SimilarityScores(pearson=pearson, spearman=spearman, mean_squared_error=squared, n_pairs=len(a))
