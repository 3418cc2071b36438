"""Vectors → points in the plane of their first two principal components, by scikit-learn's PCA (extra `tasks`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra


def principal_plane(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Project vectors (n, d) onto their first two principal components.

    Returns:
        points (n, 2), with the signs of the axes fixed so that they are the same each time, and the share of the
        variance that they keep, from 0 to 1; 1 for vectors that do not vary.

    Raises:
        MissingExtra: scikit-learn is not installed.

    Example:
        >>> points, share = principal_plane(np.array([[2, 0, 0], [0, 0, 0], [-2, 0, 0]], np.float32))
        >>> points.round(6).tolist(), round(share, 6)
        ([[2.0, 0.0], [0.0, 0.0], [-2.0, 0.0]], 1.0)
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError:
        raise MissingExtra("scikit-learn", "tasks", "maps") from None
    points = np.zeros((len(vectors), 2))
    centered = np.asarray(vectors, dtype=np.float64)
    centered = centered - centered.mean(0) if len(centered) else centered
    if not np.abs(centered).max(initial=0.0) > 1e-12:
        return points, 1.0
    n = min(2, *centered.shape)
    pca = PCA(n, svd_solver="full" if len(centered) < centered.shape[1] else "covariance_eigh").fit(centered)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.where(pca.components_[np.arange(n), largest] < 0, -1, 1)
    points[:, :n] = pca.transform(centered) * signs
    return points + 0.0, float(min(pca.explained_variance_ratio_.sum(), 1.0))
