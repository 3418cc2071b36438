"""`WordIndex`: a folder of word occurrences. Here it is made, opened and changed; `reader.py` has the questions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from elmokit.blocks import blocks
from elmokit.data.tables import Table
from elmokit.elmo import Elmo
from elmokit.encoding import Encoding, Layers
from elmokit.errors import InputError, OutputError
from elmokit.files import make_folder
from elmokit.index.build import NewSentence, columns_of, new_rows, numbered
from elmokit.index.description import Description
from elmokit.index.kept_words import kept_words
from elmokit.index.reader import IndexReader
from elmokit.index.store import UNFINISHED, Store
from elmokit.progress import Advance

BLOCK = 2048  # sentences that are written together: what an interruption may cost, and what memory holds
_CENTERING_TEXTS = 1000  # whose mean vector is subtracted


class WordIndex(IndexReader):
    """An index of word occurrences in a folder: made by `create`, opened by `open`. Threads may share it.

    Example:
        ``WordIndex.open("novels.index").most_similar("bank", context="We sat on the bank of the river.")``
    """

    @classmethod
    def create(
        cls,
        folder: str | Path,
        elmo: Elmo | str = "default",
        *,
        layers: Layers = "mix",
        words: str | Collection[str] = "content",
    ) -> WordIndex:
        """Make an empty index, ready for `add` and `build`, in a `folder` that is empty or does not exist yet.

        `elmo` is the model, or what `Elmo.load` takes; `open` finds it again, unless it was made in memory. `layers`
        are those of `Elmo.encode_words`, but not "each". `words` are those to keep: "content" (no function words,
        punctuation, numbers), "all", or a list. OutputError for a folder that is not empty or can't be created,
        ConfigError for unknown layers or words, MissingExtra without LanceDB.
        """
        encoding, kept = Encoding(layers=layers), kept_words(words)
        model = Elmo.load(elmo) if isinstance(elmo, str) else elmo
        source, width = model.source or "default", model.width(encoding)
        description = Description(model.name, source, model.fingerprint, encoding.layers, kept, width)
        folder = make_folder(folder)
        if not {path.name for path in folder.iterdir()} <= UNFINISHED:
            raise OutputError(f"{folder}: not empty; give a new folder, or open the index that is there.")
        store = Store(folder, width, new=True)
        description.write(folder)
        return cls(folder, store, description, model)

    @classmethod
    def open(cls, folder: str | Path, *, elmo: Elmo | None = None) -> WordIndex:
        """Open the index of a `folder` as it is now (see `refresh`); without `elmo`, its model is loaded when needed.

        MissingFile without an index, CheckpointError for damaged files or another model than the index was made with,
        MissingExtra without LanceDB.
        """
        folder = Path(folder)
        description = Description.read(folder)
        if elmo is not None:
            description.check(elmo, folder)
        return cls(folder, Store(folder, description.dim), description, elmo)

    def build(
        self,
        tables: Sequence[Table],
        *,
        column: str = "text",
        document: str | None = None,
        on_progress: Advance = lambda _: None,
    ) -> int:
        """Add the rows of files that are not in the index yet, one sentence each; the number of occurrences added.

        An interrupted build resumes after its last block. A file is known by its name and row numbers: one that grew is
        read on from its last row (`last_row`); one that changed must be deleted first. InputError for a row that can't
        be used (see `Table`), OutputError for a folder that can't be written, or to which another process is writing.

        Args:
            tables: files of texts.
            column: the column with the texts; "text" for plain text files.
            document: the column with each row's document; None for the name of the file.
            on_progress: called with the number of sentences encoded since the last call.

        Returns: occurrences added.
        """
        with self._writing():
            rows = chain.from_iterable(
                new_rows(table, column, document, after=self.last_row(str(table.source))) for table in tables
            )
            n_added = self._write(rows, on_progress)
            self._store.index()
        return n_added

    def last_row(self, source: str) -> int:
        """The last row of a file, or the last text of a document (its name is `source`), in the index; 0 for none."""
        return self._store.last_row(source)

    def add(self, texts: Iterable[str], *, document: str) -> int:
        """Add `texts`, a sentence each, at the end of a `document`, which may exist; the number of occurrences added.

        InputError for one string instead of several, OutputError as in `build`.
        """
        if isinstance(texts, str):
            raise InputError("texts is one string; expected a list of sentences: [text].")
        with self._writing():
            return self._write(numbered(texts, document=document, after=self.last_row(document)))

    def delete(self, document: str) -> int:
        """Delete a document; the number of its sentences. Raises InputError if there is no such document."""
        with self._writing():
            n_before = self.n_sentences
            self._store.delete(document)
            n_deleted = n_before - self.n_sentences
        if not n_deleted:
            raise InputError(f"{self.folder}: no document {document!r} is in the index; `documents()` lists them.")
        return n_deleted

    def optimize(self) -> None:
        """Merge small files, free deleted space, update the search index; other readers must `refresh` afterwards."""
        with self._writing():
            self._store.compact()

    def refresh(self) -> None:
        """See what others have written since the index was opened."""
        with self._lock:
            self.description = Description.read(self.folder)
            self._store.refresh()
            self._cache.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._store.writing():
            try:
                yield
            finally:
                self._cache.clear()

    def _write(self, rows: Iterable[NewSentence], on_progress: Advance = lambda _: None) -> int:
        """Add sentences, a block at a time, reading them as they are written; the number of occurrences."""
        n_added, number = 0, self._store.next_sentence()
        for chosen in blocks(rows, BLOCK):
            texts = [sentence.text for sentence in chosen]
            encoded = self.elmo.encode_words(texts, layers=self.description.layers, show_progress=on_progress)
            if self.description.mean is None:
                vectors = [text.vectors for text in encoded[:_CENTERING_TEXTS] if len(text)] or [
                    np.zeros((1, self.dim))
                ]
                mean = np.concatenate(vectors).mean(axis=0, dtype=np.float64).astype(np.float32)
                self.description = replace(self.description, mean=tuple(mean.tolist()))
                self.description.write(self.folder)
            occurrences, about = columns_of(self.description, number, chosen, encoded)
            self._store.append(occurrences, about)
            n_added, number = n_added + len(occurrences["word"]), number + len(chosen)
        return n_added
