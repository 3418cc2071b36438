"""Sentences → rows of the store: encode a batch, keep the chosen words, write a block, again.

A block is what an interruption may cost and what memory holds: some thousands of sentences. A text is one sentence
here; who has longer ones splits them first, and who does not gets occurrences whose example is the whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.features import WordVectors
from elmokit.index.frame import Frame, unit
from elmokit.index.kept_words import is_content_word
from elmokit.index.store import Columns, Store

BLOCK = 4096
"""Sentences that are written together."""

_BATCH = 512
"""Sentences that are encoded together: bounds the memory that all words' float32 vectors take."""


@dataclass(frozen=True, slots=True)
class NewSentence:
    """A text on its way into the index.

    Args:
        text: the sentence.
        document: what it belongs to.
        source: the file or document whose rows are counted.
        row: its place there, from 1.
    """

    text: str
    document: str
    source: str
    row: int


@dataclass(frozen=True)
class Encoding:
    """How texts become vectors in an index.

    Args:
        elmo: the model.
        layers: which layers.
        keep: whether a word, in lower case, gets an entry.
        frame: where vectors are compared.
    """

    elmo: Elmo
    layers: Layers
    keep: Callable[[str], bool]
    frame: Frame

    def words(self, texts: Iterable[str]) -> list[WordVectors]:
        """Words and their vectors of length 1 in the frame, beside lengths.

        Args:
            texts: a batch.

        Returns:
            one value per text; `vectors` are the model's.
        """
        return list(self.elmo.encode_words(list(texts), layers=self.layers, show_progress=False))

    def sentence(self, words: tuple[str, ...], units: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vector of a sentence: the mean of its content words' (of all words' where it has none), of length 1.

        Args:
            words: T words.
            units: their vectors in the frame. Shape (T, d).

        Returns:
            the vector; zeros for no words. Shape (d,).
        """
        chosen = np.array([is_content_word(word.lower()) for word in words], dtype=np.bool_)
        rows = units[chosen] if chosen.any() else units
        return unit(rows.mean(axis=0) if len(rows) else np.zeros(units.shape[1], np.float32))


def fit_frame(elmo: Elmo, layers: Layers, texts: Iterable[str]) -> Frame:
    """The frame of an index: the mean of all words of its first texts.

    Args:
        elmo: the model.
        layers: which layers.
        texts: the first texts.

    Returns:
        the frame; its centre is zero where the texts have no words.
    """
    found = elmo.encode_words(list(texts), layers=layers, show_progress=False)
    return Frame.fitted(np.concatenate([text.vectors for text in found if len(text)]))


def write_sentences(
    store: Store,
    encoding: Encoding,
    sentences: Iterable[NewSentence],
    *,
    block: int = BLOCK,
    on_block: Callable[[int], None] | None = None,
) -> int:
    """Add sentences to the store.

    Args:
        store: open for writing.
        encoding: how texts become vectors.
        sentences: any number; they are read as they are written.
        block: sentences that are written together.
        on_block: told how many sentences were written since the last call.

    Returns:
        occurrences added.
    """
    n_added, number, rest = 0, store.next_sentence(), iter(sentences)
    while chosen := list(islice(rest, block)):
        parts = [_encoded(encoding, chosen[i : i + _BATCH], number + i) for i in range(0, len(chosen), _BATCH)]
        occurrences, found = (_joined([part[i] for part in parts]) for i in (0, 1))
        store.append(occurrences, found)
        n_added, number = n_added + len(occurrences["word"]), number + len(chosen)
        if on_block is not None:
            on_block(len(chosen))
    return n_added


def _encoded(encoding: Encoding, batch: list[NewSentence], number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of both tables for a batch of sentences, the first of which gets this number."""
    occurrences: dict[str, list[Any]] = {name: [] for name in ("word", "sentence", "start", "end", "document")}
    lengths, units, means = [], [], []
    for i, (sentence, found) in enumerate(zip(batch, encoding.words(s.text for s in batch), strict=True)):
        in_frame, length = encoding.frame.units(found.vectors)
        means.append(encoding.sentence(found.words, in_frame))
        lowered = [storable(word.lower()) for word in found.words]
        kept = [place for place, word in enumerate(lowered) if encoding.keep(word)]
        assert found.offsets is not None, "strings have offsets"
        occurrences["word"] += [lowered[place] for place in kept]
        occurrences["sentence"] += [number + i] * len(kept)
        occurrences["start"] += found.offsets[kept, 0].tolist()
        occurrences["end"] += found.offsets[kept, 1].tolist()
        occurrences["document"] += [storable(sentence.document)] * len(kept)
        lengths.append(length[kept])
        units.append(in_frame[kept].astype(np.float16))
    about = {
        "id": np.arange(number, number + len(batch)),
        "source": [storable(sentence.source) for sentence in batch],
        "row": [sentence.row for sentence in batch],
        "document": [storable(sentence.document) for sentence in batch],
        "text": [storable(sentence.text) for sentence in batch],
        "vector": np.stack(means).astype(np.float16),
    }
    return {**occurrences, "length": np.concatenate(lengths), "vector": np.concatenate(units)}, about


def _joined(parts: list[dict[str, Any]]) -> Columns:
    """Columns of several batches under each other."""
    first = parts[0]
    return {
        name: np.concatenate([part[name] for part in parts])
        if isinstance(first[name], np.ndarray)
        else [value for part in parts for value in part[name]]
        for name in first
    }


def numbered(texts: Iterable[str], *, document: str, after: int) -> Iterator[NewSentence]:
    """Texts of one document, numbered on.

    Args:
        texts: sentences; those without a visible character are passed over, but counted.
        document: their name.
        after: the last number that is taken.

    Yields:
        one value per text.
    """
    for row, text in enumerate(texts, after + 1):
        if text.strip():
            yield NewSentence(text, document, document, row)


def storable(text: str) -> str:
    r"""The text as Arrow can hold it: unpaired surrogates become question marks, places stay the same.

    Args:
        text: any string.

    Returns:
        a string of the same length.

    Example:
        >>> storable("a\ud800b")
        'a?b'
    """
    return text.encode("utf-8", "replace").decode()
