"""Names → bytes: plain, gzip, xz or Zstandard (extra `zstd`) files and standard input, opened alike."""

import gzip
import io
import lzma
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from elmokit.errors import InputError, needing
from elmokit.reading import reading

STDIN = "-"  # the source that means standard input
_CHUNK = 1 << 17
_PACKED_CHUNK = 1024  # packed bytes given to Zstandard at once: they unpack to at most 32 MB
_TRUSTED_SIZE, _MAX_RATIO = 1 << 25, 100  # unpacked bytes of any archive, and times its own size of a larger one


def plain_suffix(source: str | Path) -> str:
    """The suffix that tells the format, without the archive's."""
    path = Path(source)
    return (Path(path.stem) if is_archive(path) else path).suffix.lower()


def is_archive(source: str | Path) -> bool:
    """Whether the name says that the file is compressed."""
    return Path(source).suffix.lower() in (".gz", ".xz", ".zst")


@contextmanager
def open_bytes(source: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked; a damaged archive, or one that unpacks to far too much, raises `InputError`."""
    path = Path(source)
    with reading(source, error=InputError, what="file; is it damaged?"):
        if str(source) == STDIN:
            if sys.stdin is None or sys.stdin.closed:
                raise InputError("standard input is closed; give a file, or pipe the input in.")
            yield sys.stdin.buffer
        elif is_archive(path):
            with io.BufferedReader(_Unpacked(path)) as stream:
                yield cast(BinaryIO, stream)
        else:
            with path.open("rb") as file:
                yield file


class _Unpacked(io.RawIOBase):
    """The content of a compressed file, which is refused beyond a limit: this stops decompression bombs."""

    def __init__(self, path: Path) -> None:
        limit = max(_TRUSTED_SIZE, _MAX_RATIO * path.stat().st_size)
        if limit == _TRUSTED_SIZE:  # a small file: refuse it before its first row is read
            for _ in _unpack(path, limit):
                pass
        self._chunks, self._rest = _unpack(path, limit), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n

    def close(self) -> None:
        self._chunks.close()
        super().close()


def _unpack(path: Path, limit: int) -> Generator[bytes, None, None]:
    for chunk in _unpack_zstandard(path) if path.suffix.lower() == ".zst" else _inflate(path):
        limit -= len(chunk)
        if limit < 0:
            raise InputError(
                f"{path}: unpacks to more than {_MAX_RATIO} times its size, like a decompression bomb; if you trust"
                " it, unpack it yourself and give the plain file."
            )
        yield chunk


def _inflate(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix.lower() == ".gz" else lzma.open(path) as stream:
        while chunk := stream.read1(_CHUNK):
            yield chunk


def _unpack_zstandard(path: Path) -> Iterator[bytes]:
    """Unpack frames, one after another; a truncated one raises EOFError, as gzip does."""
    with needing("zstandard", "zstd", "reading .zst files"):
        import zstandard
    frame: Any = None
    packed = b""
    with path.open("rb") as file:
        while packed := packed or file.read(_PACKED_CHUNK):
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
            packed = b""
            if frame.eof:
                packed, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("it ends in the middle")
