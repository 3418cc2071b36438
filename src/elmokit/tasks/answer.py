"""Rank passages by how well they answer a question: BM25 (by bm25s, extra `tasks`) and similarity of words.

Coverage matches each word of the question with its most similar word in the passage, as the recall of
`elmokit.tasks.pairs.scorer.align`, the mean vector subtracted.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder
from elmokit.errors import ConfigError, InputError, needing
from elmokit.features import WordVectors
from elmokit.tasks.checks import text_list
from elmokit.tasks.pairs.scorer import inverse_document_frequencies, weights_of
from elmokit.tasks.similar import directions

_MEAN_WORDS = 20_000
_TERM = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Answer:
    """A passage, its number among the passages, and its scores, which compare within one question only."""

    place: int
    passage: str
    score: float
    bm25: float
    coverage: float


class Answers:
    """Passages that can be searched with questions.

    Args:
        elmo: the model.
        passages: N texts, for example sentences (see `elmokit.text.sentences`).
        weight: of coverage against BM25, chosen on the development part of WikiQA; 0 is BM25 alone.
        n_candidates: the number of passages, best by BM25, whose coverage is computed. Their word vectors are cached.

    InputError for no passages, or a missing one; MissingExtra without bm25s.

    Example (`elmo` is any loaded model):
        ``Answers(elmo, split_sentences(article)).best("Who wrote Emma?", n=1)[0].passage``
    """

    def __init__(
        self, elmo: Encoder, passages: Iterable[str], *, weight: float = 4.0, n_candidates: int = 1000
    ) -> None:
        if not weight >= 0 or n_candidates < 1:
            raise ConfigError(f"weight is {weight} and n_candidates {n_candidates}; expected 0 or more, and 1 or more.")
        self.elmo, self.passages = elmo, text_list(passages)
        self.weight, self.n_candidates = weight, n_candidates
        self._index = _Bm25(self.passages)
        self._rarity = inverse_document_frequencies(terms_of(passage) for passage in self.passages)
        self._mean = self._mean_vector()
        self._kept: dict[int, NDArray[np.float32]] = {}

    def best(self, question: str, *, n: int = 5) -> list[Answer]:
        """The n passages that answer a question best, the best first; ties in the order of the passages."""
        bm25, coverage = self.parts(question)
        scores = combine(bm25, coverage, self.weight)
        order = np.argsort(-scores, kind="stable")[:n].tolist()
        return [Answer(i, self.passages[i], float(scores[i]), float(bm25[i]), float(coverage[i])) for i in order]

    def parts(
        self, question: str, places: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """BM25 and coverage (the least one for no candidates) of passages by number; None for all. Shapes (n,)."""
        asked = np.arange(len(self.passages)) if places is None else np.asarray(places, dtype=np.int64)
        bm25 = self._index.scores(question)[asked]
        if self.weight == 0 or not len(asked):
            return bm25, np.zeros(len(asked))
        among = np.argsort(-bm25, kind="stable")[: self.n_candidates]
        of_candidates = self._coverage(question, asked[among])
        coverage = np.full(len(asked), of_candidates.min())
        coverage[among] = of_candidates
        return bm25, coverage

    def _coverage(self, question: str, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """How well each passage covers the words of a question, punctuation left out. Shape (n,)."""
        asked = next(iter(self._encoded([question])))
        weights = weights_of([word.lower() for word in asked.words], self._rarity)  # (T,)
        weights *= [bool(terms_of(word)) for word in asked.words]
        if not weights.sum() > 0:
            return np.zeros(len(places))
        missing = [place for place in places.tolist() if place not in self._kept]
        for place, text in zip(missing, self._encoded([self.passages[place] for place in missing]), strict=True):
            self._kept[place] = directions(text.vectors, mean=self._mean)
        words, vectors = directions(asked.vectors, mean=self._mean), map(self._kept.__getitem__, places.tolist())
        best = [(words @ of.T).max(1, initial=-1.0) if len(of) else np.zeros(len(words)) for of in vectors]
        return np.asarray(np.array(best) @ (weights / weights.sum()))

    def _encoded(self, texts: Sequence[str]) -> Iterable[WordVectors]:
        return self.elmo.encode_words_stream(texts, layers=0, show_progress=False)

    def _mean_vector(self) -> NDArray[np.float64]:
        """The mean word vector of about 20,000 words, from passages spread evenly."""
        n_words = sum(len(terms_of(passage)) for passage in self.passages)
        step = max(1, n_words // _MEAN_WORDS)
        total, n = np.zeros(1), 0
        for text in self._encoded(self.passages[::step]):
            total, n = total + text.vectors.sum(0, dtype=np.float64), n + len(text.words)
        return np.asarray(total / max(n, 1))


def combine(bm25: NDArray[np.float64], coverage: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Scores comparable within one question: BM25 / best BM25 + weight · coverage. Shape (n,)."""
    return np.asarray(bm25 / max(float(bm25.max(initial=0)), 1e-9) + weight * coverage)


def terms_of(text: str) -> list[str]:
    """The words that BM25 counts: runs of letters and digits, in lower case."""
    return _TERM.findall(text.lower())


class _Bm25:
    """Okapi BM25 with Lucene's idf. k1 and b are those of Anserini's baselines; WikiQA's development part agrees."""

    def __init__(self, passages: Sequence[str], *, k1: float = 0.9, b: float = 0.4) -> None:
        if not passages:
            raise InputError("no passages to search.")
        with needing("bm25s", "tasks", "ranking passages"):
            import bm25s
        terms = [terms_of(passage) for passage in passages]
        self._n_passages, self._index = len(terms), bm25s.BM25(k1=k1, b=b, method="lucene") if any(terms) else None
        if self._index is not None:
            self._index.index(terms, show_progress=False)

    def scores(self, question: str) -> NDArray[np.float64]:
        if self._index is None or not (terms := terms_of(question)):  # bm25s takes neither
            return np.zeros(self._n_passages)
        return np.asarray(self._index.get_scores(terms), dtype=np.float64)
