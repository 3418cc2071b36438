"""Groups of a word's occurrences: k-means on vectors of length 1 (extra `tasks`), their number by the silhouette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def cluster(units: Vectors, n_clusters: int, *, seed: int = 0) -> Labels:
    """Group vectors by k-means.

    Args:
        units: vectors of length 1. Shape (n, d).
        n_clusters: number of groups; fewer are made where fewer vectors differ.
        seed: of the starts.

    Returns:
        the group of each vector, 0 the largest. Shape (n,).

    Raises:
        MissingExtra: scikit-learn is not installed.

    Example:
        >>> cluster(np.array([[1, 0], [0, 1], [0, 1], [0.1, 0.99]], np.float32), 2).tolist()
        [1, 0, 0, 0]
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtra("scikit-learn", "tasks", "finding senses") from None
    n_clusters = min(n_clusters, len(np.unique(units, axis=0)))
    if n_clusters < 2:
        return np.zeros(len(units), np.int64)
    labels = KMeans(n_clusters, n_init=8, random_state=seed).fit(units).labels_
    _, first, groups, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    return np.argsort(np.lexsort((first, -sizes)))[groups].astype(np.int64)


def silhouette(units: Vectors, labels: Labels) -> float:
    """How well groups are separated, by cosine distance: scikit-learn's silhouette, -1 if each vector is its own."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(labels)) < len(labels):
        return -1.0
    return float(silhouette_score(units.astype(np.float64), labels, metric="cosine"))


def choose_clusters(
    units: Vectors, *, most: int, least_silhouette: float, smallest: int
) -> tuple[Labels, float | None]:
    """Group vectors, with the number of groups that has the best silhouette.

    Args:
        units: vectors of length 1. Shape (n, d).
        most: the largest number of groups.
        least_silhouette: if no number of groups reaches it, all vectors are one group.
        smallest: the least number of vectors in a group.

    Returns:
        the group of each vector, 0 the largest, and the silhouette; None for a single group.
    """
    best: tuple[Labels, float | None] = (np.zeros(len(units), np.int64), None)
    best_score = least_silhouette
    for n_clusters in range(2, min(most, len(units) // smallest) + 1):
        labels = cluster(units, n_clusters)
        if np.bincount(labels, minlength=2).min() >= smallest and (score := silhouette(units, labels)) > best_score:
            best, best_score = (labels, score), score
    return best
