"""`elmokit examples`: copy the sample files that the documentation uses."""

from __future__ import annotations

from pathlib import Path

from elmokit.cli.commands import argument
from elmokit.cli.screen import Screen
from elmokit.errors import MissingFile, OutputError

SUFFIXES = (".csv", ".conll", ".ipynb", ".txt", ".py")


def examples(screen: Screen, *, folder: str = argument("FOLDER", "Folder to write to.", "examples")) -> None:
    """Copy the sample files of the documentation to a folder; existing files are not replaced.

    Example:  elmokit examples
    """
    source, target = sample_folder(), Path(folder)
    for path in sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES):
        copy = target / path.relative_to(source)
        if copy.exists():
            screen.note(f"{copy} exists already")
            continue
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        except OSError as error:
            raise OutputError(f"{copy}: the file can't be written ({error.strerror}).") from None
        screen.say(str(copy))


def sample_folder() -> Path:
    """The folder of the sample files: in the package, or `examples/` of a source checkout."""
    import elmokit

    package = Path(elmokit.__file__).parent
    for folder in (package / "examples", package.parent.parent / "examples"):
        if (folder / "product_tweets.csv").is_file():
            return folder
    raise MissingFile(f"{package / 'examples'}: no sample files in this installation.")
