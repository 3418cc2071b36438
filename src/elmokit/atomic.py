"""Files that are either whole or not there.

A result is written under a temporary name in its own folder and renamed at the end, so an interrupted or failed
run leaves the old file (or none), never half of a new one. Renaming in one folder is atomic on the systems we
support.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elmokit.errors import OutputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well.

    Args:
        path: where the file shall be.

    Yields:
        the temporary path, in the same folder and with the same suffix. On any failure it is removed.

    Raises:
        OutputError: the folder does not exist or can't be written, the disk is full.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror}).") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path}: can't be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)
