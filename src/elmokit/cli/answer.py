"""`elmokit answer` and `elmokit summarise`: the passages or sentences of a file that matter most."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from elmokit.cli import options
from elmokit.cli.commands import argument, option
from elmokit.cli.screen import screen
from elmokit.errors import InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Row, Table


def answer(
    *,
    question: str = argument("QUESTION", "The question, in quotation marks."),
    texts: options.TextOptions,
    n: options.Count = 5,
    out: str | None = option(None, "Also write them to this .csv, .tsv, .jsonl or .parquet.", "--out", "-o"),
    json_file: options.JsonFile = None,
    sentences: bool | None = option(None, "Cut texts into sentences: yes for text files, no for tables."),
    weight: float = option(4.0, "Weight of similar words against common ones; 0: BM25 alone."),
    model: options.ModelOptions,
) -> None:
    """Rank the passages of a file by how well they answer a question: common words (BM25) and similar words.

    Example:  elmokit answer "Who wrote Emma?" novels.txt
    """
    from elmokit.tasks.answer import Answers

    table, column = texts.open()
    passages = _passages(table, column, table.kind == "txt" if sentences is None else sentences)
    screen.end_notes()
    if not passages:
        raise InputError(f"{texts.source}: no passages in it.")
    best = Answers(model.load(), [passage for _, passage in passages], weight=weight).best(question, n=n)
    lines = [(passages[one.place][0], one.score, one.bm25, one.coverage, one.passage) for one in best]
    rows = [
        (str(row), *(f"{x:.2f}" for x in figures), shorten(passage, 300, placeholder="…"))
        for row, *figures, passage in lines
    ]
    screen.table(["row", "score", "BM25", "coverage", "passage"], rows)
    options.write_json(json_file, [{"row": line[0], **asdict(one)} for line, one in zip(lines, best, strict=True)])
    if out is not None:
        ranked = enumerate(lines, 1)
        rounded = ([rank, row, *(round(x, 4) for x in figures), passage] for rank, (row, *figures, passage) in ranked)
        options.write_table(out, ["rank", "row", "score", "bm25", "coverage", "passage"], rounded)


def _passages(table: Table, column: str, cut: bool) -> list[tuple[int, str]]:
    """The number of the row and the passage. Sentences of a text file may run over its lines."""
    from elmokit.text.sentences import split_sentences

    if table.kind != "txt":
        rows = ((row.number, row.values[column]) for row in table.rows([column]))
        return [(number, part) for number, text in rows for part in (split_sentences(text) if cut else [text])]
    lines = [row.values[column] for row in table.rows()]
    if not cut:
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    passages, whole, start, line, counted = [], "\n".join(lines), 0, 1, 0
    for sentence in split_sentences(whole):
        start = whole.index(sentence, start)
        line, counted = line + whole.count("\n", counted, start), start
        passages.append((line, " ".join(sentence.split())))
        start += len(sentence)
    return passages


def summarise(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    n: options.Count = 3,
    relevance: float = option(0.7, "From 0 to 1: how much being central counts against not repeating."),
    json_file: options.JsonFile = None,
    model: options.ModelOptions,
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
        return [[" ".join(summary(row.number, row.values[column]))] for row in rows]

    table, column = texts.open()
    if table.kind == "txt":
        whole, elmo = "\n".join(row.values[column] for row in table.rows()), model.load()
        for sentence in summary(1, whole):
            screen.say(sentence)
    else:
        checked, elmo = options.RowResults(table, [column]), model.load()
        checked.write(out, ["summary"], results, block=16)
    options.write_json(json_file, summaries)
