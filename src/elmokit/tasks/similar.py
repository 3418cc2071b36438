"""Which texts are alike: cosines of text vectors, exact, in blocks, so that memory does not grow with their square.

Vectors of a biLM share a large common part, so plain cosines lie close together; `directions` takes off the mean
vector of the texts at hand first (see `elmokit.tasks.pair_scores` for the same on pairs). All pairs of N texts cost
N²·D operations; a block of them is 1,024 × 8,192 cosines (32 MB). What is held is a vector per text: 2.5 GB for a
million of width 640.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError

Array = NDArray[Any]

_BLOCK_ROWS, _BLOCK_COLUMNS = 1024, 8192


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar texts of each query, best first.

    Args:
        rows: their row numbers among the texts. Shape (N, k).
        cosines: how similar they are, from −1 to 1. Shape (N, k).
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


def directions(vectors: Array, *, mean: Array | None = None) -> NDArray[np.float32]:
    """Vectors of length 1, whose products are cosines.

    Args:
        vectors: a row per text; zeros, as of texts without words, stay zeros. Shape (N, D).
        mean: taken off first; None takes nothing off. Shape (D,).

    Returns:
        Shape (N, D).

    Example:
        >>> directions(np.array([[3.0, 4.0], [0.0, 0.0]])).astype(float).round(2).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if mean is not None:
        rows = np.where(rows.any(1, keepdims=True), rows - np.asarray(mean, dtype=np.float32), 0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, 1), dtype=np.float32)


def mean_of(vectors: Array) -> NDArray[np.float64]:
    """The mean of the rows that are not zeros; zeros where there is none.

    Args:
        vectors: Shape (N, D).

    Returns:
        Shape (D,).

    Example:
        >>> mean_of(np.array([[1.0, 3.0], [0.0, 0.0], [3.0, 3.0]])).tolist()
        [2.0, 3.0]
    """
    kept = vectors[vectors.any(1)]
    return np.asarray(kept.mean(0, dtype=np.float64)) if len(kept) else np.zeros(vectors.shape[1])


def nearest(queries: Array, texts: Array, k: int, *, skip_self: bool = False) -> Neighbours:
    """The k most similar texts of each query.

    Args:
        queries: of length 1, from `directions`. Shape (N, D).
        texts: likewise. Shape (M, D).
        k: neighbours; where there are fewer texts, all of them.
        skip_self: the queries are the texts, and none is its own neighbour.

    Returns:
        the neighbours; of equally similar ones, those that come first in the texts come first.

    Raises:
        ConfigError: k below 1, two widths, or `skip_self` with other queries than texts.

    Example:
        >>> rows = directions(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]))
        >>> nearest(rows, rows, 1, skip_self=True).rows.tolist()
        [[1], [0], [1]]
    """
    if k < 1 or queries.shape[1] != texts.shape[1] or (skip_self and len(queries) != len(texts)):
        raise ConfigError(f"k is {k}, for queries of shape {queries.shape} and texts of shape {texts.shape}.")
    k = min(k, len(texts) - skip_self)
    rows = np.zeros((len(queries), k), np.int64)
    cosines = np.zeros((len(queries), k), np.float32)
    for start in range(0, len(queries), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        rows[block], cosines[block] = _best(queries[block], texts, k, start if skip_self else None)
    return Neighbours(rows, cosines)


def _best(queries: Array, texts: Array, k: int, first: int | None) -> tuple[Array, Array]:
    """The best k of one block of queries; `first` is the number of its first row among the texts, never its own."""
    best_rows, best = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
    for start in range(0, len(texts), _BLOCK_COLUMNS):
        found = queries @ texts[start : start + _BLOCK_COLUMNS].T
        if first is not None:
            own = np.arange(first, first + len(queries)) - start
            here = (own >= 0) & (own < found.shape[1])
            found[np.flatnonzero(here), own[here]] = -np.inf
        numbers = np.broadcast_to(np.arange(start, start + found.shape[1]), found.shape)
        best_rows, best = np.hstack([best_rows, numbers]), np.hstack([best, found])
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best_rows, best = np.take_along_axis(best_rows, order, 1), np.take_along_axis(best, order, 1)
    return best_rows, np.clip(best, -1, 1)


def similar_pairs(texts: Array, threshold: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """All pairs of texts that are alike.

    Args:
        texts: of length 1, from `directions`. Shape (N, D).
        threshold: the least cosine.

    Yields:
        block by block, pairs of row numbers (first < second), Shape (n, 2), and their cosines, Shape (n,).

    Example:
        >>> rows = directions(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
        >>> [pairs.tolist() for pairs, _ in similar_pairs(rows, 0.9)]
        [[[0, 2]]]
    """
    for top in range(0, len(texts), _BLOCK_ROWS):
        for left in range(top, len(texts), _BLOCK_COLUMNS):
            found = texts[top : top + _BLOCK_ROWS] @ texts[left : left + _BLOCK_COLUMNS].T
            rows, columns = np.nonzero(found >= threshold)
            above = rows + top < columns + left
            rows, columns = rows[above], columns[above]
            if len(rows):
                yield np.stack([rows + top, columns + left], axis=1), found[rows, columns]
