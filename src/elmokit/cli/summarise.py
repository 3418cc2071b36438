"""`elmokit summarise`: a text, or every text of a table → the sentences that say most of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elmokit.cli import options, texts
from elmokit.cli.commands import option
from elmokit.cli.screen import Screen

if TYPE_CHECKING:
    from elmokit.data.tables import Row


def summarise(
    screen: Screen,
    *,
    source: options.Source,
    out: options.TableOut = "-",
    n: options.Count = 3,
    relevance: float = option(0.7, "From 0 to 1: how much being central counts against not repeating."),
    text: options.TextColumn = "text",
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Summarise by choosing sentences: a whole text file, printed, or each row of a table, into a table.

    Example:  elmokit summarise article.txt -n 3
    """
    from elmokit.tasks.summarise import summarise as choose

    def summary(text: str) -> list[str]:
        return [" ".join(chosen.sentence.split()) for chosen in choose(elmo, text, n=n, relevance=relevance)]

    def results(rows: list[Row]) -> list[list[str]]:
        return [[" ".join(summary(row.values[text]))] for row in rows]

    table = reading.table(screen, source)
    if table.kind == "txt":
        whole, elmo = "\n".join(row.values["text"] for row in table.rows()), model.load(screen)
        for sentence in summary(whole):
            screen.say(sentence)
        return
    total, elmo = options.check_all_rows(table, [text]), model.load(screen)
    texts.write_results(screen, table, out, [text], None, ["summary"], results, n_rows=total, block=16)
