"""Files → rows: CSV, TSV, JSON lines, Parquet and plain text, one row at a time.

A row that can't be used is reported with its place and reason (a quote that never closes, a byte that is not UTF-8, a
field too many, an empty text); `bad_rows` chooses what happens then. Memory does not grow with the file. TSV files are
read without quotation marks, as the format is defined; `quotes=True` reads those that a spreadsheet wrote.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from elmokit.data.parquet import parquet_records
from elmokit.data.records import TEXT_COLUMN as TEXT_COLUMN
from elmokit.data.records import Characters, CheckColumns, Dialect, Record, delimited, json_lines, plain_lines
from elmokit.data.streams import STDIN, is_archive, open_bytes, plain_suffix
from elmokit.errors import ConfigError, InputError

Format = Literal["csv", "tsv", "jsonl", "parquet", "txt"]
BadRows = Literal["stop", "skip", "keep"]

_SUFFIXES: dict[str, Format] = {f".{name}": name for name in get_args(Format)} | {".tab": "tsv", ".ndjson": "jsonl"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its number, from 1 without the header, and the line number of its start (None without lines).

    `values` has a value per requested column; "" where it is missing and missing values are kept.
    """

    number: int
    line: int | None
    values: Mapping[str, str]

    @property
    def place(self) -> str:
        """The place of the row, for messages."""
        return f"row {self.number}" + ("" if self.line is None else f" (line {self.line})")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in a file, and how to read it. The file is opened by `rows`.

    Args:
        source: a path, also of a .gz, .xz or .zst file, or "-" for standard input.
        format: "csv", "tsv", "jsonl", "parquet" or "txt"; None infers it from the name.
        encoding: character encoding. The default, "utf-8", skips a byte-order mark.
        delimiter: the delimiter of a CSV or TSV file; None for a comma (or what Excel's line "sep=;" says) or a tab.
        quotes: whether '"' quotes fields; None for yes in CSV and no in TSV.
        header: whether the first row of a CSV or TSV file names the columns; without it they are called "1", "2" and so
            on, and a lone column "text".
        bad_rows: "stop" raises at the first bad row; "skip" leaves bad rows out; "keep" takes missing values as empty
            texts, and stops at rows that can't be read at all.
        on_skip: called with a message for each row left out.

    Raises:
        ConfigError: an unknown format or policy, or a delimiter that is no single character.
        InputError: the name does not tell the format.

    Example:
        >>> Table(source="tweets.csv.gz").kind
        'csv'
    """

    source: str | Path
    format: Format | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    quotes: bool | None = None
    header: bool = True
    bad_rows: BadRows = "stop"
    on_skip: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.bad_rows not in get_args(BadRows):
            raise ConfigError(f"bad_rows is {self.bad_rows!r}; expected 'stop', 'skip' or 'keep'.")
        if self.format is not None and self.format not in get_args(Format):
            known = ", ".join(get_args(Format))
            raise ConfigError(f"the format {self.format!r} is not known; known are {known}.")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ConfigError(f"the delimiter is {self.delimiter!r}; expected a single character.")
        _ = self.kind

    @property
    def kind(self) -> Format:
        """The format, inferred from the name if none was given."""
        if self.format is not None:
            return self.format
        suffix = plain_suffix(self.source)
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
        nameless = str(self.source) == STDIN
        what = "standard input has no name" if nameless else f"{self.source}: the name has no known suffix"
        known = ", ".join(get_args(Format))
        raise InputError(f"{what} to tell the format; name it (--input-format, format=): {known}.")

    def rows(self, columns: Sequence[str] | None = None, *, labels: Collection[str] = ()) -> Iterator[Row]:
        r"""Read the rows, one at a time.

        Args:
            columns: the columns to read; None for all of them, with missing values kept.
            labels: those of them that hold labels, where the string "nan" also counts as missing.

        Yields:
            rows with a value per column.

        Raises:
            MissingFile: no such file.
            InputError: a column that does not exist, an empty file, a bad row (see `bad_rows`).
            MissingExtra: a Parquet file without pyarrow, a .zst file without zstandard.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "tweets.csv"
            >>> _ = path.write_text("id,tweet\n1,so happy\n")
            >>> [row.values["tweet"] for row in Table(source=path).rows(["tweet"])]
            ['so happy']
        """
        absent = AbsentColumns(str(self.source), columns or (), bad_rows=self.bad_rows, records=self.kind == "jsonl")
        with open_bytes(self.source) as stream:
            for record in self._records(stream, columns, absent.check):
                problem = record.problem or self._missing(record, columns, labels)
                if problem is None:
                    names = record.values if columns is None else columns
                    values = {name: _as_text(record.values.get(name)) for name in names}
                    yield Row(record.number, record.line, values)
                else:
                    self._refuse(record, problem)
        absent.finish()

    def columns(self) -> list[str]:
        """List the columns; reads the beginning of the file, so not for standard input."""
        names: list[str] = []
        with open_bytes(self.source) as stream:
            next(self._records(stream, None, names.extend), None)
        return names

    def _records(self, stream: BinaryIO, columns: Sequence[str] | None, check: CheckColumns) -> Iterator[Record]:
        characters, kind = Characters(str(self.source), self.encoding), self.kind
        if kind == "jsonl":
            return json_lines(characters, stream, check)
        if kind == "txt":
            return plain_lines(characters, stream, check)
        if kind == "parquet":
            if is_archive(self.source) or str(self.source) == STDIN:
                raise InputError(f"{self.source}: Parquet files are read from their end: give a plain file.")
            return parquet_records(str(self.source), stream, check, columns=columns)
        delimiter = self.delimiter or (None if kind == "csv" else "\t")
        quotes = kind == "csv" if self.quotes is None else self.quotes
        return delimited(characters, stream, check, Dialect(delimiter, quotes, self.header))

    def _missing(self, record: Record, columns: Sequence[str] | None, labels: Collection[str]) -> str | None:
        for name in columns or ():
            value = record.values.get(name)
            missing = is_missing(value, label=name in labels)
            if missing and self.bad_rows != "keep":
                state = "missing" if value is None else str(value).strip() or "empty"
                return f"{name!r} is {state}"
            problem = None if missing else not_a_text(name, value)
            if problem is not None:
                return problem
        return None

    def _refuse(self, record: Record, problem: str) -> None:
        place = Row(record.number, record.line, {}).place
        if self.bad_rows != "skip":
            keep = "" if record.problem else "; 'keep' takes missing values as empty texts"
            raise InputError(
                f"{self.source}: {place}: {problem}. Fix the row, or choose what to do with such rows"
                f" (--bad-rows, bad_rows=): 'skip' leaves them out{keep}."
            )
        if self.on_skip is not None:
            self.on_skip(f"{place} left out: {problem}")


class AbsentColumns:
    """Checks that the wanted columns exist.

    Where every record has its own columns (JSON lines, mappings), a missing key is a missing value, and only a key that
    no record has is an error, unless bad rows stop the reading anyway.
    """

    def __init__(self, source: str, wanted: Sequence[str], *, bad_rows: BadRows, records: bool) -> None:
        self._prefix = f"{source}: " if source else ""
        self._tolerant = records and bad_rows != "stop"
        self._checked = False
        self._wanted = wanted
        self._seen: dict[str, None] = {}

    def check(self, existing: Sequence[str]) -> None:
        """Compare with the columns of the table, or of one record."""
        if self._tolerant and len(self._seen) < 1000:
            self._seen.update(dict.fromkeys(existing))
        elif not self._tolerant and not self._checked:
            self._checked = True
            self._require(existing)

    def finish(self) -> None:
        """Compare with the columns of all records."""
        if self._tolerant and self._seen:
            self._require(list(self._seen))

    def _require(self, existing: Sequence[str]) -> None:
        for name in self._wanted:
            if name not in existing:
                raise InputError(f"{self._prefix}no column {name!r}; {_columns_there(name, existing)}")
            if list(existing).count(name) > 1:
                raise InputError(f"{self._prefix}two columns are called {name!r}; rename one of them.")


def _columns_there(name: str, existing: Sequence[str]) -> str:
    there = "the columns are " + ", ".join(repr(column) for column in existing)
    marks = [mark for mark in ";\t|," if len(existing) == 1 and mark in existing[0]]
    if marks:
        return f"{there}. If {marks[0]!r} separates the fields, say so (--delimiter, delimiter=)."
    close = difflib.get_close_matches(name, existing, 1)
    return f"{there}. Did you mean {close[0]!r}?" if close else f"{there}."


def is_missing(value: object, *, label: bool) -> bool:
    """Whether a value is missing: None, NaN, an empty or blank string, in a label also "nan"."""
    if isinstance(value, str):
        return not value or value.isspace() or (label and value.strip().lower() == "nan")
    return value is None or (isinstance(value, float) and value != value)


def not_a_text(name: str, value: object) -> str | None:
    """Why a value can't be a text or label: bytes, a list, a mapping; None if it can."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{name!r} is binary; expected text: decode the column first"
    if isinstance(value, list | tuple | Mapping | set) or hasattr(value, "__array__"):
        kind = type(value).__name__
        return f"{name!r} is a {kind}, not a text; join the words of each text first, for instance with spaces"
    return None


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if is_missing(value, label=False):
        return ""
    return json.dumps(value, ensure_ascii=False, default=str).strip('"')
