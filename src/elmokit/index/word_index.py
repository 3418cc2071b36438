"""`WordIndex`: a folder of word occurrences, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.corpora.tables import Table
from elmokit.elmo import Elmo, Layers
from elmokit.index.results import Neighbours, Occurrence, Senses, Sentence, WordMap, WordMeans
from elmokit.text.inputs import Text

InContext = str | tuple[str, Text]
"""A word (its mean over the index), or a word and the text it stands in."""

OnProgress = Callable[[str, int, "int | None"], None]
"""Takes what is being done, steps done, and steps in all (None where nobody knows)."""


class WordIndex:
    """An index of word occurrences, in a folder. Made by `create`, opened by `open`. Readers may share it (threads)."""

    @classmethod
    def create(
        cls,
        folder: str | Path,
        elmo: Elmo,
        *,
        layers: Layers = "mix",
        words: str | Collection[str] = "content",
    ) -> WordIndex:
        """Make an empty index.

        Args:
            folder: where to; made if it does not exist.
            elmo: the model that the vectors come from.
            layers: which layers (see `Elmo.encode_words`).
            words: which words are kept: "content" (no function words, marks, numbers), "all", or a list of words.

        Returns:
            the index, ready for `add` and `build`.

        Raises:
            OutputError: the folder holds something already.
            MissingExtra: LanceDB is not installed.
        """
        raise NotImplementedError

    @classmethod
    def open(cls, folder: str | Path, *, elmo: Elmo | None = None) -> WordIndex:
        """Open an index; takes well under a second, the model is loaded when it is first needed.

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
        raise NotImplementedError

    # what it is

    @property
    def folder(self) -> Path:
        """Where it lies."""
        raise NotImplementedError

    @property
    def dim(self) -> int:
        """Width of a vector."""
        raise NotImplementedError

    @property
    def elmo(self) -> Elmo:
        """The model; loaded when first asked for."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Occurrences."""
        raise NotImplementedError

    @property
    def n_sentences(self) -> int:
        """Sentences."""
        raise NotImplementedError

    def documents(self) -> Mapping[str, int]:
        """Documents and how many sentences each has."""
        raise NotImplementedError

    def words(self, *, min_count: int = 1) -> Mapping[str, int]:
        """Words and how often each occurs, the most frequent first."""
        raise NotImplementedError

    def about(self) -> Mapping[str, object]:
        """Facts for people and pages, as JSON types: model, layers, dim, occurrences, sentences, words, bytes."""
        raise NotImplementedError

    # writing

    def build(
        self,
        tables: Iterable[Table],
        *,
        column: str = "text",
        document: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Add the rows of files that are not in the index yet; an interrupted build goes on where it stood.

        Args:
            tables: files of texts, one sentence (or short text) per row.
            column: the column with the texts; "text" for plain text files.
            document: a column that names each row's document; None takes the file's name.
            on_progress: told of sentences done.

        Returns:
            occurrences added.
        """
        raise NotImplementedError

    def add(self, texts: Iterable[str], *, document: str) -> int:
        """Add sentences.

        Args:
            texts: sentences, one string each.
            document: what they belong to; may be there already.

        Returns:
            occurrences added.
        """
        raise NotImplementedError

    def delete(self, document: str) -> int:
        """Take a document out.

        Args:
            document: its name.

        Returns:
            sentences deleted.

        Raises:
            InputError: no such document.
        """
        raise NotImplementedError

    def optimize(self, *, on_progress: OnProgress | None = None) -> None:
        """Compact the files and bring the nearest-neighbour index up to date; `build` ends with it."""
        raise NotImplementedError

    def refresh(self) -> None:
        """See what others have written since this index was opened."""
        raise NotImplementedError

    # asking

    def vector(self, word: str, context: Text, *, position: int | None = None) -> NDArray[np.float32]:
        """The vector of a word in a text, in the index's frame, of length 1.

        Args:
            word: the word; upper and lower case are the same.
            context: a text or a list of words that holds it.
            position: which of the text's words it is, from 0; None for the first that fits.

        Returns:
            the vector. Shape (d,).

        Raises:
            InputError: the text does not hold the word.
        """
        raise NotImplementedError

    def similarity(self, word_1: str, context_1: Text, word_2: str, context_2: Text) -> float:
        """How alike two words are used, each in its text: a cosine."""
        raise NotImplementedError

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
            word: the word; None where positive= says it all.
            context: a text that holds the word; None for the word's mean over the index.
            position: which of the context's words it is, from 0; None for the first that fits.
            positive: further words to be near to, alone or each with its context: "king", ("bank", "a river bank").
            negative: words to be far from.
            k: groups (words, or senses of words) at most.
            documents: look in these documents only; None for all.
            exact: whether all occurrences are compared; else the nearest-neighbour index is used where there is one.

        Returns:
            at most k neighbours, best first. With a context the word itself may be among them (its other
            occurrences); without one it is not.

        Raises:
            InputError: a word that is not in its context, or (without context) not in the index.
        """
        raise NotImplementedError

    def search(
        self,
        vector: NDArray[np.float32],
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
        raise NotImplementedError

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
        raise NotImplementedError

    def occurrences(self, word: str, *, limit: int = 100) -> list[Occurrence]:
        """Occurrences of a word, spread over the index.

        Args:
            word: the word; upper and lower case are the same.
            limit: at most so many.

        Returns:
            occurrences in the order of the sentences; none for a word that does not occur.
        """
        raise NotImplementedError

    def senses(self, word: str, *, n_senses: int | None = None, limit: int = 1000) -> Senses:
        """The senses of a word: its occurrences clustered, each cluster named by its neighbours.

        Args:
            word: the word; upper and lower case are the same.
            n_senses: how many; None chooses 1 to 6 by silhouette.
            limit: occurrences looked at, at most.

        Returns:
            the senses, the most frequent first. Remembered until the index changes.

        Raises:
            InputError: the word does not occur.
        """
        raise NotImplementedError

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
        """
        raise NotImplementedError

    def means(self, *, min_count: int = 5) -> WordMeans:
        """A static vector per word: the mean of its occurrences in the frame.

        Args:
            min_count: words that occur less often are left out.

        Returns:
            words, counts and vectors, the most frequent first.
        """
        raise NotImplementedError
