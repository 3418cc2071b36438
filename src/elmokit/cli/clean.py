"""`elmokit clean`: a table → the same table with one column cleaned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def clean(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL, Parquet or text, also .gz; or "-".')],
    column: Annotated[str, typer.Option("--column", "-c", help="The column to clean.")] = "text",
    output: Annotated[
        str, typer.Option("--output", "-o", help='Where to: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.')
    ] = "-",
    steps: Annotated[
        str,
        typer.Option(help="Steps in their order, with commas: urls, punctuation, lowercase, digits, spaces, lemmas."),
    ] = "urls,punctuation,lowercase,digits,spaces",
    into: Annotated[str | None, typer.Option(help="A new column for the result, instead of the same one.")] = None,
    bad_rows: options.BadRows = "stop",
    encoding: options.Encoding = "utf-8",
    format: options.Format = None,
    delimiter: options.Delimiter = None,
) -> None:
    """Clean a column of texts; all other columns stay as they are.

    A model that reads characters often does better on texts as they are: compare before you clean.

    Example:  elmokit clean tweets.csv --column tweet --into clean_tweet --output clean.csv
    """
    from itertools import chain

    from elmokit.data.outputs import table_file
    from elmokit.errors import InputError
    from elmokit.text import cleaning

    screen: Screen = ctx.obj
    recipe = cleaning.check_recipe([step.strip() for step in steps.split(",") if step.strip()])
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    rows = table.rows()
    first = next(rows, None)
    names = list(first.values) if first is not None else [column]
    if column not in names:
        raise InputError(f"{source}: no column {column!r}; the columns are {', '.join(map(repr, names))}.")
    target = into or column
    with table_file(output, names if target in names else [*names, target]) as write, screen.progress() as advance:
        for n, row in enumerate(chain([first] if first else [], rows), start=1):
            values = {**row.values, target: cleaning.clean(row.values[column], recipe)}
            write(list(values.values()))
            if n % 1000 == 0:
                advance("texts", n, None)
    screen.end_notes("rows left out")
