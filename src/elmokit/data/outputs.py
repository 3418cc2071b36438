"""Vectors and tables → files, block by block, whole or not at all; the suffix chooses the format.

A file of vectors is one matrix (a row per text or word) with columns beside it: the row of the input table, its id,
the word. Memory does not grow with the corpus, but for the columns of an ``.npz`` file.
"""

import csv
import io
import json
import shutil
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.data.parquet import parquet_file
from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError, InputError
from elmokit.files import atomic_path

SideColumns = Mapping[str, Sequence[int] | Sequence[str]]
WriteVectors = Callable[[SideColumns, NDArray[np.float32]], None]
"""Takes side columns of n values each and n vectors. Shape (n, d)."""

_MATRIX = "features"
_ROWS_TOGETHER = 8192  # of a Parquet file
_MAX_PADDING = 16  # how many times their own characters strings may take in an .npz file


@contextmanager
def vector_file(
    path: str | Path, *, dim: int, about: Mapping[str, Any], format: str | None = None
) -> Iterator[WriteVectors]:
    """Open a file for vectors that are written block by block."""
    path = Path(path)
    suffix = path.suffix.lower() if format is None else f".{format}"
    if suffix not in _VECTOR_FILES:
        raise ConfigError(f"{path}: {suffix!r} is no format for vectors; expected one of {', '.join(VECTOR_SUFFIXES)}.")
    with atomic_path(path) as temporary, _VECTOR_FILES[suffix](temporary, dim, about) as write:
        yield write


@contextmanager
def _npy(path: Path, dim: int, _about: Mapping[str, Any]) -> Iterator[WriteVectors]:
    with path.open("wb") as file, _matrix(file, dim) as write:
        yield lambda _, vectors: write(vectors)


@contextmanager
def _matrix(file: BinaryIO, dim: int) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """A .npy file whose header gets the number of rows at the end; NumPy leaves room for it."""
    n_rows = 0

    def header() -> None:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n_rows, dim)})

    def write(vectors: NDArray[np.float32]) -> None:
        nonlocal n_rows
        file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        n_rows += len(vectors)

    header()
    start = file.tell()
    yield write
    file.seek(0)
    header()
    assert file.tell() == start, "the header of a .npy file grew"
    file.seek(0, io.SEEK_END)


@contextmanager
def _npz(path: Path, dim: int, about: Mapping[str, Any]) -> Iterator[WriteVectors]:
    waiting: dict[str, list[Any]] = {}
    with tempfile.TemporaryFile(dir=path.parent) as file:
        with _matrix(file, dim) as write_matrix:

            def write(columns: SideColumns, vectors: NDArray[np.float32]) -> None:
                for name, values in columns.items():
                    waiting.setdefault(name, []).extend(values)
                write_matrix(vectors)

            yield write
        file.seek(0)
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open(f"{_MATRIX}.npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(file, member, 1 << 20)
            arrays = {k: v for name, values in waiting.items() for k, v in _arrays(name, values).items()}
            for name, array in {**arrays, "about": np.asarray(json.dumps(about))}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)


def _arrays(name: str, values: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """A column as arrays. NumPy pads strings to the longest; if that wastes much, they are stored as UTF-8 bytes."""
    lengths = [len(value) for value in values if isinstance(value, str)]
    if len(values) * max(lengths, default=0) <= _MAX_PADDING * sum(lengths) + (1 << 16):
        return {name: np.asarray(values)}
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    return {
        f"{name}_bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}_ends": np.cumsum([len(value) for value in encoded], dtype=np.int64),
    }


@contextmanager
def _parquet(path: Path, dim: int, about: Mapping[str, Any]) -> Iterator[WriteVectors]:
    with parquet_file(path, {_MATRIX: np.zeros((0, dim), np.float32)}, about) as write:
        yield lambda columns, vectors: write({**columns, _MATRIX: vectors})


_VECTOR_FILES: dict[str, Callable[[Path, int, Mapping[str, Any]], AbstractContextManager[WriteVectors]]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".parquet": _parquet,
}
VECTOR_SUFFIXES = tuple(_VECTOR_FILES)  # the suffixes that `vector_file` knows
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # the suffixes that `write_table` knows


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a table, whole or not at all, and return the number of rows; "-" prints CSV."""
    suffix, n_rows = Path(path).suffix.lower(), 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal n_rows
        for n_rows, row in enumerate(rows, 1):  # noqa: B007 -- the last one is returned
            yield row

    if str(path) == STDIN:
        deque(map(_row_writer(sys.stdout, ".csv", columns), counted()), maxlen=0)
        return n_rows
    if suffix not in TABLE_SUFFIXES:
        raise ConfigError(f"{path}: {suffix!r} is no format for tables; expected one of {', '.join(TABLE_SUFFIXES)}.")
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            with parquet_file(temporary, {name: [] for name in columns}) as write:
                for block in blocks(counted(), _ROWS_TOGETHER):
                    write(dict(zip(columns, zip(*block, strict=True), strict=True)))
        else:
            with temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
                deque(map(_row_writer(file, suffix, columns), counted()), maxlen=0)
    return n_rows


def _row_writer(file: TextIO, suffix: str, columns: Sequence[str]) -> Callable[[Sequence[Any]], object]:
    if suffix == ".jsonl":
        return lambda values: print(json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False), file=file)
    write = csv.writer(file, lineterminator="\n").writerow if suffix == ".csv" else partial(_write_tabs, file)
    write(columns)
    return write


def _write_tabs(file: TextIO, values: Sequence[Any]) -> None:
    texts = [str(value) for value in values]
    if any(mark in text for text in texts for mark in "\t\n\r"):
        raise InputError(f"{texts}: a tab or line break, which .tsv can't hold; write .csv or .jsonl.")
    file.write("\t".join(texts) + "\n")
