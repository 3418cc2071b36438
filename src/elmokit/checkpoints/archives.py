"""Archives as people download them (zip, tar, tar.gz): unpacked into a temporary folder, and never believed.

Members that would land outside the folder, links and devices are refused; so is an archive that unpacks to far more
than weights do (a bomb): the limit is counted while unpacking, whatever its headers claim.
"""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from elmokit.errors import CheckpointError

_MAX_EXPANSION, _FREE_BYTES, _MAX_MEMBERS = 50, 256 << 20, 10_000
_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar that holds other files (a torch file is a zip too, but is not meant here).

    Args:
        path: any file.

    Returns:
        True or False; never raises.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                return not any(name.endswith("/data.pkl") for name in file.namelist())
        return path.suffix not in (".json", ".hdf5", ".index", ".safetensors") and tarfile.is_tarfile(path)
    except (EOFError, NotImplementedError, OSError, ValueError, zlib.error, zipfile.BadZipFile, tarfile.TarError):
        return False


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with an archive's files, removed at the end.

    Args:
        path: a zip, tar or tar.gz.

    Yields:
        the folder; the only folder in it, where the archive holds just one.

    Raises:
        CheckpointError: damaged, or hostile: a path that leaves the folder, a link, a bomb.
    """
    with tempfile.TemporaryDirectory(prefix="elmokit-") as temporary:
        folder = Path(temporary)
        try:
            budget = _FREE_BYTES + _MAX_EXPANSION * path.stat().st_size
            for name, member in _members(path):
                budget = _copy(path, name, member, folder, budget)
        except (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path}: the archive is damaged or cut off ({error}). Fetch it again.") from None
        except (tarfile.TarError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: the archive is damaged or cut off ({error}). Fetch it again.") from None
        inside = list(folder.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files in an archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for i, info in enumerate(archive.infolist()):
                _check_count(path, i)
                if not info.is_dir():
                    with archive.open(info) as member:
                        yield info.filename, member
        return
    with tarfile.open(path) as tar:
        for i, entry in enumerate(tar):
            _check_count(path, i)
            if entry.isdir():
                continue
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is None:
                raise CheckpointError(f"{path}: {entry.name!r} is a link or device; archives of models have none.")
            with content:
                yield entry.name, content


def _check_count(path: Path, i: int) -> None:
    if i >= _MAX_MEMBERS:
        raise CheckpointError(f"{path}: more than {_MAX_MEMBERS:,} files; this is no archive of a model.")


def _copy(path: Path, name: str, member: IO[bytes], folder: Path, budget: int) -> int:
    """Write one member; returns what is left of the budget of bytes."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in name or "\0" in name:
        raise CheckpointError(f"{path}: the member {name!r} would be written outside its folder; refused.")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        while chunk := member.read(_CHUNK):
            budget -= len(chunk)
            if budget < 0:
                raise CheckpointError(
                    f"{path}: {path.stat().st_size:,} bytes unpack to far more than weights do; refused as a bomb."
                )
            file.write(chunk)
    return budget
