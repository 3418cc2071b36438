"""Bytes → records, one parser per text format.

A parser names what is wrong with a row instead of stopping; the policy for bad rows is in `elmokit.data.tables`.
Undecodable bytes come through as surrogates, which tells their row. After a broken quotation mark the reader goes back
to the second line of the record, so a stray mark costs one row.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from elmokit.errors import InputError

TEXT_COLUMN = "text"
"""The only column of a plain text file."""

LONGEST_LINE = 1 << 26
"""Characters of the longest line that is read."""

_LONGEST_FIELD = 1 << 24
csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))  # of the process: set once, as changes would race
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?')
"""What Excel writes above the header to name the delimiter."""

NOT_DECODED = re.compile("[\udc80-\udcff]")

CheckColumns = Callable[[Sequence[str]], None]
"""Called with the existing columns; raises if one that is wanted is missing."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file.

    `number` counts rows from 1, without a header; `line` is the line number of its start, None if the format has no
    lines. `values` are empty if the row can't be read; `problem` says why.
    """

    number: int
    line: int | None
    values: Mapping[str, Any]
    problem: str | None = None


class _BadRowError(Exception):
    """The current row can't be read."""


def _record(number: int, line: int | None, parse: Callable[..., Mapping[str, Any]], *arguments: Any) -> Record:
    try:
        return Record(number, line, parse(*arguments))
    except _BadRowError as problem:
        return Record(number, line, {}, str(problem))


@dataclass(frozen=True, slots=True)
class Characters:
    """How the bytes of a file are decoded; the encoding "utf-8" skips a byte-order mark."""

    name: str
    encoding: str

    @contextmanager
    def lines(self, stream: BinaryIO) -> Iterator[Lines]:
        """Read the lines of a stream, each with its line end."""
        utf8 = self.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        encoding = "utf-8-sig" if utf8 else self.encoding
        try:
            text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
        except LookupError:
            raise InputError(f"unknown encoding {self.encoding!r}; try 'utf-8', 'cp1252' or 'utf-16'.") from None
        try:
            yield Lines(self, text)
        finally:
            text.detach()

    def check(self, text: str) -> None:
        """Refuse a line, or the fields of a row, with undecodable bytes."""
        undecoded = NOT_DECODED.search(text)
        if undecoded is None:
            return
        byte = ord(undecoded[0]) - 0xDC00
        before = NOT_DECODED.sub("�", text[max(0, undecoded.start() - 20) : undecoded.start()])
        likely = "utf-16" if byte in (0xFE, 0xFF) and undecoded.start() == 0 else "cp1252"
        raise _BadRowError(
            f"byte 0x{byte:02x} after {before!r} is not {self.encoding}; if the file is in another encoding,"
            f" name it (--encoding {likely}, for instance)"
        )


class Lines:
    """Lines with the possibility to go back within one record."""

    def __init__(self, characters: Characters, stream: io.TextIOWrapper) -> None:
        self._characters, self._stream = characters, stream
        self._again: list[str] = []
        self._record: list[str] = []
        self.n_read = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.pop() if self._again else self._stream.readline(LONGEST_LINE)
        except UnicodeError as error:
            name, encoding = self._characters.name, self._characters.encoding
            raise InputError(f"{name}: after line {self.n_read}: not {encoding} text ({error}).") from None
        if not line:
            raise StopIteration
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise InputError(
                f"{self._characters.name}: line {self.n_read + 1} has more than {LONGEST_LINE:,} characters; split it."
            )
        self._record.append(line)
        self.n_read += 1
        return line

    def start_record(self) -> int:
        """Start a record at the next line; return its number."""
        self._record.clear()
        return self.n_read + 1

    def go_back(self, n_kept: int = 1) -> None:
        """Read the lines of the record again, except the first `n_kept`."""
        again = self._record[n_kept:]
        self._again.extend(reversed(again))
        self.n_read -= len(again)
        self._record.clear()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written.

    No delimiter means a comma, or what a line "sep=;" before the header says. Without a header the columns are called
    "1", "2" and so on, and a lone column "text".
    """

    delimiter: str | None = None
    quotes: bool = True
    header: bool = True


def delimited(characters: Characters, stream: BinaryIO, check: CheckColumns, dialect: Dialect) -> Iterator[Record]:
    """Parse a CSV or TSV file."""
    with characters.lines(stream) as lines:
        reader, fields = _first_fields(characters, lines, dialect)
        header, number, line = fields, 0, 1
        if dialect.header:
            fields = []
        else:
            header = [TEXT_COLUMN] if len(fields) == 1 else [str(i + 1) for i in range(len(fields))]
        check(header)
        while True:
            if fields:
                number += 1
                yield _record(number, line, _match, characters, header, fields, dialect.quotes)
            line = lines.start_record()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines.go_back()
                number, fields = number + 1, []
                yield Record(number, line, {}, _quoting_problem(error))


def _first_fields(characters: Characters, lines: Lines, dialect: Dialect) -> tuple[Any, list[str]]:
    """The reader, and the first row that is not empty: the header, or the first row of data."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE
    delimiter = dialect.delimiter
    try:
        for text in lines:
            separator = _SEPARATOR_LINE.fullmatch(text.strip("\r\n"))
            if separator:
                delimiter = delimiter or separator[1]
            elif text.strip("\r\n"):
                lines.go_back(0)
                reader = csv.reader(lines, delimiter=delimiter or ",", quoting=quoting, strict=True)
                fields = next(reader)
                characters.check("".join(fields))
                return reader, fields
            lines.start_record()
    except (_BadRowError, csv.Error) as error:
        raise InputError(f"{characters.name}: the header can't be read: {error}.") from None
    raise InputError(f"{characters.name}: the file is empty; expected a header with the names of the columns.")


def _quoting_problem(error: csv.Error) -> str:
    told = {
        "field larger": f"a field of more than {_LONGEST_FIELD:,} characters, or a quotation mark that never closes",
        "unexpected end of data": "a quotation mark opens and never closes",
        "expected after": 'a quotation mark inside a quoted field must be doubled ("")',
    }
    return next((text for part, text in told.items() if part in str(error)), str(error))


def _match(characters: Characters, header: Sequence[str], fields: Sequence[str], quotes: bool) -> Mapping[str, str]:
    characters.check("".join(fields))
    if len(fields) != len(header):
        hint = "a text that contains the delimiter or a line break must be quoted"
        if not quotes:
            hint = r"if a spreadsheet wrote the file, read it with its quotes: --input-format csv --delimiter '\t'"
        raise _BadRowError(f"{len(fields)} field{'s' * (len(fields) != 1)}, but the header has {len(header)}; {hint}")
    return dict(zip(header, fields, strict=True))


def json_lines(characters: Characters, stream: BinaryIO, check: CheckColumns) -> Iterator[Record]:
    """Parse a file with a JSON object on each line."""
    number = 0
    with characters.lines(stream) as lines:
        for text in lines:
            lines.start_record()
            if text.strip():
                number += 1
                record = _record(number, lines.n_read, _parse_object, characters, text)
                if record.problem is None:
                    check(list(record.values))
                yield record
    if not number:
        raise InputError(f"{characters.name}: the file is empty; expected a JSON object on each line.")


def _parse_object(characters: Characters, text: str) -> Mapping[str, Any]:
    characters.check(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _BadRowError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _BadRowError(f'a JSON {type(value).__name__}, where an object is expected: {{"text": "…"}}')
    return value


def plain_lines(characters: Characters, stream: BinaryIO, check: CheckColumns) -> Iterator[Record]:
    """Parse a plain text file: every line is a text."""
    check([TEXT_COLUMN])
    with characters.lines(stream) as lines:
        for text in lines:
            lines.start_record()
            yield _record(lines.n_read, lines.n_read, _parse_line, characters, text)


def _parse_line(characters: Characters, text: str) -> Mapping[str, str]:
    characters.check(text)
    return {TEXT_COLUMN: text.rstrip("\r\n")}
