"""`elmokit shift`: how differently two indexed corpora use words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def shift(
    ctx: typer.Context,
    db: Annotated[list[str], typer.Option("--db", help="The folders of the two indexes: --db A --db B.")],
    words: Annotated[str, typer.Option(help="These words only, with commas; else all that are frequent enough.")] = "",
    min_count: Annotated[int, typer.Option(help="Occurrences that a word must have in each.")] = 10,
    by: Annotated[str, typer.Option(help="Order.", metavar="excess|apd|prt")] = "excess",
    k: Annotated[int, typer.Option("-n", "-k", help="Number of results to show.")] = 20,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Also write all: .csv, .tsv, .jsonl, .parquet.")
    ] = None,
) -> None:
    """Show which words two corpora use most differently.

    apd is the average distance of a use in A from a use in B, prt the distance of the mean uses; excess is apd beyond
    how much uses differ within each corpus, near 0 for a word that did not change.

    Example:  elmokit shift --db novels.index --db tweets.index
    """
    from rich.table import Table

    from elmokit.data.outputs import table_file
    from elmokit.errors import ConfigError
    from elmokit.index import WordIndex
    from elmokit.index import shift as compare

    screen: Screen = ctx.obj
    if len(db) != 2:
        raise ConfigError(f"--db was given {len(db)} times; expected two indexes: --db A --db B.")
    chosen = [word.strip() for word in words.split(",") if word.strip()] or None
    found = compare(WordIndex.open(db[0]), WordIndex.open(db[1]), words=chosen, min_count=min_count, by=by)
    names = ("word", "count A", "count B", "apd", "prt", "within A", "within B", "excess")
    table = Table(title=f"A: {db[0]}, B: {db[1]}; {len(found):,} words")
    for name in names:
        table.add_column(name, justify="left" if name == "word" else "right")
    rows = [(c.word, c.count_a, c.count_b, c.apd, c.prt, c.within_a, c.within_b, c.excess) for c in found]
    for word, *numbers in rows[:k]:
        table.add_row(str(word), *(f"{n:,}" if isinstance(n, int) else f"{n:.3f}" for n in numbers))
    screen.table(table)
    if out is not None:
        with table_file(out, [name.replace(" ", "_").lower() for name in names]) as write:
            for row in rows:
                write(row)
