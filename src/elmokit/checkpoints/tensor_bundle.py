"""TensorFlow's variables on disk ("tensor bundle"), read without TensorFlow: `X.index` and `X.data-00000-of-00001`.

The index is a table in LevelDB's layout: blocks of sorted keys with shared prefixes, a block of block places, and a
footer that says where that is. A value is a small protocol buffer: type, shape, shard, offset, size. Every place is
compared with the file's size. Sources: LevelDB's table_format.md; tensorflow/core/protobuf/tensor_bundle.proto.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.reading import read_bytes, reading

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES, _BLOCK_TRAILER_BYTES = 48, 5
_MAX_INDEX_BYTES, _MAX_KEY_BYTES = 4 << 20, 4096
_MAX_AXES = 8
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


@dataclass(frozen=True)
class Variable:
    """Where one variable lies; `type` is TensorFlow's number, and `sliced` variables are kept in several parts."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


@dataclass(frozen=True)
class Bundle:
    """The variables of one checkpoint."""

    prefix: Path
    entries: dict[str, Variable]
    n_shards: int

    def read(self, name: str) -> NDArray[Any]:
        """One variable."""
        entry = self.entries[name]
        path = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.n_shards:05d}")
        with reading(path, what=f"data file of TensorFlow: the variable {name}"):
            if entry.sliced or entry.type not in _TYPES:
                what = "kept in slices" if entry.sliced else f"of TensorFlow's type {entry.type}"
                raise ValueError(f"it is {what}; only whole arrays of numbers are read")
            if len(entry.shape) > _MAX_AXES:
                raise ValueError(f"it has {len(entry.shape)} axes; this is not believed")
            dtype, n_numbers = np.dtype(_TYPES[entry.type]), math.prod(entry.shape)
            end, n_bytes = entry.offset + entry.size, path.stat().st_size
            if entry.size != n_numbers * dtype.itemsize or end > n_bytes:
                place = f"{entry.shape} at bytes {entry.offset:,} to {end:,}"
                raise ValueError(f"it should lie {place}, but the file has {n_bytes:,}: was it cut off?")
            return np.fromfile(path, dtype=dtype, count=n_numbers, offset=entry.offset).reshape(entry.shape)


def open_bundle(index_path: Path) -> Bundle:
    """Read the index of a bundle."""
    data = read_bytes(index_path, max_bytes=_MAX_INDEX_BYTES)
    with reading(index_path, what="index of a TensorFlow checkpoint; is it whole?"):
        pairs = dict(_table(data))
        n_shards = _first(pairs.pop(b"", b""), 1, 1)
        entries = {key.decode("utf-8"): _entry(value) for key, value in pairs.items()}
    return Bundle(index_path.with_name(index_path.name.removesuffix(".index")), entries, n_shards)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(data) < _FOOTER_BYTES or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it lacks the closing signature")
    footer = _Reader(data[-_FOOTER_BYTES:])
    _, _, offset, size = (footer.varint() for _ in range(4))  # the meta index, which bundles do not use, and the index
    for _, place in _block(data, offset, size):
        reader = _Reader(place)
        yield from _block(data, reader.varint(), reader.varint())


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _BLOCK_TRAILER_BYTES > len(data) or size < 4:
        raise ValueError(f"a block at byte {offset} reaches beyond the end")
    if data[offset + size] != 0:
        raise ValueError("a block is compressed, which TensorFlow does not do")
    block = data[offset : offset + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise ValueError(f"the block at byte {offset} has no room for its restart points")
    reader, key = _Reader(block[:end]), b""
    while reader.left:
        n_shared, n_own, n_value = reader.varint(), reader.varint(), reader.varint()
        if n_shared > len(key) or n_shared + n_own > _MAX_KEY_BYTES:
            raise ValueError(f"a name in the block at byte {offset} is out of bounds")
        key = key[:n_shared] + reader.take(n_own)
        yield key, reader.take(n_value)


class _Reader:
    """Takes numbers and bytes from the front of a byte string."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise ValueError(f"{n} bytes are wanted where {self.left} are left")
        self._place += n
        return self._data[self._place - n : self._place]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number is longer than ten bytes")


def _message(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer: number and value, an integer or bytes."""
    reader = _Reader(data)
    while reader.left:
        number, kind = divmod(reader.varint(), 8)
        if kind == 0:
            yield number, reader.varint()
        elif kind == 2:
            yield number, reader.take(reader.varint())
        elif kind in (1, 5):
            yield number, int.from_bytes(reader.take(8 if kind == 1 else 4), "little")
        else:
            raise ValueError(f"a value has a field of kind {kind}")


def _first(data: bytes, number: int, default: int = 0) -> int:
    return next((int(value) for n, value in _message(data) if n == number), default)


def _entry(data: bytes) -> Variable:
    fields = list(_message(data))
    numbers = dict(reversed([(n, value) for n, value in fields if isinstance(value, int)]))
    shapes = [value for n, value in fields if n == 2 and isinstance(value, bytes)][-1:]
    sizes = [size for shape in shapes for n, size in _message(shape) if n == 2 and isinstance(size, bytes)]
    return Variable(
        type=numbers.get(1, 0),
        shape=tuple(_first(size, 1) for size in sizes),
        shard=numbers.get(3, 0),
        offset=numbers.get(4, 0),
        size=numbers.get(5, 0),
        sliced=any(n == 7 for n, _ in fields),
    )
