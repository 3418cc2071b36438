"""Texts → sentences with their places, and encoded sentences → columns of the store: the words that are kept."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elmokit.data.parquet import storable
from elmokit.data.tables import Table
from elmokit.errors import TextError
from elmokit.features import WordVectors
from elmokit.index.description import Description, scaled
from elmokit.index.kept_words import is_content_word, word_test
from elmokit.index.store import Columns


class NewSentence(NamedTuple):
    """A text on its way into the index: row `row` (from 1) of the file or document `source`."""

    text: str
    document: str
    source: str
    row: int


def sentence_vector(words: tuple[str, ...], units: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of a sentence's content words (or of all, if it has none), of length 1; zeros for no words. (d,)."""
    content = np.array([is_content_word(word.lower()) for word in words], dtype=np.bool_)
    rows = units[content] if content.any() else units
    return scaled(rows.mean(axis=0) if len(rows) else np.zeros(units.shape[1], np.float32))[0]


def columns_of(
    description: Description, first: int, sentences: Sequence[NewSentence], encoded: Sequence[WordVectors]
) -> tuple[Columns, Columns]:
    """Columns of both tables for a block of sentences, the first of which gets the number `first`."""
    keep, centering = word_test(description.words), description.centering
    rows, vectors, lengths, means = [], [], [], []
    for number, (sentence, words) in enumerate(zip(sentences, encoded, strict=True), first):
        units, norms = centering.units(words.vectors)
        lowered = [storable(word.lower()) for word in words.words]
        kept = [place for place, word in enumerate(lowered) if keep(word)]
        assert words.offsets is not None, "strings have offsets"
        document = storable(sentence.document)
        places = words.offsets[kept].tolist()
        rows += [(lowered[i], number, start, end, document) for i, (start, end) in zip(kept, places, strict=True)]
        vectors.append(units[kept].astype(np.float16))
        lengths.append(norms[kept])
        means.append(sentence_vector(words.words, units).astype(np.float16))
    names = ("word", "sentence", "start", "end", "document")
    occurrences = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    about = {
        "id": np.arange(first, first + len(sentences)),
        "row": [sentence.row for sentence in sentences],
        **{name: [storable(getattr(one, name)) for one in sentences] for name in ("source", "document", "text")},
        "vector": np.stack(means),
    }
    return {**occurrences, "length": np.concatenate(lengths), "vector": np.concatenate(vectors)}, about


def new_rows(table: Table, column: str, document: str | None, *, after: int) -> Iterator[NewSentence]:
    """The rows of a file that follow row `after`, but for those without visible text; see `WordIndex.build`."""
    source = str(table.source)
    for row in table.rows([column] if document is None else [column, document]):
        text = row.values[column]
        if row.number > after and text.strip():
            yield NewSentence(text, source if document is None else row.values[document], source, row.number)


def numbered(texts: Iterable[str], *, document: str, after: int) -> Iterator[NewSentence]:
    """The texts of a document, numbered from `after` on; those without visible text are counted, but left out."""
    for row, text in enumerate(texts, after + 1):
        if not isinstance(text, str):
            raise TextError(f"texts[{row - after - 1}] is a {type(text).__name__} ({text!r:.40}); expected a string.")
        if text.strip():
            yield NewSentence(text, document, document, row)
