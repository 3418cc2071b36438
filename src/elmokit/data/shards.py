"""A folder of numbered files that can be resumed: after a kill at any moment, nothing is lost or done twice.

Each file is written under a temporary name, flushed, renamed, and then listed in `manifest.jsonl` with its size and
checksum. A file counts only if it is listed and unchanged. The first line of the manifest describes the job.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError, InputError, OutputError
from elmokit.files import atomic_path, checksum, locked, make_folder
from elmokit.reading import read_bytes, reading

MANIFEST = "manifest.jsonl"
_MAX_MANIFEST_BYTES = 64 << 20  # half a million shards


@contextmanager
def open_shards(folder: str | Path, *, job: Mapping[str, Any], suffix: str) -> Iterator[Shards]:
    """Open a folder of shards for this process alone; create it, or resume what is there.

    OutputError: another run uses the folder, it belongs to another job (described as JSON), its manifest is damaged, or
    it can't be written.
    """
    folder = make_folder(folder)
    busy = f"{folder}: another run is using this folder; wait until it ends."
    with locked(folder / ".lock", busy, required=True):
        yield Shards(folder, dict(json.loads(json.dumps(job))), suffix)


class Shards:
    """The files of a job; created by `open_shards`."""

    def __init__(self, folder: Path, job: dict[str, Any], suffix: str) -> None:
        self.folder, self._suffix = folder, suffix
        self._listed: dict[int, dict[str, Any]] = {}
        self.damaged: list[str] = []
        lines = _lines(folder / MANIFEST)
        before = lines[0]["job"] if lines else job
        for name in [*before, *job]:
            if before.get(name) != job.get(name):
                raise OutputError(
                    f"{folder}: this folder was started with {name} {before.get(name)!r}, but now it is"
                    f" {job.get(name)!r}. Use the same settings to resume, or choose another folder."
                )
        if not lines:
            with atomic_path(folder / MANIFEST) as path:
                path.write_text(json.dumps({"job": job}) + "\n", encoding="utf-8")
                _flush(path)
            _flush(folder)
        for number, line in {line["shard"]: line for line in lines[1:]}.items():
            path = folder / shard_name(number, suffix)
            if path.is_file() and path.stat().st_size == line["bytes"] and checksum(path) == line["sha256"]:
                self._listed[number] = line
            else:
                self.damaged.append(path.name)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Delete the temporary files of runs that were killed."""
        for pattern in (f".part-*{self._suffix}", f"..part-*{self._suffix}", f".{Path(MANIFEST).stem}-*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def has(self, number: int) -> bool:
        """Whether a shard is finished."""
        return number in self._listed

    @property
    def n_rows(self) -> int:
        """The number of rows in all finished shards."""
        return sum(int(line["rows"]) for line in self._listed.values())

    @contextmanager
    def write(self, number: int, *, n_rows: int) -> Iterator[Path]:
        """A temporary path that becomes the shard when the block ends without an error."""
        with atomic_path(self.folder / shard_name(number, self._suffix)) as path:
            yield path
            line = manifest_line(path, number=number, n_rows=n_rows)
        self.enter(line)

    def enter(self, line: Mapping[str, Any]) -> None:
        """List a shard that is in its place, perhaps written by another machine."""
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
    """The file name of a shard."""
    return f"part-{number:06d}{suffix}"


def manifest_line(path: Path, *, number: int, n_rows: int) -> dict[str, Any]:
    """Flush a finished shard to the disk and describe it for the manifest."""
    _flush(path)
    return {"shard": number, "rows": n_rows, "bytes": path.stat().st_size, "sha256": checksum(path)}


@dataclass(frozen=True)
class InputFile:
    """An input file as it was when its checksum was computed; size and times tell cheaply whether it has changed."""

    path: Path
    sha256: str
    state: tuple[int, ...]

    @classmethod
    def of(cls, source: str | Path) -> InputFile:
        """Read a file; standard input raises `ConfigError`."""
        if str(source) == STDIN:
            raise ConfigError("shards need an input that can be read again, which standard input can't; give a file.")
        with reading(path := Path(source), error=InputError):
            return cls(path, state=_state(path), sha256=checksum(path))

    def check_unchanged(self) -> None:
        """Compare with the file as it is now."""
        if not self.path.exists() or _state(self.path) != self.state:
            raise InputError(
                f"{self.path}: the file was changed while it was read. Finished shards hold its old content: restore"
                " it and run again, or start in a new folder."
            )


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ino)


def _lines(manifest: Path) -> list[dict[str, Any]]:
    """The lines of the manifest; a last one that was cut short is removed."""
    if not manifest.exists():
        return []
    data = read_bytes(manifest, max_bytes=_MAX_MANIFEST_BYTES, error=OutputError)
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(manifest, len(whole))
    try:
        lines = [json.loads(line) for line in whole.decode("utf-8").split("\n")[:-1]]
        numbers = [line[name] for line in lines[1:] for name in ("shard", "rows", "bytes")]
        texts = [line["sha256"] for line in lines[1:]]
        if any(type(x) is not int or x < 0 for x in numbers) or any(type(x) is not str for x in texts):
            raise ValueError("a number or a checksum that no shard has")
        if lines and not isinstance(lines[0]["job"], dict):
            raise ValueError("its first line describes no job")
        return lines
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise OutputError(
            f"{manifest}: damaged ({error}). Restore it, or delete it and the shards to start again."
        ) from None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
