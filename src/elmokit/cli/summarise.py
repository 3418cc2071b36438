"""`elmokit summarise`: a text, or every text of a table → the sentences that say most of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def summarise(
    ctx: typer.Context,
    source: options.Source,
    out: options.TableOut = "-",
    n: options.Count = 3,
    relevance: Annotated[
        float, typer.Option(help="From 0 to 1: how much being central counts against not repeating.")
    ] = 0.7,
    text: options.TextColumn = "text",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Summarise by choosing sentences: a whole text file, printed, or each row of a table, into a table.

    Example:  elmokit summarise article.txt -n 3
    """
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.tasks.summarise import summarise as choose

    screen: Screen = ctx.obj
    table = reading.table(screen, source)
    if table.kind == "txt":
        whole = "\n".join(row.values["text"] for row in table.rows())
        for chosen in choose(model.load(screen), whole, n=n, relevance=relevance):
            screen.say(" ".join(chosen.sentence.split()))
        return
    total, n_texts = options.check_all_rows(table, [text]), 0
    elmo = model.load(screen)
    with table_file(out, ["row", "summary"]) as write, screen.progress() as advance:
        for row in table.rows([text]):
            summary = choose(elmo, row.values[text], n=n, relevance=relevance)
            write([row.number, " ".join(" ".join(chosen.sentence.split()) for chosen in summary)])
            n_texts += 1
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_texts:,} rows")
