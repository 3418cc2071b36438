"""HDF5 files of arrays that may be damaged or hostile: what is in them, and the arrays, within bounds.

Only datasets that lie in the file itself are seen: links to other files and external storage are refused, and a
small file that promises gigabytes (a bomb) is refused before anything is allocated. h5py is imported here and
only when needed: it takes 40 ms, which people who load our own format shall not wait for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, MissingFile

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_EXPANSION, _FREE_BYTES = 200, 64 << 20


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def dataset_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all datasets in a file.

    Args:
        path: the file.

    Returns:
        full names without a leading slash, and shapes.

    Raises:
        MissingFile: no such file.
        CheckpointError: not HDF5, truncated, or hostile.
    """
    return {name: array.shape for name, array in _visit(path, read=False).items()}


def read_datasets(path: Path) -> dict[str, NDArray[Any]]:
    """All datasets of a file, as float32.

    Args:
        path: the file.

    Returns:
        arrays by their full names without a leading slash.

    Raises:
        MissingFile: no such file.
        CheckpointError: not HDF5, truncated, hostile, or a dataset that is no array of numbers.
    """
    return _visit(path, read=True)


def _visit(path: Path, *, read: bool) -> dict[str, NDArray[Any]]:
    import h5py

    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it should hold the model's weights.")
    if not is_hdf5(path):
        raise CheckpointError(f"{path}: not an HDF5 file (it lacks the signature); is it another file, or a web page?")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with h5py.File(path, "r") as file:
            datasets = _datasets(file)
            _check_size(path, datasets)
            for name, dataset in datasets.items():
                if read and dataset.dtype.kind not in "fiu":
                    raise CheckpointError(f"{path}: {name} has the type {dataset.dtype}; expected numbers.")
                empty = np.broadcast_to(np.float32(0), dataset.shape)
                arrays[name] = np.asarray(dataset[()], dtype=np.float32) if read else empty
    except CheckpointError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{path}: a damaged or cut-off HDF5 file ({error}). Fetch it again.") from None
    return arrays


def _datasets(file: Any) -> dict[str, Any]:
    """Datasets reached by hard links alone."""
    import h5py

    found: dict[str, Any] = {}

    def note(name: str | bytes, thing: Any) -> None:
        name = os.fsdecode(name)  # damaged names come as bytes
        if isinstance(thing, h5py.Dataset) and thing.shape is not None:
            if thing.external or thing.is_virtual:
                raise CheckpointError(
                    f"{file.filename}: {name} keeps its numbers in another file; this is not followed."
                )
            found[name] = thing

    file.visititems(note)
    return found


def _check_size(path: Path, datasets: Mapping[str, Any]) -> None:
    needed = sum(int(np.prod(d.shape, dtype=np.float64)) * d.dtype.itemsize for d in datasets.values())
    if needed > _FREE_BYTES + _MAX_EXPANSION * path.stat().st_size:
        raise CheckpointError(
            f"{path}: its {path.stat().st_size:,} bytes claim to hold {needed:,} bytes of numbers;"
            " this is not believed."
        )
