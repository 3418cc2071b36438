"""Names → bytes: plain, gzip, xz or Zstandard files and standard input, opened alike.

The last suffix (``.gz``, ``.xz``, ``.zst``) tells the compression; the rest of the name tells the format. Damaged
archives raise our own errors. Zstandard needs the extra `zstd`.
"""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from elmokit.errors import InputError, MissingExtra, MissingFile

STDIN = "-"
"""The source that means standard input."""

_ARCHIVES = (".gz", ".xz", ".zst")


def plain_suffix(source: str | Path) -> str:
    """The suffix that tells the format, without the archive's."""
    path = Path(source)
    return (Path(path.stem) if path.suffix.lower() in _ARCHIVES else path).suffix.lower()


def is_archive(source: str | Path) -> bool:
    """Whether the name says that the file is compressed."""
    return Path(source).suffix.lower() in _ARCHIVES


@contextmanager
def open_bytes(source: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked."""
    try:
        if str(source) == STDIN:
            if sys.stdin is None or sys.stdin.closed:
                raise InputError("standard input is closed; give a file, or pipe the input in.")
            yield sys.stdin.buffer
            return
        with _open(Path(source)) as stream:
            yield stream
    except FileNotFoundError as error:
        if isinstance(error, MissingFile) or error.filename is None:
            raise
        raise MissingFile(f"{source}: no such file (looked in {Path.cwd()}).") from None
    except IsADirectoryError:
        raise InputError(f"{source}: a folder; expected a file.") from None
    except PermissionError as error:
        raise InputError(f"{source}: can't be read ({error.strerror}); check the file's permissions.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise InputError(f"{source}: a damaged archive ({error}); unpack it with another tool to check.") from None


_PACKED_CHUNK = 1024
"""Packed bytes given to Zstandard at once: they unpack to at most 32 MB."""

_TRUSTED_SIZE, _MAX_RATIO = 1 << 25, 100
"""Unpacked bytes that any archive may have, and how many times its own size a larger one may have."""


def _open(path: Path) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix not in _ARCHIVES:
        return path.open("rb")
    limit = max(_TRUSTED_SIZE, _MAX_RATIO * path.stat().st_size)
    if suffix == ".gz":
        return _bounded(gzip.open(path), path, limit)
    if suffix == ".xz":
        return _bounded(lzma.open(path), path, limit)
    return _bounded(_open_zstandard(path), path, limit)


def _bounded(stream: Any, path: Path, limit: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Bounded(stream, path, limit)))


class _Bounded(io.RawIOBase):
    """A stream that refuses to unpack more than a limit, which stops decompression bombs."""

    def __init__(self, stream: Any, path: Path, limit: int) -> None:
        self._stream, self._path, self._left = stream, path, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._stream.readinto(buffer)
        self._left -= n
        if self._left < 0:
            raise InputError(
                f"{self._path}: unpacks to more than {_MAX_RATIO} times its size, like a decompression bomb; if you"
                " trust it, unpack it yourself and give the plain file."
            )
        return int(n)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open_zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("zstandard", "zstd", "reading .zst files") from None
    unpack = zstandard.ZstdDecompressor
    return _Zstandard(path.open("rb"), lambda: unpack().decompressobj(), zstandard.ZstdError)


class _Zstandard(io.RawIOBase):
    """The frames of a Zstandard file, one after another; a truncated one raises EOFError, as gzip does."""

    def __init__(self, file: BinaryIO, new_frame: Callable[[], Any], damaged: type[Exception]) -> None:
        self._file, self._new_frame, self._damaged = file, new_frame, damaged
        self._frame: Any = None
        self._packed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._file.read(_PACKED_CHUNK)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle")
                return 0
            self._unpack()
        n = min(len(buffer), len(self._plain))
        buffer[:n], self._plain = self._plain[:n], self._plain[n:]
        return n

    def _unpack(self) -> None:
        self._frame = self._frame or self._new_frame()
        try:
            self._plain = memoryview(self._frame.decompress(self._packed))
        except self._damaged as error:
            raise EOFError(str(error)) from None
        self._packed = b""
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None

    def close(self) -> None:
        self._file.close()
        super().close()
