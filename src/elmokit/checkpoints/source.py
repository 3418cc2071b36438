"""What a user points at, as one value that every format's reader takes: a file or folder, maybe with its weights.

The small readers that several formats need live here too: JSON that may be hostile, and vocabulary files. They
never run code, never follow a path out of the folder, and name the file in every error.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.errors import CheckpointError, MissingFile

_MAX_JSON_BYTES = 64 << 20
_MAX_TEXT_BYTES = 1 << 30
_SKIPPED_LINE = "!!!MAXTERMID"


@dataclass(frozen=True)
class Source:
    """A file or folder, and the weights beside it where a pair was given.

    Args:
        path: a folder, or one file (options, weights, archive).
        weights: the second file of a pair.
        with_softmax: whether the language model's softmax is wanted, which can be most of a small model's numbers.
    """

    path: Path
    weights: Path | None = None
    with_softmax: bool = True

    @property
    def folder(self) -> Path:
        """The folder itself, or the one the file lies in."""
        return self.path if self.path.is_dir() else self.path.parent

    def has(self, name: str) -> bool:
        """Whether the path is a folder with a file of that name."""
        return self.path.is_dir() and (self.path / name).is_file()

    def files(self, *suffixes: str) -> list[Path]:
        """The folder's own files with one of these endings, sorted; the file alone where it is none."""
        if not self.path.is_dir():
            return [self.path] if self.path.name.endswith(suffixes) else []
        return sorted(p for p in self.path.iterdir() if p.name.endswith(suffixes) and p.is_file())


@dataclass(frozen=True)
class Format:
    """A format of checkpoints: how to know, read and write it.

    Args:
        name: short, as `elmokit convert --format` takes it.
        title: for people.
        recognise: whether a source is of this format. Cheap; never raises.
        read: a source that is of this format → a checkpoint.
        write: a checkpoint into an existing folder, or None where we only read.
    """

    name: str
    title: str
    recognise: Callable[[Source], bool]
    read: Callable[[Source], Checkpoint]
    write: Callable[[Checkpoint, Path], None] | None = None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: the file.

    Returns:
        the object.

    Raises:
        MissingFile: no such file.
        CheckpointError: not UTF-8, not JSON, not an object, or far too large.
    """
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it holds the model's configuration.")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: {path.stat().st_size:,} bytes are too many for a configuration.")
    try:
        values = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error}).") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object with the model's configuration.")
    return values


def read_words(path: Path, *, skip_maxtermid: bool = False) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """A vocabulary file: a word a line, with its count after a tab where every line has one. May be gzip'ed.

    Args:
        path: the UTF-8 file.
        skip_maxtermid: whether lines `!!!MAXTERMID` use no id, as in bilm-tf's files.

    Returns:
        the words, place = id, and their counts or None.

    Raises:
        MissingFile: no such file.
        CheckpointError: not UTF-8, or not the gzip file its name promises.
    """
    if not path.is_file():
        raise MissingFile(f"{path}: no such vocabulary file.")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MAX_TEXT_BYTES + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start}).") from None
    except (EOFError, OSError) as error:
        raise CheckpointError(f"{path}: can't be read ({error}).") from None
    if len(data) > _MAX_TEXT_BYTES:
        raise CheckpointError(f"{path}: more than {_MAX_TEXT_BYTES:,} bytes are too many for a vocabulary.")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if skip_maxtermid:
        lines = [line for line in lines if line != _SKIPPED_LINE]
    return _with_counts(lines) or (tuple(lines), None)


def _with_counts(lines: list[str]) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Words and counts, where every line ends in a tab and a number."""
    if not lines or not all("\t" in line for line in lines):
        return None
    joined = "\t".join(lines)
    if joined.count("\t") == 2 * len(lines) - 1:  # one tab a line: cut them all at once
        fields = joined.split("\t")
    else:
        fields = [part for line in lines for part in line.rsplit("\t", 1)]
    words, counts = fields[::2], fields[1::2]
    digits = "".join(counts)
    if not (digits.isascii() and digits.isdigit() and 1 <= min(map(len, counts)) <= max(map(len, counts)) < 19):
        return None
    return tuple(words), tuple(map(int, counts))


def write_words(path: Path, words: Iterable[str], counts: Iterable[int] | None) -> None:
    """Write a vocabulary file that `read_words` reads back as it was.

    Args:
        path: the file.
        words: place = id.
        counts: one for each word, or None.

    Raises:
        CheckpointError: a word that no line can hold.
    """
    words = list(words)
    for word in words:
        if any(mark in word for mark in "\n\r\t"):
            raise CheckpointError(f"{path}: the word {word!r} holds a tab or line end; no line can hold it.")
    lines = words if counts is None else [f"{w}\t{n}" for w, n in zip(words, counts, strict=True)]
    try:
        path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{path}: the vocabulary has half a surrogate pair ({error.reason}).") from None


def check_finite(checkpoint: Checkpoint, place: Path) -> Checkpoint:
    """See that no weight is NaN or infinite.

    Args:
        checkpoint: what was read.
        place: the file to name.

    Returns:
        the checkpoint itself.

    Raises:
        CheckpointError: names the tensor.
    """
    arrays = dict(checkpoint.tensors)
    if checkpoint.softmax is not None:
        arrays |= {"softmax.weight": checkpoint.softmax.weight, "softmax.bias": checkpoint.softmax.bias}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{place}: {name} holds NaN or infinite numbers; the file is damaged or diverged.")
    return checkpoint
