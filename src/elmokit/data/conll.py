"""CoNLL column files ↔ sentences: one word per line, annotations in columns, an empty line between sentences.

Columns are separated by tabs if a line has one, else by spaces. In CoNLL-U, multi-word tokens ("3-4") and empty words
("3.1") are skipped. A line with "#" is a comment only before the first word of a sentence, and only in CoNLL-U or if
it has another number of columns than the sentence.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path

from elmokit.data.records import BadRowError, Lines, open_lines
from elmokit.data.streams import STDIN, open_bytes, plain_suffix
from elmokit.errors import InputError, OutputError
from elmokit.files import atomic_path

DOCUMENT_START = "-DOCSTART-"
_NO_WORD = re.compile(r"\d+[-.]\d+")
_SPACES = " \t\r\n"  # not those of Unicode, which may be in words


@dataclass(frozen=True)
class ColumnSentence:
    """One sentence of a column file."""

    rows: tuple[tuple[str, ...], ...]  # the values of each word, the word included, (T, n_columns)
    line: int = 1  # number of its first line, from 1
    comments: tuple[str, ...] = ()  # the lines before it, unchanged
    starts_document: bool = False  # whether a -DOCSTART- line precedes it

    def column(self, place: int) -> list[str]:
        """One column of all words, counted from 0, or from the end with −1 for the last."""
        return [row[place] for row in self.rows]


def read_columns(
    source: str | Path, *, columns: Sequence[int] = (), encoding: str = "utf-8"
) -> Iterator[ColumnSentence]:
    """Read the sentences of a column file, one at a time; it is CoNLL-U if its name ends in .conllu.

    `source` is a path, also .gz, .xz or .zst, or "-" for standard input; `columns` are those that every word must have,
    from 0, or from the end with −1 for the last. InputError: a line in another encoding, without a required column, or
    with more or fewer columns than the first word of its sentence.
    """
    is_conllu, starts_document = plain_suffix(source) == ".conllu", False
    with open_bytes(source) as stream, open_lines(str(source), stream, encoding) as lines:
        for first_line, block in _blocks(lines):
            comments, rows, line = _cut(str(source), first_line, block, is_conllu)
            if rows and rows[0][0] == DOCUMENT_START:
                starts_document, rows, line = True, rows[1:], line + 1
            if rows:
                _check(f"{source}: line {line}", rows, columns)
                yield ColumnSentence(tuple(rows), line, comments, starts_document)
                starts_document = False


def _blocks(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines between empty ones, without line ends, and the number of the first line."""
    block: list[str] = []
    for text in chain(lines, [""]):
        lines.start_record()
        try:
            lines.check(text)
        except BadRowError as error:
            raise InputError(f"{lines.name}: line {lines.n_read}: {error}.") from None
        if text.strip(_SPACES):
            block.append(text.rstrip("\r\n"))
        elif block:
            yield lines.n_read - len(block) + (text == ""), block
            block = []


def _cut(
    name: str, first_line: int, block: list[str], conllu: bool
) -> tuple[tuple[str, ...], list[tuple[str, ...]], int]:
    """Split a block into comments and rows; also return the line number of the first row."""
    rows = [_fields(text) for text in block]
    is_comment = (
        text[0] == "#" and (conllu or len(row) != len(rows[-1])) for text, row in zip(block, rows, strict=True)
    )
    n_comments = sum(takewhile(bool, is_comment))
    words, line = rows[n_comments:], first_line + n_comments
    for place, row in enumerate(words):
        if len(row) != len(words[0]) and not (conllu and _NO_WORD.fullmatch(row[0])):
            raise InputError(
                f"{name}: line {line + place} has {len(row)} columns, but the first word of its sentence has"
                f" {len(words[0])}; fix the line, or put an empty line between sentences."
            )
    words = [row for row in words if not (conllu and _NO_WORD.fullmatch(row[0]))]
    return tuple(block[:n_comments]), words, line


def _fields(text: str) -> tuple[str, ...]:
    text = text.strip(_SPACES) if text[:1] != "\t" else text.rstrip(_SPACES)  # a tab at the end is no column
    return tuple(part.strip(" ") for part in text.split("\t")) if "\t" in text else tuple(filter(None, text.split(" ")))


def _check(place: str, rows: Sequence[tuple[str, ...]], columns: Sequence[int]) -> None:
    n_columns = len(rows[0])
    for column in columns:
        if not -n_columns <= column < n_columns:
            counted = "they are counted from 0, or from the end with -1 for the last"
            raise InputError(
                f"{place} has {n_columns} column{'s' * (n_columns != 1)} and no column {column}; {counted}."
            )
        empty = next((i for i, row in enumerate(rows) if not row[column]), None)
        if empty is not None:
            raise InputError(f"{place}: the value of word {empty + 1} in column {column} is empty.")


@contextmanager
def column_file(path: str | Path) -> Iterator[Callable[[ColumnSentence, Sequence[Sequence[str]]], None]]:
    """Open a column file, written whole or not at all, for a function that takes a sentence and additional columns.

    "-" is standard output. Columns are separated by tabs if a value holds a space or the file is named .conllu.
    """
    tabs = Path(path).suffix.lower() == ".conllu"
    if str(path) == STDIN:
        yield lambda sentence, more: print(_text(sentence, more, tabs=tabs))  # noqa: T201
    else:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            yield lambda sentence, more: print(_text(sentence, more, tabs=tabs), file=file)


def _text(sentence: ColumnSentence, more: Sequence[Sequence[str]], *, tabs: bool) -> str:
    rows = [(*row, *values) for row, *values in zip(sentence.rows, *more, strict=True)]
    for row in rows:
        for value in row:
            lone = len(row) == 1 and " " in value
            if lone or not value.strip(_SPACES) or any(mark in value for mark in "\t\r\n"):
                raise OutputError(f"a column file can't hold the value {value!r}: it is empty or breaks the line.")
    mark = "\t" if tabs or any(" " in value for row in rows for value in row) else " "
    start = mark.join([DOCUMENT_START, *["O"] * (len(rows[0]) - 1)]) + "\n\n" if sentence.starts_document else ""
    comments = "".join(f"{comment}\n" for comment in sentence.comments)
    return start + comments + "".join(f"{mark.join(row)}\n" for row in rows)
