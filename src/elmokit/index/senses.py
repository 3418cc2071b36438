"""A word's occurrences → its senses: groups of occurrences, each with a name that people can read.

Groups are found by k-means on the vectors (`elmokit.index.clusters`), moved so that the word's own mean is the origin:
what all its occurrences share, its spelling above all, says nothing about its senses. A sense is named by the words
that are used where it is used and where the other senses are not: nearest occurrences of other words vote for the
group whose centre they were found by. Words that stand beside it in its sentences are kept too.
Source: word sense induction as in Schütze 1998 (context-group discrimination), with biLM vectors for contexts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.index.centering import unit
from elmokit.index.clusters import choose_clusters, cluster, silhouette
from elmokit.index.kept_words import is_content_word
from elmokit.index.results import Occurrence, Sense, Senses

MOST_SENSES = 6
LEAST_SILHOUETTE = 0.05
"""Below it a word has one sense: set by eye."""

_SMALLEST_SHARE = 0.05
_N_NEIGHBOURS, _N_NAMES, _N_EXAMPLES = 10, 3, 5

Nearest = Callable[[NDArray[np.float32]], Sequence[Occurrence]]
"""Takes a vector of length 1, gives the occurrences of other words nearest to it."""


@dataclass(frozen=True, eq=False)
class Clustered:
    """Occurrences of a word with their senses.

    Args:
        senses: the senses.
        occurrences: n occurrences; each knows its sense.
        units: their vectors. Shape (n, d).
    """

    senses: Senses
    occurrences: tuple[Occurrence, ...]
    units: NDArray[np.float32]


def find_senses(
    word: str,
    occurrences: Sequence[Occurrence],
    units: NDArray[np.float32],
    *,
    count: int,
    n_senses: int | None,
    nearest: Nearest,
) -> Clustered:
    """Cluster the occurrences of a word and describe the clusters.

    Args:
        word: the word.
        occurrences: n of its occurrences, at least one.
        units: their vectors, of length 1. Shape (n, d).
        count: occurrences in the whole index.
        n_senses: how many senses; None chooses.
        nearest: finds occurrences of other words.

    Returns:
        the senses and the occurrences with them.

    Raises:
        ConfigError: fewer than one sense, or more than occurrences.
    """
    if n_senses is not None and not 1 <= n_senses <= len(units):
        raise ConfigError(f"n_senses is {n_senses}; expected 1 to {len(units)}, the occurrences of {word!r} looked at.")
    labels, apart = group_occurrences(units, n_senses)
    numbered = tuple(
        replace(occurrence, sense=int(label) + 1) for occurrence, label in zip(occurrences, labels, strict=True)
    )
    senses = _described(numbered, units, labels, nearest)
    return Clustered(Senses(word, senses, count, len(units), apart), numbered, units)


def group_occurrences(
    units: NDArray[np.float32], n_senses: int | None = None
) -> tuple[NDArray[np.int64], float | None]:
    """The group of each occurrence of a word.

    Args:
        units: vectors of length 1. Shape (n, d).
        n_senses: how many groups; None chooses.

    Returns:
        groups from 0, the largest first, (n,), and their silhouette; None for one group.
    """
    moved = units - units.mean(axis=0)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    moved = moved / np.where(lengths > 0, lengths, 1)
    if n_senses is None:
        smallest = max(2, round(_SMALLEST_SHARE * len(units)))
        return choose_clusters(moved, most=MOST_SENSES, least_silhouette=LEAST_SILHOUETTE, smallest=smallest)
    labels = cluster(moved, n_senses)
    return labels, silhouette(moved, labels) if labels.any() else None


def _described(
    occurrences: Sequence[Occurrence], units: NDArray[np.float32], labels: NDArray[np.int64], nearest: Nearest
) -> tuple[Sense, ...]:
    n_senses = int(labels.max()) + 1
    members = [np.flatnonzero(labels == label) for label in range(n_senses)]
    centres = [unit(units[rows].mean(axis=0)) for rows in members]
    near = _distinct([_votes(nearest(centre)) for centre in centres])
    beside = _distinct([_words_beside([occurrences[i] for i in rows.tolist()]) for rows in members])
    senses = []
    for label, (rows, centre) in enumerate(zip(members, centres, strict=True)):
        typical = rows[np.argsort(-(units[rows] @ centre), kind="stable")].tolist()
        neighbours = tuple(near[label][:_N_NEIGHBOURS])
        collocates = tuple(beside[label][:_N_NEIGHBOURS])
        senses.append(
            Sense(
                number=label + 1,
                name=", ".join((neighbours or collocates)[:_N_NAMES]) or f"sense {label + 1}",
                share=len(rows) / len(units),
                count=len(rows),
                neighbours=neighbours,
                collocates=collocates,
                examples=_different([occurrences[i] for i in typical]),
                centre=centre,
            )
        )
    return tuple(senses)


def _votes(found: Sequence[Occurrence]) -> dict[str, float]:
    votes: dict[str, float] = {}
    for occurrence in found:
        if is_content_word(occurrence.word):
            votes[occurrence.word] = votes.get(occurrence.word, 0.0) + max(occurrence.similarity, 0.0)
    total = sum(votes.values()) or 1.0
    return {word: vote / total for word, vote in votes.items()}


def _words_beside(occurrences: Sequence[Occurrence]) -> dict[str, float]:
    """The share of sentences that hold each content word, unless only one of several does."""
    counts: Counter[str] = Counter()
    for occurrence in occurrences:
        words = {part.strip(".,;:!?()[]\"'“”‘’").lower() for part in occurrence.text.split()}
        counts.update(word for word in words if is_content_word(word) and word != occurrence.word)
    least = 2 if len(occurrences) > 3 else 1
    return {word: n / len(occurrences) for word, n in counts.items() if n >= least}


def _distinct(shares: Sequence[dict[str, float]]) -> list[list[str]]:
    """For each group its words, by how much more they are its own than the others'; ties by spelling."""
    ranked = []
    for place, own in enumerate(shares):
        others = [other for i, other in enumerate(shares) if i != place]
        score = {
            word: share - max((other.get(word, 0.0) for other in others), default=0.0) for word, share in own.items()
        }
        ranked.append([word for word in sorted(score, key=lambda word: (-score[word], word)) if score[word] > 0])
    return ranked


def _different(occurrences: Sequence[Occurrence]) -> tuple[Occurrence, ...]:
    """The first few whose sentences are not the same."""
    chosen: dict[str, Occurrence] = {}
    for occurrence in occurrences:
        chosen.setdefault(occurrence.text, occurrence)
        if len(chosen) == _N_EXAMPLES:
            break
    return tuple(chosen.values())
