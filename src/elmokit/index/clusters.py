"""Unit vectors → groups that belong together: k-means by cosine, the number of groups by silhouette.

Small and deterministic: a word's occurrences are at most some thousands, so the whole matrix of cosines fits, several
starts cost little, and the same occurrences always give the same groups. Written here so that the index needs no
scikit-learn (tested against it).
Source: Dhillon & Modha 2001 (spherical k-means), Arthur & Vassilvitskii 2007 (k-means++), Rousseeuw 1987 (silhouette).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

_STARTS, _ROUNDS = 8, 50


def cluster(units: Vectors, n_clusters: int, *, seed: int = 0) -> Labels:
    """Group vectors by spherical k-means: the best of several starts.

    Args:
        units: vectors of length 1. Shape (n, d).
        n_clusters: groups, at most n.
        seed: of the starts.

    Returns:
        a group per vector, 0 being the largest. Shape (n,).

    Example:
        >>> cluster(np.array([[1, 0], [0, 1], [0, 1], [0.1, 0.99]], np.float32), 2).tolist()
        [1, 0, 0, 0]
    """
    rng = np.random.default_rng(seed)
    best, best_score = np.zeros(len(units), np.int64), -np.inf
    for _ in range(_STARTS if n_clusters > 1 else 0):
        labels, score = _lloyd(units, _start(units, n_clusters, rng))
        if score > best_score + 1e-9:
            best, best_score = labels, score
    return _by_size(best)


def silhouette(units: Vectors, labels: Labels) -> float:
    """How well groups are apart, by cosine distance: the mean over all vectors.

    Args:
        units: vectors of length 1. Shape (n, d).
        labels: their groups, at least two. Shape (n,).

    Returns:
        -1 to 1; a vector that is alone in its group counts 0.

    Example:
        >>> silhouette(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32), np.array([0, 0, 1, 1]))
        1.0
    """
    groups, sizes = np.unique(labels, return_counts=True)
    member = (labels[:, None] == groups[None]).astype(np.float64)
    sums = (1.0 - units @ units.T) @ member
    own = member.argmax(axis=1)
    rows = np.arange(len(units))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    scale = np.maximum(np.maximum(inside, outside), 1e-12)
    return float(np.where(sizes[own] > 1, (outside - inside) / scale, 0.0).mean())


def choose_clusters(
    units: Vectors, *, most: int, least_silhouette: float, smallest: int
) -> tuple[Labels, float | None]:
    """Group vectors in as many groups as have the best silhouette; in one where no grouping is clear.

    Args:
        units: vectors of length 1. Shape (n, d).
        most: groups at most.
        least_silhouette: below it there is one group.
        smallest: vectors that each group must have.

    Returns:
        a group per vector, 0 being the largest, and the silhouette; None for a single group.
    """
    best: tuple[Labels, float | None] = (np.zeros(len(units), np.int64), None)
    best_score = least_silhouette
    for n_clusters in range(2, min(most, len(units) // smallest) + 1):
        labels = cluster(units, n_clusters)
        counts = np.bincount(labels)
        if len(counts) < 2 or counts.min() < smallest:
            continue
        score = silhouette(units, labels)
        if score > best_score:
            best, best_score = (labels, score), score
    return best


def _start(units: Vectors, n_clusters: int, rng: np.random.Generator) -> Vectors:
    """k-means++: each next centre is drawn far from those chosen."""
    chosen = [int(rng.integers(len(units)))]
    for _ in range(n_clusters - 1):
        distance = np.clip(1 - (units @ units[chosen].T).max(axis=1), 0, None).astype(np.float64) ** 2
        total = distance.sum()
        chosen.append(int(rng.choice(len(units), p=distance / total)) if total > 0 else chosen[0])
    return units[chosen]


def _lloyd(units: Vectors, centres: Vectors) -> tuple[Labels, float]:
    labels = np.full(len(units), -1, np.int64)
    for _ in range(_ROUNDS):
        cosines = units @ centres.T
        nearest = cosines.argmax(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        sums = np.stack([units[labels == c].sum(axis=0) for c in range(len(centres))])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres).astype(np.float32)
    return labels, float(cosines.max(axis=1).sum())


def _by_size(labels: Labels) -> Labels:
    """Groups renumbered: the largest first, ties by first appearance."""
    groups, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    new = np.empty(len(groups), np.int64)
    new[order] = np.arange(len(groups))
    return new[np.searchsorted(groups, labels)]
