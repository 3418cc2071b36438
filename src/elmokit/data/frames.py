"""Whatever holds a table → rows of named columns: files, data frames, Arrow tables, data sets, lists of records.

Tasks should not care whether a table is a CSV file, a pandas or polars frame, a pyarrow table, a Hugging Face
`datasets.Dataset` or a dictionary of lists. None of these libraries is imported here: a table that is not a file is
known by what it can do. Who has the columns' names (`columns` or `column_names`) and gives a column by its name is a
table; who gives records one by one (a list of dictionaries, a streaming data set) is one too, and stays a stream.
Values are strings afterwards, as from a file, except those asked for `as_they_are` (labels that are numbers).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elmokit.data.tables import BadRows, Row, Table
from elmokit.errors import ConfigError, InputError

_BLOCK = 1024
"""Rows of a data set on disk that are fetched together."""


def read_rows(
    source: Any,
    columns: Sequence[str],
    *,
    labels: Sequence[str] = (),
    as_they_are: Sequence[str] = (),
    bad_rows: BadRows = "stop",
) -> Iterator[Row]:
    """The rows of any table, one at a time.

    Args:
        source: the name of a file, a `Table`, a data frame (pandas, polars), a pyarrow table or record batch, a
            Hugging Face data set (also a streaming one), a mapping of columns, or an iterable of records.
        columns: the columns wanted, of any names.
        labels: those of them that hold labels, where the string "nan" is missing too.
        as_they_are: columns whose values keep their type; of a file all are strings.
        bad_rows: what to do where a value is missing: "stop", "skip" the row, or "keep" it as "" (None as it is).
            A `Table` brings its own policy.

    Yields:
        rows with a value per column, numbered from 1.

    Raises:
        InputError: a column that is not there or stands twice, a missing value, something that is no table.
        MissingFile: no such file.
        MissingExtra: a Parquet file without pyarrow.

    Example:
        >>> for row in read_rows({"tweet": ["so happy", None], "n": [1, 2]}, ["tweet", "n"], bad_rows="skip"):
        ...     row.number, dict(row.values)
        (1, {'tweet': 'so happy', 'n': '1'})
    """
    if isinstance(source, str | Path):
        source = Table(source=source, bad_rows=bad_rows)
    if isinstance(source, Table):
        yield from source.rows(columns, labels=labels)
        return
    if bad_rows not in ("stop", "skip", "keep"):
        raise ConfigError(f"bad_rows is {bad_rows!r}; expected 'stop', 'skip' or 'keep'.")
    for number, values in enumerate(_values(source, columns), start=1):
        row = dict(zip(columns, map(_plain, values), strict=True))
        missing = [name for name, value in row.items() if _is_missing(value, label=name in labels)]
        if missing and bad_rows == "stop":
            raise InputError(
                f"row {number}: {missing[0]!r} is missing ({row[missing[0]]!r}). Fill it in, or say what shall happen"
                " to such rows (bad_rows=): 'skip' leaves them out, 'keep' takes missing values as empty texts."
            )
        if not missing or bad_rows == "keep":
            shown = {n: v if n in as_they_are else "" if n in missing else str(v) for n, v in row.items()}
            yield Row(number, None, shown)


def column_names(source: Any) -> list[str]:
    """The names of a table's columns.

    Args:
        source: as for `read_rows`, but no stream: that could be read only once.

    Returns:
        the names, in the table's order.

    Raises:
        InputError: something that is no table, or has no names to ask for.

    Example:
        >>> column_names([{"a": 1, "b": 2}])
        ['a', 'b']
    """
    if isinstance(source, str | Path):
        source = Table(source=source)
    if isinstance(source, Table):
        return source.columns()
    names = _names(source)
    if names is not None:
        return names
    if isinstance(source, Sequence) and source and isinstance(source[0], Mapping):
        return [str(name) for name in source[0]]
    raise _no_table(source)


def _names(source: Any) -> list[str] | None:
    """The columns' names, of whatever knows them."""
    if isinstance(source, Mapping):
        if _is_data_set(next(iter(source.values()), None)):
            parts = ", ".join(map(repr, source))
            raise InputError(f"this is several data sets ({parts}); give one of them: data[{next(iter(source))!r}].")
        return [str(name) for name in source]
    found = getattr(source, "column_names", None)  # datasets, pyarrow
    if found is None and hasattr(source, "columns") and hasattr(source, "__getitem__"):  # pandas, polars
        found = source.columns
    if found is None and hasattr(source, "schema"):
        found = getattr(source.schema, "names", None)
    return None if found is None else [str(name) for name in found]


def _is_data_set(value: Any) -> bool:
    return hasattr(value, "column_names") and hasattr(value, "features")


def _values(source: Any, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    names = _names(source)
    if names is not None:
        _check(names, columns)
    if names is None or _is_data_set(source):
        yield from _from_records(source, columns)
    else:
        yield from _from_columns([source[name] for name in columns])


def _from_columns(found: Sequence[Any]) -> Iterator[Sequence[Any]]:
    lengths = {len(column) for column in found}
    if len(lengths) > 1:
        raise InputError(f"the columns have {sorted(lengths)} values; expected as many in each.")
    for start in range(0, max(lengths, default=0), _BLOCK):
        blocks = [_list(column.iloc if hasattr(column, "iloc") else column, start) for column in found]
        yield from zip(*blocks, strict=True)


def _list(column: Any, start: int) -> list[Any]:
    part = column[start : start + _BLOCK]
    for turn in ("to_pylist", "to_list", "tolist"):
        if hasattr(part, turn):
            return list(getattr(part, turn)())
    return list(part)


def _from_records(source: Any, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    if isinstance(source, str | bytes) or not isinstance(source, Iterable):
        raise _no_table(source)
    if _is_data_set(source) and hasattr(source, "select_columns"):
        source = source.select_columns(list(columns))  # pictures and the like are not even decoded
    for number, record in enumerate(source, start=1):
        if not isinstance(record, Mapping):
            raise _no_table(source)
        if number == 1:
            _check([str(name) for name in record], columns)
        yield [record.get(name) for name in columns]


def _check(existing: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in existing:
            there = "the columns are " + ", ".join(map(repr, existing))
            close = difflib.get_close_matches(name, existing, 1)
            raise InputError(f"no column {name!r}; {there}." + (f" Did you mean {close[0]!r}?" if close else ""))
        if list(existing).count(name) > 1:
            raise InputError(f"the column {name!r} stands twice; rename one of them.")


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's; whatever libraries call missing as None."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _is_missing(value: Any, *, label: bool) -> bool:
    if isinstance(value, str):
        return not value or value.isspace() or (label and value.strip().lower() == "nan")
    return value is None or value != value


def _no_table(source: Any) -> InputError:
    return InputError(
        f"a {type(source).__name__} is no table; expected the name of a file, a data frame, an Arrow table, a data"
        " set, a mapping of columns, or records (mappings)."
    )
