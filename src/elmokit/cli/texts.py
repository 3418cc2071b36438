"""A table's texts with their vectors, for commands that compare all texts of a file with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Row, Table

Centering = Annotated[
    bool,
    typer.Option("--center/--no-center", "--centre/--no-centre", help="Subtract the mean vector of the file first."),
]


def column_of(table: Table, column: str) -> str:
    """The name of the text column: a plain text file has only the column "text"."""
    return "text" if table.kind == "txt" else column


def read_rows(screen: Screen, table: Table, columns: list[str]) -> list[Row]:
    """Read all usable rows.

    Raises:
        InputError: there are none.
    """
    from elmokit.errors import InputError

    rows = list(table.rows(columns))
    screen.end_notes("rows left out")
    if not rows:
        raise InputError(f"{table.source}: no usable rows.")
    return rows


def vectors_of(screen: Screen, elmo: Any, texts: list[str], *, pooling: str, layers: str) -> Any:
    """A vector per text, with a progress bar. Shape (N, D)."""
    chosen = options.parse_layers(layers)
    return elmo.encode(texts, pooling=pooling, layers=chosen, show_progress=screen.show_progress)


def one_line(text: str, longest: int = 90) -> str:
    r"""Shorten a text to one line of the screen.

    Example:
        >>> one_line("two\nlines"), one_line("abcdef", 4)
        ('two lines', 'abc…')
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
