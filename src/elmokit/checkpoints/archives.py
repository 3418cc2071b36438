"""Unpack zip and tar archives of strangers into a temporary folder, within bounds.

Refused are members outside the folder, links, devices, directories of members that are too large to read, and
archives that inflate to far more than weights do. All limits are checked before memory is taken, or while inflating.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from elmokit.errors import CheckpointError
from elmokit.reading import printable, reading

_MAX_EXPANSION, _FREE_BYTES, _MAX_MEMBERS = 50, 64 << 20, 10_000
_MAX_DIRECTORY_BYTES = 4 << 20  # the list of members at the end of a zip
_MAX_HEADER_BYTES, _MAX_ONE_HEADER_BYTES = 16 << 20, 64 << 10  # of a tar: all, and one (a long name, PAX records)
_CHUNK = 1 << 20
_OPENERS: tuple[tuple[bytes, Any], ...] = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip or tar with several files. Files of torch are zips too, but not meant."""
    if zipfile.is_zipfile(path):
        with reading(path, what="zip archive"), open_zip(path) as file:
            return not any(name.endswith("/data.pkl") for name in file.namelist())
    if path.suffix in (".json", ".hdf5", ".index", ".safetensors"):
        return False
    try:
        with _inflating(path) as stream:
            block = stream.read(tarfile.BLOCKSIZE)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (EOFError, OSError, ValueError, lzma.LZMAError, tarfile.TarError, zlib.error):
        return False
    return True


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip after checking the size of its directory, which `zipfile` reads whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 17)))
        tail = file.read()
    end, end64 = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    sizes = [int.from_bytes(tail[end + 12 : end + 16], "little")] if end >= 0 else []
    if end64 >= 0:
        sizes = [size for size in sizes if size != 0xFFFFFFFF]
        sizes.append(int.from_bytes(tail[end64 + 40 : end64 + 48], "little"))
    if max(sizes, default=0) > _MAX_DIRECTORY_BYTES:
        raise CheckpointError(f"{path}: the archive lists far more files than a model has; refused.")
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            archive.close()
            raise CheckpointError(f"{path}: compressed by another method than deflate; pack it as an ordinary zip.")
    return archive


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="elmokit-") as temporary:
        folder = Path(temporary) / "files"
        folder.mkdir()
        budget = _FREE_BYTES + _MAX_EXPANSION * path.stat().st_size
        with reading(path, what="archive; is it damaged or cut off?"):
            if zipfile.is_zipfile(path):
                _unpack_zip(path, folder, budget)
            else:
                _unpack_tar(path, Path(temporary) / "plain.tar", folder, budget)
        inside = list(folder.iterdir())
        try:
            yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
        except (CheckpointError, FileNotFoundError) as error:
            if str(folder) not in str(error):
                raise
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _unpack_zip(path: Path, folder: Path, budget: int) -> None:
    with open_zip(path) as archive:
        members = archive.infolist()
        _check_count(path, len(members))
        for info in members:
            if not info.is_dir():
                with archive.open(info) as member, _target(path, info.filename, folder).open("xb") as file:
                    budget = _copy(path, member, file, budget)


def _unpack_tar(path: Path, plain: Path, folder: Path, budget: int) -> None:
    """Inflate the whole tar within the budget where it is compressed, then copy its members."""
    if _opener(path) is None:
        plain = path
    else:
        with _inflating(path) as stream, plain.open("wb") as file:
            _copy(path, stream, file, budget)
    with plain.open("rb") as content, plain.open("rb") as raw, tarfile.open(fileobj=_Headers(raw, path)) as tar:
        for i, entry in enumerate(tar):
            _check_count(path, i + 1)
            if entry.isdir():
                continue
            if not entry.isfile() or entry.issparse():
                raise CheckpointError(f"{path}: {printable(entry.name)!r} is a link or device; models have none.")
            content.seek(entry.offset_data)
            with _target(path, entry.name, folder).open("xb") as file:
                _copy(path, content, file, budget, n_bytes=entry.size)


class _Headers(io.RawIOBase):
    """The headers of a tar as `tarfile` reads them: it trusts the sizes that they claim, we do not."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path, self._left = file, path, _MAX_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        self._left -= max(size, 0)
        if not 0 <= size <= _MAX_ONE_HEADER_BYTES or self._left < 0:
            raise CheckpointError(f"{self._path}: the archive has headers far larger than a model needs; refused.")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _opener(path: Path) -> Any:
    """The function that opens a compressed file, or None for another file."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((opener for magic, opener in _OPENERS if start.startswith(magic)), None)


def _inflating(path: Path) -> IO[bytes]:
    opener = _opener(path)
    return path.open("rb") if opener is None else opener(path, "rb")


def _check_count(path: Path, n: int) -> None:
    if n > _MAX_MEMBERS:
        raise CheckpointError(f"{path}: more than {_MAX_MEMBERS:,} files; this is no archive of a model.")


def _target(path: Path, name: str, folder: Path) -> Path:
    """Where a member goes; its folder is made."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in name or "\0" in name:
        raise CheckpointError(f"{path}: the member {printable(name)!r} would be written outside its folder; refused.")
    target = folder.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path}: the member {printable(name)!r} can't be unpacked ({error.strerror}).") from None
    if target.exists():
        raise CheckpointError(f"{path}: two members are called {printable(name)!r}; refused.")
    return target


def _copy(path: Path, source: IO[bytes], target: IO[bytes], budget: int, n_bytes: int | None = None) -> int:
    """Copy a stream, or its next bytes; returns what is left of the budget."""
    left = budget + 1 if n_bytes is None else n_bytes
    while left and (chunk := source.read(min(_CHUNK, left))):
        left, budget = left - len(chunk), budget - len(chunk)
        if budget < 0:
            raise CheckpointError(
                f"{path}: {path.stat().st_size:,} bytes unpack to far more than weights do; refused as a bomb."
            )
        target.write(chunk)
    if n_bytes is not None and left:
        raise CheckpointError(f"{path}: the archive is damaged or cut off. Fetch it again.")
    return budget
