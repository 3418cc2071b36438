"""`elmokit clean`: a table → the same table with one column cleaned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def clean(
    ctx: typer.Context,
    source: options.Source,
    text: options.TextColumn = "text",
    out: options.TableOut = "-",
    steps: Annotated[
        str,
        typer.Option(help="Steps in order, separated by commas: urls, punctuation, lowercase, digits, spaces, lemmas."),
    ] = "urls,punctuation,lowercase,digits,spaces",
    into: Annotated[
        str | None, typer.Option(help="New column for the cleaned text; without it, the text is replaced.")
    ] = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Clean a column of texts; all other columns stay as they are.

    A character-level model often works better on uncleaned texts: compare before you clean.

    Example:  elmokit clean tweets.csv --text tweet --into clean_tweet --out clean.csv
    """
    from itertools import chain

    from elmokit.data.outputs import table_file
    from elmokit.errors import InputError
    from elmokit.text import cleaning

    screen: Screen = ctx.obj
    recipe = cleaning.check_recipe([step.strip() for step in steps.split(",") if step.strip()])
    rows = reading.table(screen, source).rows()
    first = next(rows, None)
    names = list(first.values) if first is not None else [text]
    if text not in names:
        raise InputError(f"{source}: no column {text!r}; the columns are {', '.join(map(repr, names))}.")
    target = into or text
    with table_file(out, names if target in names else [*names, target]) as write, screen.progress() as advance:
        for n, row in enumerate(chain([first] if first else [], rows), start=1):
            values = {**row.values, target: cleaning.clean(row.values[text], recipe)}
            write(list(values.values()))
            if n % 1000 == 0:
                advance("texts", n, None)
    screen.end_notes("rows left out")
