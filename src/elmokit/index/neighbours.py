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
