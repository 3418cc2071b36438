"""Names → bytes: plain, gzip, xz or Zstandard files and standard input, opened alike.

Compression is told by the last suffix (``.gz``, ``.xz``, ``.zst``), never guessed from the content; what
is left of the name tells the format of the table inside. All errors of opening and of damaged archives
become ours here, so that no reader above has to know which library unpacked its bytes. Zstandard needs
the extra `zstd`.
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
    """The suffix that tells the format, without the archive's.

    Args:
        source: a path or "-".

    Returns:
        the suffix in lower case, with its dot; "" for none.

    Example:
        >>> plain_suffix("tweets.CSV.gz")
        '.csv'
    """
    path = Path(source)
    return (Path(path.stem) if path.suffix.lower() in _ARCHIVES else path).suffix.lower()


def is_archive(source: str | Path) -> bool:
    """Whether the name says that the file is compressed.

    Args:
        source: a path or "-".

    Returns:
        True for .gz, .xz and .zst.

    Example:
        >>> is_archive("tweets.jsonl.zst")
        True
    """
    return Path(source).suffix.lower() in _ARCHIVES


@contextmanager
def open_bytes(source: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked.

    Args:
        source: a path, or "-" for standard input, which is never closed.

    Yields:
        a binary stream.

    Raises:
        MissingFile: no such file.
        InputError: a folder, a file that may not be read, a damaged archive.
        MissingExtra: a .zst file without the package zstandard.
    """
    try:
        if str(source) == STDIN:
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


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if path.suffix.lower() == ".xz":
        return cast(BinaryIO, lzma.open(path))
    if path.suffix.lower() == ".zst":
        return _open_zstandard(path)
    return path.open("rb")


def _open_zstandard(path: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("zstandard", "zstd", "reading .zst files") from None
    unpack = zstandard.ZstdDecompressor
    reader = _Zstandard(path.open("rb"), lambda: unpack().decompressobj(), zstandard.ZstdError)
    return cast(BinaryIO, io.BufferedReader(reader))


class _Zstandard(io.RawIOBase):
    """The frames of a Zstandard file, one after another; one that breaks off raises EOFError, as in gzip."""

    def __init__(self, file: BinaryIO, new_frame: Callable[[], Any], damaged: type[Exception]) -> None:
        self._file, self._new_frame, self._damaged = file, new_frame, damaged
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._plain:
            self._packed = self._packed or self._file.read(1 << 16)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("it breaks off in the middle")
                return 0
            self._unpack()
        n = min(len(buffer), len(self._plain))
        buffer[:n], self._plain = self._plain[:n], self._plain[n:]
        return n

    def _unpack(self) -> None:
        self._frame = self._frame or self._new_frame()
        try:
            self._plain = self._frame.decompress(self._packed)
        except self._damaged as error:
            raise EOFError(str(error)) from None
        self._packed = b""
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None

    def close(self) -> None:
        self._file.close()
        super().close()
