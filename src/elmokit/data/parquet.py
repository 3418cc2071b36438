"""Parquet files: the rows of a table, and columns of values and vectors. Needs the extra `parquet`."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elmokit.data.records import Row, Rows
from elmokit.errors import InputError, OutputError, needing
from elmokit.reading import reading

Columns = Mapping[str, Sequence[Any] | NDArray[np.float32]]  # by name; a matrix (n, d) is a column of vectors
_TEXT_TYPES = ("string", "large_string", "binary", "large_binary")
_ROWS, _BYTES = 1024, 1 << 26  # rows of a table, and bytes of the longest text in each, that are held at once
_TRUSTED_SIZE, _MAX_RATIO = 1 << 28, 100
"""Bytes that any file may hold without its compression, and how many times its own size a larger one may."""


def parquet_rows(name: str, stream: BinaryIO, columns: Sequence[str] | None) -> Rows:
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

    def rows() -> Iterator[Row]:
        wanted = None if columns is None else list(dict.fromkeys(columns))
        with reading(name, error=InputError, what=what):
            values = _values(pyarrow, file.iter_batches(_ROWS, columns=wanted))
            yield from (Row(number, None, row) for number, row in enumerate(values, start=1))

    return list(schema.names), rows()


def _values(pyarrow: Any, batches: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """The rows of batches, as many at once as fit into a bound with the longest text in each."""
    for batch in batches:
        kept = [column.dictionary for column in batch.columns if pyarrow.types.is_dictionary(column.type)]
        texts = [values for values in kept if str(values.type) in _TEXT_TYPES]
        lengths = [pyarrow.compute.max(pyarrow.compute.binary_length(values)).as_py() or 0 for values in texts]
        step = max(1, min(_ROWS, _BYTES // (1 + max(lengths, default=0))))
        for start in range(0, batch.num_rows, step):
            yield from batch.slice(start, step).to_pylist()


@contextmanager
def parquet_file(
    path: Path, empty: Columns, about: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Columns], None]]:
    """Open a Parquet file for columns, block by block, of the types of the first block; `empty` is a block of no rows.

    A column without a value in the first block may get texts later.
    """
    pyarrow = _pyarrow("writing Parquet files")
    file: Any = None

    def array(values: Any) -> Any:
        if isinstance(values, np.ndarray):  # vectors (n, d)
            flat = pyarrow.array(np.ascontiguousarray(values, np.float32).reshape(-1))
            return pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        return pyarrow.array(list(map(storable, values)))

    def write(columns: Columns) -> None:
        nonlocal file
        try:
            table = pyarrow.table({name: array(values) for name, values in columns.items()})
            if file is None:
                is_null, text = pyarrow.types.is_null, pyarrow.string()
                fields = [field.with_type(text) if is_null(field.type) else field for field in table.schema]
                metadata = None if about is None else {"about": json.dumps(about)}
                file = pyarrow.parquet.ParquetWriter(path, pyarrow.schema(fields, metadata))
            file.write_table(table.cast(file.schema))
        except (pyarrow.ArrowException, ValueError) as error:
            raise OutputError(f"{path.name}: the values of a column differ in type ({error}).") from None

    try:
        yield write
        if file is None:
            write(empty)
    finally:
        if file is not None:
            file.close()


def _pyarrow(purpose: str) -> Any:
    with needing("pyarrow", "parquet", purpose):
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    return pyarrow


def storable(value: Any) -> Any:
    """Replace what HDF5 and Arrow can't store in a text: unpaired surrogates and NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "�") if isinstance(value, str) else value
