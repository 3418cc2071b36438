"""`elmokit examples`: copy the sample files that the documentation uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

SUFFIXES = (".csv", ".conll", ".ipynb", ".txt", ".py")


def examples(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder to write to.")] = "examples",
) -> None:
    """Copy the sample files of the documentation to a folder; existing files are not replaced.

    Example:  elmokit examples
    """
    from elmokit.errors import OutputError

    screen: Screen = ctx.obj
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
    from elmokit.errors import MissingFile

    package = Path(elmokit.__file__).parent
    for folder in (package / "examples", package.parent.parent / "examples"):
        if (folder / "product_tweets.csv").is_file():
            return folder
    raise MissingFile(f"{package / 'examples'}: no sample files in this installation.")
