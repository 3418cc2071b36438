"""Greedy word alignment of two texts (BERTScore, Zhang et al. 2020), weighted by inverse document frequencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Alignment:
    """How well the words of two texts match, from −1 to 1.

    Precision is the mean similarity of the words of the first text to their best match in the second, recall the same
    for the words of the second, F1 their harmonic mean; 0 where they do not add up to more than 0.
    """

    precision: float
    recall: float
    f1: float


def align(
    first: Vectors, second: Vectors, *, first_weights: ArrayLike | None = None, second_weights: ArrayLike | None = None
) -> Alignment:
    """Match each word of two texts with the most similar word of the other.

    `first`, BERTScore's candidate, and `second`, its reference, are word vectors of the shapes (T1, d) and (T2, d);
    weights of words have the shapes (T1,) and (T2,). None, or only zeros, weighs all alike. Two texts without words get
    1, a text with words and one without 0.

    Example:
        >>> align(np.eye(2), np.eye(2)[:1]).precision
        0.5
    """
    if not len(first) or not len(second):
        value = float(len(first) == len(second))
        return Alignment(value, value, value)
    cosines = np.clip(unit_rows(first) @ unit_rows(second).T, -1, 1)  # (T1, T2)
    precision = float(weighted_mean(cosines.max(1), first_weights))
    recall = float(weighted_mean(cosines.max(0), second_weights))
    total = precision + recall
    return Alignment(precision, recall, 2 * precision * recall / total if total > 1e-9 else 0.0)


def unit_rows(vectors: Vectors) -> NDArray[np.float64]:
    """Rows scaled to length 1; zeros stay zeros. Shape (n, d)."""
    doubles = vectors.astype(np.float64)
    return np.asarray(doubles / np.maximum(np.linalg.norm(doubles, axis=1, keepdims=True), 1e-30))


def weighted_mean(values: Vectors, weights: ArrayLike | None) -> NDArray[np.float64]:
    """Mean over the first axis, weighted unless all weights are zero. Shape (T, …) → (…)."""
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares if shares.sum() > 0 else np.ones(len(values))
    return np.asarray(shares / shares.sum() @ values)


def inverse_document_frequencies(texts: Iterable[Sequence[str]]) -> dict[str, float]:
    """How rare words of n texts are: log((n + 1) / (texts with the word + 1)), as in BERTScore.

    The weight of unseen words, log(n + 1), stands under the key "".
    """
    sets = [set(words) for words in texts]
    counts = Counter(word for words in sets for word in words)
    unseen = float(np.log(len(sets) + 1))
    return {**{word: unseen - float(np.log(n + 1)) for word, n in counts.items()}, "": unseen}


def weights_of(words: Sequence[str], frequencies: Mapping[str, float]) -> NDArray[np.float64]:
    """Weights of words, from `inverse_document_frequencies`. Shape (T,)."""
    return np.array([frequencies.get(word, frequencies[""]) for word in words], dtype=np.float64)
