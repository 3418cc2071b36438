"""Occurrences and sentences on disk: two LanceDB tables in a folder. The only file that knows LanceDB and Arrow.

A sentence's row is written after its occurrences, and deleted before them, so a sentence that is there has all its
occurrences whatever was interrupted; occurrences without a sentence are left-overs, which answers never show and the
next writer removes. Nothing else keeps count: how far a build came is read off the sentences.

Vectors are float16 of length 1 compared by cosine. (Lance writes no nearest-neighbour index on int8 columns, and its
indexes of float16 with other metrics may hang while they are made; read in its issues, not tried.)
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra, OutputError

Columns = Mapping[str, Any]
"""Columns by name: NumPy arrays or lists of n values; `vector` of shape (n, d)."""

Moved = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Takes unit vectors (n, d) and the lengths (n,) that they had, gives other vectors (n, d)."""

OCCURRENCES, SENTENCES = "occurrences", "sentences"

ANN_ROWS = 20_000
"""Below so many rows all of them are compared, which takes about 2 µs a row."""

_ANN_STALE = 0.2
"""The share of rows outside the nearest-neighbour index from which on it is made anew."""

_SAMPLE, _ITERATIONS = 64, 10
"""Rows per partition that its centre is learned from, and rounds: Lance's 256 and 50 bring no recall here."""

_SCAN_ROWS = 8192


@dataclass(frozen=True)
class Ann:
    """How the nearest-neighbour index (IVF, one byte a number) is made and asked.

    At 1,000,000 rows this is made in two minutes of one core; IVF_PQ, Lance's usual kind, was not done after twenty, as
    its codebooks cost most. Recall@10 against the exact search: 0.985 with 8 probes, 0.999 with 16 (`dev/LOG.md`).

    Args:
        partition_rows: rows in a partition, on average.
        probes: partitions that a query looks at.
        refine: times k of candidates that are compared again by their whole vectors.
    """

    partition_rows: int = 4096
    probes: int = 16
    refine: int = 5


class Store:
    """The tables of an index.

    Args:
        folder: where they lie.
        width: of the vectors, d; None to open what is there.

    Raises:
        MissingExtra: LanceDB is not installed.
    """

    def __init__(self, folder: Path, *, width: int | None = None, ann: Ann | None = None) -> None:
        self.folder = folder
        self.ann = ann or Ann()
        self._pa = _arrow()
        database = _lancedb().connect(str(folder))
        if width is not None:
            for name, schema in self._schemas(width).items():
                database.create_table(name, schema=schema)
        self._tables: dict[str, Any] = {name: database.open_table(name) for name in (OCCURRENCES, SENTENCES)}

    def _schemas(self, width: int) -> dict[str, Any]:
        pa = self._pa
        vector = pa.list_(pa.float16(), width)
        return {
            OCCURRENCES: pa.schema(
                {
                    "word": pa.string(),
                    "sentence": pa.int64(),
                    "start": pa.int32(),
                    "end": pa.int32(),
                    "document": pa.string(),
                    "length": pa.float32(),
                    "vector": vector,
                }
            ),
            SENTENCES: pa.schema(
                {
                    "id": pa.int64(),
                    "source": pa.string(),
                    "row": pa.int64(),
                    "document": pa.string(),
                    "text": pa.string(),
                    "vector": vector,
                }
            ),
        }

    # writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write, for one process at a time; begins by clearing away what an interrupted one left.

        Raises:
            OutputError: another process is writing.
        """
        with _locked(self.folder / ".writing"):
            self.refresh()
            self._clear_leftovers()
            yield

    def _clear_leftovers(self) -> None:
        kept, found = self._ids(SENTENCES, "id"), self._ids(OCCURRENCES, "sentence")
        orphans = np.setdiff1d(found, kept)
        for start in range(0, len(orphans), 1000):
            self._tables[OCCURRENCES].delete(f"sentence IN ({_numbers(orphans[start : start + 1000])})")

    def _ids(self, table: str, column: str) -> NDArray[np.int64]:
        blocks = [batch[column] for batch in self.scan(table, [column])]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *blocks]))

    def next_sentence(self) -> int:
        """The number that the next sentence gets."""
        ids = self._ids(SENTENCES, "id")
        return int(ids[-1]) + 1 if len(ids) else 0

    def last_row(self, source: str) -> int:
        """The last row of a source that is there; 0 for none."""
        where = f"source = {_quoted(source)}"
        rows = [int(batch["row"].max()) for batch in self.scan(SENTENCES, ["row"], where=where) if len(batch["row"])]
        return max(rows, default=0)

    def append(self, occurrences: Columns, sentences: Columns) -> None:
        """Add sentences with their occurrences: all of them or, after an interruption, none.

        Args:
            occurrences: columns of the table of occurrences; may have no rows.
            sentences: columns of the table of sentences, at least one row.

        Raises:
            OutputError: the folder can't be written.
        """
        for name, columns in ((OCCURRENCES, occurrences), (SENTENCES, sentences)):
            if len(columns["document"]):
                try:
                    self._tables[name].add(self._table(name, columns))
                except (OSError, RuntimeError) as error:
                    raise OutputError(f"{self.folder}: can't be written ({error}).") from error

    def _table(self, name: str, columns: Columns) -> Any:
        pa, schema = self._pa, self._tables[name].schema
        arrays = dict(columns)
        vectors = np.ascontiguousarray(arrays["vector"], dtype=np.float16)
        arrays["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return pa.table({field.name: pa.array(arrays[field.name], field.type) for field in schema}, schema=schema)

    def delete(self, document: str) -> None:
        """Take a document out.

        Args:
            document: its name.
        """
        for name in (SENTENCES, OCCURRENCES):
            self._tables[name].delete(f"document = {_quoted(document)}")

    def index(self) -> None:
        """Make the nearest-neighbour indexes and the index of words where they are missing or stale."""
        from lancedb.index import BTree, IvfSq

        for name, keys in ((OCCURRENCES, ("word", "sentence")), (SENTENCES, ("id",))):
            table = self._tables[name]
            for key in keys:
                if self._is_stale(name, f"{key}_idx", least=1000):
                    table.create_index(key, config=BTree())
            if self._is_stale(name, "vector_idx", least=ANN_ROWS):
                n_partitions = max(1, table.count_rows() // self.ann.partition_rows)
                config = IvfSq(
                    distance_type="cosine", num_partitions=n_partitions, sample_rate=_SAMPLE, max_iterations=_ITERATIONS
                )
                table.create_index("vector", config=config)

    def _is_stale(self, name: str, index: str, *, least: int) -> bool:
        n_rows = self.count(name)
        stats = self._tables[name].index_stats(index)
        outside = n_rows if stats is None else stats.num_unindexed_rows
        return n_rows >= least and outside > _ANN_STALE * n_rows

    def compact(self) -> None:
        """Few large files in the place of many, indexes brought up to date, old versions removed.

        Readers that have the index open must `refresh` afterwards.
        """
        for table in self._tables.values():
            table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
        self.index()

    # reading

    def refresh(self) -> None:
        """See the newest version."""
        for table in self._tables.values():
            table.checkout_latest()

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self._tables[table].count_rows())

    def has_ann(self, table: str) -> bool:
        """Whether there is a nearest-neighbour index."""
        return self._tables[table].index_stats("vector_idx") is not None

    def counts(self, table: str, column: str) -> dict[str, int]:
        """How often each value of a column of texts occurs.

        Args:
            table: "occurrences" or "sentences".
            column: its name.

        Returns:
            counts, the largest first, ties by spelling.
        """
        found: Counter[str] = Counter()
        for batch in self._tables[table].search().select([column]).to_batches(_SCAN_ROWS):
            for value in self._pa.compute.value_counts(batch[column]).to_pylist():
                found[value["values"]] += value["counts"]
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def word_sums(self, places: Mapping[str, int], width: int, *, moved: Moved | None = None) -> NDArray[np.float64]:
        """The sum of each word's vectors.

        Args:
            places: words and the rows that they get.
            width: of a vector, d.
            moved: what is done to vectors (n, d) and their lengths (n,) before they are added; None for nothing.

        Returns:
            a row per word. Shape (V, d).
        """
        sums = np.zeros((len(places), width))
        for block in self.scan(OCCURRENCES, ["word", "length", "vector"]):
            vectors = block["vector"] if moved is None else moved(block["vector"], block["length"])
            rows = np.array([places.get(word, -1) for word in block["word"]])
            order = np.argsort(rows, kind="stable")
            order = order[np.searchsorted(rows[order], 0) :]
            if len(order):
                found, starts = np.unique(rows[order], return_index=True)
                sums[found] += np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
        return sums

    def scan(self, table: str, columns: Sequence[str], *, where: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows in the order in which they were added, a block at a time.

        Args:
            table: "occurrences" or "sentences".
            columns: wanted.
            where: an SQL condition.

        Yields:
            columns of a block: NumPy arrays, lists of strings, `vector` as float32 of shape (n, d).
        """
        query = self._tables[table].search().select(list(columns))
        for batch in (query if where is None else query.where(where)).to_batches(_SCAN_ROWS):
            yield _columns(batch)

    def sample(self, where: str, columns: Sequence[str], *, limit: int) -> dict[str, Any]:
        """Occurrences spread evenly over those that fulfil a condition.

        Args:
            where: an SQL condition.
            columns: wanted.
            limit: rows at most.

        Returns:
            columns, in the order of the sentences.
        """
        table = self._tables[OCCURRENCES]
        found = table.search().where(where).select(["sentence"]).with_row_id(True).to_arrow()
        rows = found["_rowid"].to_numpy()
        rows = rows[np.lexsort((rows, found["sentence"].to_numpy()))]
        chosen = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)] if len(rows) else rows
        return _columns(table.take_row_ids(chosen.tolist()).select(list(columns)).to_arrow())

    def nearest(
        self, table: str, vector: NDArray[np.float32], columns: Sequence[str], *, k: int, where: str | None, exact: bool
    ) -> dict[str, Any]:
        """Rows nearest to a vector.

        Args:
            table: "occurrences" or "sentences".
            vector: Shape (d,).
            columns: wanted.
            k: rows at most.
            where: an SQL condition that they fulfil; None for all.
            exact: whether all rows are compared.

        Returns:
            columns, and `_distance`: one minus the cosine, rising.
        """
        query = self._tables[table].search(vector.astype(np.float32), vector_column_name="vector")
        query = query.distance_type("cosine").limit(k).select([*columns, "_distance"])
        query = query if where is None else query.where(where, prefilter=True)
        ann = self.ann
        query = query.bypass_vector_index() if exact else query.nprobes(ann.probes).refine_factor(ann.refine)
        return _columns(query.to_arrow())

    def sentences(self, ids: Collection[int]) -> dict[int, dict[str, Any]]:
        """Sentences by number.

        Args:
            ids: their numbers.

        Returns:
            text, document and row of each that is there.
        """
        if not ids:
            return {}
        found: dict[int, dict[str, Any]] = {}
        where = f"id IN ({_numbers(np.array(sorted(ids)))})"
        for block in self.scan(SENTENCES, ["id", "text", "document", "row"], where=where):
            for i, number in enumerate(block["id"].tolist()):
                found[number] = {name: block[name][i] for name in ("text", "document", "row")}
        return found


def condition(
    *, word: str | None = None, not_words: Collection[str] = (), documents: Collection[str] | None = None
) -> str | None:
    """An SQL condition on occurrences or, by documents, on sentences.

    Args:
        word: this word only.
        not_words: none of these.
        documents: in these only; None for all.

    Returns:
        the condition; None where everything fulfils it.

    Example:
        >>> condition(word="o'clock", documents=["a.txt"])
        "word = 'o''clock' AND document IN ('a.txt')"
        >>> condition() is None
        True
    """
    parts = [] if word is None else [f"word = {_quoted(word)}"]
    if not_words:
        parts.append(f"word NOT IN ({', '.join(map(_quoted, sorted(not_words)))})")
    if documents is not None:
        parts.append(f"document IN ({', '.join(map(_quoted, sorted(documents)))})" if documents else "false")
    return " AND ".join(parts) or None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _numbers(values: NDArray[np.int64]) -> str:
    return ", ".join(map(str, values.tolist()))


def _columns(found: Any) -> dict[str, Any]:
    """Arrow's columns as NumPy arrays, texts as lists."""
    columns: dict[str, Any] = {}
    for name in found.schema.names:
        column = found[name]
        column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
        if name == "vector":
            width = column.type.list_size
            columns[name] = column.flatten().to_numpy().reshape(-1, width).astype(np.float32)
        else:
            texts = str(column.type) in ("string", "large_string")
            columns[name] = column.to_pylist() if texts else column.to_numpy(zero_copy_only=False)
    return columns


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A lock that the system frees when its process ends, however it ends. On Windows there is none."""
    with path.open("a") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutputError(f"{path.parent}: another process is writing to this index; wait for it.") from None
        yield


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError:
        raise MissingExtra("lancedb", "index", "an index of word occurrences") from None
    return lancedb


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise MissingExtra("pyarrow", "index", "an index of word occurrences") from None
    return pyarrow
