"""Files that are written whole or not at all: under a temporary name in their own folder, renamed at the end."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmokit.errors import OutputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends without an error; on any failure it is removed.

    An existing file keeps its permissions; a symbolic link stays one, and the file that it points to is replaced. A
    folder that does not exist or can't be written, or a full disk, raises `OutputError`.
    """
    path = Path(path)
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first.")
    if path.is_dir():
        raise OutputError(f"{path}: can't be written: it is a folder; give the name of a file.")
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        if path.exists():
            shutil.copymode(path, temporary)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: can't be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Create a folder unless it exists, and return its path; an `OutputError` if it can't be created."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be created ({error.strerror}).") from error
    return folder


def write_json(path: str | Path, values: object, **options: Any) -> None:
    """Write JSON values to a file, whole or not at all; `options` are those of `json.dumps`."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, **options) + "\n", encoding="utf-8")


@contextmanager
def locked(path: Path, busy: str, *, wait: bool = False, required: bool = False) -> Iterator[None]:
    """Keep out other processes that lock the same file, which is created, as long as this process is in the block.

    If another process holds the lock, OutputError(busy), or `wait`. Windows has no such locks: OutputError if one is
    `required`.
    """
    try:
        import fcntl
    except ImportError as error:  # pragma: no cover - Windows
        if required:
            raise OutputError(f"{path.parent}: this needs file locks, which only Linux and macOS have.") from error
        yield
        return
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            raise OutputError(busy) from None
        yield


def checksum(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
