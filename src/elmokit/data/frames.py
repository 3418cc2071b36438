"""Tables of any kind → rows of named columns: files, data frames, Arrow tables, data sets, lists of records.

Data frames (pandas, polars, pyarrow) are read through narwhals, Hugging Face data sets and lists of records one record
at a time. Values become strings, as from a file, except in the columns named in `as_they_are`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elmokit.data.tables import AbsentColumns, BadRows, Row, Table, is_missing, not_a_text
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
    """Read the rows of any table, one at a time.

    Args:
        source: the name of a file, a `Table`, a data frame (pandas, polars, pyarrow), a pyarrow record batch, a Hugging
            Face data set (also a streaming one), a mapping of columns, or an iterable of records.
        columns: the columns to read.
        labels: those of them that hold labels, where the string "nan" also counts as missing.
        as_they_are: columns whose values keep their type; values from a file are always strings.
        bad_rows: what to do with a missing value: "stop", "skip" the row, or "keep" it as "" (None where values keep
            their type). A `Table` has its own setting.

    Yields:
        rows with a value per column, numbered from 1.

    Raises:
        InputError: a column that does not exist or exists twice, a missing value, a value that is no text, an object
            that is no table.
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
    for number, values in enumerate(_values(source, columns, bad_rows), start=1):
        row = dict(zip(columns, map(_plain, values), strict=True))
        missing = [name for name, value in row.items() if is_missing(value, label=name in labels)]
        if missing and bad_rows == "stop":
            raise InputError(
                f"row {number}: {missing[0]!r} is missing ({row[missing[0]]!r}). Fill it in, or choose what to do with"
                " such rows (bad_rows=): 'skip' leaves them out, 'keep' takes missing values as empty texts."
            )
        if not missing or bad_rows == "keep":
            yield Row(number, None, {n: _kept(n, v, number, n in as_they_are, n in missing) for n, v in row.items()})


def _kept(name: str, value: Any, number: int, as_it_is: bool, missing: bool) -> Any:
    if as_it_is:
        return value
    problem = None if missing else not_a_text(name, value)
    if problem is not None:
        raise InputError(f"row {number}: {problem}.")
    return "" if missing else str(value)


def column_names(source: Any) -> list[str]:
    """List the columns of a table."""
    if isinstance(source, str | Path):
        source = Table(source=source)
    if isinstance(source, Table):
        return source.columns()
    if isinstance(source, Mapping):
        if _is_data_set(next(iter(source.values()), None)):
            parts = ", ".join(map(repr, source))
            raise InputError(f"this is several data sets ({parts}); give one of them: data[{next(iter(source))!r}].")
        return [str(name) for name in source]
    if isinstance(source, Sequence) and source and isinstance(source[0], Mapping):
        return [str(name) for name in source[0]]
    if _is_data_set(source) and source.column_names is not None:
        return list(source.column_names)
    if type(source).__name__ == "RecordBatch":  # of pyarrow
        return list(source.schema.names)
    frame = None if isinstance(source, str | bytes | list) else _frame(source)
    if frame is None:
        raise _no_table(source)
    return [str(name) for name in frame.columns]


def _frame(source: Any) -> Any:
    """A table in memory as a narwhals data frame; None for other objects."""
    import narwhals

    try:
        frame = narwhals.from_native(source, eager_only=True, pass_through=True)
    except narwhals.exceptions.DuplicateError as error:
        raise InputError(f"two columns have the same name; rename one of them ({error}).") from None
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _is_data_set(value: Any) -> bool:
    return hasattr(value, "column_names") and hasattr(value, "features")


def _values(source: Any, columns: Sequence[str], bad_rows: BadRows) -> Iterator[Sequence[Any]]:
    """The values of each row, in the order of `columns`."""
    table = AbsentColumns("", columns, bad_rows="stop", records=False)
    if isinstance(source, Mapping):
        table.check(column_names(source))
        yield from _from_mapping(source, columns)
        return
    frame = None if _is_data_set(source) or isinstance(source, str | bytes | list) else _frame(source)
    if frame is not None:
        table.check([str(name) for name in frame.columns])
        yield from frame.select(list(columns)).iter_rows(buffer_size=_BLOCK)
        return
    if type(source).__name__ == "RecordBatch":  # of pyarrow
        source = source.to_pylist()
    if isinstance(source, str | bytes) or not isinstance(source, Iterable):
        raise _no_table(source)
    if _is_data_set(source):
        table.check(column_names(source))
        if hasattr(source, "select_columns"):
            source = source.select_columns(list(columns))  # other columns, such as images, are not even decoded
    records = AbsentColumns("", columns, bad_rows=bad_rows, records=True)
    for record in source:
        if not isinstance(record, Mapping):
            raise _no_table(source)
        records.check([str(name) for name in record])
        yield [record.get(name) for name in columns]
    records.finish()


def _from_mapping(source: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    values = [source[name] for name in columns]
    lengths = {len(column) for column in values}
    if len(lengths) > 1:
        raise InputError(f"the columns have {sorted(lengths)} values; expected as many in each.")
    yield from zip(*values, strict=True)


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
