"""The sentences of a text that say most of it: central ones, without saying a thing twice.

Centrality is LexRank's (Erkan & Radev 2004): sentences vote for those that are like them, votes of central sentences
count more, and the shares settle by power iteration. Likeness is the cosine of sentence vectors; those of a biLM are
all alike to some degree, so what the two least similar sentences of the text have in common is taken off. Redundancy
is kept down by maximal marginal relevance (Carbonell & Goldstein 1998). All pairs of sentences: up to some thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.tasks.similar import directions
from elmokit.text.sentences import split_sentences

_STEPS, _SETTLED = 200, 1e-9
_SAME = 1e-6
"""Cosines that differ by less are the same: vectors are float32."""


class TextEncoder(Protocol):
    """What is asked of a model: `elmokit.Elmo` is one."""

    def encode(self, texts: Sequence[str], *, show_progress: bool | None = ...) -> NDArray[Any]:
        """A vector per text."""
        ...


@dataclass(frozen=True)
class SummarySentence:
    """A sentence of a summary.

    Args:
        place: its number among the text's sentences, from 0.
        sentence: the sentence.
        centrality: its share of all votes; the mean over a text of n sentences is 1 / n.
    """

    place: int
    sentence: str
    centrality: float


def summarise(
    elmo: TextEncoder, text: str | Sequence[str], *, n: int = 3, relevance: float = 0.7
) -> list[SummarySentence]:
    """The sentences that say most of a text.

    Args:
        elmo: the model.
        text: a text, which is cut into sentences, or its sentences.
        n: sentences; all of them where there are fewer.
        relevance: from 0 to 1, how much being central counts against not repeating what was chosen before.

    Returns:
        the sentences in the order of the text.

    Raises:
        ConfigError: n below 1, or relevance out of range.

    Example (`elmo` is any loaded model):
        ``[chosen.sentence for chosen in summarise(elmo, text, n=2)]``
    """
    sentences = split_sentences(text) if isinstance(text, str) else list(text)
    if n < 1 or not 0 <= relevance <= 1:
        raise ConfigError(f"n is {n} and relevance {relevance}; expected 1 or more, and a number from 0 to 1.")
    if not sentences:
        return []
    likeness = rescaled_cosines(elmo.encode(sentences, show_progress=False))
    shares = centrality(likeness)
    chosen = without_redundancy(shares, likeness, n, relevance=relevance)
    return [SummarySentence(place, sentences[place], float(shares[place])) for place in sorted(chosen)]


def rescaled_cosines(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """How alike sentences are, from 0 for the text's least similar two to 1 for the same.

    Args:
        vectors: a row per sentence. Shape (n, D).

    Returns:
        Shape (n, n); a sentence without words is like nothing, itself excepted.

    Example:
        >>> rescaled_cosines(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])).round(2).tolist()
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    rows = directions(vectors).astype(np.float64)
    cosines = np.clip(rows @ rows.T, -1, 1)
    with_words = rows.any(1)
    least = float(cosines[np.ix_(with_words, with_words)].min(initial=1.0))
    found = (cosines - least) / (1 - least) if least < 1 - _SAME else np.ones_like(cosines)
    found[~with_words] = found[:, ~with_words] = 0
    np.fill_diagonal(found, 1)
    return np.asarray(found)


def centrality(likeness: NDArray[np.float64], *, damping: float = 0.85) -> NDArray[np.float64]:
    """LexRank: where a reader ends who goes on from each sentence to one that is like it.

    Args:
        likeness: how alike sentences are, not negative. Shape (n, n).
        damping: chance to follow likeness; else the reader starts anywhere.

    Returns:
        shares that sum to 1. Shape (n,).

    Example:
        >>> int(centrality(np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.0], [0.5, 0.0, 1.0]])).argmax())
        0
    """
    n = len(likeness)
    votes = likeness / np.maximum(likeness.sum(1, keepdims=True), 1e-12)
    shares = np.full(n, 1 / n)
    for _ in range(_STEPS):
        before = shares
        shares = (1 - damping) / n + damping * (before @ votes)
        shares = shares / shares.sum()
        if np.abs(shares - before).max() < _SETTLED:
            break
    return np.asarray(shares)


def without_redundancy(
    shares: NDArray[np.float64], likeness: NDArray[np.float64], n: int, *, relevance: float
) -> list[int]:
    """Maximal marginal relevance: one by one, the most central that is least like what was chosen.

    Args:
        shares: centrality. Shape (N,).
        likeness: from 0 to 1. Shape (N, N).
        n: how many are chosen.
        relevance: from 0 to 1.

    Returns:
        their places, in the order they were chosen.

    Example:
        >>> likeness = np.array([[1.0, 1.0, 0.1], [1.0, 1.0, 0.1], [0.1, 0.1, 1.0]])
        >>> without_redundancy(np.array([0.4, 0.4, 0.2]), likeness, 2, relevance=0.5)
        [0, 2]
    """
    scaled = shares / max(float(shares.max(initial=0)), 1e-12)
    repeated = np.zeros(len(shares))
    left, chosen = np.ones(len(shares), dtype=bool), []
    for _ in range(min(n, len(shares))):
        values = np.where(left, relevance * scaled - (1 - relevance) * repeated, -np.inf)
        best = int(values.argmax())
        chosen.append(best)
        left[best] = False
        repeated = np.maximum(repeated, likeness[best])
    return chosen
