"""How alike the texts of a pair are, with nothing learned from labels: cosine, and word-by-word alignment.

Vectors of a biLM share a large common part, so plain cosines are all high and say little; `centre` takes off the mean
word vector of texts of the kind at hand, `idf` makes rare words count more. Both are counted once, by `fit`, so that
a pair's score depends on that pair alone. Alignment: see `elmokit.tasks.alignment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Layers
from elmokit.errors import ConfigError, InputError
from elmokit.tasks.alignment import Alignment, align, inverse_document_frequencies, weights_of
from elmokit.tasks.checks import text_list
from elmokit.tasks.degrees import cosines
from elmokit.tasks.pairs import check_pairs

Method = Literal["cosine", "alignment"]
OnProgress = Callable[[int, int], None]
Vectors = NDArray[np.float32]

_BLOCK = 256


class _Words(Protocol):
    """One text's words and their vectors."""

    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def vectors(self) -> NDArray[Any]: ...


class WordEncoder(Protocol):
    """What the scores ask of a model: `elmokit.Elmo` is one."""

    def encode_words_stream(
        self, texts: Iterable[str], *, layers: Any = ..., show_progress: bool | None = ...
    ) -> Iterable[_Words]:
        """Words and vectors of each text."""
        ...


class PairScorer:
    """Scores of pairs without training.

    Args:
        elmo: the model.
        method: "cosine" of the mean word vectors, or "alignment": F of greedily matched words.
        layers: which layers (see `Elmo.encode`), "each" excepted.
        idf: whether words count by how rare they are in the texts given to `fit`.
        centre: whether the mean vector of the words given to `fit` is taken off first.

    Raises:
        ConfigError: a method that is not known.

    Example (`elmo` is any loaded model):
        ``PairScorer(elmo, centre=True).fit(texts).scores(["a cat"], ["one dog"])``
    """

    def __init__(
        self,
        elmo: WordEncoder,
        *,
        method: Method = "alignment",
        layers: Layers = "mix",
        idf: bool = False,
        centre: bool = False,
    ) -> None:
        if method not in get_args(Method):
            raise ConfigError(f"method is {method!r}; expected 'cosine' or 'alignment'.")
        self.elmo = elmo
        self.method: Method = method
        self.layers = layers
        self.idf = idf
        self.centre = centre
        self._frequencies: Mapping[str, float] | None = None
        self._mean: NDArray[np.float64] | None = None

    def fit(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> PairScorer:
        """Count words, and the mean of their vectors, as far as `idf` and `centre` ask for it.

        Args:
            texts: texts of the kind that will be scored, without labels; each distinct one counts once.
            on_progress: called with (texts done, texts in all).

        Returns:
            itself.

        Raises:
            InputError: no words in the texts, a missing text.
        """
        distinct = list(dict.fromkeys(text_list(texts)))
        total, n_words, seen = np.zeros(1), 0, []
        for place, text in enumerate(self._encoded(distinct)):
            total = total + text.vectors.sum(0, dtype=np.float64)
            n_words += len(text.words)
            seen.append(text.words)
            if on_progress is not None:
                on_progress(place + 1, len(distinct))
        if not n_words:
            raise InputError("the texts to fit on have no words.")
        self._frequencies, self._mean = inverse_document_frequencies(seen), total / n_words
        return self

    def scores(
        self, first: Iterable[str], second: Iterable[str], *, on_progress: OnProgress | None = None
    ) -> NDArray[np.float64]:
        """One score per pair.

        Args:
            first: n texts.
            second: n texts.
            on_progress: called with (pairs done, pairs in all).

        Returns:
            from −1 to 1, larger for more alike. Shape (n,).

        Raises:
            InputError: `idf` or `centre` without `fit`, a missing text, two lengths.
        """
        pairs = self._word_vectors(*check_pairs(first, second), on_progress)
        aligned = self.method == "alignment"
        found = [self._aligned(*pair).f1 if aligned else self._cosine(*pair) for pair in pairs]
        return np.array(found, dtype=np.float64)

    def alignments(
        self, first: Iterable[str], second: Iterable[str], *, on_progress: OnProgress | None = None
    ) -> list[Alignment]:
        """Precision, recall and F of each pair's alignment, whatever the method.

        Args:
            first: n texts, in the place of BERTScore's candidates.
            second: n texts, in the place of its references.
            on_progress: called with (pairs done, pairs in all).

        Returns:
            n alignments.

        Raises:
            InputError: as `scores`.
        """
        return [self._aligned(*pair) for pair in self._word_vectors(*check_pairs(first, second), on_progress)]

    def _encoded(self, texts: Sequence[str]) -> Iterable[_Words]:
        return self.elmo.encode_words_stream(texts, layers=self.layers, show_progress=False)

    def _word_vectors(
        self, first: list[str], second: list[str], on_progress: OnProgress | None
    ) -> Iterator[tuple[_Words, _Words]]:
        if (self.idf or self.centre) and self._mean is None:
            raise InputError("idf and centre are counted on texts of the kind at hand: call fit(texts) first.")
        for start in range(0, len(first), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield from zip(self._encoded(first[block]), self._encoded(second[block]), strict=True)
            if on_progress is not None:
                on_progress(min(start + _BLOCK, len(first)), len(first))

    def _centred(self, text: _Words) -> NDArray[np.floating]:
        return text.vectors - self._mean if self.centre and self._mean is not None else text.vectors

    def _weights(self, text: _Words) -> NDArray[np.float64] | None:
        return weights_of(text.words, self._frequencies) if self.idf and self._frequencies is not None else None

    def _aligned(self, first: _Words, second: _Words) -> Alignment:
        return align(
            self._centred(first),
            self._centred(second),
            first_weights=self._weights(first),
            second_weights=self._weights(second),
        )

    def _cosine(self, first: _Words, second: _Words) -> float:
        if not first.words or not second.words:
            return float(len(first.words) == len(second.words))
        return float(cosines(self._mean_of(first), self._mean_of(second)))

    def _mean_of(self, text: _Words) -> NDArray[np.floating]:
        vectors, weights = self._centred(text), self._weights(text)
        if weights is None or not weights.sum() > 0:
            return np.asarray(vectors.mean(0))
        return np.asarray(weights @ vectors / weights.sum())
