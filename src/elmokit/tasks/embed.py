"""Rows of a table → a file of vectors: the work of `elmokit embed`, the same on one machine and on many.

`VectorSpec` says which vectors of which model, as plain values that can be sent to another process or machine. The
model is opened there by its name; its weights do not travel. `VectorWriter` is a spec with its model: it writes the
vectors of rows with what belongs beside them, and so one job's files are the same whichever engine made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.data.outputs import WriteVectors, vector_file
from elmokit.data.tables import Row
from elmokit.elmo import Elmo, Layers

BLOCK = 512
"""Texts that are read, encoded and written together."""


@dataclass(frozen=True, kw_only=True)
class VectorSpec:
    """Which vectors of which model.

    Args:
        model: "default" or whatever `Elmo.load` reads; a path must lead to it on every machine.
        words: whether there is a vector per word instead of one per text.
        pooling: as in `Elmo.encode`.
        layers: as in `Elmo.encode`.
        normalize: whether each text's vector is scaled to length 1.
        precision: as in `Elmo`.
        device: as in `Elmo`.
        n_threads: threads to compute on; None for one per core. Changes no result.

    Example:
        >>> VectorSpec(pooling="max").open_model()  # doctest: +SKIP
        Elmo('elmokit-english-2', dim=640, n_layers=3)
    """

    model: str | Path = "default"
    words: bool = False
    pooling: str = "mean"
    layers: Layers = "mix"
    normalize: bool = False
    precision: str = "float32"
    device: str = "cpu"
    n_threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.layers, str | int):
            object.__setattr__(self, "layers", tuple(self.layers))

    def anywhere(self) -> VectorSpec:
        """The same, with a path that also holds where another process starts.

        Returns:
            the spec; a model known by a name keeps it.
        """
        is_path = str(self.model) != "default" and Path(self.model).exists()
        return replace(self, model=str(Path(self.model).absolute())) if is_path else self

    def open_model(self) -> Elmo:
        """The model, read here and now.

        Returns:
            the model.

        Raises:
            MissingFile: no such file or folder.
            CheckpointError: not a checkpoint.
            ConfigError: a device or precision that is not known.
            MissingExtra: a device or precision that needs PyTorch.
        """
        return Elmo.load(self.model, device=self.device, precision=self.precision, n_threads=self.n_threads)


class VectorWriter:
    """A model that writes what a spec asks for.

    Args:
        elmo: the model.
        spec: which of its vectors.
        column: the column of rows that holds the texts.
        id_column: a column to keep beside the vectors.

    Raises:
        ConfigError: a pooling or layers that the model does not have.
    """

    def __init__(self, elmo: Elmo, spec: VectorSpec, *, column: str = "text", id_column: str | None = None) -> None:
        self.elmo, self.spec, self._column, self._id_column = elmo, spec, column, id_column
        self.dim = _width(elmo, spec)
        layers = spec.layers if isinstance(spec.layers, str | int) else ",".join(f"{x:g}" for x in spec.layers)
        self.about: dict[str, Any] = {
            "model": elmo.name,
            "layers": str(layers),
            "pooling": None if spec.words else spec.pooling,
            "normalize": spec.normalize,
        }

    def identity(self) -> dict[str, Any]:
        """What tells a job's numbers from another's, as JSON.

        Returns:
            settings, precision, and the first numbers of a fixed text's vector, which tell one model from another.
        """
        first = self.elmo.encode(["Tell me which model you are ."])[0, :8]
        numbers = [round(float(x), 3) for x in first]
        return {"words": self.spec.words, **self.about, "precision": self.elmo.precision, "first_numbers": numbers}

    def write_file(self, path: str | Path, rows: Iterable[Row], *, file: str | None = None) -> None:
        """A file with the vectors of rows, whole or not at all.

        Args:
            path: where to; the suffix is one of `elmokit.data.outputs.VECTOR_SUFFIXES`.
            rows: any number of them; they are read as they are encoded.
            file: the name of the file that the rows are of, to be kept beside them.

        Raises:
            ConfigError: a suffix that is not known.
            OutputError: the file can't be written.
            MissingExtra: ``.parquet`` without pyarrow.
        """
        rest = iter(rows)
        with vector_file(path, dim=self.dim, about=self.about) as write:
            while block := list(islice(rest, BLOCK)):
                self.write_block(write, block, file=file)

    def write_block(self, write: WriteVectors, rows: Sequence[Row], *, file: str | None = None) -> None:
        """The vectors of some rows, into an open file.

        Args:
            write: what `vector_file` gives.
            rows: the rows.
            file: the name of the file that the rows are of, to be kept beside them.
        """
        texts = [row.values[self._column] for row in rows]
        if self.spec.words:
            self._write_words(write, rows, texts, file)
        else:
            vectors = self.elmo.encode(
                texts,
                pooling=self.spec.pooling,
                layers=self.spec.layers,
                normalize=self.spec.normalize,
                show_progress=False,
            )
            write(self._beside(rows, [1] * len(rows), file), vectors)

    def _write_words(self, write: WriteVectors, rows: Sequence[Row], texts: list[str], file: str | None) -> None:
        features = self.elmo.encode_words(texts, layers=self.spec.layers, show_progress=False)
        found = [features[i] for i in range(len(rows))]
        beside = self._beside(rows, [len(text.words) for text in found], file)
        beside["word"] = [word for text in found for word in text.words]
        for name, end in (("start", 0), ("end", 1)):
            beside[name] = [int(place[end]) for text in found if text.offsets is not None for place in text.offsets]
        write(beside, np.concatenate([text.vectors for text in found]))

    def _beside(self, rows: Sequence[Row], times: Sequence[int], file: str | None) -> dict[str, list[Any]]:
        repeated = [row for row, n in zip(rows, times, strict=True) for _ in range(n)]
        beside: dict[str, list[Any]] = {} if file is None else {"file": [file] * len(repeated)}
        beside["row"] = [row.number for row in repeated]
        if self._id_column is not None:
            beside["id"] = [row.values[self._id_column] for row in repeated]
        return beside


def _width(elmo: Elmo, spec: VectorSpec) -> int:
    if spec.words:
        return int(elmo.encode_words([["word"]], layers=spec.layers)[0].vectors.shape[1])
    return int(elmo.encode([], pooling=spec.pooling, layers=spec.layers, show_progress=False).shape[1])


def vectors_or_none(elmo: Elmo, spec: VectorSpec, texts: Iterable[Any]) -> list[Any]:
    """A vector per text, and None where a text is missing: for columns of tables that hold nulls.

    Args:
        elmo: the model.
        spec: which of its vectors; one per text.
        texts: strings; None, NaN and the like are missing.

    Returns:
        as many vectors, of shape (d,).

    Raises:
        TextError: a value that is neither a string nor missing.
    """
    values = list(texts)
    there = [i for i, value in enumerate(values) if not _is_missing(value)]
    vectors = elmo.encode(
        [values[i] for i in there],
        pooling=spec.pooling,
        layers=spec.layers,
        normalize=spec.normalize,
        show_progress=False,
    )
    found: dict[int, Any] = dict(zip(there, vectors, strict=True))
    return [found.get(i) for i in range(len(values))]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or repr(value) == "<NA>"
