"""Bytes → records, one parser per format: what a file says, before anybody asks whether it will do.

Each parser yields a `Record` for every row of data, with its number and line, and says what is wrong with
those it can't read instead of stopping, so that the policy for bad rows lives in one place
(`elmokit.data.tables`). Bytes that are not in the file's encoding come through as surrogates (Python's
"surrogateescape"), which is how the row that holds them can be named. After a broken quotation mark the
reader goes back to the line after the one where the record began: one stray mark costs one row, not the
rest of the file.
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

from elmokit.errors import InputError, MissingExtra

TEXT_COLUMN = "text"
"""The only column of a plain text file."""

_LONGEST_FIELD = 1 << 24
_NOT_DECODED = re.compile("[\udc80-\udcff]")

CheckColumns = Callable[[Sequence[str]], None]
"""Called once with the columns that exist; raises if one that is wanted is not among them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it stands in the file.

    Args:
        number: its place among the rows of data, from 1.
        line: the line it starts on, from 1; None where the format has no lines.
        values: its values by column, as the format gives them; empty if it can't be read.
        problem: why it can't be read, or None.
    """

    number: int
    line: int | None
    values: Mapping[str, Any]
    problem: str | None = None


class _BadRowError(Exception):
    """What is wrong with the row that is being read."""


def _record(number: int, line: int | None, parse: Callable[..., Mapping[str, Any]], *arguments: Any) -> Record:
    try:
        return Record(number, line, parse(*arguments))
    except _BadRowError as problem:
        return Record(number, line, {}, str(problem))


@dataclass(frozen=True, slots=True)
class Characters:
    """How the bytes of a text format become characters.

    Args:
        name: of the file, for messages.
        encoding: of the characters; "utf-8" passes over a byte-order mark.
    """

    name: str
    encoding: str

    @contextmanager
    def lines(self, stream: BinaryIO) -> Iterator[Lines]:
        """The lines of a stream, each with its end.

        Args:
            stream: the bytes; left open, it belongs to whoever opened it.

        Yields:
            an iterator of lines.

        Raises:
            InputError: an encoding that is not known.
        """
        utf8 = self.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        encoding = "utf-8-sig" if utf8 else self.encoding
        try:
            text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
        except LookupError:
            raise InputError(
                f"the encoding {self.encoding!r} is not known; try 'utf-8', 'cp1252' or 'utf-16'."
            ) from None
        try:
            yield Lines(self, text)
        finally:
            text.detach()

    def check(self, text: str) -> None:
        """Refuse a text in which some byte was not a character.

        Args:
            text: a line or the fields of a row.
        """
        found = _NOT_DECODED.search(text)
        if found is None:
            return
        byte = ord(found[0]) - 0xDC00
        before = _NOT_DECODED.sub("�", text[max(0, found.start() - 20) : found.start()])
        likely = "utf-16" if byte in (0xFE, 0xFF) and found.start() == 0 else "cp1252"
        raise _BadRowError(
            f"byte 0x{byte:02x} after {before!r} is not {self.encoding}; if the file is in another encoding,"
            f" name it (--encoding {likely}, for instance)"
        )


class Lines:
    """Lines that can be gone back to, within one record.

    Args:
        characters: how they were decoded.
        stream: where they come from.
    """

    def __init__(self, characters: Characters, stream: io.TextIOWrapper) -> None:
        self._characters, self._stream = characters, stream
        self._again: list[str] = []
        self._record: list[str] = []
        self.n_read = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.pop() if self._again else next(self._stream)
        except UnicodeError as error:
            name, encoding = self._characters.name, self._characters.encoding
            raise InputError(f"{name}: after line {self.n_read}: not {encoding} text ({error}).") from None
        self._record.append(line)
        self.n_read += 1
        return line

    def start_record(self) -> int:
        """Begin a record here.

        Returns:
            the number of its first line, from 1.
        """
        self._record.clear()
        return self.n_read + 1

    def go_back(self) -> None:
        """Go back to the second line of the record."""
        self._again.extend(reversed(self._record[1:]))
        self.n_read -= max(0, len(self._record) - 1)


def delimited(
    characters: Characters, stream: BinaryIO, check: CheckColumns, *, delimiter: str, quotes: bool
) -> Iterator[Record]:
    """The records of a CSV or TSV file.

    Args:
        characters: name and encoding of the file.
        stream: its bytes.
        check: called with the header.
        delimiter: between the fields.
        quotes: whether '"' quotes fields.

    Yields:
        a record per row; empty lines are passed over.

    Raises:
        InputError: no header, or one that can't be read.
    """
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    with characters.lines(stream) as lines:
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
        header = _header(characters, reader)
        check(header)
        number = 0
        while True:
            line = lines.start_record()
            try:
                fields = _next_fields(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines.go_back()
                number += 1
                yield Record(number, line, {}, _quoting_problem(error))
                continue
            if fields:
                number += 1
                yield _record(number, line, _match, characters, header, fields)


def _header(characters: Characters, reader: Any) -> list[str]:
    try:
        header = _next_fields(reader)
        characters.check("".join(header))
        return header
    except StopIteration:
        raise InputError(f"{characters.name}: the file is empty; expected a header with the columns' names.") from None
    except (_BadRowError, csv.Error) as error:
        raise InputError(f"{characters.name}: the header can't be read: {error}.") from None


def _next_fields(reader: Any) -> list[str]:
    """The next row, with room for long texts: the limit of `csv` is global, so it is put back at once."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(before)


def _quoting_problem(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return "a quotation mark opens and never closes"
    if "expected after" in text:
        return 'a quotation mark stands inside a quoted field, where it must be doubled ("")'
    return text


def _match(characters: Characters, header: Sequence[str], fields: Sequence[str]) -> Mapping[str, str]:
    characters.check("".join(fields))
    if len(fields) != len(header):
        raise _BadRowError(
            f"{len(fields)} field{'s' * (len(fields) != 1)}, but the header has {len(header)}; a text with a"
            " delimiter or a line break in it must be quoted"
        )
    return dict(zip(header, fields, strict=True))


def json_lines(characters: Characters, stream: BinaryIO, check: CheckColumns) -> Iterator[Record]:
    """The records of a file with a JSON object on each line.

    Args:
        characters: name and encoding of the file.
        stream: its bytes.
        check: called with the names in the first object.

    Yields:
        a record per line; empty lines are passed over.

    Raises:
        InputError: the file is empty.
    """
    number = 0
    with characters.lines(stream) as lines:
        for text in lines:
            lines.start_record()
            if text.strip():
                number += 1
                record = _record(number, lines.n_read, _parse_object, characters, text)
                if number == 1 and record.problem is None:
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
    """The records of a plain text file: every line is a text.

    Args:
        characters: name and encoding of the file.
        stream: its bytes.
        check: called with the only column, `TEXT_COLUMN`.

    Yields:
        a record per line.
    """
    check([TEXT_COLUMN])
    with characters.lines(stream) as lines:
        for text in lines:
            lines.start_record()
            yield _record(lines.n_read, lines.n_read, _parse_line, characters, text)


def _parse_line(characters: Characters, text: str) -> Mapping[str, str]:
    characters.check(text)
    return {TEXT_COLUMN: text.rstrip("\r\n")}


def parquet(name: str, stream: BinaryIO, check: CheckColumns, *, columns: Sequence[str] | None) -> Iterator[Record]:
    """The records of a Parquet file.

    Args:
        name: of the file, for messages.
        stream: its bytes; must be able to seek.
        check: called with the names of its columns.
        columns: the columns to read; None for all.

    Yields:
        a record per row, read in batches of 1024.

    Raises:
        MissingExtra: pyarrow is not installed.
        InputError: not a Parquet file, or not a whole one.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "reading Parquet files") from None
    try:
        file = pyarrow.parquet.ParquetFile(stream)
        check(file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(1024, columns=None if columns is None else list(dict.fromkeys(columns))):
            for values in batch.to_pylist():
                number += 1
                yield Record(number, None, values)
    except pyarrow.ArrowException as error:
        raise InputError(f"{name}: not a whole Parquet file ({error}).") from None
