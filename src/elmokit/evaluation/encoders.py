"""What is judged: anything that makes vectors of texts. ELMo, counted words, a sentence-transformers model.

All are frozen: their vectors do not depend on the labels, so each set is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra, MissingFile
from elmokit.tasks.csr import CSR
from elmokit.tasks.pairs import pair_features
from elmokit.tasks.tfidf import Tfidf

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """What the protocols ask of a model."""

    @property
    def name(self) -> str:
        """The head of its column."""
        ...

    def texts(self, texts: Sequence[str]) -> Vectors | CSR:
        """A vector per text. Shape (n, d)."""
        ...

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        """Features of how two texts relate. Shape (n, e)."""
        ...

    def words(self, sentences: Sequence[Sequence[str]], places: NDArray[np.integer]) -> Vectors | None:
        """The vector of one word of each sentence, in each layer, or None without such vectors. Shape (L, n, 2P)."""
        ...


class _Elmo(Protocol):
    @property
    def name(self) -> str: ...
    def encode(
        self, texts: Iterable[Any], *, pooling: str = ..., layers: Any = ..., show_progress: bool | None = ...
    ) -> Vectors: ...
    def encode_words_stream(
        self, texts: Iterable[Any], *, layers: Any = ..., show_progress: bool | None = ...
    ) -> Iterable[Any]: ...


class ElmoEncoder:
    """An `elmokit.Elmo` with a pooling and a choice of layers.

    Args:
        elmo: the model.
        pooling: see `Elmo.encode`.
        layers: see `Elmo.encode`.
        name: the head of the column; None for model, pooling and layers.
    """

    def __init__(self, elmo: _Elmo, *, pooling: str = "mean", layers: Any = "all", name: str | None = None) -> None:
        self.elmo, self.pooling, self.layers = elmo, pooling, layers
        self.name = name or f"{elmo.name}, {pooling}, layers {layers}"

    def texts(self, texts: Sequence[str]) -> Vectors:
        """A vector per text. Shape (n, d)."""
        return self.elmo.encode(texts, pooling=self.pooling, layers=self.layers, show_progress=False)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        """|u − v| and u · v. Shape (n, 2d)."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences: Sequence[Sequence[str]], places: NDArray[np.integer]) -> Vectors:
        """One word of each sentence, in each layer; the sentences are read as they are cut. Shape (L, n, 2P)."""
        stream = self.elmo.encode_words_stream(sentences, layers="each", show_progress=False)
        return np.stack([text.vectors[:, place] for text, place in zip(stream, places, strict=True)], axis=1)


class TfidfEncoder:
    """Counted words (and pairs of words), the baseline.

    Terms and their weights are counted over all texts of a set, the tested ones included: a small favour to the
    baseline, which sees no labels by it. A pair is two numbers, the cosine and the summed difference: from a few
    thousand pairs, weights for ten thousand terms can't be learned.
    """

    name = "TF-IDF"

    def texts(self, texts: Sequence[str]) -> CSR:
        """Weighted counts of words and pairs of neighbours. Shape (n, n_terms)."""
        return Tfidf(lengths=(1, 2), min_texts=2, sublinear=True).fit(texts).transform(texts)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        """Cosine and summed difference. Shape (n, 2)."""
        counts = Tfidf(sublinear=True).fit([*first, *second])
        rows = zip(*(_by_term(counts.transform(texts)) for texts in (first, second)), strict=True)
        return np.array([[_cosine(u, v), _difference(u, v)] for u, v in rows], dtype=np.float32)

    def words(self, sentences: Sequence[Sequence[str]], places: NDArray[np.integer]) -> None:
        """None: a counted word is the same in every sentence."""


def _by_term(matrix: CSR) -> Iterable[dict[int, float]]:
    columns, values, starts = matrix.columns.tolist(), matrix.data.tolist(), matrix.row_starts.tolist()
    for start, end in pairwise(starts):
        yield dict(zip(columns[start:end], values[start:end], strict=True))


def _cosine(u: dict[int, float], v: dict[int, float]) -> float:
    return sum(weight * v.get(term, 0.0) for term, weight in u.items())


def _difference(u: dict[int, float], v: dict[int, float]) -> float:
    return sum(abs(u.get(term, 0.0) - v.get(term, 0.0)) for term in u.keys() | v.keys())


class SentenceTransformersEncoder:
    """A model of the library sentence-transformers, from a local folder.

    Args:
        folder: of the model; nothing is fetched.
        device: where it runs.

    Raises:
        MissingFile: no such folder.
        MissingExtra: the library is not installed.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu") -> None:
        if not Path(folder).is_dir():
            raise MissingFile(f"{folder}: no such folder; expected a sentence-transformers model.")
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise MissingExtra(
                "sentence-transformers", "compare", "comparing with a sentence-transformers model"
            ) from None
        self.name = f"sentence-transformers {Path(folder).name}"
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """A vector per text. Shape (n, d)."""
        return np.asarray(self._model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        """|u − v| and u · v. Shape (n, 2d)."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences: Sequence[Sequence[str]], places: NDArray[np.integer]) -> None:
        """None: these models are made for whole texts."""
