"""`elmokit clean`: a table → the same table with one column cleaned."""

from __future__ import annotations

from itertools import chain

from elmokit.cli import options
from elmokit.cli.commands import option
from elmokit.cli.screen import Screen
from elmokit.errors import InputError


def clean(
    screen: Screen,
    *,
    source: options.Source,
    text: options.TextColumn = "text",
    out: options.TableOut = "-",
    steps: str = option(
        "urls,punctuation,lowercase,digits,spaces",
        "Steps in order, separated by commas: urls, punctuation, lowercase, digits, spaces, lemmas.",
    ),
    into: str | None = option(None, "New column for the cleaned text; without it, the text is replaced."),
    reading: options.ReadingOptions,
) -> None:
    """Clean a column of texts; all other columns stay as they are.

    A character-level model often works better on uncleaned texts: compare before you clean.

    Example:  elmokit clean tweets.csv --text tweet --into clean_tweet --out clean.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.text import cleaning

    recipe = cleaning.check_recipe(options.split_names(steps))
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
    screen.end_notes()
