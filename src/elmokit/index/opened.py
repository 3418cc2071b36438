"""`OpenIndex`: the state of an open index (folder, store, model, cache) and facts about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.encoding import Text
from elmokit.features import WordVectors
from elmokit.index.arrow import OCCURRENCES, SENTENCES, condition
from elmokit.index.build import OccurrenceEncoder
from elmokit.index.centering import Centering
from elmokit.index.description import Description
from elmokit.index.kept_words import word_test
from elmokit.index.results import Occurrence
from elmokit.index.store import Store

T = TypeVar("T")
Vector = NDArray[np.float32]

_COLUMNS = ("word", "sentence", "start", "end", "document")


class OpenIndex:
    """An open index: what it holds, and how it was made. `WordIndex` is the class to use."""

    def __init__(self, folder: Path, store: Store, description: Description, elmo: Elmo | None) -> None:
        self._folder = folder
        self._store = store
        self._description = description
        self._elmo = elmo
        self._lock = threading.RLock()
        self._cache: dict[Any, Any] = {}

    @property
    def folder(self) -> Path:
        """The folder of the index."""
        return self._folder

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self._description.dim

    @property
    def description(self) -> Description:
        """How the index was made: model, layers, words kept, mean vector."""
        return self._description

    @property
    def elmo(self) -> Elmo:
        """The model, loaded when it is first needed.

        Raises:
            CheckpointError: the index names a model to fetch, or another model than its own is found.
        """
        with self._lock:
            if self._elmo is None:
                self._elmo = self._description.load_model(self._folder)
            return self._elmo

    def __len__(self) -> int:
        """Number of occurrences."""
        return self._store.count(OCCURRENCES)

    def __contains__(self, word: object) -> bool:
        """Whether a word occurs; upper and lower case are the same."""
        return isinstance(word, str) and word.lower() in self._counts()

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self._folder}', {len(self):,} occurrences in {self.n_sentences:,} sentences)"

    @property
    def n_sentences(self) -> int:
        """Number of sentences."""
        return self._store.count(SENTENCES)

    def documents(self) -> Mapping[str, int]:
        """Documents with their numbers of sentences, largest first."""
        return self._cached("documents", lambda: self._store.counts(SENTENCES, "document"))

    def words(self, *, min_count: int = 1) -> Mapping[str, int]:
        """Words with their numbers of occurrences, most frequent first.

        Args:
            min_count: leave out words that occur less often.

        Returns:
            counts by word.
        """
        return {word: count for word, count in self._counts().items() if count >= min_count}

    def about(self) -> dict[str, Any]:
        """Facts about the index, as JSON values.

        Returns:
            model, layers, words_kept, dim, occurrences, sentences, words, documents, bytes, ann (whether there is a
            nearest-neighbour index).
        """
        described = self._description
        return {
            "model": described.model,
            "layers": described.layers,
            "words_kept": described.words if isinstance(described.words, str) else "list",
            "dim": described.dim,
            "occurrences": len(self),
            "sentences": self.n_sentences,
            "words": len(self._counts()),
            "documents": len(self.documents()),
            "bytes": sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file()),
            "ann": self._store.has_ann(OCCURRENCES),
        }

    @property
    def _centering(self) -> Centering:
        return self._description.centering

    def _encoder(self) -> OccurrenceEncoder:
        described = self._description
        return OccurrenceEncoder(self.elmo, described.layers, word_test(described.words), described.centering)

    def _encode(self, text: Text) -> WordVectors:
        return self.elmo.encode_words([text], layers=self._description.layers, show_progress=False)[0]

    def _cached(self, key: Any, compute: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = compute()
            return cast(T, self._cache[key])

    def _counts(self) -> dict[str, int]:
        return self._cached("words", lambda: self._store.counts(OCCURRENCES, "word"))

    def _search(
        self, vector: Vector, *, k: int, where: str | None, exact: bool
    ) -> tuple[list[Occurrence], NDArray[np.float32]]:
        rows = self._store.nearest(OCCURRENCES, vector, [*_COLUMNS, "vector"], k=k, where=where, exact=exact)
        return self._store.with_sentences(rows, 1 - rows["_distance"])

    def _sample(self, word: str, limit: int) -> tuple[list[Occurrence], NDArray[np.float32]]:
        rows = self._store.sample(condition(word=word.lower()) or "", [*_COLUMNS, "vector"], limit=limit)
        return self._store.with_sentences(rows, np.ones(len(rows["word"])))
