"""Parquet files: records of a table, rows of a table, and vectors. Needs the extra `parquet`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elmokit.data.records import CheckColumns, Record
from elmokit.errors import InputError, MissingExtra, OutputError

MATRIX = "features"
"""The column of vectors."""


def parquet_records(
    name: str, stream: BinaryIO, check: CheckColumns, *, columns: Sequence[str] | None
) -> Iterator[Record]:
    """Parse a Parquet file."""
    pyarrow = _pyarrow("reading Parquet files")
    wanted = None if columns is None else list(dict.fromkeys(columns))
    try:
        file = pyarrow.parquet.ParquetFile(stream)
        check(file.schema_arrow.names)
        batches = file.iter_batches(1024, columns=wanted)
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from (Record(number, None, row) for number, row in enumerate(rows, start=1))
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError, IndexError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise InputError(f"{name}: not a Parquet file, or a damaged one ({reason}).") from None


@contextmanager
def parquet_vectors(
    path: Path, dim: int, about: Mapping[str, Any]
) -> Iterator[Callable[[Mapping[str, Sequence[Any]], NDArray[np.float32]], None]]:
    """Open a Parquet file for vectors; see `elmokit.data.outputs.vector_file`."""
    pyarrow = _pyarrow("writing Parquet files")
    writer: Any = None

    def write(columns: Mapping[str, Sequence[Any]], vectors: NDArray[np.float32]) -> None:
        nonlocal writer
        arrays = {
            name: pyarrow.array([storable(v) if isinstance(v, str) else v for v in values])
            for name, values in columns.items()
        }
        flat = pyarrow.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        arrays[MATRIX] = pyarrow.FixedSizeListArray.from_arrays(flat, dim)
        table = pyarrow.table(arrays).replace_schema_metadata({"about": json.dumps(about)})
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)

    try:
        yield write
        if writer is None:
            write({}, np.zeros((0, dim), np.float32))
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Open a Parquet file for rows; see `elmokit.data.outputs.table_file`."""
    pyarrow = _pyarrow("writing Parquet files")
    rows: list[dict[str, Any]] = []
    writer: Any = None

    def flush() -> None:
        nonlocal writer
        try:
            table = pyarrow.Table.from_pylist(rows) if rows else pyarrow.table({name: [] for name in columns})
            writer = writer or pyarrow.parquet.ParquetWriter(path, _without_nulls(pyarrow, table.schema))
            writer.write_table(table.cast(writer.schema))
        except (pyarrow.ArrowException, ValueError) as error:
            raise OutputError(f"{path.name}: the values of a column differ in type ({error}).") from None
        rows.clear()

    def write(values: Sequence[Any]) -> None:
        values = [storable(value) if isinstance(value, str) else value for value in values]
        rows.append(dict(zip(columns, values, strict=True)))
        if len(rows) == 8192:
            flush()

    try:
        yield write
        if rows or writer is None:
            flush()
    finally:
        if writer is not None:
            writer.close()


def _without_nulls(pyarrow: Any, schema: Any) -> Any:
    """A schema where columns that hold no value yet may get texts later."""
    text = pyarrow.string()
    return pyarrow.schema(
        [pyarrow.field(field.name, text if pyarrow.types.is_null(field.type) else field.type) for field in schema]
    )


def _pyarrow(purpose: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", purpose) from None
    return pyarrow


def storable(text: str) -> str:
    """Replace what HDF5 and Arrow can't store: unpaired surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
