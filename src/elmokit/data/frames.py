"""Tables of any kind → rows of named columns: files, data frames, Arrow tables, data sets, lists of records.

Data frames (pandas, polars, pyarrow) are read through narwhals. Values become strings, as from a file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elmokit.data.tables import BadRows, Row, Table, select_rows
from elmokit.errors import InputError

_BLOCK = 1024  # rows of a data frame that are fetched together


def read_rows(
    source: Any, columns: Sequence[str], *, labels: Sequence[str] = (), bad_rows: BadRows = "stop"
) -> Iterator[Row]:
    """Read the rows of any table, one at a time, numbered from 1.

    `source` is the name of a file, a `Table`, a data frame (pandas, polars, pyarrow), or an iterable of records, like
    a Hugging Face data set (also a streaming one). In `labels`, columns with labels, the string "nan" also counts as
    missing. `bad_rows` says what to do with a missing value: "stop", "skip" the row, or "keep" it as ""; a `Table` has
    its own setting. InputError: a column that does not exist or exists twice, a bad value, no table.
    """
    if isinstance(source, str | Path):
        source = Table(source=source, bad_rows=bad_rows)
    if isinstance(source, Table):
        yield from source.rows(columns, labels=labels)
        return
    frame = _frame(source)
    if frame is None:
        names, records = None, _records(source)
    else:
        names = frame.columns
        kept = frame.select([name for name in columns if name in names])
        records = kept.iter_rows(named=True, buffer_size=_BLOCK)
    rows = (Row(i, None, {str(k): _plain(v) for k, v in record.items()}) for i, record in enumerate(records, start=1))
    yield from select_rows((names, rows), columns, labels=labels, bad_rows=bad_rows)


def _records(source: Any) -> Iterator[Mapping[str, Any]]:
    for record in source if isinstance(source, Iterable) and not isinstance(source, str | bytes) else [None]:
        if not isinstance(record, Mapping):
            raise InputError(
                f"a {type(source).__name__} is no table; expected the name of a file, a data frame, an Arrow table, a"
                " data set, or records (mappings)."
            )
        yield record


def _frame(source: Any) -> Any:
    """A table in memory as a narwhals data frame; None for other objects."""
    import narwhals

    try:
        frame = narwhals.from_native(source, eager_only=True, pass_through=True)
    except narwhals.exceptions.DuplicateError as error:
        raise InputError(f"two columns have the same name; rename one of them ({error}).") from None
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _plain(value: Any) -> Any:
    """A NumPy number as Python's, and the missing values of all libraries as None."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if type(value).__name__ in ("NAType", "NaTType") else value
