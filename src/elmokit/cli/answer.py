"""`elmokit answer`: a question and a file → the passages that answer it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options, texts

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Table


def answer(
    ctx: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotation marks.")],
    source: options.Source,
    n: options.Count = 5,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Also write them to this .csv, .tsv, .jsonl or .parquet.")
    ] = None,
    text: options.TextColumn = "text",
    sentences: Annotated[
        bool | None, typer.Option(help="Cut texts into sentences: yes for text files, no for tables.")
    ] = None,
    weight: Annotated[float, typer.Option(help="Weight of similar words against common ones; 0: BM25 alone.")] = 0.5,
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Rank the passages of a file by how well they answer a question: common words (BM25) and similar words.

    Example:  elmokit answer "Who wrote Emma?" novels.txt
    """
    from rich.table import Table as Shown

    from elmokit.data.outputs import table_file
    from elmokit.errors import InputError
    from elmokit.tasks.answer import Answers

    screen: Screen = ctx.obj
    table = reading.table(screen, source)
    passages = _passages(table, text, table.kind == "txt" if sentences is None else sentences)
    screen.end_notes("rows left out")
    if not passages:
        raise InputError(f"{source}: no passages in it.")
    answers = Answers(model.load(screen), [passage for _, passage in passages], weight=weight).best(question, n=n)
    shown = Shown("row", "score", "BM25", "coverage", "passage")
    for one in answers:
        figures = (f"{value:.2f}" for value in (one.score, one.bm25, one.coverage))
        shown.add_row(str(passages[one.place][0]), *figures, texts.one_line(one.passage, 300))
    screen.table(shown)
    if out is not None:
        with table_file(out, ["rank", "row", "score", "bm25", "coverage", "passage"]) as write:
            for rank, one in enumerate(answers, 1):
                rounded = (round(value, 4) for value in (one.score, one.bm25, one.coverage))
                write([rank, passages[one.place][0], *rounded, one.passage])


def _passages(table: Table, column: str, cut: bool) -> list[tuple[int, str]]:
    """The number of the row and the passage. Sentences of a text file may run over its lines."""
    from elmokit.text.sentences import split_sentences

    if table.kind != "txt":
        rows = table.rows([column])
        return [
            (row.number, part)
            for row in rows
            for part in (split_sentences(row.values[column]) if cut else [row.values[column]])
        ]
    lines = [row.values["text"] for row in table.rows()]
    if not cut:
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    cut_up, whole, start = [], "\n".join(lines), 0
    line, counted = 1, 0
    for sentence in split_sentences(whole):
        start = whole.index(sentence, start)
        line, counted = line + whole.count("\n", counted, start), start
        cut_up.append((line, " ".join(sentence.split())))
        start += len(sentence)
    return cut_up
