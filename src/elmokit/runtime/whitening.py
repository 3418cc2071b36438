"""Principal components of text vectors, divided by a power of their deviation so that no few directions fill them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError

Vectors = NDArray[np.float32]


def principal_components(vectors: NDArray[Any], width: int, power: float = 0.5) -> tuple[Vectors, Vectors]:
    """Mean (D,), and axes of at most `width` principal components, divided by deviation ** power, (D, width)."""
    if not np.isfinite(vectors).all():
        raise InputError("vectors hold numbers that are not finite.")
    mean = vectors.mean(axis=0)
    centered = np.asarray(vectors - mean, dtype=np.float64)
    values, axes = np.linalg.eigh(centered.T @ centered / len(vectors))
    keep = np.flatnonzero(values > 1e-6 * values[-1])[::-1][: max(width, 1)]
    keep = keep if len(keep) else np.array([len(values) - 1])
    return mean, (axes[:, keep] * np.maximum(values[keep], 1e-12) ** (-power / 2)).astype(np.float32)


def whitening_matrix(vectors: NDArray[Any], power: float) -> Vectors:
    """The matrix (D, D) of `Elmo.fit_whitening` for vectors (N, D); their spread keeps its size on average."""
    n = len(np.unique(vectors, axis=0)) if np.isfinite(vectors).all() else len(vectors)
    if n < 2 or n <= vectors.shape[1] or not 0 <= power <= 1:
        raise ConfigError(f"{n} different texts and power {power}; expected more texts than the width, and 0 to 1.")
    mean, axes = principal_components(vectors, vectors.shape[1], power / 2)
    matrix, centered = axes @ axes.T, vectors - mean
    before, after = (np.linalg.norm(each, axis=1).mean() for each in (centered, centered @ matrix))
    return np.asarray(matrix * (before / after if after > 0 else 1.0), np.float32)
