"""Unpack zip and tar archives of strangers into a temporary folder, within bounds.

Refused, by a ValueError inside `unpacked`, are members outside the folder, links, devices, directories of members that
are too large to read, and archives that inflate to far more than weights do, before memory is taken.
"""

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
from elmokit.reading import check_unpacked_size, open_zip, printable, reading

_MAX_MEMBERS = 10_000
_MAX_HEADER_BYTES, _MAX_ONE_HEADER_BYTES = 16 << 20, 64 << 10  # of a tar: all, and one (a long name, PAX records)
_CHUNK = 1 << 20
_OPENERS: tuple[tuple[bytes, Any], ...] = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip or tar with several files. Files of torch are zips too, but not meant."""
    with reading(path, what="zip archive"):
        if zipfile.is_zipfile(path):  # which raises where a zip says that it is one of several disks
            with open_zip(path) as file:
                return not any(name.endswith("/data.pkl") for name in file.namelist())
    if path.suffix in (".json", ".hdf5", ".index", ".safetensors"):
        return False
    try:
        with _opener(path)(path, "rb") as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (EOFError, OSError, ValueError, lzma.LZMAError, tarfile.TarError, zlib.error):
        return False
    return True


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="elmokit-") as temporary:
        folder = Path(temporary) / "files"
        folder.mkdir()
        with reading(path, what="archive; is it damaged or cut off?"):
            if zipfile.is_zipfile(path):
                _unpack_zip(path, folder)
            else:
                _unpack_tar(path, Path(temporary) / "plain.tar", folder)
        inside = list(folder.iterdir())
        try:
            yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
        except (CheckpointError, FileNotFoundError) as error:
            if str(folder) not in str(error):
                raise
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _unpack_zip(path: Path, folder: Path) -> None:
    n_bytes = 0
    with open_zip(path) as archive:
        for i, info in enumerate(archive.infolist()):
            if not info.is_dir():
                with archive.open(info) as member, _target(info.filename, folder, i).open("xb") as file:
                    n_bytes += _copy(path, member, file, n_bytes)


def _unpack_tar(path: Path, plain: Path, folder: Path) -> None:
    """Inflate the whole tar within the budget where it is compressed, then copy its members."""
    opener = _opener(path)
    if opener is open:
        plain = path
    else:
        with opener(path, "rb") as stream, plain.open("wb") as file:
            _copy(path, stream, file)
    with plain.open("rb") as content, _Headers(plain) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
        for i, entry in enumerate(tar):
            if entry.isdir():
                continue
            if not entry.isfile() or entry.issparse():
                raise ValueError(f"{printable(entry.name)!r} is a link or device; models have none")
            content.seek(entry.offset_data)
            with _target(entry.name, folder, i).open("xb") as file:
                if _copy(path, content, file, most=entry.size) < entry.size:
                    raise ValueError("a file ends too early; fetch the archive again")


class _Headers(io.FileIO):
    """A tar whose headers `tarfile` reads: it trusts the sizes that they claim, we do not."""

    _left = _MAX_HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= min(_MAX_ONE_HEADER_BYTES, self._left):
            raise ValueError("the archive has headers far larger than a model needs; refused")
        self._left -= size
        return super().read(size)


def _opener(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(6)
    return next((opener for magic, opener in _OPENERS if start.startswith(magic)), open)


def _target(name: str, folder: Path, number: int) -> Path:
    if number >= _MAX_MEMBERS:
        raise ValueError(f"more than {_MAX_MEMBERS:,} files; this is no archive of a model")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in name or "\0" in name:
        raise ValueError(f"the member {printable(name)!r} would be written outside its folder; refused")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _copy(path: Path, source: IO[bytes], target: IO[bytes], before: int = 0, *, most: int | None = None) -> int:
    """Copy a stream, or its next bytes, and return how many; `before` bytes of the budget were used already."""
    n_bytes = 0
    while chunk := source.read(_CHUNK if most is None else max(0, min(_CHUNK, most - n_bytes))):
        n_bytes += len(chunk)
        check_unpacked_size(path, before + n_bytes)
        target.write(chunk)
    return n_bytes
