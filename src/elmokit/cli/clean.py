"""`elmokit clean`: a table → the same table with one column cleaned."""

from itertools import chain

from elmokit.cli import options
from elmokit.cli.app import option
from elmokit.cli.screen import screen
from elmokit.errors import InputError


def clean(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    steps: str = option(
        "urls,punctuation,lowercase,digits,spaces",
        "Steps in order, separated by commas: urls, punctuation, lowercase, digits, spaces, lemmas.",
    ),
    into: str | None = option(None, "New column for the cleaned text; without it, the text is replaced."),
) -> None:
    """Clean a column of texts; all other columns stay as they are.

    A character-level model often works better on uncleaned texts: compare before you clean.

    Example:  elmokit clean tweets.csv --text tweet --into clean_tweet --out clean.csv
    """
    from elmokit.text import cleaning

    recipe = cleaning.check_recipe(options.split_names(steps))
    table, column = texts.open()
    rows = table.rows()
    first = next(rows, None)
    names = list(first.values) if first is not None else [column]
    if column not in names:
        raise InputError(f"{texts.source}: no column {column!r}; the columns are {', '.join(map(repr, names))}.")
    target = into or column
    lines = (
        list({**row.values, target: cleaning.clean(row.values[column], recipe)}.values())
        for row in chain([first] if first else [], rows)
    )
    names = names if target in names else [*names, target]
    options.write_table(out, names, lines)
    screen.end_notes()
