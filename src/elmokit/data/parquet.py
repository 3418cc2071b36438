"""Parquet files: records of a table, rows of a table, and vectors. Needs the extra `parquet`."""

from __future__ import annotations

import io
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

_TEXT_TYPES = ("string", "large_string", "binary", "large_binary")
_ROWS, _BYTES = 1024, 1 << 26
"""Rows of a table, and bytes of the longest text in each, that are held at once."""

_TRUSTED_SIZE, _MAX_RATIO = 1 << 28, 100
"""Bytes that any file may hold without its compression, and how many times its own size a larger one may."""


def parquet_records(name: str, stream: BinaryIO, columns: Sequence[str] | None) -> Records:
    """Parse a Parquet file, whose texts stay encoded until their row is read: a short file may repeat a long one."""
    pyarrow = _pyarrow("reading Parquet files")
    what = "Parquet file; is it damaged?"
    with reading(name, error=InputError, what=what):
        file = pyarrow.parquet.ParquetFile(stream)
        schema, metadata, n_bytes = file.schema_arrow, file.metadata, stream.seek(0, io.SEEK_END)
        claimed = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if claimed > max(_TRUSTED_SIZE, _MAX_RATIO * n_bytes):
            raise InputError(f"{name}: {n_bytes:,} bytes claim to hold {claimed:,}; this is not believed.")
        texts = [field.name for field in schema if str(field.type) in _TEXT_TYPES]
        file = pyarrow.parquet.ParquetFile(stream, metadata=metadata, read_dictionary=texts)

    def records() -> Iterator[Record]:
        wanted = None if columns is None else list(dict.fromkeys(columns))
        with reading(name, error=InputError, what=what):
            batches = file.iter_batches(_ROWS, columns=wanted)
            yield from (Record(number, None, row) for number, row in enumerate(_rows(pyarrow, batches), start=1))

    return list(schema.names), records()


def _rows(pyarrow: Any, batches: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """The rows of batches, as many at once as fit into a bound with the longest text in each."""
    for batch in batches:
        kept = [column.dictionary for column in batch.columns if pyarrow.types.is_dictionary(column.type)]
        texts = [values for values in kept if str(values.type) in _TEXT_TYPES]
        lengths = [pyarrow.compute.max(pyarrow.compute.binary_length(values)).as_py() or 0 for values in texts]
        step = max(1, min(_ROWS, _BYTES // (1 + max(lengths, default=0))))
        for start in range(0, batch.num_rows, step):
            yield from batch.slice(start, step).to_pylist()


@contextmanager
def parquet_vectors(
    path: Path, dim: int, about: Mapping[str, Any]
) -> Iterator[Callable[[Mapping[str, Sequence[Any]], NDArray[np.float32]], None]]:
    """Open a Parquet file for vectors; see `elmokit.data.outputs.vector_file`."""
    pyarrow = _pyarrow("writing Parquet files")

    def write(columns: Mapping[str, Sequence[Any]], vectors: NDArray[np.float32]) -> None:
        arrays = {name: pyarrow.array([storable(v) for v in values]) for name, values in columns.items()}
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
        rows.append(dict(zip(columns, map(storable, values), strict=True)))
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
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", purpose) from None
    return pyarrow


def storable(value: Any) -> Any:
    """Replace what HDF5 and Arrow can't store in a text: unpaired surrogates and NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "�") if isinstance(value, str) else value
