"""Parquet files: records of a table, rows of a table, and vectors. Needs the extra `parquet`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elmokit.data.records import Record, Records
from elmokit.errors import InputError, MissingExtra, OutputError
from elmokit.reading import reading

MATRIX = "features"
"""The column of vectors."""


def parquet_records(name: str, stream: BinaryIO, columns: Sequence[str] | None) -> Records:
    """Parse a Parquet file."""
    pyarrow = _pyarrow("reading Parquet files")
    what = "Parquet file; is it damaged?"
    with reading(name, error=InputError, what=what):
        file = pyarrow.parquet.ParquetFile(stream)
        names = list(file.schema_arrow.names)

    def records() -> Iterator[Record]:
        wanted = None if columns is None else list(dict.fromkeys(columns))
        with reading(name, error=InputError, what=what):
            rows = (row for batch in file.iter_batches(1024, columns=wanted) for row in batch.to_pylist())
            yield from (Record(number, None, row) for number, row in enumerate(rows, start=1))

    return names, records()


@contextmanager
def parquet_vectors(
    path: Path, dim: int, about: Mapping[str, Any]
) -> Iterator[Callable[[Mapping[str, Sequence[Any]], NDArray[np.float32]], None]]:
    """Open a Parquet file for vectors; see `elmokit.data.outputs.vector_file`."""
    pyarrow = _pyarrow("writing Parquet files")

    def write(columns: Mapping[str, Sequence[Any]], vectors: NDArray[np.float32]) -> None:
        arrays = {name: pyarrow.array([_storable_value(v) for v in values]) for name, values in columns.items()}
        flat = pyarrow.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        arrays[MATRIX] = pyarrow.FixedSizeListArray.from_arrays(flat, dim)
        file.write(pyarrow.table(arrays).replace_schema_metadata({"about": json.dumps(about)}))

    with closing(_Writer(path, pyarrow)) as file:
        yield write
        if file.schema is None:
            write({}, np.zeros((0, dim), np.float32))


@contextmanager
def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Open a Parquet file for rows; see `elmokit.data.outputs.table_file`."""
    pyarrow = _pyarrow("writing Parquet files")
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        try:
            file.write(pyarrow.Table.from_pylist(rows) if rows else pyarrow.table({name: [] for name in columns}))
        except (pyarrow.ArrowException, ValueError) as error:
            raise OutputError(f"{path.name}: the values of a column differ in type ({error}).") from None
        rows.clear()

    def write(values: Sequence[Any]) -> None:
        rows.append(dict(zip(columns, map(_storable_value, values), strict=True)))
        if len(rows) == 8192:
            flush()

    with closing(_Writer(path, pyarrow)) as file:
        yield write
        if rows or file.schema is None:
            flush()


class _Writer:
    """Writes tables to one file, with the types of the first one; a column without a value yet may get texts later."""

    def __init__(self, path: Path, pyarrow: Any) -> None:
        self._path, self._pyarrow = path, pyarrow
        self._file: Any = None
        self.schema: Any = None

    def write(self, table: Any) -> None:
        if self._file is None:
            is_null, text = self._pyarrow.types.is_null, self._pyarrow.string()
            fields = [field.with_type(text) if is_null(field.type) else field for field in table.schema]
            self.schema = self._pyarrow.schema(fields, table.schema.metadata)
            self._file = self._pyarrow.parquet.ParquetWriter(self._path, self.schema)
        self._file.write_table(table.cast(self.schema))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _pyarrow(purpose: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", purpose) from None
    return pyarrow


def _storable_value(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def storable(text: str) -> str:
    """Replace what HDF5 and Arrow can't store: unpaired surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
