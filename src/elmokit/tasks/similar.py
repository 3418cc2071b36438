"""Similar texts and near-duplicates: exact cosines of text vectors, computed in blocks.

Vectors of a biLM share a large common part, so plain cosines are all high: subtract the mean of the texts first
(`directions(vectors, mean=mean_of(vectors))`). All pairs of N texts cost N²·D operations; a block is 1,024 × 8,192
cosines (32 MB), so memory grows with N only.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError

Array = NDArray[Any]

_BLOCK_ROWS, _BLOCK_COLUMNS = 1024, 8192


class SimilarTexts(NamedTuple):
    """Row numbers and cosines of the k most similar texts of N queries, best first. Shapes (N, k)."""

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


def directions(vectors: Array, *, mean: Array | None = None, dtype: Any = np.float32) -> Array:
    """Scale vectors to length 1, so that their products are cosines. (N, D) → (N, D), of the type `dtype`.

    Zeros, as of texts without words, stay zeros. `mean`, of shape (D,), is subtracted first; a row that equals it keeps
    its own direction, so that identical texts stay similar to each other.
    """
    rows = np.asarray(vectors, dtype=dtype)
    if mean is not None:
        centred = np.where(rows.any(1, keepdims=True), rows - np.asarray(mean, dtype=dtype), 0)
        at_mean = np.linalg.norm(centred, axis=1) <= 1e-5 * np.linalg.norm(rows, axis=1)  # float32 noise
        rows = np.where(at_mean[:, None], rows, centred)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, 1))


def mean_of(vectors: Array) -> NDArray[np.float64]:
    """The mean of the rows that are not zeros; zeros if there is none. (N, D) → (D,)."""
    kept = vectors[vectors.any(1)]
    return np.asarray(kept.mean(0, dtype=np.float64)) if len(kept) else np.zeros(vectors.shape[1])


def nearest(queries: Array, texts: Array, k: int, *, skip_self: bool = False) -> SimilarTexts:
    """Find the k most similar texts of each query, all of them if there are fewer; ties in the order of the texts.

    Queries (N, D) and texts (M, D) have length 1, from `directions`. With `skip_self` the queries are the texts, and no
    text is similar to itself. ConfigError for k below 1, two widths, or `skip_self` with other queries than texts.
    """
    if k < 1 or queries.shape[1] != texts.shape[1] or (skip_self and len(queries) != len(texts)):
        raise ConfigError(f"k is {k}, for queries of shape {queries.shape} and texts of shape {texts.shape}.")
    k = min(k, len(texts) - skip_self)
    rows = np.zeros((len(queries), k), np.int64)
    cosines = np.full((len(queries), k), -np.inf, np.float32)
    for top, left, some in _blocks(queries, texts):
        if skip_self:
            own = np.arange(max(top, left), min(top + len(some), left + some.shape[1]))
            some[own - top, own - left] = -np.inf
        block = slice(top, top + len(some))
        numbers = np.hstack([rows[block], np.broadcast_to(np.arange(left, left + some.shape[1]), some.shape)])
        values = np.hstack([cosines[block], some])
        best = np.argsort(-values, axis=1, kind="stable")[:, :k]
        rows[block], cosines[block] = np.take_along_axis(numbers, best, 1), np.take_along_axis(values, best, 1)
    return SimilarTexts(rows, np.clip(cosines, -1, 1))


def _blocks(first: Array, second: Array) -> Iterator[tuple[int, int, Array]]:
    """Blocks of the cosines of all pairs, and the rows with which they begin."""
    for top in range(0, len(first), _BLOCK_ROWS):
        for left in range(0, len(second), _BLOCK_COLUMNS):
            yield top, left, first[top : top + _BLOCK_ROWS] @ second[left : left + _BLOCK_COLUMNS].T


def duplicate_groups(texts: NDArray[Any], *, threshold: float = 0.95) -> list[list[int]]:
    """Find groups of near-duplicates: texts linked by pairs of a cosine above a threshold (single linkage).

    Texts are vectors of length 1, from `directions`; those without words are duplicates of nothing. Groups of two or
    more row numbers, in order, are sorted by their first row. ConfigError for a threshold out of range.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}; expected a cosine above 0 and at most 1.")
    parents = list(range(len(texts)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]  # halve the path for the next call
            row = parents[row]
        return row

    for top, left, cosines in _blocks(texts, texts):
        pairs = np.argwhere(cosines >= threshold - 1e-6) + np.array([top, left])  # float32: equal texts may be below 1
        for first, second in pairs[pairs[:, 0] < pairs[:, 1]].tolist():
            one, other = sorted((root(first), root(second)))
            parents[other] = one
    groups: dict[int, list[int]] = {}
    for row in range(len(texts)):
        groups.setdefault(root(row), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def distinct_rows(n_rows: int, groups: list[list[int]]) -> NDArray[np.int64]:
    """The rows that are left, in order, if each group of `duplicate_groups` keeps its first row only."""
    return np.setdiff1d(np.arange(n_rows), [row for group in groups for row in group[1:]])
