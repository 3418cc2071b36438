"""Bytes → rows, one parser per text format.

A parser says what is wrong with a row instead of stopping. Undecodable bytes come through as surrogates, which tells
their row. After a broken quotation mark the reader goes back to the second line of the row, so a stray mark costs one.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Literal

from elmokit.errors import InputError

TEXT_COLUMN = "text"  # the only column of a plain text file
LONGEST_LINE = 1 << 24  # characters of a line, and of a field; parsed, they take up to 25 times as much
_LONGEST_ROW = 1 << 25
csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # of the process: set once, as changes would race
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')  # what Excel writes above the header to name the delimiter
_QUOTING_PROBLEMS = {
    "field larger": f"a field of more than {LONGEST_LINE:,} characters, or a quotation mark that never closes",
    "unexpected end of data": "a quotation mark opens and never closes",
    "expected after": 'a quotation mark inside a quoted field must be doubled ("")',
}  # what the errors of `csv` mean
_NOT_DECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    number: int  # from 1, without the header
    line: int | None  # number of the line where it starts; None in formats without lines
    values: Mapping[str, Any]  # a value per requested column; "" where it is missing and missing values are kept
    problem: str | None = None  # why the row can't be read

    @property
    def place(self) -> str:
        """The place of the row, for messages."""
        return f"row {self.number}" + ("" if self.line is None else f" (line {self.line})")


Rows = tuple[Sequence[str] | None, Iterator[Row]]  # names of the columns, None if each row has its own, and the rows


class BadRowError(Exception):
    """The current row can't be read."""


class Lines(Iterator[str]):
    """The lines of a file, each with its line end; made by `open_lines`. The current record can be read again."""

    def __init__(self, name: str, encoding: str, stream: io.TextIOWrapper) -> None:
        self.name, self._encoding, self._stream = name, encoding, stream
        self._again: list[str] = []
        self._record: list[str] = []
        self._n_characters = 0  # of the record
        self.n_read = 0

    def __next__(self) -> str:
        try:
            line = self._again.pop() if self._again else self._stream.readline(LONGEST_LINE)
        except UnicodeError as error:
            raise InputError(f"{self.name}: after line {self.n_read}: not {self._encoding} text ({error}).") from None
        if not line:
            raise StopIteration
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise InputError(f"{self.name}: line {self.n_read + 1} has over {LONGEST_LINE:,} characters; split it.")
        self._record.append(line)
        self._n_characters += len(line)
        self.n_read += 1
        if self._n_characters > _LONGEST_ROW:
            first = self.n_read - len(self._record) + 1
            raise InputError(f"{self.name}: the row from line {first} on has more than {_LONGEST_ROW:,} characters.")
        return line

    def start_record(self) -> int:
        """Start a record at the next line; return its number."""
        self._record.clear()
        self._n_characters = 0
        return self.n_read + 1

    def go_back(self, n_kept: int = 1) -> None:
        """Read the lines of the record again, except the first `n_kept`."""
        again = self._record[n_kept:]
        self._again.extend(reversed(again))
        self.n_read -= len(again)
        self.start_record()

    def check(self, text: str) -> None:
        """Raise `BadRowError` for a line, or the fields of a row, with undecodable bytes."""
        undecoded = _NOT_DECODED.search(text)
        if undecoded is None:
            return
        byte = ord(undecoded[0]) - 0xDC00
        before = _NOT_DECODED.sub("�", text[max(0, undecoded.start() - 20) : undecoded.start()])
        likely = "utf-16" if byte in (0xFE, 0xFF) and undecoded.start() == 0 else "cp1252"
        raise BadRowError(
            f"byte 0x{byte:02x} after {before!r} is not {self._encoding}; if the file is in another encoding,"
            f" name it (--encoding {likely}, for instance)"
        )


def _row(lines: Lines, number: int, line: int, text: str, parse: Callable[[str], Mapping[str, Any]]) -> Row:
    try:
        lines.check(text)
        return Row(number, line, parse(text))
    except BadRowError as problem:
        return Row(number, line, {}, str(problem))


@contextmanager
def open_lines(name: str, stream: BinaryIO, encoding: str) -> Iterator[Lines]:
    """Decode the lines of a stream; the encoding "utf-8" skips a byte-order mark."""
    utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    codec = "utf-8-sig" if utf8 else encoding
    try:
        text = io.TextIOWrapper(stream, encoding=codec, errors="surrogateescape", newline="")
    except LookupError:
        raise InputError(f"unknown encoding {encoding!r}; try 'utf-8', 'cp1252' or 'utf-16'.") from None
    try:
        yield Lines(name, encoding, text)
    finally:
        text.detach()


def delimited(lines: Lines, *, delimiter: str | None, quotes: bool, header: bool) -> Rows:
    """Parse a CSV or TSV file; no delimiter means a comma, or what a line "sep=;" before the header says."""
    reader, first = _first_fields(lines, delimiter, csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
    if header:
        return first, _delimited_records(lines, reader, first, [], quotes)
    names = [TEXT_COLUMN] if len(first) == 1 else [str(i + 1) for i in range(len(first))]
    return names, _delimited_records(lines, reader, names, first, quotes)


def _first_fields(lines: Lines, delimiter: str | None, quoting: Literal[0, 3]) -> tuple[Iterator[list[str]], list[str]]:
    """The reader, and the first row that is not empty: the header, or the first row of data."""
    try:
        for text in lines:
            separator = _SEPARATOR_LINE.fullmatch(text.strip("\r\n"))
            if separator:
                delimiter = delimiter or separator[1]
            elif text.strip("\r\n"):
                lines.go_back(0)
                reader = csv.reader(lines, delimiter=delimiter or ",", quoting=quoting, strict=True)
                fields = next(reader)
                lines.check("".join(fields))
                return reader, fields
            lines.start_record()
    except (BadRowError, csv.Error) as error:
        raise InputError(f"{lines.name}: the header can't be read: {error}.") from None
    raise InputError(f"{lines.name}: the file is empty; expected a header with the names of the columns.")


def _delimited_records(
    lines: Lines, reader: Iterator[list[str]], names: Sequence[str], fields: Sequence[str], quotes: bool
) -> Iterator[Row]:
    """Match rows with the columns; `fields` are the first row, if it was read already."""
    number, line = 0, 1
    while True:
        if fields:
            number += 1
            yield _row(lines, number, line, "".join(fields), partial(_match, names, fields, quotes))
        line = lines.start_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.go_back()
            number, fields = number + 1, []
            problems = (text for part, text in _QUOTING_PROBLEMS.items() if part in str(error))
            yield Row(number, line, {}, next(problems, str(error)))


def _match(names: Sequence[str], fields: Sequence[str], quotes: bool, _: str) -> Mapping[str, str]:
    if len(fields) != len(names):
        hint = "a text that contains the delimiter or a line break must be quoted"
        if not quotes:
            hint = r"if a spreadsheet wrote the file, read it with its quotes: --input-format csv --delimiter '\t'"
        raise BadRowError(f"{len(fields)} field{'s' * (len(fields) != 1)}, but the header has {len(names)}; {hint}")
    return dict(zip(names, fields, strict=True))


def json_lines(lines: Lines) -> Iterator[Row]:
    """Parse a file with a JSON object on each line."""
    number = 0
    for text in lines:
        lines.start_record()
        if text.strip():
            number += 1
            yield _row(lines, number, lines.n_read, text, _parse_object)
    if not number:
        raise InputError(f"{lines.name}: the file is empty; expected a JSON object on each line.")


def _parse_object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRowError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRowError(f'a JSON {type(value).__name__}, where an object is expected: {{"text": "…"}}')
    return value


def plain_lines(lines: Lines) -> Iterator[Row]:
    """Parse a plain text file: every line is a text."""
    for text in lines:
        lines.start_record()
        yield _row(lines, lines.n_read, lines.n_read, text, lambda line: {TEXT_COLUMN: line.rstrip("\r\n")})
