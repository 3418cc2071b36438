"""safetensors files, mapped into memory: opened in a millisecond, read as far as they are used.

The format is a header length, a JSON header (name → type, shape, place) and raw little-endian numbers. The library's
own loader copies everything through Python bytes: 120 ms for 12 M float16 weights against 25 ms here, which is most
of a short command's start. Every place is checked before it is used; the library itself writes our files.
Source: https://huggingface.co/docs/safetensors#format
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingFile
from elmokit.reading import reading

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1"}
_MAX_HEADER = 4 << 20  # bytes; the largest model has 20 kB


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file, as stored."""
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it holds the model's weights.")
    with reading(path, what="safetensors file; was it cut off?"):
        data = np.memmap(path, mode="c", dtype=np.uint8)
        n_header = int.from_bytes(data[:8].tobytes(), "little")
        if not 2 <= n_header <= min(_MAX_HEADER, len(data) - 8):
            raise ValueError(f"its header claims {n_header} bytes")
        header = json.loads(data[8 : 8 + n_header].tobytes().decode("utf-8"))
        header.pop("__metadata__", None)
        body = data[8 + n_header :].view(np.ndarray)
        return {name: _array(name, entry, body) for name, entry in header.items()}


def _array(name: str, entry: dict[str, Any], body: NDArray[np.uint8]) -> NDArray[Any]:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name} has the type {entry['dtype']}; expected one of {', '.join(_TYPES)}")
    dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    whole = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
    if not whole or end > len(body) or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} {shape} does not lie within the file's {len(body):,} bytes of numbers")
    return body[begin:end].view(dtype).reshape(shape)
