"""`PairScorer`: how similar the texts of a pair are, without labels: cosine of the means, or alignment of the words.

Vectors of a biLM share a large common part, so plain cosines are all high. `center` subtracts the mean word vector and
`idf` gives rare words more weight; both are counted once, in `fit`, so the score of a pair depends on that pair alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder, Layers
from elmokit.errors import ConfigError, InputError
from elmokit.features import WordVectors
from elmokit.tasks.alignment import Alignment, align, inverse_document_frequencies, unit_rows, weighted_mean, weights_of
from elmokit.tasks.checks import text_list
from elmokit.tasks.pairs.features import Pair, check_pairs

Method = Literal["cosine", "alignment"]
Vectors = NDArray[np.floating]


@dataclass(eq=False, repr=False)
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

    elmo: Encoder
    _: KW_ONLY
    method: Method = "alignment"
    layers: Layers = "mix"
    idf: bool = False
    center: bool = False
    show_progress: bool | None = None

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(f"method is {self.method!r}; expected 'cosine' or 'alignment'.")
        self._idf: dict[str, float] | None = None
        self._mean: NDArray[np.float64] | None = None

    def fit(self, texts: Iterable[str]) -> PairScorer:
        """Compute word frequencies and the mean word vector of texts; each distinct one counts once.

        Raises:
            InputError: no words in the texts, or a missing text.
        """
        distinct = list(dict.fromkeys(text_list(texts)))
        total: Any = 0.0
        words: list[tuple[str, ...]] = []
        for text in self.elmo.encode_words_stream(distinct, layers=self.layers, show_progress=self.show_progress):
            total = total + text.vectors.sum(0, dtype=np.float64)
            words.append(text.words)
        n_words = sum(map(len, words))
        if not n_words:
            raise InputError("the texts to fit on have no words.")
        self._idf, self._mean = inverse_document_frequencies(words), total / n_words
        return self

    def scores(self, pairs: Iterable[Pair]) -> NDArray[np.float64]:
        """Scores of n pairs, from −1 to 1, larger for more similar texts. Shape (n,).

        Raises:
            InputError: `idf` or `center` without `fit`, or a missing text.
        """
        if self.method == "alignment":
            return np.array([alignment.f1 for alignment in self.alignments(pairs)], dtype=np.float64)
        return np.array([self._cosine(*pair) for pair in self._words(pairs)], dtype=np.float64)

    def alignments(self, pairs: Iterable[Pair]) -> list[Alignment]:
        """Precision, recall and F1 of the alignment of each pair, whatever the method; raises as `scores` does."""
        return [
            align(self._centered(a), self._centered(b), first_weights=self._weights(a), second_weights=self._weights(b))
            for a, b in self._words(pairs)
        ]

    def _words(self, pairs: Iterable[Pair]) -> Iterator[tuple[WordVectors, WordVectors]]:
        if (self.idf or self.center) and self._mean is None:
            raise InputError("idf and center are computed from texts of the kind to be scored: call fit(texts) first.")
        first, second = check_pairs(pairs)
        ahead = self.elmo.encode_words_stream(first, layers=self.layers, show_progress=self.show_progress)
        return zip(ahead, self.elmo.encode_words_stream(second, layers=self.layers, show_progress=False), strict=True)

    def _centered(self, text: WordVectors) -> Vectors:
        return text.vectors - self._mean if self.center and self._mean is not None else text.vectors

    def _weights(self, text: WordVectors) -> NDArray[np.float64] | None:
        return weights_of(text.words, self._idf) if self.idf and self._idf is not None else None

    def _cosine(self, first: WordVectors, second: WordVectors) -> float:
        if not first.words or not second.words:
            return float(len(first.words) == len(second.words))
        means = np.array([weighted_mean(self._centered(text), self._weights(text)) for text in (first, second)])
        u, v = unit_rows(means)
        return float(u @ v)
