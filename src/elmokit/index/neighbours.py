"""Nearest occurrences → neighbours: one per word, or per sense of a word where its senses are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elmokit.index.results import Neighbour, Occurrence, Senses

_SHOWN = 3


def group(
    hits: Sequence[Occurrence], units: NDArray[np.float32], senses: Mapping[str, Senses], *, k: int
) -> tuple[Neighbour, ...]:
    """Group occurrences by word and sense.

    Args:
        hits: occurrences, best first.
        units: their vectors. Shape (n, d).
        senses: of the words whose senses are known.
        k: groups at most.

    Returns:
        the groups, the one with the best occurrence first.

    Example:
        >>> hits = [Occurrence(word, word, 0, 3, "", 1, 0, similarity=s) for word, s in (("cat", 0.9), ("dog", 0.8))]
        >>> [near.word for near in group(hits, np.zeros((2, 2), np.float32), {}, k=5)]
        ['cat', 'dog']
    """
    groups: dict[tuple[str, int | None], list[Occurrence]] = {}
    for hit, vector in zip(hits, units, strict=True):
        sense = senses[hit.word].nearest(vector).number if hit.word in senses else None
        groups.setdefault((hit.word, sense), []).append(replace(hit, sense=sense))
    return tuple(
        Neighbour(
            word,
            found[0].similarity,
            sense=sense,
            sense_name="" if sense is None else senses[word][sense - 1].name,
            count=len(found),
            occurrences=tuple(found[:_SHOWN]),
        )
        for (word, sense), found in list(groups.items())[:k]
    )


def principal_plane(units: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Vectors → points in the plane of their first two principal components.

    Args:
        units: Shape (n, d).

    Returns:
        points, the same each time, (n, 2), and the share of the variance that they show, 0 to 1.

    Example:
        >>> points, explained = principal_plane(np.array([[2, 0, 0], [0, 0, 0], [-2, 0, 0]], np.float32))
        >>> points.round(6).tolist(), round(explained, 6)
        ([[2.0, 0.0], [0.0, 0.0], [-2.0, 0.0]], 1.0)
    """
    moved = units.astype(np.float64) - units.mean(axis=0, dtype=np.float64)
    left, strength, axes = np.linalg.svd(moved, full_matrices=False)
    points = np.zeros((len(units), 2))
    n_axes = min(2, len(strength))
    largest = np.abs(axes[:n_axes]).argmax(axis=1)
    signs = np.sign(axes[np.arange(n_axes), largest])
    points[:, :n_axes] = left[:, :n_axes] * strength[:n_axes] * np.where(signs == 0, 1, signs)
    total = float((strength**2).sum())
    return points + 0.0, float((strength[:n_axes] ** 2).sum() / total) if total > 0 else 0.0
