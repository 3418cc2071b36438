"""Tables of any kind → rows of named columns: files, data frames, Arrow tables, data sets, lists of records.

Data frames (pandas, polars, pyarrow) are read through narwhals. Values become strings, as from a file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elmokit.data.records import Record
from elmokit.data.tables import BadRows, Row, Table, select_rows
from elmokit.errors import ConfigError, InputError

_BLOCK = 1024
"""Rows of a data frame that are fetched together."""


def read_rows(
    source: Any,
    columns: Sequence[str],
    *,
    labels: Sequence[str] = (),
    as_they_are: Sequence[str] = (),
    bad_rows: BadRows = "stop",
) -> Iterator[Row]:
    """Read the rows of any table, one at a time, numbered from 1.

    Args:
        source: the name of a file, a `Table`, a data frame (pandas, polars, pyarrow), a pyarrow record batch, a Hugging
            Face data set (also a streaming one), a mapping of columns, or an iterable of records.
        columns: the columns to read.
        labels: those of them that hold labels, where the string "nan" also counts as missing.
        as_they_are: columns whose values keep their type; values from a file are always strings.
        bad_rows: what to do with a missing value: "stop", "skip" the row, or "keep" it as "" (None where values keep
            their type). A `Table` has its own setting.

    InputError: a column that does not exist or exists twice, a bad value, an object that is no table.
    """
    if isinstance(source, str | Path):
        source = Table(source=source, bad_rows=bad_rows)
    if isinstance(source, Table):
        yield from source.rows(columns, labels=labels)
        return
    if bad_rows not in ("stop", "skip", "keep"):
        raise ConfigError(f"bad_rows is {bad_rows!r}; expected 'stop', 'skip' or 'keep'.")
    names = _names(source)
    values = _values(source, columns if names is None or set(columns) <= set(names) else [])
    records = (
        Record(number, None, {str(name): _plain(value) for name, value in row.items()})
        for number, row in enumerate(values, start=1)
    )
    yield from select_rows((names, records), columns, labels=labels, as_they_are=as_they_are, bad_rows=bad_rows)


def column_names(source: Any) -> list[str]:
    """List the columns of a table."""
    if isinstance(source, str | Path):
        source = Table(source=source)
    if isinstance(source, Table):
        return source.columns()
    if isinstance(source, Sequence) and source and isinstance(source[0], Mapping):
        return [str(name) for name in source[0]]
    names = _names(source)
    if names is None:
        raise _no_table(source)
    return names


def _names(source: Any) -> list[str] | None:
    """The columns of a table; None where only its records have names."""
    if isinstance(source, Mapping):
        if _is_data_set(next(iter(source.values()), None)):
            parts = ", ".join(map(repr, source))
            raise InputError(f"this is several data sets ({parts}); give one of them: data[{next(iter(source))!r}].")
        return [str(name) for name in source]
    if _is_data_set(source):
        return None if source.column_names is None else list(source.column_names)
    frame = _frame(source)
    return None if frame is None else [str(name) for name in frame.columns]


def _values(source: Any, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, with the columns that are asked for or more."""
    if isinstance(source, Mapping):
        lists = [source[name] for name in columns]
        lengths = {len(values) for values in lists}
        if len(lengths) > 1:
            raise InputError(f"the columns have {sorted(lengths)} values; expected as many in each.")
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
        return
    frame = None if _is_data_set(source) else _frame(source)
    if frame is not None:
        yield from frame.select(list(columns)).iter_rows(named=True, buffer_size=_BLOCK)
        return
    if isinstance(source, str | bytes) or not isinstance(source, Iterable):
        raise _no_table(source)
    if hasattr(source, "select_columns"):
        source = source.select_columns(list(columns))  # other columns, such as images, are not even decoded
    for record in source:
        if not isinstance(record, Mapping):
            raise _no_table(source)
        yield record


def _frame(source: Any) -> Any:
    """A table in memory as a narwhals data frame; None for other objects."""
    import narwhals

    if isinstance(source, str | bytes | list):
        return None
    if type(source).__name__ == "RecordBatch":
        source = sys.modules["pyarrow"].Table.from_batches([source])
    try:
        frame = narwhals.from_native(source, eager_only=True, pass_through=True)
    except narwhals.exceptions.DuplicateError as error:
        raise InputError(f"two columns have the same name; rename one of them ({error}).") from None
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _is_data_set(value: Any) -> bool:
    return hasattr(value, "column_names") and hasattr(value, "features")


def _plain(value: Any) -> Any:
    """A NumPy number as Python's, and the missing values of all libraries as None."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _no_table(source: Any) -> InputError:
    return InputError(
        f"a {type(source).__name__} is no table; expected the name of a file, a data frame, an Arrow table, a data set,"
        " a mapping of columns, or records (mappings)."
    )
