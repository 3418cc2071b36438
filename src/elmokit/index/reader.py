"""`IndexReader`: an open index and the questions that it answers. `WordIndex` adds how it is made and changed.

A question becomes a vector (a word in context, the mean of a word, sums and differences of these), the store finds the
nearest ones, and here they become answers. Counts, means and senses are cached until the index changes.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.encoding import Text
from elmokit.errors import ConfigError, InputError
from elmokit.features import WordVectors
from elmokit.index import results
from elmokit.index.build import sentence_vector
from elmokit.index.description import Centering, Description, scaled
from elmokit.index.results import Neighbour, Neighbours, Occurrence, Senses, Sentence
from elmokit.index.senses import find_senses
from elmokit.index.store import OCCURRENCES, SENTENCES, Store, quoted
from elmokit.plots import principal_plane

T = TypeVar("T")
Vector = NDArray[np.float32]
InContext = str | tuple[str, Text]
"""A word (its mean over the index), or a word and the text it stands in."""

_COLUMNS = ("word", "sentence", "start", "end", "document", "vector")


class IndexReader:
    """The questions that an index answers; made by `WordIndex.open` and `WordIndex.create`."""

    def __init__(self, folder: Path, store: Store, description: Description, elmo: Elmo | None) -> None:
        self.folder, self.description = folder, description
        self._store, self._elmo = store, elmo
        self._lock = threading.RLock()
        self._cache: dict[Any, Any] = {}

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.description.dim

    @property
    def elmo(self) -> Elmo:
        """The model, loaded when it is first needed. Raises CheckpointError for a model that must be fetched."""
        with self._lock:
            if self._elmo is None:
                self._elmo = self.description.load_model(self.folder)
            return self._elmo

    def __len__(self) -> int:
        """Number of occurrences."""
        return self._store.count(OCCURRENCES)

    def __contains__(self, word: object) -> bool:
        """Whether a word occurs; upper and lower case are the same."""
        return isinstance(word, str) and word.lower() in self.words()

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.folder}', {len(self):,} occurrences in {self.n_sentences:,} sentences)"

    @property
    def n_sentences(self) -> int:
        """Number of sentences."""
        return self._store.count(SENTENCES)

    def documents(self) -> Mapping[str, int]:
        """Documents with their numbers of sentences, largest first."""
        return self._cached("documents", lambda: self._store.counts(SENTENCES, "document"))

    def words(self, *, min_count: int = 1) -> Mapping[str, int]:
        """Words that occur `min_count` times or more, with their numbers of occurrences, most frequent first."""
        counts = self._cached("words", lambda: self._store.counts(OCCURRENCES, "word"))
        return counts if min_count <= 1 else {word: count for word, count in counts.items() if count >= min_count}

    def about(self) -> dict[str, Any]:
        """Metadata as JSON values: model, layers, words_kept, dim, counts, bytes."""
        words = self.description.words
        return {
            "model": self.description.model,
            "layers": self.description.layers,
            "words_kept": words if isinstance(words, str) else "list",
            "dim": self.description.dim,
            "occurrences": len(self),
            "sentences": self.n_sentences,
            "words": len(self.words()),
            "documents": len(self.documents()),
            "bytes": sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()),
        }

    def vector(self, word: str, context: Text, *, position: int | None = None) -> Vector:
        """The vector of a word in a text (or list of words) that holds it, centred and of length 1. Shape (d,).

        Upper and lower case are the same. `position` is the number of the word in the text, from 0; None for the first
        that fits. Raises InputError if the text does not hold the word, or not there.
        """
        text = self._encode(context)
        place = _place(word, text.words, position)
        return np.asarray(self.description.centering.units(text.vectors[place : place + 1])[0][0])

    def similarity(self, word_1: str, context_1: Text, word_2: str, context_2: Text) -> float:
        """The cosine of two words, each in its text, from -1 to 1. Raises InputError as `vector` does."""
        return float(self.vector(word_1, context_1) @ self.vector(word_2, context_2))

    def most_similar(
        self,
        word: str | None = None,
        *,
        context: Text | None = None,
        positive: Sequence[InContext] = (),
        negative: Sequence[InContext] = (),
        topn: int = 10,
        k: int | None = None,
        exact: bool = False,
    ) -> Neighbours:
        """Find words that are used alike, best first. With a context: occurrences, grouped by word and sense.

        With a context, the word itself may be among the answers; without, no word of the question is. InputError for a
        word that is not in its context or (without context) in the index, ConfigError without `word` and `positive`.

        Args:
            word: the word; None if `positive` says it all.
            context: a text that holds the word; None for the mean of the word over the index.
            positive: more words to be similar to, alone or in context: "king", ("bank", "a river bank").
            negative: words to be dissimilar to.
            topn: the largest number of words (or senses of words), as gensim calls it; `k` is another name.
            exact: compare all occurrences, without the nearest-neighbour index.
        """
        topn = topn if k is None else k
        if word is not None:
            positive = (word if context is None else (word, context), *positive)
        if not positive:
            raise ConfigError("most_similar: give a word, or positive=[…].")
        asked = (*positive, *negative)
        vectors = [self._vector_of(item) for item in asked]
        target = scaled(np.sum(vectors[: len(positive)], axis=0) - np.sum(vectors[len(positive) :], axis=0))[0]
        if all(isinstance(item, str) for item in asked):
            return Neighbours(self._nearest_words(target, set(map(_word_of, asked)), topn))
        texts = {item[1] for item in asked if not isinstance(item, str) and isinstance(item[1], str)}
        senses = self._known_senses(set(map(_word_of, positive)))
        neighbours: list[Neighbour] = []
        for n_hits in (10 * topn, 100 * topn):
            hits, units = self._search(target, k=n_hits, where=None, exact=exact)
            others = [i for i, hit in enumerate(hits) if hit.text not in texts]
            neighbours = results.grouped([hits[i] for i in others], units[others], senses, topn)
            if len(neighbours) == topn or len(hits) < n_hits:
                break
        return Neighbours(neighbours)

    def search(
        self, vector: Vector, *, k: int = 10, not_words: Collection[str] = (), exact: bool = False
    ) -> list[Occurrence]:
        """Find the `k` occurrences nearest to a vector from `vector`, (d,), best first.

        Only of other words than `not_words`; `exact` compares all occurrences.
        """
        without = ", ".join(quoted(word.lower()) for word in sorted(not_words))
        return self._search(vector, k=k, where=f"word NOT IN ({without})" if without else None, exact=exact)[0]

    def search_sentences(self, text: Text, *, k: int = 10, exact: bool = False) -> list[Sentence]:
        """Find the `k` sentences most similar to a text or list of words, best first; `exact` compares all."""
        words = self._encode(text)
        vector = sentence_vector(words.words, self.description.centering.units(words.vectors)[0])
        rows = self._store.nearest(SENTENCES, vector, ["id", "text", "document", "row"], k=k, where=None, exact=exact)
        numbers = (rows["row"].tolist(), rows["id"].tolist(), (1 - rows["_distance"]).tolist())
        return [Sentence(*values) for values in zip(rows["text"], rows["document"], *numbers, strict=True)]

    def occurrences(self, word: str, *, limit: int = 100) -> list[Occurrence]:
        """At most `limit` occurrences of a word, spread over the index in its order; none for an unknown word."""
        return self._sample(word, limit)[0]

    def senses(self, word: str, *, n_senses: int | None = None, limit: int = 1000) -> Senses:
        """The senses of a word: clusters of at most `limit` of its occurrences, each named by its neighbours.

        `n_senses` None chooses 1 to 6 by the silhouette. The most frequent sense comes first; cached until the index
        changes. Raises InputError if the word does not occur, ConfigError for a number of senses below 1 or above that
        of the occurrences, MissingExtra without scikit-learn.
        """
        return self._clustered(word, n_senses, limit)[0]

    def word_map(self, word: str, *, n_senses: int | None = None, limit: int = 500) -> results.WordMap:
        """The occurrences of a word in a plane (two principal components), each with its sense; see `senses`."""
        senses, occurrences, units = self._clustered(word, n_senses, limit)
        points, explained = principal_plane(units)
        shown = tuple(results.MapPoint(x, y, one) for (x, y), one in zip(points.tolist(), occurrences, strict=True))
        return results.WordMap(word.lower(), senses, shown, explained)

    def means(self, *, min_count: int = 5) -> results.WordMeans:
        """A static vector per word that occurs `min_count` times or more: the mean of its occurrences, of length 1."""

        def compute() -> results.WordMeans:
            counts = self.words(min_count=min_count)
            sums = self.word_sums({word: i for i, word in enumerate(counts)})
            return results.WordMeans(tuple(counts), np.array(list(counts.values()), dtype=np.int64), scaled(sums)[0])

        return self._cached(("means", min_count), compute)

    def word_sums(self, places: Mapping[str, int], *, centering: Centering | None = None) -> NDArray[np.float64]:
        """Sums of unit vectors, one row per word at its place, (V, d); `centering` replaces the index's own."""
        own, sums = self.description.centering, np.zeros((len(places), self.dim))
        for block in self._store.scan(OCCURRENCES, ["word", "length", "vector"]):
            vectors = block["vector"]
            if centering is not None:
                vectors = centering.units(own.raw(vectors, block["length"]))[0]
            rows = np.array([places.get(word, -1) for word in block["word"]])
            order = np.argsort(rows, kind="stable")
            order = order[np.searchsorted(rows[order], 0) :]
            if len(order):
                present, starts = np.unique(rows[order], return_index=True)
                sums[present] += np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
        return sums

    def _cached(self, key: Any, compute: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = compute()
            return cast(T, self._cache[key])

    def _encode(self, text: Text) -> WordVectors:
        return self.elmo.encode_words([text], layers=self.description.layers, show_progress=False)[0]

    def _search(self, vector: Vector, *, k: int, where: str | None, exact: bool) -> tuple[list[Occurrence], Vector]:
        rows = self._store.nearest(OCCURRENCES, vector, _COLUMNS, k=k, where=where, exact=exact)
        return self._store.with_sentences(rows, 1 - rows["_distance"])

    def _sample(self, word: str, limit: int) -> tuple[list[Occurrence], Vector]:
        rows = self._store.sample(f"word = {quoted(word.lower())}", _COLUMNS, limit=limit)
        return self._store.with_sentences(rows, np.ones(len(rows["word"])))

    def _clustered(self, word: str, n_senses: int | None, limit: int) -> tuple[Senses, list[Occurrence], Vector]:
        """The senses of a word, n occurrences with their senses, and their vectors, (n, d)."""
        word = word.lower()

        def compute() -> tuple[Senses, list[Occurrence], Vector]:
            occurrences, units = self._sample(word, limit)
            if not occurrences:
                raise InputError(f"{self.folder}: the word {word!r} does not occur in the index.")
            senses, labelled = find_senses(
                word, occurrences, units, n_senses, lambda v: self.search(v, k=100, not_words=[word])
            )
            return replace(senses, count=self.words().get(word, len(occurrences))), labelled, units

        return self._cached(("senses", word, n_senses, limit), compute)

    def _known_senses(self, words: Collection[str]) -> dict[str, Senses]:
        """The senses of these words, and of all words whose senses are cached."""
        for word in words:
            if word in self:
                self.senses(word)
        with self._lock:
            cached = [value[0] for key, value in self._cache.items() if key[0] == "senses"]
        return {senses.word: senses for senses in cached}

    def _vector_of(self, item: InContext) -> Vector:
        if not isinstance(item, str):
            return self.vector(*item)
        means = self.means(min_count=1)
        place = self._cached("places", lambda: {word: i for i, word in enumerate(means.words)}).get(item.lower())
        if place is None:
            raise InputError(f"{self.folder}: the word {item!r} does not occur in the index; give it with a context.")
        return np.asarray(means.vectors[place])

    def _nearest_words(self, target: Vector, without: Collection[str], k: int) -> Iterator[Neighbour]:
        means = self.means()
        cosines = means.vectors @ target
        best = np.argsort(-cosines, kind="stable").tolist()
        chosen = [i for i in best[: k + len(without)] if means.words[i] not in without][:k]
        return (Neighbour(means.words[i], float(cosines[i]), count=int(means.counts[i])) for i in chosen)


def _place(word: str, words: Sequence[str], position: int | None) -> int:
    places = [i for i, other in enumerate(words) if other.lower() == word.lower() and position in (None, i)]
    if not places:
        where = "" if position is None else f" at place {position}"
        raise InputError(f"the word {word!r} is not in its context{where}; the words there are {list(words)}.")
    return places[0]


def _word_of(item: InContext) -> str:
    return (item if isinstance(item, str) else item[0]).lower()
