"""Near-duplicates: groups of texts that are linked by pairs of a cosine above a threshold.

Groups are what the links connect (single linkage): a group may hold two texts that are less alike than the threshold,
with others between them. Texts without words are never duplicates of anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.tasks.similar import similar_pairs


def duplicate_groups(texts: NDArray[Any], *, threshold: float = 0.95) -> list[list[int]]:
    """Groups of texts that are alike.

    Args:
        texts: of length 1, from `elmokit.tasks.similar.directions`; zeros for texts without words. Shape (N, D).
        threshold: the least cosine of a link, above 0 and at most 1.

    Returns:
        the groups of two texts or more, each the row numbers in their order, ordered by their first.

    Raises:
        ConfigError: a threshold out of range.

    Example:
        >>> duplicate_groups(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        [[0, 2]]
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}; expected a cosine above 0 and at most 1.")
    heads = list(range(len(texts)))
    for pairs, _ in similar_pairs(texts, threshold - 1e-6):  # float32: equal texts may come out just below 1
        for first, second in pairs.tolist():
            one, other = _head(heads, first), _head(heads, second)
            heads[max(one, other)] = min(one, other)
    groups: dict[int, list[int]] = {}
    for row in range(len(texts)):
        groups.setdefault(_head(heads, row), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _head(heads: list[int], row: int) -> int:
    """The first row of a row's group; the way there is halved for the next who asks."""
    while heads[row] != row:
        heads[row] = heads[heads[row]]
        row = heads[row]
    return row


def distinct_rows(n_rows: int, groups: list[list[int]]) -> NDArray[np.int64]:
    """What is left when of each group only the first row is kept.

    Args:
        n_rows: rows in all.
        groups: from `duplicate_groups`.

    Returns:
        row numbers, in their order.

    Example:
        >>> distinct_rows(4, [[0, 2]]).tolist()
        [0, 1, 3]
    """
    dropped = [row for group in groups for row in group[1:]]
    return np.setdiff1d(np.arange(n_rows), dropped)
