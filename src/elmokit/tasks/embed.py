"""Rows of a table → a file of vectors: the work of `elmokit embed`, the same on one machine and on many.

`VectorSpec` names a model and the vectors wanted from it in plain values that can be sent to another machine; the
model is loaded there. `VectorWriter` is a spec with its model, and writes the vectors of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.blocks import SizedStream, blocks
from elmokit.data.outputs import vector_file
from elmokit.data.tables import Row
from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.tasks.checks import is_missing

_WRITTEN_TOGETHER = 512  # texts whose vectors are appended to the file at once


@dataclass(frozen=True, kw_only=True)
class VectorSpec:
    """Which vectors of which model (a path must exist on every machine): one per text, or with `words` one per word.

    For words only the layers of the encoding count. Precision, device and threads are those of `Elmo`.
    """

    model: str | Path = "default"
    words: bool = False
    encoding: Encoding = Encoding()
    precision: str = "float32"
    device: str = "cpu"
    n_threads: int | None = None

    def anywhere(self) -> VectorSpec:
        """The spec with an absolute path of the model, which holds in another process; names stay as they are."""
        is_path = str(self.model) != "default" and Path(self.model).exists()
        return replace(self, model=str(Path(self.model).absolute())) if is_path else self

    def open_model(self) -> Elmo:
        """Load the model (see `Elmo.load`)."""
        return Elmo.load(self.model, device=self.device, precision=self.precision, n_threads=self.n_threads)


class VectorWriter:
    """Writes the vectors that a spec asks for of the texts in a column, and copies a column of ids."""

    def __init__(self, elmo: Elmo, spec: VectorSpec, *, column: str = "text", id_column: str | None = None) -> None:
        self.elmo, self.spec, self._column, self._id_column = elmo, spec, column, id_column
        config, encoding = elmo.config, spec.encoding
        self.dim = encoding.word_width(config) if spec.words else elmo.width(encoding)
        self.about: dict[str, Any] = {"model": elmo.name, "fingerprint": elmo.fingerprint, **encoding.to_dict()}
        if spec.words:
            del self.about["pooling"], self.about["normalize"]

    def identity(self) -> dict[str, Any]:
        """What distinguishes the numbers of one job from another's, as JSON."""
        return {"words": self.spec.words, **self.about, "precision": self.elmo.precision}

    def write_file(
        self,
        path: str | Path,
        rows: Iterable[Row],
        *,
        file: str | None = None,
        format: str | None = None,
        n_rows: int | None = None,
        show_progress: bool | None = False,
        on_written: Callable[[int], None] | None = None,
    ) -> int:
        """Write the vectors of rows, read as they are encoded, to one file, and return the number of texts.

        `file` is the name of the input, a column beside the vectors; `format` None infers it from the suffix; `n_rows`
        is for the progress bar; `on_written` is called with the number of texts written since its last call.
        """
        n_texts = 0
        with vector_file(path, dim=self.dim, about=self.about, format=format) as write:
            for block in blocks(self._encoded(rows, n_rows, show_progress), _WRITTEN_TOGETHER):
                columns = self._columns(block, file)
                write(columns, np.concatenate([np.atleast_2d(vectors) for _, _, vectors in block]))
                n_texts += len(block)
                if on_written is not None:
                    on_written(len(block))
        return n_texts

    def _encoded(
        self, rows: Iterable[Row], n_rows: int | None, show_progress: bool | None
    ) -> Iterator[tuple[Row, Any, Any]]:
        """Each row, its words (None for text vectors) and its vectors."""
        kept, read = tee(rows)
        stream: Iterable[str] = (row.values[self._column] for row in read)
        texts = stream if n_rows is None else SizedStream(stream, n_rows)
        encoding = self.spec.encoding
        if not self.spec.words:
            vectors = self.elmo.encode_stream(texts, encoding, show_progress=show_progress)
            yield from ((row, None, vector) for row, vector in zip(kept, vectors, strict=True))
            return
        chosen: dict[str, Any] = {"layers": encoding.layers, "layer_weights": encoding.layer_weights}
        words = self.elmo.encode_words_stream(texts, **chosen, show_progress=show_progress)
        yield from ((row, own, own.vectors) for row, own in zip(kept, words, strict=True))

    def _columns(self, block: Sequence[tuple[Row, Any, Any]], file: str | None) -> dict[str, list[Any]]:
        """The columns beside the vectors of a block: a value per vector."""
        n_vectors = [1 if words is None else len(words.words) for _, words, _ in block]
        repeated = [row for (row, _, _), n in zip(block, n_vectors, strict=True) for _ in range(n)]
        columns: dict[str, list[Any]] = {} if file is None else {"file": [file] * len(repeated)}
        columns["row"] = [row.number for row in repeated]
        if self._id_column is not None:
            columns["id"] = [row.values[self._id_column] for row in repeated]
        if self.spec.words:
            texts = [words for _, words, _ in block]
            columns["word"] = [word for words in texts for word in words.words]
            places = [place for words in texts for place in words.offsets]
            columns |= {"start": [int(start) for start, _ in places], "end": [int(end) for _, end in places]}
        return columns


def vectors_or_none(elmo: Elmo, spec: VectorSpec, texts: Iterable[Any]) -> list[Any]:
    """Encode texts, a vector of shape (D,) each; None for missing ones (None, NaN, pandas' NA)."""
    values = [None if is_missing(value) else value for value in texts]
    vectors = iter(elmo.encode([text for text in values if text is not None], spec.encoding, show_progress=False))
    return [None if text is None else next(vectors) for text in values]
