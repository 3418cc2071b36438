"""Degrees of similarity: ridge regression in closed form, and two correlations, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import InputError

Array = NDArray[np.float64]

RIDGE_STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-6, 5))
"""Penalties tried, in units of the features' mean variance."""


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Correlation of two rows of numbers.

    Args:
        x: Shape (n,).
        y: Shape (n,).

    Returns:
        from −1 to 1; NaN where one of them does not vary.

    Raises:
        InputError: fewer than two numbers, or two lengths.

    Example:
        >>> round(pearson([1, 2, 3], [2, 4, 7]), 4)
        0.9934
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"{len(a)} and {len(b)} numbers; a correlation needs as many, and two at least.")
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / norm, -1, 1)) if norm > 0 else float("nan")


def ranks(x: ArrayLike) -> Array:
    """Ranks from 1; equal numbers share the mean of theirs.

    Args:
        x: Shape (n,).

    Returns:
        Shape (n,).

    Example:
        >>> ranks([30, 10, 10]).tolist()
        [3.0, 1.5, 1.5]
    """
    _, places, counts = np.unique(np.asarray(x), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], dtype=np.float64)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Correlation of ranks.

    Args:
        x: Shape (n,).
        y: Shape (n,).

    Returns:
        from −1 to 1; NaN where one of them does not vary.

    Raises:
        InputError: fewer than two numbers, or two lengths.

    Example:
        >>> spearman([1, 2, 3], [10, 100, 1000])
        1.0
    """
    return pearson(ranks(x), ranks(y))


def cosines(first: NDArray[np.floating], second: NDArray[np.floating]) -> Array:
    """Cosine of each row with its like; 0 where one is zeros.

    Args:
        first: Shape (…, d).
        second: Shape (…, d).

    Returns:
        Shape (…,).

    Example:
        >>> cosines(np.array([[3.0, 4.0]]), np.array([[6.0, 8.0]])).tolist()
        [1.0]
    """
    products = np.einsum("...d,...d->...", first, second, dtype=np.float64)
    norms = [np.sqrt(np.einsum("...d,...d->...", x, x, dtype=np.float64)) for x in (first, second)]
    return np.asarray(products / np.maximum(norms[0] * norms[1], 1e-30))


@dataclass(frozen=True, eq=False)
class Ridge:
    """Linear regression with a penalty on the weights, on standardised features.

    Args:
        weights: of the features as they are. Shape (d,).
        intercept: added to all.

    Example:
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> Ridge.fit(x, np.array([0.0, 2.0, 4.0]), [1e-9])[0].predict(x).round(3).tolist()
        [0.0, 2.0, 4.0]
    """

    weights: Array
    intercept: float

    @classmethod
    def fit(
        cls, X: NDArray[np.floating], y: NDArray[np.floating], strengths: ArrayLike = RIDGE_STRENGTHS
    ) -> list[Ridge]:
        """Solve for each strength; the products of the features are made once.

        With more features than rows the equations are solved between the rows (the dual), which is the same.

        Args:
            X: features. Shape (n, d).
            y: numbers. Shape (n,).
            strengths: penalties, in units of the features' variance.

        Returns:
            a regression per strength.
        """
        mean, scale = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
        scale = np.where(scale > 1e-12, scale, np.inf)
        Z = ((X - mean) / scale).astype(np.float64)
        n, d = Z.shape
        products = (Z.T @ Z if d <= n else Z @ Z.T) / n
        target = y - y.mean()
        fitted = []
        for strength in np.asarray(strengths).tolist():
            system = products + strength * np.eye(len(products))
            solved = np.linalg.solve(system, Z.T @ target / n if d <= n else target / n)
            weights = (solved if d <= n else Z.T @ solved) / scale
            fitted.append(cls(weights, float(y.mean() - mean @ weights)))
        return fitted

    def predict(self, X: NDArray[np.floating]) -> Array:
        """Numbers for features. Shape (n, d) → (n,)."""
        return np.asarray(X @ self.weights + self.intercept, dtype=np.float64)
