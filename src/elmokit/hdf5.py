"""HDF5 files: read within bounds, as they may be damaged or hostile, and written whole or not at all.

Only datasets in the file itself are read: links to other files, external and virtual storage are refused. Sizes are
checked before anything is allocated, and gzip chunks are inflated here, because HDF5's own filter has no limit.
h5py is imported when needed; it takes 40 ms.
"""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, MissingFile
from elmokit.files import atomic_path
from elmokit.reading import printable, reading

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_EXPANSION, _FREE_BYTES = 20, 16 << 20
_MAX_DEPTH, _MAX_OBJECTS = 16, 10_000
_SHUFFLE, _GZIP, _CHECKSUM = 2, 1, 3  # HDF5's numbers of its filters
_CHECKSUM_BYTES = 4


def is_hdf5(path: Path) -> bool:
    """Tell whether a file begins as HDF5 files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def dataset_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes of all datasets in a file."""
    with _open_datasets(path) as datasets:
        return {name: dataset.shape for name, dataset in datasets.items()}


def read_datasets(path: Path) -> dict[str, NDArray[Any]]:
    """Read all datasets of a file as float32."""
    with _open_datasets(path) as datasets:
        for name, dataset in datasets.items():
            if dataset.dtype.kind not in "fiu":
                raise CheckpointError(f"{path}: {name} has the type {dataset.dtype}; expected numbers.")
        with np.errstate(over="ignore"):  # infinite numbers are refused by name later
            return {name: np.asarray(_array(path, name, d), dtype=np.float32) for name, d in datasets.items()}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all datasets of a file as they are stored."""
    with _open_datasets(path) as datasets:
        return {name: _array(path, name, dataset) for name, dataset in datasets.items()}


@contextmanager
def _open_datasets(path: Path) -> Iterator[dict[str, Any]]:
    """Collect the datasets that hard links lead to, each group opened from its parent, and check their sizes."""
    import h5py

    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it should hold the model's weights.")
    if not is_hdf5(path):
        raise CheckpointError(f"{path}: not an HDF5 file (it lacks the signature); is it another file, or a web page?")
    with reading(path, what="HDF5 file; is it damaged or cut off?"), h5py.File(path, "r") as file:
        datasets: dict[str, Any] = {}
        groups, n_objects = [("", file, 0)], 0
        while groups:
            prefix, group, depth = groups.pop()
            n_objects += len(group)
            if depth > _MAX_DEPTH or n_objects > _MAX_OBJECTS:
                raise CheckpointError(f"{path}: groups deeper or more numerous than any model has; refused.")
            for key in group:
                name = prefix + printable(os.fsdecode(key))  # damaged names come as bytes
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    continue
                item = group[key]
                if isinstance(item, h5py.Group):
                    groups.append((name + "/", item, depth + 1))
                elif isinstance(item, h5py.Dataset) and item.shape is not None:
                    if item.external or item.is_virtual:
                        raise CheckpointError(f"{path}: {name} keeps its numbers in another file; not followed.")
                    datasets[name] = item
        needed, n_bytes = sum(math.prod(d.shape) * d.dtype.itemsize for d in datasets.values()), path.stat().st_size
        if needed > _FREE_BYTES + _MAX_EXPANSION * n_bytes:
            raise CheckpointError(
                f"{path}: {n_bytes:,} bytes claim to hold {needed:,} of numbers; this is not believed."
            )
        yield datasets


def _array(path: Path, name: str, dataset: Any) -> NDArray[Any]:
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if filters not in ([f for f in (_SHUFFLE, _GZIP, _CHECKSUM) if f in filters], []):
        raise CheckpointError(f"{path}: {name} is compressed by other filters than gzip; write it anew with gzip.")
    return _inflated(path, name, dataset, filters) if filters else np.asarray(dataset[()])


def _inflated(path: Path, name: str, dataset: Any, filters: list[int]) -> NDArray[Any]:
    """Read a filtered dataset chunk by chunk, each inflated to at most its own size."""
    dtype, chunk = dataset.dtype, dataset.chunks
    size = math.prod(chunk) * dtype.itemsize
    if size > max(1 << 20, 2 * math.prod(dataset.shape) * dtype.itemsize):
        raise CheckpointError(f"{path}: {name} has chunks larger than itself; this is not believed.")
    array = np.full(dataset.shape, dataset.fillvalue, dtype)
    for i in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(i)
        _, data = dataset.id.read_direct_chunk(info.chunk_offset)
        skipped = [f for k, f in enumerate(filters) if info.filter_mask >> k & 1]
        used = [f for f in filters if f not in skipped]
        data = data[:-_CHECKSUM_BYTES] if _CHECKSUM in used else data
        data = zlib.decompressobj().decompress(data, size + 1) if _GZIP in used else data
        if len(data) != size:
            raise CheckpointError(f"{path}: a chunk of {name} has {len(data):,} bytes; expected {size:,}.")
        if _SHUFFLE in used:
            data = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
        place = tuple(slice(a, a + n) for a, n in zip(info.chunk_offset, chunk, strict=True))
        target = array[place]
        target[...] = np.frombuffer(data, dtype).reshape(chunk)[tuple(map(slice, target.shape))]
    return array


@contextmanager
def hdf5_file(path: str | Path) -> Iterator[Any]:
    """Open an HDF5 file (of h5py) for writing, whole or not there; a full disk raises `OutputError`."""
    import h5py

    with atomic_path(path) as temporary, surviving_file(temporary) as disk, h5py.File(disk, "w") as file:
        yield file


@contextmanager
def surviving_file(path: str | Path) -> Iterator[_SurvivingFile]:
    """A file for `h5py.File(…, "w")` that reports a full disk at the end of the block, or when `check` is called.

    HDF5 2.0 crashes with a failed write, and Python with it. So the first failure is remembered, later writes are
    thrown away, and HDF5 closes normally.
    """
    with _SurvivingFile(path) as file:
        try:
            yield file
        finally:
            file.check()


class _SurvivingFile(io.FileIO):
    """A file whose writes never fail; made by `surviving_file`."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path), "w+")
        self._failure: OSError | None = None

    def check(self) -> None:
        """Raise the first failure."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left and self._failure is None:
                left = left[super().write(left) or 0 :]
        except OSError as failure:
            self._failure = failure
        if left:
            self.seek(len(left), io.SEEK_CUR)
        return len(memoryview(data))

    def readinto(self, buffer: Any) -> int:
        n = super().readinto(buffer) or 0
        view = memoryview(buffer)
        view[n:] = bytes(len(view) - n)  # what was thrown away reads as zeros
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as failure:
            self._failure = self._failure or failure
            return size or 0
