"""A word's occurrences → its senses: groups of occurrences, each with a name that people can read.

Groups are found by k-means (scikit-learn, extra `tasks`) on the vectors around the word's own mean, which holds what
all occurrences share, its spelling above all; their number is chosen by the silhouette. A sense is named by the words
that are near it and not near the other senses; words that stand beside it in its sentences are kept too.
Source: word sense induction as in Schütze 1998 (context-group discrimination), with biLM vectors for contexts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, needing
from elmokit.index.description import scaled
from elmokit.index.kept_words import is_content_word
from elmokit.index.results import Occurrence, Sense, Senses

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
Nearest = Callable[[Vectors], Sequence[Occurrence]]
"""Takes a vector of length 1, returns the occurrences of other words nearest to it."""

MOST_SENSES = 6
LEAST_SILHOUETTE = 0.05  # below it a word has one sense: set by eye
_SMALLEST_SHARE = 0.05
_N_NEIGHBOURS, _N_NAMES, _N_EXAMPLES = 10, 3, 5


def find_senses(
    word: str, occurrences: Sequence[Occurrence], units: Vectors, n_senses: int | None, nearest: Nearest
) -> tuple[Senses, list[Occurrence]]:
    """Cluster occurrences of a word by their vectors of length 1, (n, d): its senses, and the occurrences with theirs.

    `n_senses` None chooses the number of senses. Raises ConfigError for fewer than one, or more than occurrences.
    """
    if n_senses is not None and not 1 <= n_senses <= len(units):
        raise ConfigError(f"n_senses is {n_senses}; expected 1 to {len(units)}, the occurrences of {word!r} looked at.")
    labels, score = group_occurrences(units, n_senses)
    pairs = zip(occurrences, labels.tolist(), strict=True)
    labelled = [replace(occurrence, sense=label + 1) for occurrence, label in pairs]
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    centres = [scaled(units[rows].mean(axis=0))[0] for rows in members]
    near = _distinct([_votes(nearest(centre)) for centre in centres])
    beside = _distinct([_words_beside([labelled[i] for i in rows.tolist()]) for rows in members])
    senses: list[Sense] = []
    for rows, centre, neighbours, collocates in zip(members, centres, near, beside, strict=True):
        number = len(senses) + 1
        typical = [labelled[i] for i in rows[np.argsort(-(units[rows] @ centre), kind="stable")].tolist()]
        different = list({occurrence.text: occurrence for occurrence in reversed(typical)}.values())[::-1]
        senses.append(
            Sense(
                number=number,
                name=", ".join((neighbours or collocates)[:_N_NAMES]) or f"sense {number}",
                share=len(rows) / len(units),
                count=len(rows),
                neighbours=tuple(neighbours),
                collocates=tuple(collocates),
                examples=tuple(different[:_N_EXAMPLES]),
                centre=centre,
            )
        )
    return Senses(word, tuple(senses), len(units), len(units), score), labelled


def group_occurrences(units: Vectors, n_senses: int | None = None) -> tuple[Labels, float | None]:
    """Group occurrences of a word by their vectors of length 1, (n, d): into `n_senses`, or as the silhouette says.

    Returns groups from 0, the largest first, (n,), and their silhouette; None for a single group.
    """
    moved, _ = scaled(units - units.mean(axis=0))
    if n_senses is not None:
        labels = cluster(moved, n_senses)
        return labels, silhouette(moved, labels) if labels.any() else None
    smallest = max(2, round(_SMALLEST_SHARE * len(units)))
    best: tuple[Labels, float | None] = (np.zeros(len(moved), np.int64), None)
    best_score = LEAST_SILHOUETTE
    for n_clusters in range(2, min(MOST_SENSES, len(moved) // smallest) + 1):
        labels = cluster(moved, n_clusters)
        if np.bincount(labels, minlength=2).min() >= smallest and (score := silhouette(moved, labels)) > best_score:
            best, best_score = (labels, score), score
    return best


def cluster(units: Vectors, n_clusters: int) -> Labels:
    """Groups of vectors of length 1 by k-means, 0 the largest; fewer than `n_clusters` where fewer vectors differ."""
    with needing("scikit-learn", "tasks", "finding senses"):
        from sklearn.cluster import KMeans
    n_clusters = min(n_clusters, len(np.unique(units, axis=0)))
    if n_clusters < 2:
        return np.zeros(len(units), np.int64)
    labels = KMeans(n_clusters, n_init=8, random_state=0).fit(units).labels_
    _, first, groups, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    return np.argsort(np.lexsort((first, -sizes)))[groups].astype(np.int64)


def silhouette(units: Vectors, labels: Labels) -> float:
    """Separation of groups by cosine distance: scikit-learn's silhouette, -1 if each vector is its own."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(labels)) < len(labels):
        return -1.0
    return float(silhouette_score(units.astype(np.float64), labels, metric="cosine"))


def _votes(occurrences: Sequence[Occurrence]) -> dict[str, float]:
    """Each content word's share of the similarity of nearest occurrences."""
    votes: Counter[str] = Counter()
    for one in occurrences:
        if is_content_word(one.word):
            votes[one.word] += max(one.similarity, 0.0)  # type: ignore[assignment]
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
    """The first words of each group, by how much more they are its own than the others'; ties by spelling."""
    ranked = []
    for own in shares:
        others = [other for other in shares if other is not own]
        score = {word: share - max((o.get(word, 0.0) for o in others), default=0.0) for word, share in own.items()}
        words = sorted((word for word in score if score[word] > 0), key=lambda word: (-score[word], word))
        ranked.append(words[:_N_NEIGHBOURS])
    return ranked
