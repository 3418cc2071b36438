"""What commands on texts share: the rows of a table, their vectors, and a file of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Row, Table
    from elmokit.elmo import Elmo

Centering = Annotated[
    bool,
    typer.Option("--center/--no-center", "--centre/--no-centre", help="Subtract the mean vector of the file first."),
]


def column_of(table: Table, column: str) -> str:
    """The name of the text column: a plain text file has only the column "text"."""
    return "text" if table.kind == "txt" else column


def read_rows(screen: Screen, table: Table, columns: list[str], *, labels: Sequence[str] = ()) -> list[Row]:
    """Read all usable rows; InputError if there are none."""
    from elmokit.errors import InputError

    rows = list(table.rows(columns, labels=labels))
    screen.end_notes("rows left out")
    if not rows:
        raise InputError(f"{table.source}: no usable rows.")
    return rows


def vectors_of(screen: Screen, elmo: Elmo, texts: list[str], *, pooling: str, layers: str) -> Any:
    """A vector per text, with a progress bar. Shape (N, D)."""
    encoding = options.VectorOptions(pooling=pooling, layers=layers).encoding()
    return elmo.encode(texts, encoding, show_progress=screen.show_progress)


def write_json(path: str | None, value: object) -> None:
    """Write results to the file of `--json`, whole or not at all; None writes nothing."""
    from elmokit import files

    if path is not None:
        files.write_json(path, value, indent=2, ensure_ascii=False)


def one_line(text: str, longest: int = 90) -> str:
    """Shorten a text to one line of the screen."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
