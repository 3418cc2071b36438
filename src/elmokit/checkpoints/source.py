"""`Format`, a way to read checkpoints, `CheckpointFiles`, what it reads, and the readers that formats share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.errors import CheckpointError
from elmokit.reading import read_json
from elmokit.text.vocab import MAXTERMID, read_words

_MAX_OPTIONS_BYTES = 4 << 20
EMBEDDED = Path(__file__).resolve().parent.parent / "models" / "default"
"""The folder of the model inside the package, known as "default"."""


@dataclass(frozen=True)
class CheckpointFiles:
    """A file or folder, and the weights where a pair was given; the softmax can be most of a small model's numbers."""

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
    """A format of checkpoints: how to know (which is cheap), read and maybe write it, into an existing folder."""

    name: str
    title: str
    recognise: Callable[[CheckpointFiles], bool]
    read: Callable[[CheckpointFiles], Checkpoint]
    write: Callable[[Checkpoint, Path], None] | None = None


def read_options(path: Path) -> dict[str, Any]:
    """Read the JSON object of a model's configuration."""
    return read_json(path, max_bytes=_MAX_OPTIONS_BYTES, what="configuration of a model: not a JSON file")


def vocabulary_beside(
    options_path: Path, *, needed: bool
) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None, dict[str, str]]:
    """Read the vocabulary in the same folder: `vocab.txt.gz`, `vocab.txt` or the first other `vocab*.txt`.

    One in another encoding than UTF-8 is left out where it is not needed, which the third value says, for the metadata.
    """
    folder = options_path.parent
    for path in (folder / "vocab.txt.gz", folder / "vocab.txt", *sorted(folder.glob("vocab*.txt"))):
        if path.is_file():
            try:
                return *read_words(path, skip=(MAXTERMID,)), {}
            except CheckpointError as error:
                if needed or not isinstance(error.__cause__, UnicodeDecodeError):
                    raise
                return None, None, {"vocabulary": f"left out, {str(error).removeprefix(f'{path}: ')}"}
    return None, None, {}
