"""`WordIndex`: a folder of word occurrences, and what can be asked of it.

An occurrence is a word in a sentence with its vector. A question becomes a vector (a word in its context, a word's
mean, sums and differences of these), the store finds the nearest ones, and here they become answers. What is costly to
find again (counts, means, senses) is kept in memory until the index changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from elmokit.data.tables import Table
from elmokit.elmo import Elmo, Layers
from elmokit.errors import ConfigError, InputError, OutputError
from elmokit.features import WordVectors
from elmokit.index.build import BLOCK, Encoding, NewSentence, fit_frame, numbered, write_sentences
from elmokit.index.description import Description
from elmokit.index.frame import Frame, unit
from elmokit.index.kept_words import word_test
from elmokit.index.neighbours import group, principal_plane
from elmokit.index.results import MapPoint, Neighbour, Neighbours, Occurrence, Senses, Sentence, WordMap, WordMeans
from elmokit.index.senses import Clustered, find_senses
from elmokit.index.store import OCCURRENCES, SENTENCES, Store, condition
from elmokit.text.inputs import Text

T = TypeVar("T")
Vector = NDArray[np.float32]

InContext = str | tuple[str, Text]
"""A word (its mean over the index), or a word and the text it stands in."""

OnProgress = Callable[[str, int, "int | None"], None]
"""Takes what is being done, steps done, and steps in all (None where nobody knows)."""

_FRAME_TEXTS = 1000
_OCCURRENCE = ("word", "sentence", "start", "end", "document")


class WordIndex:
    """An index of word occurrences in a folder: made by `create`, opened by `open`. Threads may share it.

    Example:
        ``WordIndex.open("novels.index").most_similar("bank", context="We sat on the bank of the river.")``
    """

    def __init__(self, folder: Path, store: Store, description: Description, elmo: Elmo | None) -> None:
        self._folder = folder
        self._store = store
        self._description = description
        self._elmo = elmo
        self._lock = threading.RLock()
        self._memory: dict[Any, Any] = {}

    @classmethod
    def create(
        cls,
        folder: str | Path,
        elmo: Elmo | str = "default",
        *,
        layers: Layers = "mix",
        words: str | Collection[str] = "content",
    ) -> WordIndex:
        """Make an empty index.

        Args:
            folder: where to; made if it does not exist.
            elmo: the model that the vectors come from, or what `Elmo.load` takes: `open` then finds it again by itself.
            layers: which layers (see `Elmo.encode_words`).
            words: which words are kept: "content" (no function words, marks, numbers), "all", or a list of words.

        Returns:
            the index, ready for `add` and `build`.

        Raises:
            OutputError: the folder holds something already, or can't be made.
            ConfigError: layers or words that are none.
            MissingExtra: LanceDB is not installed.
        """
        folder = Path(folder)
        if layers == "each":
            raise ConfigError("layers='each' gives a word several vectors; expected 'mix', 'all', a number or weights.")
        word_test(words)
        model, source = (Elmo.load(elmo), _lasting(elmo)) if isinstance(elmo, str) else (elmo, "default")
        kept = words if isinstance(words, str) else tuple(sorted({word.lower() for word in words}))
        description = Description.of(model, source=source, layers=layers, words=kept)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            empty = not any(folder.iterdir())
        except OSError as error:
            raise OutputError(f"{folder}: the folder can't be made ({error.strerror}).") from None
        if not empty:
            raise OutputError(f"{folder}: not empty; give a new folder, or open the index that is there.")
        store = Store(folder, width=description.dim)
        description.write(folder)
        return cls(folder, store, description, model)

    @classmethod
    def open(cls, folder: str | Path, *, elmo: Elmo | None = None) -> WordIndex:
        """Open an index; takes well under a second, for the model is loaded when it is first needed.

        Args:
            folder: where it lies.
            elmo: the model it was made with, if it is loaded already; None loads it when a context is asked for.

        Returns:
            the index, as it is now (see `refresh`).

        Raises:
            MissingFile: no index there.
            CheckpointError: another model than the index was made with.
            MissingExtra: LanceDB is not installed.
        """
        folder = Path(folder)
        description = Description.read(folder)
        if elmo is not None:
            description.check(elmo, folder)
        return cls(folder, Store(folder), description, elmo)

    # what it is

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self._description.dim

    @property
    def description(self) -> Description:
        """How it was made: model, layers, words kept, frame."""
        return self._description

    @property
    def elmo(self) -> Elmo:
        """The model; loaded when first asked for.

        Raises:
            CheckpointError: the model that is found is not the one that the index was made with.
        """
        with self._lock:
            if self._elmo is None:
                elmo = Elmo.load(self._description.source)
                self._description.check(elmo, self._folder)
                self._elmo = elmo
            return self._elmo

    def __len__(self) -> int:
        """Occurrences."""
        return self._store.count(OCCURRENCES)

    def __repr__(self) -> str:
        return f"WordIndex('{self._folder}', {len(self):,} occurrences in {self.n_sentences:,} sentences)"

    @property
    def n_sentences(self) -> int:
        """Sentences."""
        return self._store.count(SENTENCES)

    def documents(self) -> Mapping[str, int]:
        """Documents and how many sentences each has.

        Returns:
            counts by name, the largest first.
        """
        return self._remember("documents", lambda: self._store.counts(SENTENCES, "document"))

    def words(self, *, min_count: int = 1) -> Mapping[str, int]:
        """Words and how often each occurs.

        Args:
            min_count: words that occur less often are left out.

        Returns:
            counts by word, the most frequent first.
        """
        counts = self._remember("words", lambda: self._store.counts(OCCURRENCES, "word"))
        return {word: count for word, count in counts.items() if count >= min_count}

    def about(self) -> dict[str, Any]:
        """Facts for people and pages.

        Returns:
            JSON types: model, layers, words_kept, dim, occurrences, sentences, words, documents, bytes, ann (whether
            there is a nearest-neighbour index).
        """
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        described = self._description
        return {
            "model": described.model,
            "layers": described.layers,
            "words_kept": described.words if isinstance(described.words, str) else "list",
            "dim": described.dim,
            "occurrences": len(self),
            "sentences": self.n_sentences,
            "words": len(self.words()),
            "documents": len(self.documents()),
            "bytes": sum(path.stat().st_size for path in files),
            "ann": self._store.has_ann(OCCURRENCES),
        }

    # writing

    def build(
        self,
        tables: Sequence[Table],
        *,
        column: str = "text",
        document: str | None = None,
        block: int = BLOCK,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Add the rows of files that are not in the index yet; an interrupted build goes on where it stood.

        How far a file was read is known by its name and row numbers: a file that grew is read on from where it ended,
        one that changed must be deleted first.

        Args:
            tables: files of texts, one sentence (or short text) per row.
            column: the column with the texts; "text" for plain text files.
            document: a column that names each row's document; None takes the file's name.
            block: sentences that are written together: what an interruption costs at most.
            on_progress: told of sentences done.

        Returns:
            occurrences added.

        Raises:
            InputError: a row that can't be used (see `Table`).
            OutputError: the folder can't be written, or another process is writing to it.
        """
        with self._writing():
            last = {str(table.source): self._store.last_row(str(table.source)) for table in tables}
            rows = chain.from_iterable(_rows(table, column, document, last[str(table.source)]) for table in tables)
            n_added = self._write(rows, block, on_progress)
            self._store.index()
        return n_added

    def add(self, texts: Iterable[str], *, document: str) -> int:
        """Add sentences, behind those that the document has.

        Args:
            texts: sentences, one string each.
            document: what they belong to; may be there already.

        Returns:
            occurrences added.

        Raises:
            InputError: one string instead of several.
            OutputError: the folder can't be written, or another process is writing to it.
        """
        if isinstance(texts, str):
            raise InputError("texts is one string; expected a list of sentences: [text].")
        with self._writing():
            rows = numbered(texts, document=document, after=self._store.last_row(document))
            return self._write(rows, BLOCK, None)

    def delete(self, document: str) -> int:
        """Take a document out.

        Args:
            document: its name.

        Returns:
            sentences deleted.

        Raises:
            InputError: no such document.
        """
        with self._writing():
            n_before = self.n_sentences
            self._store.delete(document)
            n_deleted = n_before - self.n_sentences
        if not n_deleted:
            raise InputError(f"{self._folder}: no document {document!r} is in the index; `documents()` lists them.")
        return n_deleted

    def optimize(self) -> None:
        """Put many small files together, free the room of what was deleted, bring the search index up to date.

        Others who have the index open must `refresh` afterwards.
        """
        with self._writing():
            self._store.compact()

    def refresh(self) -> None:
        """See what others have written since the index was opened."""
        with self._lock:
            self._description = Description.read(self._folder)
            self._store.refresh()
            self._memory.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._store.writing():
            try:
                yield
            finally:
                self._memory.clear()

    def _write(self, rows: Iterable[NewSentence], block: int, on_progress: OnProgress | None) -> int:
        rest = iter(rows)
        if self._description.centre is None:
            first = list(islice(rest, _FRAME_TEXTS))
            if not first:
                return 0
            frame = fit_frame(self.elmo, self._description.layers, [sentence.text for sentence in first])
            self._description = self._description.with_frame(frame)
            self._description.write(self._folder)
            rest = chain(first, rest)
        done = 0

        def tell(n_sentences: int) -> None:
            nonlocal done
            done += n_sentences
            if on_progress is not None:
                on_progress("sentences", done, None)

        return write_sentences(self._store, self._encoding(), rest, block=block, on_block=tell)

    # asking

    def vector(self, word: str, context: Text, *, position: int | None = None) -> Vector:
        """The vector of a word in a text, in the index's frame, of length 1.

        Args:
            word: the word; upper and lower case are the same.
            context: a text or a list of words that holds it.
            position: which of the text's words it is, from 0; None for the first that fits.

        Returns:
            the vector. Shape (d,).

        Raises:
            InputError: the text does not hold the word, or not there.
        """
        found = self._words_of(context)
        place = _place(word, found.words, position)
        return np.asarray(self._frame.units(found.vectors[place : place + 1])[0][0])

    def similarity(self, word_1: str, context_1: Text, word_2: str, context_2: Text) -> float:
        """How alike two words are used, each in its text.

        Args:
            word_1: a word.
            context_1: a text that holds it.
            word_2: a word, perhaps the same.
            context_2: a text that holds it.

        Returns:
            the cosine of their vectors in the index's frame, -1 to 1.

        Raises:
            InputError: a text does not hold its word.
        """
        return float(self.vector(word_1, context_1) @ self.vector(word_2, context_2))

    def most_similar(
        self,
        word: str | None = None,
        *,
        context: Text | None = None,
        position: int | None = None,
        positive: Sequence[InContext] = (),
        negative: Sequence[InContext] = (),
        k: int = 10,
        documents: Collection[str] | None = None,
        exact: bool = False,
    ) -> Neighbours:
        """What is used alike: occurrences in context, grouped by word and sense; without any context, words.

        Args:
            word: the word; None where `positive` says it all.
            context: a text that holds the word; None for the word's mean over the index.
            position: which of the context's words it is, from 0; None for the first that fits.
            positive: more words to be near to, each alone or with its context: "king", ("bank", "a river bank").
            negative: words to be far from.
            k: groups (words, or senses of words) at most.
            documents: look in these documents only; None for all. Only with a context.
            exact: whether all occurrences are compared; else the nearest-neighbour index is used where there is one.

        Returns:
            at most k neighbours, best first. With a context the word itself is among them where other occurrences of
            it are near; without one, no word that was asked for is.

        Raises:
            InputError: a word that is not in its context, or (without context) not often enough in the index.
            ConfigError: nothing to be near to.
        """
        if word is not None:
            positive = (word if context is None else (word, context), *positive)
        if not positive:
            raise ConfigError("most_similar: nothing to be near to; give a word, or positive=[…].")
        asked = (*positive, *negative)
        target = self._target(positive, negative, position)
        query = " − ".join(filter(None, (_shown(positive), _shown(negative))))
        if all(isinstance(item, str) for item in asked):
            return Neighbours(query, self._nearest_words(target, {_word_of(item) for item in asked}, k))
        texts = {item[1] for item in asked if not isinstance(item, str) and isinstance(item[1], str)}
        senses = self._known_senses({_word_of(item) for item in positive})
        found: tuple[Neighbour, ...] = ()
        for n_hits in (10 * k, 100 * k):
            hits, units = self._search(target, k=n_hits, where=condition(documents=documents), exact=exact)
            others = [i for i, hit in enumerate(hits) if hit.text not in texts]
            found = group([hits[i] for i in others], units[others], senses, k=k)
            if len(found) == k or len(hits) < n_hits:
                break
        return Neighbours(query, found)

    def search(
        self,
        vector: Vector,
        *,
        k: int = 10,
        word: str | None = None,
        not_words: Collection[str] = (),
        documents: Collection[str] | None = None,
        exact: bool = False,
    ) -> list[Occurrence]:
        """The occurrences nearest to a vector.

        Args:
            vector: in the index's frame (`vector`). Shape (d,).
            k: occurrences at most.
            word: only occurrences of this word.
            not_words: no occurrences of these.
            documents: only occurrences in these documents.
            exact: whether all occurrences are compared.

        Returns:
            occurrences, best first.
        """
        without = {other.lower() for other in not_words}
        where = condition(word=None if word is None else word.lower(), not_words=without, documents=documents)
        return self._search(vector, k=k, where=where, exact=exact)[0]

    def search_sentences(
        self, text: Text, *, k: int = 10, documents: Collection[str] | None = None, exact: bool = False
    ) -> list[Sentence]:
        """The sentences most like a text.

        Args:
            text: a text or a list of words.
            k: sentences at most.
            documents: look in these only; None for all.
            exact: whether all sentences are compared.

        Returns:
            sentences, best first.
        """
        words = self._words_of(text)
        vector = self._encoding().sentence(words.words, self._frame.units(words.vectors)[0])
        columns = ["id", "text", "document", "row"]
        where = condition(documents=documents)
        found = self._store.nearest(SENTENCES, vector, columns, k=k, where=where, exact=exact)
        rows = zip(found["text"], found["document"], found["row"].tolist(), found["id"].tolist(), strict=True)
        cosines = (1 - found["_distance"]).tolist()
        return [Sentence(*row, similarity=cosine) for row, cosine in zip(rows, cosines, strict=True)]

    def occurrences(self, word: str, *, limit: int = 100) -> list[Occurrence]:
        """Occurrences of a word, spread over the index.

        Args:
            word: the word; upper and lower case are the same.
            limit: occurrences at most.

        Returns:
            occurrences in the order of the sentences; none for a word that does not occur.
        """
        return self._sample(word, limit)[0]

    def senses(self, word: str, *, n_senses: int | None = None, limit: int = 1000) -> Senses:
        """The senses of a word: its occurrences clustered, each cluster named by its neighbours.

        Args:
            word: the word; upper and lower case are the same.
            n_senses: how many; None chooses 1 to 6 by silhouette.
            limit: occurrences looked at, at most.

        Returns:
            the senses, the most frequent first. Kept in memory until the index changes.

        Raises:
            InputError: the word does not occur.
            ConfigError: fewer senses than one or more than occurrences.
        """
        return self._clustered(word, n_senses, limit).senses

    def word_map(self, word: str, *, n_senses: int | None = None, limit: int = 500) -> WordMap:
        """A word's occurrences in the plane (first two principal components), each with its sense.

        Args:
            word: the word.
            n_senses: as in `senses`.
            limit: points at most.

        Returns:
            the map; the same each time.

        Raises:
            InputError: the word does not occur.
            ConfigError: fewer senses than one or more than occurrences.
        """
        found = self._clustered(word, n_senses, limit)
        points, explained = principal_plane(found.units)
        places = zip(points.tolist(), found.occurrences, strict=True)
        return WordMap(
            found.senses.word,
            found.senses,
            tuple(MapPoint(x, y, occurrence) for (x, y), occurrence in places),
            explained,
        )

    def means(self, *, min_count: int = 5) -> WordMeans:
        """A static vector per word: the mean of its occurrences in the frame.

        Args:
            min_count: words that occur less often are left out.

        Returns:
            words, counts and vectors, the most frequent first.
        """
        return self._remember(("means", min_count), lambda: self._means(min_count))

    def word_sums(self, places: Mapping[str, int], *, frame: Frame | None = None) -> NDArray[np.float64]:
        """The sum of each word's unit vectors: all that means and `shift` need of its occurrences.

        Args:
            places: words and the rows that they get.
            frame: where the vectors get their length 1; None for the index's own.

        Returns:
            a row per word. Shape (V, d).
        """

        def moved(units: Vector, lengths: Vector) -> Vector:
            return units if frame is None else frame.units(self._frame.raw(units, lengths))[0]

        return self._store.word_sums(places, self.dim, moved=moved)

    # how

    @property
    def _frame(self) -> Frame:
        return self._description.frame

    def _encoding(self) -> Encoding:
        described = self._description
        return Encoding(self.elmo, described.layers, word_test(described.words), described.frame)

    def _words_of(self, text: Text) -> WordVectors:
        return self.elmo.encode_words([text], layers=self._description.layers, show_progress=False)[0]

    def _remember(self, key: Any, find: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._memory:
                self._memory[key] = find()
            return cast(T, self._memory[key])

    def _search(
        self, vector: Vector, *, k: int, where: str | None, exact: bool
    ) -> tuple[list[Occurrence], NDArray[np.float32]]:
        columns = [*_OCCURRENCE, "vector"]
        found = self._store.nearest(OCCURRENCES, vector, columns, k=k, where=where, exact=exact)
        return self._occurrences(found, 1 - found["_distance"])

    def _sample(self, word: str, limit: int) -> tuple[list[Occurrence], NDArray[np.float32]]:
        where = condition(word=word.lower())
        assert where is not None, "a word is a condition"
        found = self._store.sample(where, [*_OCCURRENCE, "vector"], limit=limit)
        return self._occurrences(found, np.ones(len(found["word"])))

    def _occurrences(
        self, found: Mapping[str, Any], similarities: NDArray[Any]
    ) -> tuple[list[Occurrence], NDArray[np.float32]]:
        """Rows of the store with their sentences; rows whose sentence is gone (or not there yet) are left out."""
        numbers = found["sentence"].tolist()
        sentences = self._store.sentences(set(numbers))
        kept = [i for i, number in enumerate(numbers) if number in sentences]
        occurrences = [
            Occurrence(
                found["word"][i],
                sentences[numbers[i]]["text"],
                int(found["start"][i]),
                int(found["end"][i]),
                found["document"][i],
                int(sentences[numbers[i]]["row"]),
                numbers[i],
                similarity=float(similarities[i]),
            )
            for i in kept
        ]
        return occurrences, found["vector"][kept]

    def _clustered(self, word: str, n_senses: int | None, limit: int) -> Clustered:
        return self._remember(("senses", word.lower(), n_senses, limit), lambda: self._cluster(word, n_senses, limit))

    def _cluster(self, word: str, n_senses: int | None, limit: int) -> Clustered:
        word = word.lower()
        occurrences, units = self._sample(word, limit)
        if not occurrences:
            raise InputError(f"{self._folder}: the word {word!r} does not occur in the index.")

        def nearest(centre: Vector) -> list[Occurrence]:
            return self.search(centre, k=100, not_words=[word])

        count = self.words().get(word, len(occurrences))
        return find_senses(word, occurrences, units, count=count, n_senses=n_senses, nearest=nearest)

    def _known_senses(self, words: Collection[str]) -> dict[str, Senses]:
        """The senses of these words, found now where need be, and of all whose senses were asked for before."""
        for word in words:
            if word in self.words():
                self.senses(word)
        with self._lock:
            found = [value.senses for key, value in self._memory.items() if key[0] == "senses"]
        return {senses.word: senses for senses in found}

    def _target(self, positive: Sequence[InContext], negative: Sequence[InContext], position: int | None) -> Vector:
        """The sum of what to be near to, less what to be far from, of length 1."""
        vectors = [self._vector_of(item, position if i == 0 else None) for i, item in enumerate(positive)]
        vectors += [-self._vector_of(item, None) for item in negative]
        return unit(np.sum(vectors, axis=0))

    def _vector_of(self, item: InContext, position: int | None) -> Vector:
        if not isinstance(item, str):
            return self.vector(item[0], item[1], position=position)
        means = self.means(min_count=1)
        place = self._remember("places", lambda: {word: i for i, word in enumerate(means.words)}).get(item.lower())
        if place is None:
            raise InputError(f"{self._folder}: the word {item!r} does not occur in the index; give it with a context.")
        return np.asarray(means.vectors[place])

    def _nearest_words(self, target: Vector, without: Collection[str], k: int) -> tuple[Neighbour, ...]:
        means = self.means()
        cosines = means.vectors @ target
        best = np.argsort(-cosines, kind="stable")[: k + len(without)]
        found = [i for i in best.tolist() if means.words[i] not in without][:k]
        return tuple(Neighbour(means.words[i], float(cosines[i]), count=int(means.counts[i])) for i in found)

    def _means(self, min_count: int) -> WordMeans:
        counts = self.words(min_count=min_count)
        vectors = self.word_sums({word: i for i, word in enumerate(counts)})
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return WordMeans(tuple(counts), np.array(list(counts.values()), dtype=np.int64), units)


def _lasting(source: str) -> str:
    """A model's name that means the same from any working directory."""
    is_file = source != "default" and Path(source).exists()
    return str(Path(source).resolve()) if is_file else source


def _rows(table: Table, column: str, document: str | None, after: int) -> Iterator[NewSentence]:
    """The rows of a file from one on."""
    source = str(table.source)
    for row in table.rows([column] if document is None else [column, document]):
        text = row.values[column]
        if row.number > after and text.strip():
            yield NewSentence(text, source if document is None else row.values[document], source, row.number)


def _place(word: str, words: Sequence[str], position: int | None) -> int:
    """Where a word stands in a text."""
    places = [i for i, other in enumerate(words) if other.lower() == word.lower()]
    if position is None and places:
        return places[0]
    if position is not None and position in places:
        return position
    where = "" if position is None else f" at place {position}"
    raise InputError(f"the word {word!r} is not in its context{where}; the words there are {list(words)}.")


def _word_of(item: InContext) -> str:
    return (item if isinstance(item, str) else item[0]).lower()


def _shown(items: Sequence[InContext]) -> str:
    return " + ".join(item if isinstance(item, str) else f"{item[0]} in context" for item in items)
