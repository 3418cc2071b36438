"""How probable the second of two classes must be to be said: where F1 is best, found on rows not learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def best_threshold(positive: ArrayLike, probabilities: NDArray[np.floating]) -> float:
    """The threshold at which F1 of the positive class is highest.

    Args:
        positive: whether each row is of that class. Shape (n,).
        probabilities: of that class, by a head that has not seen the row. Shape (n,).

    Returns:
        a probability, halfway between two that occur; 0.5 if no row is positive. A row is positive from it on.

    Example:
        >>> round(best_threshold([False, True, True], np.array([0.1, 0.3, 0.9])), 3)
        0.2
    """
    truth = np.asarray(positive, dtype=bool)
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    found, p = np.cumsum(truth[order]), probabilities[order]
    f1 = 2 * found / (np.arange(1, len(p) + 1) + truth.sum())
    f1[:-1][p[1:] == p[:-1]] = -1  # equal probabilities are not told apart
    best = int(f1.argmax())
    return float((p[best] + (p[best + 1] if best + 1 < len(p) else 0.0)) / 2)
