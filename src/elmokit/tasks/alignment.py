"""How well two texts cover each other, word by word: greedy matching, nothing learned.

Every word of one text is matched with the word of the other whose vector has the largest cosine, several words with
the same one if need be. The mean over the words of the first text is the precision, over the second the recall, their
harmonic mean F: BERTScore's definition (Zhang et al. 2020, arXiv:1904.09675, the first text in the place of its
candidate, the second of its reference), whose weights by inverse document frequency are had too. The cost is one
matrix product of the words of both texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Alignment:
    """How well two texts cover each other.

    Args:
        precision: how well the words of the first text are found in the second; from −1 to 1.
        recall: how well the words of the second text are found in the first; from −1 to 1.
        f1: their harmonic mean; 0 where they do not add up to more than 0.
    """

    precision: float
    recall: float
    f1: float


def align(
    first: Vectors,
    second: Vectors,
    *,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
) -> Alignment:
    """Match the words of two texts.

    Args:
        first: word vectors. Shape (T1, D).
        second: word vectors. Shape (T2, D).
        first_weights: how much each word counts; None, or only zeros, for all alike. Shape (T1,).
        second_weights: likewise. Shape (T2,).

    Returns:
        the scores; 1 for two texts without words, 0 where only one is without.

    Example:
        >>> same = np.eye(2)
        >>> align(same, same[::-1])
        Alignment(precision=1.0, recall=1.0, f1=1.0)
        >>> align(same, same[:1]).precision
        0.5
    """
    if not len(first) or not len(second):
        value = float(len(first) == len(second))
        return Alignment(value, value, value)
    cosines = np.clip(_unit(first) @ _unit(second).T, -1, 1)
    precision = _weighted_mean(cosines.max(1), first_weights)
    recall = _weighted_mean(cosines.max(0), second_weights)
    total = precision + recall
    return Alignment(precision, recall, 2 * precision * recall / total if total > 1e-9 else 0.0)


def _unit(vectors: Vectors) -> NDArray[np.float64]:
    doubles = vectors.astype(np.float64)
    return np.asarray(doubles / np.maximum(np.linalg.norm(doubles, axis=1, keepdims=True), 1e-30))


def _weighted_mean(values: NDArray[np.floating], weights: ArrayLike | None) -> float:
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not shares.sum() > 0:
        shares = np.ones(len(values))
    return float(values @ (shares / shares.sum()))


def inverse_document_frequencies(texts: Iterable[Sequence[str]]) -> dict[str, float]:
    """How rare words are among texts: log((n + 1) / (texts with the word + 1)), as BERTScore has it.

    Args:
        texts: n texts, cut into words.

    Returns:
        a weight per word that occurs; for others, and so under the key "", log(n + 1).

    Example:
        >>> found = inverse_document_frequencies([["a", "b"], ["a"]])
        >>> found["a"], round(found["b"], 3)
        (0.0, 0.405)
    """
    counts: dict[str, int] = {}
    n_texts = 0
    for words in texts:
        n_texts += 1
        for word in set(words):
            counts[word] = counts.get(word, 0) + 1
    known = {word: math.log((n_texts + 1) / (count + 1)) for word, count in counts.items()}
    return {**known, "": math.log(n_texts + 1)}


def weights_of(words: Sequence[str], frequencies: Mapping[str, float]) -> NDArray[np.float64]:
    """The weight of each word.

    Args:
        words: T words.
        frequencies: what `inverse_document_frequencies` gave.

    Returns:
        Shape (T,).

    Example:
        >>> weights_of(["a", "new"], {"a": 0.5, "": 2.0}).tolist()
        [0.5, 2.0]
    """
    return np.array([frequencies.get(word, frequencies[""]) for word in words], dtype=np.float64)
