"""`elmokit answer`: a question and a file → the passages that answer it best."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from elmokit.cli import options, texts
from elmokit.cli.commands import argument, option
from elmokit.cli.screen import Screen
from elmokit.errors import InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Table


def answer(
    screen: Screen,
    *,
    question: str = argument("QUESTION", "The question, in quotation marks."),
    source: options.Source,
    n: options.Count = 5,
    out: str | None = option(None, "Also write them to this .csv, .tsv, .jsonl or .parquet.", "--out", "-o"),
    json_file: options.JsonFile = None,
    text: options.TextColumn = "text",
    sentences: bool | None = option(None, "Cut texts into sentences: yes for text files, no for tables."),
    weight: float = option(4.0, "Weight of similar words against common ones; 0: BM25 alone."),
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Rank the passages of a file by how well they answer a question: common words (BM25) and similar words.

    Example:  elmokit answer "Who wrote Emma?" novels.txt
    """
    from elmokit.data.outputs import table_file
    from elmokit.tasks.answer import Answers

    table = reading.table(screen, source)
    passages = _passages(table, text, table.kind == "txt" if sentences is None else sentences)
    screen.end_notes()
    if not passages:
        raise InputError(f"{source}: no passages in it.")
    answers = Answers(model.load(screen), [passage for _, passage in passages], weight=weight).best(question, n=n)
    rows = []
    for one in answers:
        figures = (f"{value:.2f}" for value in (one.score, one.bm25, one.coverage))
        rows.append((str(passages[one.place][0]), *figures, texts.one_line(one.passage, 300)))
    screen.table(["row", "score", "BM25", "coverage", "passage"], rows)
    texts.write_json(json_file, [{"row": passages[one.place][0], **asdict(one)} for one in answers])
    if out is not None:
        with table_file(out, ["rank", "row", "score", "bm25", "coverage", "passage"]) as write:
            for rank, one in enumerate(answers, 1):
                rounded = (round(value, 4) for value in (one.score, one.bm25, one.coverage))
                write([rank, passages[one.place][0], *rounded, one.passage])


def _passages(table: Table, column: str, cut: bool) -> list[tuple[int, str]]:
    """The number of the row and the passage. Sentences of a text file may run over its lines."""
    from elmokit.text.sentences import split_sentences

    if table.kind != "txt":
        rows = ((row.number, row.values[column]) for row in table.rows([column]))
        return [(number, part) for number, text in rows for part in (split_sentences(text) if cut else [text])]
    lines = [row.values["text"] for row in table.rows()]
    if not cut:
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    passages, whole, start, line, counted = [], "\n".join(lines), 0, 1, 0
    for sentence in split_sentences(whole):
        start = whole.index(sentence, start)
        line, counted = line + whole.count("\n", counted, start), start
        passages.append((line, " ".join(sentence.split())))
        start += len(sentence)
    return passages
