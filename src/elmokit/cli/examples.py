"""`elmokit examples`: copy the sample files that the documentation uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

SUFFIXES = (".csv", ".conll", ".txt", ".py")


def examples(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder to write to.")] = "examples",
) -> None:
    """Copy the sample files of the documentation to a folder; existing files are not replaced.

    Example:  elmokit examples
    """
    from elmokit.errors import OutputError

    screen: Screen = ctx.obj
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be created ({error.strerror}).") from None
    for path in sample_files():
        copy = target / path.name
        if copy.exists():
            screen.note(f"{copy} exists already")
            continue
        copy.write_bytes(path.read_bytes())
        screen.say(str(copy))


def sample_files() -> list[Path]:
    """The sample files: in the package, or in `examples/` of a source checkout."""
    import elmokit
    from elmokit.errors import MissingFile

    package = Path(elmokit.__file__).parent
    for folder in (package / "examples", package.parent.parent / "examples"):
        files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
        if files:
            return files
    raise MissingFile(f"{package / 'examples'}: no sample files in this installation.")
