"""What the store needs of Arrow and SQL: schemas, conversion to NumPy, conditions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra

Columns = Mapping[str, Any]
"""Columns by name: NumPy arrays or lists of n values; `vector` of shape (n, d)."""

OCCURRENCES, SENTENCES = "occurrences", "sentences"


def schemas(width: int) -> dict[str, Any]:
    """The Arrow schema of each table, for vectors of a width."""
    pa = arrow()
    text, number, place = pa.string(), pa.int64(), pa.int32()
    vector = pa.list_(pa.float16(), width)
    occurrence = {"word": text, "sentence": number, "start": place, "end": place, "document": text}
    sentence = {"id": number, "source": text, "row": number, "document": text, "text": text}
    return {
        OCCURRENCES: pa.schema({**occurrence, "length": pa.float32(), "vector": vector}),
        SENTENCES: pa.schema({**sentence, "vector": vector}),
    }


def arrow_table(schema: Any, columns: Columns) -> Any:
    """Columns → an Arrow table, vectors as float16."""
    pa = arrow()
    vectors = np.ascontiguousarray(columns["vector"], dtype=np.float16)
    nested = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    arrays = {**columns, "vector": nested}
    return pa.table({field.name: pa.array(arrays[field.name], field.type) for field in schema}, schema=schema)


def condition(
    *, word: str | None = None, not_words: Collection[str] = (), documents: Collection[str] | None = None
) -> str | None:
    """An SQL condition that selects a word, leaves words out and selects documents; None if there is none.

    Example:
        >>> condition(word="o'clock", documents=["a.txt"])
        "word = 'o''clock' AND document IN ('a.txt')"
    """
    parts = [] if word is None else [f"word = {quoted(word)}"]
    if not_words:
        parts.append(f"word NOT IN ({', '.join(map(quoted, sorted(not_words)))})")
    if documents is not None:
        parts.append(f"document IN ({', '.join(map(quoted, sorted(documents)))})" if documents else "false")
    return " AND ".join(parts) or None


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def numbers(values: NDArray[np.int64]) -> str:
    """A list of SQL, without brackets."""
    return ", ".join(map(str, values.tolist()))


def numpy_columns(table: Any) -> dict[str, Any]:
    """The columns of an Arrow table or batch as NumPy arrays (vectors as float32), texts as lists."""
    columns: dict[str, Any] = {}
    for name in table.schema.names:
        column = table[name]
        column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
        if name == "vector":
            width = column.type.list_size
            columns[name] = column.flatten().to_numpy().reshape(-1, width).astype(np.float32)
            if not np.isfinite(columns[name]).all():
                raise ValueError("a vector holds NaN or infinity")
        else:
            texts = str(column.type) in ("string", "large_string")
            columns[name] = column.to_pylist() if texts else column.to_numpy(zero_copy_only=False)
    return columns


def arrow() -> Any:
    """pyarrow, with its compute functions. Raises MissingExtra where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise MissingExtra("pyarrow", "index", "an index of word occurrences") from None
    return pyarrow
