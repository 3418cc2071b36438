"""TF-IDF of words or characters: the plain baseline that every report shows beside our own figures.

A classifier on contextual vectors that does not beat counted words is not worth its minutes, and only a
baseline in the same report tells. The numbers equal those of scikit-learn's `TfidfVectorizer` (tested):
tokens of two or more word characters, lower case, smoothed inverse document frequency, rows of length 1.
Characters are n-grams within words, with a blank at each end ("char_wb").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.tasks.csr import CSR

Analyzer = Literal["words", "characters"]

_WORD = re.compile(r"\b\w\w+\b")
_SPACE = re.compile(r"\s\s+")


class Tfidf:
    """Texts → sparse rows of weighted counts.

    Args:
        analyzer: what is counted: "words" or "characters".
        lengths: shortest and longest n-gram; None for (1, 1) words or (1, 5) characters.
        min_texts: n-grams in fewer texts than this are left out.
        sublinear: whether a count n weighs 1 + ln n instead of n.

    Example:
        >>> tfidf = Tfidf().fit(["so happy", "so sad"])
        >>> tfidf.terms
        ['happy', 'sad', 'so']
        >>> tfidf.transform(["so so"]).data.tolist()
        [1.0]
    """

    def __init__(
        self,
        *,
        analyzer: Analyzer = "words",
        lengths: tuple[int, int] | None = None,
        min_texts: int = 1,
        sublinear: bool = False,
    ) -> None:
        self.analyzer = analyzer
        self.lengths = lengths or ((1, 1) if analyzer == "words" else (1, 5))
        self.min_texts = min_texts
        self.sublinear = sublinear
        self.terms: list[str] = []

    def fit(self, texts: Sequence[str]) -> Tfidf:
        """Learn the terms and their weights.

        Args:
            texts: the training texts.

        Returns:
            itself.

        Raises:
            InputError: no term is left.
        """
        seen = Counter(term for text in texts for term in set(self._terms_of(text)))
        self.terms = sorted(term for term, n in seen.items() if n >= self.min_texts)
        if not self.terms:
            raise InputError("no term in the texts: they are empty, or hold nothing but single characters.")
        self._ids = {term: i for i, term in enumerate(self.terms)}
        in_texts = np.array([seen[term] for term in self.terms], dtype=np.float64)
        self._idf = np.log((1 + len(texts)) / (1 + in_texts)) + 1
        return self

    def state(self) -> tuple[list[str], NDArray[np.float64]]:
        """What was learned: the terms and their inverse document frequencies."""
        return self.terms, self._idf

    def restore(self, terms: Sequence[str], idf: NDArray[np.float64]) -> None:
        """Take back what `state` gave."""
        self.terms, self._idf = list(terms), idf
        self._ids = {term: i for i, term in enumerate(self.terms)}

    def transform(self, texts: Sequence[str]) -> CSR:
        """Weighted counts of texts.

        Args:
            texts: n texts.

        Returns:
            a matrix of n rows of length 1; a text without a known term has an empty row.
        """
        data: list[int] = []
        columns: list[int] = []
        starts = [0]
        for text in texts:
            counts = Counter(self._ids[term] for term in self._terms_of(text) if term in self._ids)
            for column in sorted(counts):
                columns.append(column)
                data.append(counts[column])
            starts.append(len(columns))
        return self._weigh(np.array(data, np.float64), np.array(columns, np.int64), np.array(starts))

    def _weigh(self, counts: np.ndarray, columns: np.ndarray, starts: np.ndarray) -> CSR:
        weights = (1 + np.log(counts) if self.sublinear else counts) * self._idf[columns]
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        norms = np.sqrt(np.bincount(rows, weights=weights**2, minlength=len(starts) - 1))
        return CSR(weights / norms[rows], columns, starts, len(self.terms))

    def _terms_of(self, text: str) -> Iterator[str]:
        count: Callable[[str], Iterator[str]] = self._words if self.analyzer == "words" else self._characters
        return count(text.lower())

    def _words(self, text: str) -> Iterator[str]:
        words = _WORD.findall(text)
        shortest, longest = self.lengths
        for n in range(shortest, longest + 1):
            for i in range(len(words) - n + 1):
                yield " ".join(words[i : i + n])

    def _characters(self, text: str) -> Iterator[str]:
        shortest, longest = self.lengths
        for word in _SPACE.sub(" ", text).split():
            padded = f" {word} "
            for n in range(shortest, longest + 1):
                if n >= len(padded):  # a word shorter than n counts once, as itself
                    yield padded
                    break
                for i in range(len(padded) - n + 1):
                    yield padded[i : i + n]
