"""What commands on texts share: the rows of a table, their vectors, and files of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from elmokit import files
from elmokit.blocks import blocks
from elmokit.cli import options
from elmokit.cli.screen import Screen
from elmokit.data.streams import STDIN
from elmokit.errors import InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Row, Table

Centering = Annotated[
    bool, Option("--center/--no-center", "--centre/--no-centre", help="Subtract the mean vector of the file first.")
]


def column_of(table: Table, column: str) -> str:
    """The name of the text column: a plain text file has only the column "text"."""
    return "text" if table.kind == "txt" else column


def read_rows(screen: Screen, table: Table, columns: Sequence[str], *, labels: Sequence[str] = ()) -> list[Row]:
    """Read all usable rows; InputError if there are none."""
    rows = list(table.rows(columns, labels=labels))
    screen.end_notes()
    if not rows:
        raise InputError(f"{table.source}: no usable rows.")
    return rows


def read_texts(
    screen: Screen, reading: options.ReadingOptions, source: str, column: str, *more: str
) -> tuple[list[Row], list[str]]:
    """All usable rows with their texts; `more` are other columns to read."""
    table = reading.table(screen, source)
    column = column_of(table, column)
    rows = read_rows(screen, table, [column, *more])
    return rows, [row.values[column] for row in rows]


def write_results(
    screen: Screen,
    table: Table,
    out: str,
    columns: Sequence[str],
    id_column: str | None,
    names: Sequence[str],
    results: Callable[[list[Row]], Iterable[Sequence[Any]]],
    *,
    n_rows: int | None = None,
    block: int = 8192,
) -> None:
    """Write a row per row of a table: its id, else its number, and its results, which are computed block by block."""
    from elmokit.data.outputs import table_file

    n_done = 0
    with table_file(out, [id_column or "row", *names]) as write, screen.progress() as advance:
        for rows in blocks(table.rows([*columns, *([id_column] if id_column else [])]), block):
            for row, values in zip(rows, results(rows), strict=True):
                write([row.values[id_column] if id_column else row.number, *values])
            n_done += len(rows)
            advance("texts", n_done, n_rows)
    screen.end_notes()
    if out != STDIN:
        screen.done(f"{out}: {n_done:,} rows")


def id_of(table: Table, id_column: str | None) -> str | None:
    """The column that names the rows: the one given, else "id" if there is one."""
    has_id = id_column is None and str(table.source) != STDIN and "id" in table.columns()
    return "id" if has_id else id_column


def write_json(path: str | None, value: object) -> None:
    """Write results to the file of `--json`, whole or not at all; None writes nothing."""
    if path is not None:
        files.write_json(path, value, indent=2, ensure_ascii=False)


def one_line(text: str, longest: int = 90) -> str:
    """Shorten a text to one line of the screen."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
