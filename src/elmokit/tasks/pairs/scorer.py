"""`PairScorer`: how similar the texts of a pair are, without labels: cosine of the means, or alignment of the words.

Vectors of a biLM share a large common part, so plain cosines are all high. `center` subtracts the mean word vector and
`idf` gives rare words more weight; both are counted once, in `fit`, so the score of a pair depends on that pair alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.encoding import Encoder, Layers
from elmokit.errors import ConfigError, InputError
from elmokit.features import WordVectors
from elmokit.tasks.checks import text_list
from elmokit.tasks.pairs.features import Pair, check_pairs

Method = Literal["cosine", "alignment"]
Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Alignment:
    """How well the words of two texts match.

    Args:
        precision: mean similarity of the words of the first text to their best match in the second; from −1 to 1.
        recall: the same for the words of the second text.
        f1: harmonic mean of both; 0 where they do not add up to more than 0.
    """

    precision: float
    recall: float
    f1: float


def align(
    first: Vectors, second: Vectors, *, first_weights: ArrayLike | None = None, second_weights: ArrayLike | None = None
) -> Alignment:
    """Match each word of two texts with the most similar word of the other: BERTScore (Zhang et al. 2020).

    Args:
        first: word vectors of the first text, BERTScore's candidate. Shape (T1, d).
        second: word vectors of the second text, BERTScore's reference. Shape (T2, d).
        first_weights: weight of each word; None, or only zeros, weighs all alike. Shape (T1,).
        second_weights: likewise. Shape (T2,).

    Returns:
        the scores; 1 for two texts without words, 0 where only one has none.

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
    cosines = np.clip(_unit(first) @ _unit(second).T, -1, 1)  # (T1, T2)
    precision = float(_weighted_mean(cosines.max(1), first_weights))
    recall = float(_weighted_mean(cosines.max(0), second_weights))
    total = precision + recall
    return Alignment(precision, recall, 2 * precision * recall / total if total > 1e-9 else 0.0)


class PairScorer:
    """Scores the similarity of pairs without training labels.

    Args:
        elmo: the model.
        method: "alignment" (F1 of greedily matched words) or "cosine" (of the mean word vectors).
        layers: see `Elmo.encode_words`, "each" excepted.
        idf: whether words are weighted by their inverse document frequency in the texts given to `fit`.
        center: whether the mean vector of the words given to `fit` is subtracted.
        show_progress: see `Elmo.encode`.

    Raises:
        ConfigError: an unknown method.

    Example (`elmo` is any loaded model):
        ``PairScorer(elmo, center=True).fit(texts).scores([("a cat", "one dog")])``
    """

    def __init__(
        self,
        elmo: Encoder,
        *,
        method: Method = "alignment",
        layers: Layers = "mix",
        idf: bool = False,
        center: bool = False,
        show_progress: bool | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise ConfigError(f"method is {method!r}; expected 'cosine' or 'alignment'.")
        self.elmo = elmo
        self.method = method
        self.layers = layers
        self.idf = idf
        self.center = center
        self.show_progress = show_progress
        self._idf: dict[str, float] | None = None
        self._unseen = 0.0
        self._mean: NDArray[np.float64] | None = None

    def fit(self, texts: Iterable[str]) -> PairScorer:
        """Compute word frequencies and the mean word vector.

        Args:
            texts: texts of the kind to be scored, without labels; each distinct one counts once.

        Returns:
            itself.

        Raises:
            InputError: no words in the texts, or a missing text.
        """
        distinct = list(dict.fromkeys(text_list(texts)))
        total: Any = 0.0
        n_words, counts = 0, Counter[str]()
        for text in self._encoded(distinct):
            total = total + text.vectors.sum(0, dtype=np.float64)
            n_words += len(text.words)
            counts.update(set(text.words))
        if not n_words:
            raise InputError("the texts to fit on have no words.")
        self._unseen = float(np.log(len(distinct) + 1))
        self._idf = {word: self._unseen - float(np.log(n + 1)) for word, n in counts.items()}
        self._mean = total / n_words
        return self

    def scores(self, pairs: Iterable[Pair]) -> NDArray[np.float64]:
        """Score pairs.

        Args:
            pairs: n pairs of texts.

        Returns:
            from −1 to 1, larger for more similar texts. Shape (n,).

        Raises:
            InputError: `idf` or `center` without `fit`, or a missing text.
        """
        scored = self._aligned if self.method == "alignment" else self._cosine
        return np.array(
            [float(getattr(x, "f1", x)) for x in (scored(*p) for p in self._words(pairs))], dtype=np.float64
        )

    def alignments(self, pairs: Iterable[Pair]) -> list[Alignment]:
        """Precision, recall and F1 of the alignment of each pair, whatever the method.

        Args:
            pairs: n pairs of texts.

        Returns:
            n alignments.

        Raises:
            InputError: see `scores`.
        """
        return [self._aligned(*pair) for pair in self._words(pairs)]

    def _encoded(self, texts: list[str], *, show: bool = True) -> Iterable[WordVectors]:
        return self.elmo.encode_words_stream(
            texts, layers=self.layers, show_progress=self.show_progress if show else False
        )

    def _words(self, pairs: Iterable[Pair]) -> Iterator[tuple[WordVectors, WordVectors]]:
        if (self.idf or self.center) and self._mean is None:
            raise InputError("idf and center are computed from texts of the kind to be scored: call fit(texts) first.")
        first, second = check_pairs(pairs)
        return zip(self._encoded(first), self._encoded(second, show=False), strict=True)

    def _centered(self, text: WordVectors) -> Vectors:
        return text.vectors - self._mean if self.center and self._mean is not None else text.vectors

    def _weights(self, text: WordVectors) -> NDArray[np.float64] | None:
        if not self.idf or self._idf is None:
            return None
        return np.array([self._idf.get(word, self._unseen) for word in text.words], dtype=np.float64)

    def _aligned(self, first: WordVectors, second: WordVectors) -> Alignment:
        weights = {"first_weights": self._weights(first), "second_weights": self._weights(second)}
        return align(self._centered(first), self._centered(second), **weights)

    def _cosine(self, first: WordVectors, second: WordVectors) -> float:
        if not first.words or not second.words:
            return float(len(first.words) == len(second.words))
        means = np.array([_weighted_mean(self._centered(text), self._weights(text)) for text in (first, second)])
        u, v = _unit(means)
        return float(u @ v)


def _unit(vectors: Vectors) -> NDArray[np.float64]:
    doubles = vectors.astype(np.float64)
    return np.asarray(doubles / np.maximum(np.linalg.norm(doubles, axis=1, keepdims=True), 1e-30))


def _weighted_mean(values: Vectors, weights: ArrayLike | None) -> NDArray[np.float64]:
    """Mean over the first axis, weighted unless all weights are zero. Shape (T, …) → (…)."""
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares if shares.sum() > 0 else np.ones(len(values))
    return np.asarray(shares / shares.sum() @ values)
