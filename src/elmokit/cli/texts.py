"""A table's texts with their vectors, for the commands that compare all texts of a file with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Row, Table

Source = Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL, Parquet or text, also .gz; or "-".')]
TextColumn = Annotated[str, typer.Option("--text", help="The column with the texts.")]
Centre = Annotated[bool, typer.Option(help="Take the file's mean vector off first: what all its texts share.")]
TableOut = Annotated[str, typer.Option("--out", "-o", help='Where to: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.')]


def column_of(table: Table, column: str) -> str:
    """The column with the texts: a plain text file has only one."""
    return "text" if table.kind == "txt" else column


def read_rows(screen: Screen, table: Table, columns: list[str]) -> list[Row]:
    """All rows that can be used.

    Raises:
        InputError: there is none.
    """
    from elmokit.errors import InputError

    rows = list(table.rows(columns))
    screen.end_notes("rows left out")
    if not rows:
        raise InputError(f"{table.source}: no rows that can be used.")
    return rows


def vectors_of(screen: Screen, elmo: Any, texts: list[str], *, pooling: str, layers: str) -> Any:
    """A vector per text, with a progress bar. Shape (N, D)."""
    import numpy as np

    chosen = options.parse_layers(layers)
    done: list[Any] = [elmo.encode([], pooling=pooling, layers=chosen, show_progress=False)]
    n_done = 0
    with screen.progress() as advance:
        for block in options.blocks(texts):
            done.append(elmo.encode(block, pooling=pooling, layers=chosen, show_progress=False))
            n_done += len(block)
            advance("texts", n_done, len(texts))
    return np.concatenate(done)


def one_line(text: str, longest: int = 90) -> str:
    r"""A text as it fits into a line of the screen.

    Example:
        >>> one_line("two\nlines"), one_line("abcdef", 4)
        ('two lines', 'abc…')
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
