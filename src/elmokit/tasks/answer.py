"""Which passage answers a question: words in common (BM25) and likeness in meaning, together.

BM25 is hard to beat where questions and answers share words, and blind where they do not. The second half is how well
the question's words are covered by the passage: each is matched with its most similar word there (the recall of
`elmokit.tasks.alignment`). Both are added:

    score = BM25 / best BM25 of the question + weight · coverage

Words are compared in layer 0, which knows spelling and so forms of a word, common part taken off: on the development
part of WikiQA it ranked better than the mix of layers, and far better than the cosine of whole texts. Weight and rarity
were chosen there too; on the test part BM25 alone is as good or slightly better, as benchmarks/quality_answers.py
measures. Word vectors are computed for the passages in question only, the `n_candidates` best by BM25, and kept, so
that the next question costs less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.tasks.alignment import inverse_document_frequencies, weights_of
from elmokit.tasks.bm25 import BM25, terms_of
from elmokit.tasks.classify import text_list
from elmokit.tasks.similar import directions

WEIGHT = 0.5
"""Of coverage against BM25, chosen on the development part of WikiQA."""

_MEAN_WORDS = 20_000


class _Words(Protocol):
    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def vectors(self) -> NDArray[Any]: ...


class WordEncoder(Protocol):
    """What is asked of a model: `elmokit.Elmo` is one."""

    def encode_words_stream(
        self, texts: Iterable[str], *, layers: Any = ..., show_progress: bool | None = ...
    ) -> Iterable[_Words]:
        """Words and vectors of each text."""
        ...


@dataclass(frozen=True)
class Answer:
    """A passage that may answer a question.

    Args:
        place: its number among the passages, from 0.
        passage: the passage.
        score: what answers are ordered by; it compares within one question only.
        bm25: its share of words in common, 0 for none.
        coverage: how well the question's words are covered, from −1 to 1.
    """

    place: int
    passage: str
    score: float
    bm25: float
    coverage: float


class Answers:
    """Passages to ask questions of.

    Args:
        elmo: the model.
        passages: N texts, for instance sentences (see `elmokit.text.sentences`).
        weight: of coverage against BM25; 0 is BM25 alone.
        layers: which of the model's layers words are compared by, "each" excepted.
        idf: whether rare words of a question count more; marks count nothing anyhow.
        n_candidates: passages that are compared by meaning: the best by BM25. The vectors of those that were are kept.

    Raises:
        InputError: no passages, or a missing one.
        ConfigError: a negative weight, or no candidates.

    Example (`elmo` is any loaded model):
        ``Answers(elmo, split_sentences(article)).best("Who wrote Emma?", n=1)[0].passage``
    """

    def __init__(
        self,
        elmo: WordEncoder,
        passages: Iterable[str],
        *,
        weight: float = WEIGHT,
        layers: Any = 0,
        idf: bool = True,
        n_candidates: int = 1000,
    ) -> None:
        if not weight >= 0 or n_candidates < 1:
            raise ConfigError(f"weight is {weight} and n_candidates {n_candidates}; expected 0 or more, and 1 or more.")
        self.elmo, self.passages = elmo, text_list(passages)
        self.weight, self.layers, self.idf, self.n_candidates = weight, layers, idf, n_candidates
        self._index = BM25(self.passages)
        self._rarity = inverse_document_frequencies(terms_of(passage) for passage in self.passages)
        self._mean = self._mean_vector()
        self._kept: dict[int, NDArray[np.float32]] = {}

    def best(self, question: str, *, n: int = 5) -> list[Answer]:
        """The passages that answer best.

        Args:
            question: a string.
            n: answers.

        Returns:
            the best first; of equal ones, those that come first in the passages.
        """
        bm25, coverage = self.parts(question)
        scores = combine(bm25, coverage, self.weight)
        order = np.argsort(-scores, kind="stable")[:n]
        return [Answer(int(i), self.passages[i], float(scores[i]), float(bm25[i]), float(coverage[i])) for i in order]

    def parts(
        self, question: str, places: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both halves of the score.

        Args:
            question: a string.
            places: which passages are asked, by number; None for all.

        Returns:
            BM25 and coverage of each, shapes (n,) and (n,); passages beyond the candidates have the least coverage of
            the candidates. Without weight, coverage is not computed and zeros.
        """
        asked = np.arange(len(self.passages)) if places is None else np.asarray(places, dtype=np.int64)
        bm25 = self._index.scores(question)[asked]
        if self.weight == 0 or not len(asked):
            return bm25, np.zeros(len(asked))
        among = np.argsort(-bm25, kind="stable")[: self.n_candidates]
        found = self._coverage(question, asked[among])
        coverage = np.full(len(asked), found.min())
        coverage[among] = found
        return bm25, coverage

    def _coverage(self, question: str, places: NDArray[np.int64]) -> NDArray[np.float64]:
        asked = next(iter(self._encoded([question])))
        weights = self._weights(asked.words)
        if not weights.sum() > 0:
            return np.zeros(len(places))
        words = directions(asked.vectors, mean=self._mean)
        vectors = self._vectors(places.tolist())
        best = [(words @ of.T).max(1, initial=-1.0) if len(of) else np.zeros(len(words)) for of in vectors]
        return np.asarray(np.array(best) @ (weights / weights.sum()))

    def _weights(self, words: Sequence[str]) -> NDArray[np.float64]:
        """How much each word of a question counts; marks, which are no terms, nothing. Shape (T,)."""
        counted = np.array([bool(terms_of(word)) for word in words], dtype=np.float64)
        return counted * weights_of([word.lower() for word in words], self._rarity) if self.idf else counted

    def _vectors(self, places: list[int]) -> list[NDArray[np.float32]]:
        missing = [place for place in places if place not in self._kept]
        encoded = self._encoded([self.passages[place] for place in missing])
        for place, text in zip(missing, encoded, strict=True):
            self._kept[place] = directions(text.vectors, mean=self._mean)
        return [self._kept[place] for place in places]

    def _encoded(self, texts: Sequence[str]) -> Iterable[_Words]:
        return self.elmo.encode_words_stream(texts, layers=self.layers, show_progress=False)

    def _mean_vector(self) -> NDArray[np.float64]:
        """The mean word vector of the passages, from as many of them, evenly spread, as 20,000 words take."""
        n_words = sum(len(terms_of(passage)) for passage in self.passages)
        step = max(1, n_words // _MEAN_WORDS)
        total, n = np.zeros(1), 0
        for text in self._encoded(self.passages[::step]):
            total, n = total + text.vectors.sum(0, dtype=np.float64), n + len(text.words)
        return np.asarray(total / max(n, 1))


def combine(bm25: NDArray[np.float64], coverage: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Both halves, in one score.

    Args:
        bm25: of each passage. Shape (n,).
        coverage: likewise. Shape (n,).
        weight: of coverage.

    Returns:
        comparable within one question. Shape (n,).

    Example:
        >>> combine(np.array([4.0, 1.0]), np.array([0.5, 0.8]), 2.0).tolist()
        [2.0, 1.85]
    """
    return np.asarray(bm25 / max(float(bm25.max(initial=0)), 1e-9) + weight * coverage)
