"""A folder of numbered files that survives: killed at any moment, it goes on where it was, and nothing is done twice.

Each file is written under a temporary name, flushed to the disk, renamed, and only then entered in `manifest.jsonl`
with its size and checksum (a line each, flushed too). So a file counts if it is listed and still what was listed: one
that was cut short by a power failure, or changed, is made again. The first line of the manifest says what the job is
(input, model, settings); another job in the same folder is refused, and so are two runs at once, by a lock that the
operating system releases when a process ends, however it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmokit.errors import OutputError
from elmokit.files import atomic_path

MANIFEST = "manifest.jsonl"
_LOCK = ".lock"


@contextmanager
def open_shards(folder: str | Path, *, job: Mapping[str, Any], suffix: str) -> Iterator[Shards]:
    """A folder of shards, new or gone on with, for this process alone.

    Args:
        folder: made if it is not there.
        job: what the shards are of, as JSON: a folder belongs to one job.
        suffix: of the shards' names.

    Yields:
        the shards.

    Raises:
        OutputError: another run is at work in the folder; it belongs to another job; it can't be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for _ in range(2):  # the second time nothing is left to do
        ...     with open_shards(folder, job={"input": "a"}, suffix=".txt") as shards:
        ...         for number in range(2):
        ...             if not shards.has(number):
        ...                 with shards.write(number, n_rows=1) as path:
        ...                     print("writing", path.suffix, path.write_text("vectors"))
        writing .txt 7
        writing .txt 7
        >>> sorted(path.name for path in folder.glob("*.txt"))
        ['part-000000.txt', 'part-000001.txt']
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be made ({error.strerror}).") from error
    with _locked(folder):
        yield Shards(folder, dict(json.loads(json.dumps(job))), suffix)


class Shards:
    """The files of a job; made by `open_shards`.

    Args:
        folder: where they are.
        job: what they are of.
        suffix: of their names.
    """

    def __init__(self, folder: Path, job: dict[str, Any], suffix: str) -> None:
        self.folder, self._suffix = folder, suffix
        self._listed: dict[int, dict[str, Any]] = {}
        self.damaged: list[str] = []
        lines = _lines(folder / MANIFEST)
        if not lines:
            self._begin(job)
        else:
            _check_same_job(folder, lines[0].get("job", {}), job)
            for line in lines[1:]:
                self._listed[line["shard"]] = line
            self._forget_damaged()
        for left in folder.glob(f".part-*{suffix}"):  # of a run that was killed
            left.unlink()

    def _begin(self, job: dict[str, Any]) -> None:
        with atomic_path(self.folder / MANIFEST) as path:
            path.write_text(json.dumps({"job": job}) + "\n", encoding="utf-8")
            _flush(path)
        _flush(self.folder)

    def _forget_damaged(self) -> None:
        for number, line in list(self._listed.items()):
            path = self.path(number)
            if not path.is_file() or path.stat().st_size != line["bytes"] or checksum(path) != line["sha256"]:
                self.damaged.append(path.name)
                del self._listed[number]

    def path(self, number: int) -> Path:
        """Where a shard is or will be."""
        return self.folder / shard_name(number, self._suffix)

    def has(self, number: int) -> bool:
        """Whether a shard is there and whole."""
        return number in self._listed

    @property
    def n_rows(self) -> int:
        """Rows of all shards that are there."""
        return sum(int(line["rows"]) for line in self._listed.values())

    @contextmanager
    def write(self, number: int, *, n_rows: int) -> Iterator[Path]:
        """A temporary path that becomes the shard when the block ends well.

        Args:
            number: of the shard.
            n_rows: rows that it holds.

        Yields:
            the path to write to.

        Raises:
            OutputError: it can't be written, for instance because the disk is full. What was there stays.
        """
        with atomic_path(self.path(number)) as path:
            yield path
            line = manifest_line(path, number=number, n_rows=n_rows)
        self.enter(line)

    def enter(self, line: Mapping[str, Any]) -> None:
        """Count a shard that is in its place, whoever wrote it there: perhaps another machine.

        Args:
            line: what `manifest_line` said of it where it was written.

        Raises:
            OutputError: the manifest can't be written.
        """
        _flush(self.folder)
        manifest = self.folder / MANIFEST
        size = manifest.stat().st_size
        try:
            with manifest.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            os.truncate(manifest, size)
            raise OutputError(f"{manifest}: can't be written ({error.strerror}).") from error
        self._listed[line["shard"]] = dict(line)


def shard_name(number: int, suffix: str) -> str:
    """What a shard's file is called.

    Args:
        number: of the shard, from 0.
        suffix: of the name, with its dot.

    Returns:
        the name.

    Example:
        >>> shard_name(3, ".npz")
        'part-000003.npz'
    """
    return f"part-{number:06d}{suffix}"


def manifest_line(path: Path, *, number: int, n_rows: int) -> dict[str, Any]:
    """What the manifest says of a finished shard; what the system still holds of it goes to the disk first.

    Args:
        path: of the file.
        number: of the shard.
        n_rows: rows that it holds.

    Returns:
        number, rows, size and checksum.
    """
    _flush(path)
    return {"shard": number, "rows": n_rows, "bytes": path.stat().st_size, "sha256": checksum(path)}


def checksum(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _lines(manifest: Path) -> list[dict[str, Any]]:
    """The manifest's lines; a last one that was cut short is taken off."""
    if not manifest.exists():
        return []
    data = manifest.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(manifest, len(whole))
    return [dict(json.loads(line)) for line in whole.splitlines()]


def _check_same_job(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = [name for name in [*before, *now] if before.get(name) != now.get(name)]
    if differing:
        name = differing[0]
        raise OutputError(
            f"{folder}: begun with {name} {before.get(name)!r}, now it is {now.get(name)!r}. Its files would not fit"
            " together: go on with what it was begun with, or choose another folder."
        )


def _flush(path: Path) -> None:
    """Let the disk have what the system still holds of a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError as error:  # pragma: no cover - Windows
        raise OutputError(f"{folder}: folders of shards need file locks as Linux and macOS have them.") from error
    with (folder / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{folder}: another run is at work in this folder; let it end first.") from error
        yield
