"""Clusters of texts: k-means on the directions of their vectors, their number given or chosen by silhouette.

scikit-learn does the work (extra `sklearn`). On vectors of length 1, k-means groups by cosine. The silhouette tells
how much nearer texts are to their own cluster than to the next, from −1 to 1; it is computed on at most 2,000 texts,
since it takes all pairs. What a cluster is about is told by `elmokit.tasks.cluster_words`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError, MissingExtra

_SILHOUETTE_TEXTS = 2000


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which text belongs where.

    Args:
        numbers: the cluster of each text, from 0, the largest cluster first. Shape (N,).
        centres: the mean of each cluster's vectors. Shape (k, D).
        silhouette: of the whole; None where it was not asked for.
    """

    numbers: NDArray[np.int64]
    centres: NDArray[np.float64]
    silhouette: float | None = None


def cluster_texts(texts: NDArray[Any], n_clusters: int | None = None, *, most: int = 12, seed: int = 0) -> Clusters:
    """Group texts.

    Args:
        texts: of length 1, from `elmokit.tasks.similar.directions`. Shape (N, D).
        n_clusters: how many; None tries 2 to `most` and takes the number of the largest silhouette.
        most: clusters at most where the number is chosen.
        seed: of the start, the same for the same result.

    Returns:
        the clusters.

    Raises:
        InputError: fewer texts than clusters, or than three where the number is chosen.
        ConfigError: a number below 1.
        MissingExtra: scikit-learn is not installed.

    Example:
        ``cluster_texts(directions(elmo.encode(texts)), 5).numbers``
    """
    if n_clusters is not None:
        return _k_means(texts, n_clusters, seed)
    if len(texts) < 3:
        raise InputError(f"{len(texts)} texts: to choose the number of clusters takes three at least.")
    tried = [_k_means(texts, k, seed, judged=True) for k in range(2, max(2, min(most, len(texts) - 1)) + 1)]
    return max(tried, key=lambda found: -1.0 if found.silhouette is None else found.silhouette)


def _k_means(texts: NDArray[Any], k: int, seed: int, *, judged: bool = False) -> Clusters:
    if k < 1:
        raise ConfigError(f"{k} clusters; expected 1 or more.")
    n_distinct = len(np.unique(texts, axis=0)) if len(texts) else 0
    if n_distinct < k:
        raise InputError(f"{n_distinct} different texts; {k} clusters need as many at least.")
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtra("scikit-learn", "sklearn", "clustering") from None
    found = KMeans(k, n_init=4, random_state=seed).fit(texts)
    order = np.argsort(-np.bincount(found.labels_, minlength=k), kind="stable")
    numbers = np.argsort(order)[found.labels_].astype(np.int64)
    return Clusters(numbers, found.cluster_centers_[order], _silhouette(texts, numbers, seed) if judged else None)


def _silhouette(texts: NDArray[Any], numbers: NDArray[np.int64], seed: int) -> float:
    from sklearn.metrics import silhouette_score

    rows = np.arange(len(texts))
    if len(rows) > _SILHOUETTE_TEXTS:
        rows = np.random.default_rng(seed).choice(rows, _SILHOUETTE_TEXTS, replace=False)
    if not 1 < len(np.unique(numbers[rows])) < len(rows):
        return -1.0
    return float(silhouette_score(texts[rows], numbers[rows], metric="cosine"))
