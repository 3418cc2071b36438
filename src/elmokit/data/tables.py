"""Files → rows: CSV, TSV, JSON lines, Parquet and plain text, one row at a time.

A row that can't be used is reported with its place and reason; `bad_rows` chooses what happens then. TSV files are
read without quotation marks, as the format is defined; those that a spreadsheet wrote are "csv" with tabs.
"""

import difflib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from elmokit.data.parquet import parquet_rows
from elmokit.data.records import TEXT_COLUMN as TEXT_COLUMN
from elmokit.data.records import Row as Row
from elmokit.data.records import Rows, delimited, json_lines, open_lines, plain_lines
from elmokit.data.streams import STDIN, is_archive, open_bytes, plain_suffix
from elmokit.errors import ConfigError, InputError

Format = Literal["csv", "tsv", "jsonl", "parquet", "txt"]
BadRows = Literal["stop", "skip", "keep"]

_SUFFIXES: dict[str, Format] = {f".{name}": name for name in get_args(Format)} | {".tab": "tsv", ".ndjson": "jsonl"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in a file, and how to read it. The file is opened by `rows`.

    `bad_rows` "stop" raises at the first bad row; "skip" leaves bad rows out; "keep" takes missing values as "",
    and stops at rows that can't be read at all. ConfigError: an unknown value. InputError: a name that does not tell
    the format.
    """

    source: str | Path  # a path, also of a .gz, .xz or .zst file, or "-" for standard input
    format: Format | None = None  # None infers it from the name
    encoding: str = "utf-8"  # the default skips a byte-order mark
    delimiter: str | None = None  # None for a comma (or what Excel's line "sep=;" says), in TSV a tab
    header: bool = True  # whether the first row names the columns, else "1", "2" and so on, and a lone one "text"
    bad_rows: BadRows = "stop"
    on_skip: Callable[[str], None] | None = None  # called with a message for each row left out

    def __post_init__(self) -> None:
        _check_bad_rows(self.bad_rows)
        if self.format is not None and self.format not in get_args(Format):
            raise ConfigError(f"the format {self.format!r} is not known; known are {', '.join(get_args(Format))}.")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ConfigError(f"the delimiter is {self.delimiter!r}; expected a single character.")
        _ = self.kind

    @property
    def kind(self) -> Format:
        """The format, inferred from the name if none was given."""
        if self.format is not None:
            return self.format
        if (suffix := plain_suffix(self.source)) in _SUFFIXES:
            return _SUFFIXES[suffix]
        what = "standard input has no name" if str(self.source) == STDIN else f"{self.source}: no known suffix"
        known = ", ".join(get_args(Format))
        raise InputError(f"{what} to tell the format; name it (--input-format, format=): {known}.")

    def rows(self, columns: Sequence[str] | None = None, *, labels: Collection[str] = ()) -> Iterator[Row]:
        """Read the rows, one at a time: these columns, or (None) all of them, with missing values kept.

        In `labels`, columns with labels, the string "nan" also counts as missing. InputError: a column that does not
        exist, an empty file, a bad row (see `bad_rows`).
        """
        with self._rows(columns) as rows:
            yield from select_rows(
                rows, columns, labels=labels, bad_rows=self.bad_rows, on_skip=self.on_skip, place=f"{self.source}: "
            )

    def columns(self) -> list[str]:
        """List the columns; reads the beginning of the file, so not for standard input."""
        with self._rows(None) as (names, rows):
            first = next(rows, None) if names is None else None
            return list(names or (first.values if first else ()))

    @contextmanager
    def _rows(self, columns: Sequence[str] | None) -> Iterator[Rows]:
        kind = self.kind
        with open_bytes(self.source) as stream:
            if kind == "parquet":
                if is_archive(self.source) or str(self.source) == STDIN:
                    raise InputError(f"{self.source}: Parquet files are read from their end: give a plain file.")
                yield parquet_rows(str(self.source), stream, columns)
                return
            with open_lines(str(self.source), stream, self.encoding) as lines:
                if kind == "jsonl":
                    yield None, json_lines(lines)
                elif kind == "txt":
                    yield [TEXT_COLUMN], plain_lines(lines)
                else:
                    delimiter = self.delimiter or (None if kind == "csv" else "\t")
                    yield delimited(lines, delimiter=delimiter, quotes=kind == "csv", header=self.header)


def _check_bad_rows(bad_rows: str) -> None:
    if bad_rows not in get_args(BadRows):
        raise ConfigError(f"bad_rows is {bad_rows!r}; expected 'stop', 'skip' or 'keep'.")


def select_rows(
    rows: Rows,
    columns: Sequence[str] | None,
    *,
    labels: Collection[str] = (),
    bad_rows: BadRows,
    on_skip: Callable[[str], None] | None = None,
    place: str = "",
) -> Iterator[Row]:
    """Take columns out of rows as strings and treat bad rows as `bad_rows` says; see `Table` and `read_rows`.

    Where every row has its own columns (JSON lines, mappings), a missing key is a missing value, and only a key that no
    row has is an error, unless bad rows stop the reading anyway.
    """
    _check_bad_rows(bad_rows)
    wanted, (names, all_rows) = columns or (), rows
    seen: dict[str, None] = {}
    if names is not None:
        require_columns(wanted, names, place)
    for row in all_rows:
        if names is None and not row.problem and len(seen) < 1000:
            if not seen and bad_rows == "stop":
                require_columns(wanted, list(row.values), place)
            seen.update(dict.fromkeys(row.values))
        problem = row.problem or _problem(row, wanted, labels, bad_rows)
        if problem is None:
            yield Row(row.number, row.line, {name: as_text(row.values.get(name)) for name in columns or row.values})
        elif bad_rows != "skip":
            keep = "" if row.problem else "; 'keep' takes missing values as empty texts"
            raise InputError(
                f"{place}{row.place}: {problem}. Fix the row, or choose what to do with such rows (--bad-rows,"
                f" bad_rows=): 'skip' leaves them out{keep}."
            )
        elif on_skip is not None:
            on_skip(f"{row.place} left out: {problem}")
    if names is None and seen:
        require_columns(wanted, list(seen), place)


def _problem(row: Row, columns: Sequence[str], labels: Collection[str], bad_rows: BadRows) -> str | None:
    for name in columns:
        value = row.values.get(name)
        if is_missing(value) or (name in labels and isinstance(value, str) and value.strip().lower() == "nan"):
            if bad_rows != "keep":
                return f"{name!r} is " + ("missing" if value is None else str(value).strip() or "empty")
        elif isinstance(value, bytes | bytearray | memoryview):
            return f"{name!r} is binary; expected text: decode the column first"
        elif isinstance(value, list | tuple | Mapping | set) or hasattr(value, "__array__"):
            kind = type(value).__name__
            return f"{name!r} is a {kind}, not a text; join the words of each text first, for instance with spaces"
    return None


def require_columns(wanted: Sequence[str], existing: Sequence[str], place: str) -> None:
    """Check that columns exist, each once; `place` begins the error, as in "file.csv: "."""
    for name in wanted:
        if name not in existing:
            raise InputError(f"{place}no column {name!r}; {_columns_there(name, existing)}")
        if list(existing).count(name) > 1:
            raise InputError(f"{place}two columns are called {name!r}; rename one of them.")


def _columns_there(name: str, existing: Sequence[str]) -> str:
    there = f"the columns are {', '.join(map(repr, existing))}"
    marks = [mark for mark in ";\t|," if len(existing) == 1 and mark in existing[0]]
    if marks:
        return f"{there}. If {marks[0]!r} separates the fields, say so (--delimiter, delimiter=)."
    close = difflib.get_close_matches(name, existing, 1)
    return f"{there}. Did you mean {close[0]!r}?" if close else f"{there}."


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, or an empty or blank string."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and value != value)


def as_text(value: object) -> str:
    """A value as text: numbers and truth values as JSON writes them, "" for a missing one."""
    if isinstance(value, str):
        return value
    return "" if is_missing(value) else json.dumps(value, ensure_ascii=False, default=str).strip('"')
