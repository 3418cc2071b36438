"""`elmokit summarise`: a text, or every text of a table → the sentences that say most of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
    json_file: options.JsonFile = None,
    text: options.TextColumn = "text",
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Summarise by choosing sentences: a whole text file, printed, or each row of a table, into a table.

    Example:  elmokit summarise article.txt -n 3
    """
    from elmokit.tasks.summarise import summarise as choose

    summaries: list[dict[str, Any]] = []

    def summary(number: int, text: str) -> list[str]:
        chosen = choose(elmo, text, n=n, relevance=relevance)
        if json_file is not None:
            summaries.append({"row": number, "sentences": [asdict(one) for one in chosen]})
        return [" ".join(one.sentence.split()) for one in chosen]

    def results(rows: list[Row]) -> list[list[str]]:
        return [[" ".join(summary(row.number, row.values[text]))] for row in rows]

    table = reading.table(screen, source)
    if table.kind == "txt":
        whole, elmo = "\n".join(row.values["text"] for row in table.rows()), model.load(screen)
        for sentence in summary(1, whole):
            screen.say(sentence)
    else:
        total, elmo = options.check_all_rows(table, [text]), model.load(screen)
        texts.write_results(screen, table, out, [text], None, ["summary"], results, n_rows=total, block=16)
    texts.write_json(json_file, summaries)
