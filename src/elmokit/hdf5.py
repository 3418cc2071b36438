"""HDF5 files: read within bounds, as they may be damaged or hostile, and written whole or not at all.

Links to other files, external and virtual storage are refused, sizes are checked before anything is allocated, and gzip
chunks are inflated here, because HDF5's own filter has no limit. h5py is imported when needed; it takes 40 ms.
"""

import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.errors import CheckpointError, ElmoKitError
from elmokit.files import atomic_path
from elmokit.reading import printable, reading

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_EXPANSION, _FREE_BYTES = 20, 16 << 20
_MAX_DEPTH, _MAX_OBJECTS = 16, 10_000
_SHUFFLE, _GZIP, _CHECKSUM = 2, 1, 3  # HDF5's numbers of its filters
_CHECKSUM_BYTES = 4
_WHAT = "HDF5 file"


def is_hdf5(path: Path) -> bool:
    """Tell whether a file begins as HDF5 files do."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def dataset_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes of all datasets in a file."""
    with reading(path, what=_WHAT), _open_datasets(path) as datasets:
        return {name: dataset.shape for name, dataset in datasets.items()}


def read_arrays(
    path: Path, *, dtype: DTypeLike | None = None, error: type[ElmoKitError] = CheckpointError, what: str = _WHAT
) -> dict[str, NDArray[Any]]:
    """Read all datasets of a file, as they are stored or as numbers of a type; `error` and `what` are for `reading`."""
    with reading(path, error=error, what=what), _open_datasets(path) as datasets, np.errstate(over="ignore"):
        for name, dataset in datasets.items():
            if dtype is not None and dataset.dtype.kind not in "fiu":
                raise ValueError(f"{name} has the type {dataset.dtype}; expected numbers")
        return {name: np.asarray(_array(name, dataset), dtype) for name, dataset in datasets.items()}


@contextmanager
def _open_datasets(path: Path) -> Iterator[dict[str, Any]]:
    """Collect the datasets that hard links lead to, each group opened from its parent, and check their sizes."""
    import h5py

    if not is_hdf5(path):
        raise ValueError("it lacks the signature; is it another file, or a web page?")
    with h5py.File(path, "r") as file:
        datasets: dict[str, Any] = {}
        groups, n_objects = [("", file, 0)], 0
        while groups:
            prefix, group, depth = groups.pop()
            n_objects += len(group)
            if depth > _MAX_DEPTH or n_objects > _MAX_OBJECTS:
                raise ValueError("groups deeper or more numerous than any model has; refused")
            for key in group:
                name = prefix + printable(os.fsdecode(key))  # damaged names come as bytes
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    continue
                item = group[key]
                if isinstance(item, h5py.Group):
                    groups.append((name + "/", item, depth + 1))
                elif isinstance(item, h5py.Dataset) and item.shape is not None:
                    if item.external or item.is_virtual:
                        raise ValueError(f"{name} keeps its numbers in another file; not followed")
                    datasets[name] = item
        needed, n_bytes = sum(math.prod(d.shape) * d.dtype.itemsize for d in datasets.values()), path.stat().st_size
        if needed > _FREE_BYTES + _MAX_EXPANSION * n_bytes:
            raise ValueError(f"{n_bytes:,} bytes claim to hold {needed:,} of numbers; this is not believed")
        yield datasets


def _array(name: str, dataset: Any) -> NDArray[Any]:
    """Read a dataset; a filtered one chunk by chunk, each inflated to at most its own size."""
    plan, dtype, chunk = dataset.id.get_create_plist(), dataset.dtype, dataset.chunks
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if filters != [f for f in (_SHUFFLE, _GZIP, _CHECKSUM) if f in filters]:
        raise ValueError(f"{name} is compressed by other filters than gzip; write it anew with gzip")
    if not filters:
        return np.asarray(dataset[()])
    size = math.prod(chunk) * dtype.itemsize
    if size > max(1 << 20, 2 * math.prod(dataset.shape) * dtype.itemsize):
        raise ValueError(f"{name} has chunks larger than itself; this is not believed")
    array = np.full(dataset.shape, dataset.fillvalue, dtype)
    for i in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(i)
        _, data = dataset.id.read_direct_chunk(info.chunk_offset)
        skipped = [f for k, f in enumerate(filters) if info.filter_mask >> k & 1]
        used = [f for f in filters if f not in skipped]
        data = data[:-_CHECKSUM_BYTES] if _CHECKSUM in used else data
        data = zlib.decompressobj().decompress(data, size + 1) if _GZIP in used else data
        if len(data) != size:
            raise ValueError(f"a chunk of {name} has {len(data):,} bytes; expected {size:,}")
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

    with atomic_path(path) as temporary, SurvivingFile(temporary) as disk, h5py.File(disk, "w") as file:
        yield file


class SurvivingFile(io.FileIO):
    """A file for `h5py.File(…, "w")` that reports a full disk at the end of a `with` block, or when `check` is called.

    HDF5 2.0 crashes with a failed write, and Python with it. So the first failure is remembered, later writes are
    thrown away, and HDF5 closes normally.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path), "w+")
        self._failure: OSError | None = None

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        self.check()

    def check(self) -> None:
        """Raise the first failure."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        """Write until the first failure; later data only move the position."""
        left = memoryview(data)
        try:
            while left and self._failure is None:
                left = left[super().write(left) or 0 :]
        except OSError as failure:
            self._failure = failure
        self.seek(len(left), io.SEEK_CUR)
        return len(memoryview(data))

    def readinto(self, buffer: Any) -> int:
        """Read; what was thrown away reads as zeros."""
        n = super().readinto(buffer) or 0
        view = memoryview(buffer)
        view[n:] = bytes(len(view) - n)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Change the size, or remember the failure."""
        try:
            return super().truncate(size)
        except OSError as failure:
            self._failure = self._failure or failure
            return size or 0
