"""Extractive summaries: central sentences (LexRank, Erkan & Radev 2004) that do not repeat each other.

All sentences of a biLM are similar to some degree, so the cosine of the two least similar ones counts as 0. Maximal
marginal relevance (Carbonell & Goldstein 1998) avoids repetition. Memory: the square of the number of sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder
from elmokit.errors import ConfigError
from elmokit.tasks.similar import directions
from elmokit.text.sentences import split_sentences

Doubles = NDArray[np.float64]

_MAX_STEPS, _CONVERGED = 200, 1e-9
_DAMPING = 0.85  # probability of following a similarity instead of jumping anywhere
_SAME = 1e-6  # cosines of float32 vectors that differ by less are the same


@dataclass(frozen=True)
class SummarySentence:
    """A sentence, its number in the text, from 0, and its LexRank, whose mean over n sentences is 1 / n."""

    place: int
    sentence: str
    centrality: float


def summarise(elmo: Encoder, text: str | Sequence[str], *, n: int = 3, relevance: float = 0.7) -> list[SummarySentence]:
    """Choose the n most central sentences of a text, or of a list of sentences, in the order of the text.

    `relevance`, from 0 to 1, weighs centrality against the similarity to sentences chosen before.

    Example (`elmo` is any loaded model):
        ``[chosen.sentence for chosen in summarise(elmo, text, n=2)]``
    """
    sentences = split_sentences(text) if isinstance(text, str) else list(text)
    if n < 1 or not 0 <= relevance <= 1:
        raise ConfigError(f"n is {n} and relevance {relevance}; expected 1 or more, and a number from 0 to 1.")
    if not sentences:
        return []
    similarities = rescaled_cosines(elmo.encode(sentences, show_progress=False))
    shares = centrality(similarities)
    chosen = without_redundancy(shares, similarities, n, relevance=relevance)
    return [SummarySentence(place, sentences[place], float(shares[place])) for place in sorted(chosen)]


def rescaled_cosines(vectors: NDArray[Any]) -> Doubles:
    """Similarities from 0 (the two least similar, or without words) to 1 (equal sentences). (n, D) → (n, n)."""
    rows = directions(vectors).astype(np.float64)
    cosines = np.clip(rows @ rows.T, -1, 1)
    with_words = rows.any(1)
    least = float(cosines[np.ix_(with_words, with_words)].min(initial=1.0))
    scaled = (cosines - least) / (1 - least) if least < 1 - _SAME else np.ones_like(cosines)
    scaled[~with_words] = scaled[:, ~with_words] = 0
    np.fill_diagonal(scaled, 1)
    return np.asarray(scaled)


def centrality(similarities: Doubles) -> Doubles:
    """LexRank: PageRank over similarities (n, n), by power iteration. Shares that sum to 1, (n,)."""
    n = len(similarities)
    votes = similarities / np.maximum(similarities.sum(1, keepdims=True), 1e-12)
    shares = np.full(n, 1 / n)
    for _ in range(_MAX_STEPS):
        before = shares
        shares = (1 - _DAMPING) / n + _DAMPING * (before @ votes)
        shares = shares / shares.sum()
        if np.abs(shares - before).max() < _CONVERGED:
            break
    return np.asarray(shares)


def without_redundancy(shares: Doubles, similarities: Doubles, n: int, *, relevance: float) -> list[int]:
    """Maximal marginal relevance: n places of central sentences, (N,), that differ from those chosen before."""
    scaled = shares / max(float(shares.max(initial=0)), 1e-12)
    repeated, chosen = np.zeros(len(shares)), list[int]()
    for _ in range(min(n, len(shares))):
        values = relevance * scaled - (1 - relevance) * repeated
        values[chosen] = -np.inf
        best = int(values.argmax())
        chosen.append(best)
        repeated = np.maximum(repeated, similarities[best])
    return chosen
