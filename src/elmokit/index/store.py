"""Occurrences and sentences on disk: two LanceDB tables in a folder.

A sentence's row is written after its occurrences, and deleted before them, so a sentence that is there has all its
occurrences, whatever was interrupted. Occurrences without a sentence are never shown; the next writer removes them.
Vectors are float16 of length 1, compared by cosine. Damaged files raise `CheckpointError` in every method that reads.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, OutputError, needing
from elmokit.files import locked
from elmokit.index.results import Occurrence
from elmokit.reading import reading

Columns = Mapping[str, Any]
"""Columns by name: NumPy arrays or lists of n values; `vector` of shape (n, d)."""

OCCURRENCES, SENTENCES = "occurrences", "sentences"

ANN_ROWS = 20_000  # below so many all rows are compared, which takes about 2 µs a row
_ANN_STALE = 0.2  # share of rows outside the nearest-neighbour index from which on it is made anew
_SAMPLE, _ITERATIONS = 64, 10  # rows per partition to learn its centre, and rounds: Lance's 256 and 50 bring no recall
_SCAN_ROWS = 8192

UNFINISHED = {f"{name}.lance" for name in (OCCURRENCES, SENTENCES)}
"""What a process that was killed while it made an index may leave: empty tables, which are made anew."""


class Store:
    """The tables of an index with vectors of a `width`: `new` ones, or those that are there, which must fit."""

    partition_rows = 4096  # of the nearest-neighbour index (IVF, one byte a number), on average; see `dev/LOG.md`
    probes = 16  # partitions that a query looks at
    refine = 5  # times k candidates are compared again by their whole vectors

    def __init__(self, folder: Path, width: int, *, new: bool = False) -> None:
        self.folder = folder
        self._tables: dict[str, Any] = {}
        with needing("lancedb", "index", "an index of word occurrences"):
            import lancedb
        with self._reading():
            database = lancedb.connect(str(folder))
            for name, schema in schemas(width).items():
                if new:
                    mode = "overwrite" if (folder / f"{name}.lance").exists() else "create"  # Lance warns otherwise
                    database.create_table(name, schema=schema, mode=mode)
                self._tables[name] = database.open_table(name)
                if not self._tables[name].schema.equals(schema):
                    raise CheckpointError(f"{folder}: the table {name!r} has other columns than an index.")

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self.folder, what="index of words")

    # writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the index for writing, by one process at a time, and remove what an interrupted one left."""
        busy = f"{self.folder}: another process is writing to this index; wait for it."
        with locked(self.folder / ".writing", busy):
            self.refresh()
            orphans = np.setdiff1d(self._ids(OCCURRENCES, "sentence"), self._ids(SENTENCES, "id"))
            for start in range(0, len(orphans), 1000):
                self._tables[OCCURRENCES].delete(f"sentence IN ({_listed(orphans[start : start + 1000])})")
            yield

    def _ids(self, table: str, column: str) -> NDArray[np.int64]:
        blocks = [batch[column] for batch in self.scan(table, [column])]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *blocks]))

    def next_sentence(self) -> int:
        """The number of the next sentence."""
        ids = self._ids(SENTENCES, "id")
        return int(ids[-1]) + 1 if len(ids) else 0

    def last_row(self, source: str) -> int:
        """The last row of a source that is in the index; 0 for none."""
        where = f"source = {quoted(source)}"
        rows = [int(batch["row"].max()) for batch in self.scan(SENTENCES, ["row"], where=where) if len(batch["row"])]
        return max(rows, default=0)

    def append(self, occurrences: Columns, sentences: Columns) -> None:
        """Add sentences with their occurrences, all or (if interrupted) none."""
        for name, columns in ((OCCURRENCES, occurrences), (SENTENCES, sentences)):
            if len(columns["document"]):
                try:
                    self._tables[name].add(arrow_table(self._tables[name].schema, columns))
                except (OSError, RuntimeError) as error:
                    raise OutputError(f"{self.folder}: can't be written ({error}).") from error

    def delete(self, document: str) -> None:
        """Delete a document."""
        with self._reading():
            for name in (SENTENCES, OCCURRENCES):
                self._tables[name].delete(f"document = {quoted(document)}")

    def index(self) -> None:
        """Make the indexes of vectors and words where they are missing or stale."""
        with self._reading():
            from lancedb.index import BTree, IvfSq

            for name, keys in ((OCCURRENCES, ("word", "sentence")), (SENTENCES, ("id",))):
                table = self._tables[name]
                for key in keys:
                    if self._is_stale(name, f"{key}_idx", least=1000):
                        table.create_index(key, config=BTree())
                if self._is_stale(name, "vector_idx", least=ANN_ROWS):
                    n_partitions = max(1, table.count_rows() // self.partition_rows)
                    settings: Any = {"sample_rate": _SAMPLE, "max_iterations": _ITERATIONS}
                    config = IvfSq(distance_type="cosine", num_partitions=n_partitions, **settings)
                    table.create_index("vector", config=config)

    def _is_stale(self, name: str, index: str, *, least: int) -> bool:
        n_rows = self.count(name)
        stats = self._tables[name].index_stats(index)
        outside = n_rows if stats is None else stats.num_unindexed_rows
        return n_rows >= least and outside > _ANN_STALE * n_rows

    def compact(self) -> None:
        """Merge files, update the indexes, delete old versions."""
        with self._reading():
            for table in self._tables.values():
                table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
            self.index()

    # reading

    def refresh(self) -> None:
        """Read the newest version."""
        with self._reading():
            for table in self._tables.values():
                table.checkout_latest()

    def count(self, table: str) -> int:
        """Rows of a table."""
        with self._reading():
            return int(self._tables[table].count_rows())

    def counts(self, table: str, column: str) -> dict[str, int]:
        """How often each value of a column of texts occurs, the most frequent first, ties by spelling."""
        counts = Counter(text for block in self.scan(table, [column]) for text in block[column])
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def scan(self, table: str, columns: Sequence[str], *, where: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows in the order in which they were added, in blocks of `numpy_columns`; `where` is an SQL condition."""
        with self._reading():
            query = self._tables[table].search().select(list(columns))
            for batch in (query if where is None else query.where(where)).to_batches(_SCAN_ROWS):
                yield numpy_columns(batch)

    def sample(self, where: str, columns: Sequence[str], *, limit: int) -> dict[str, Any]:
        """At most `limit` occurrences that fulfil a condition, spread evenly, in the order of the sentences."""
        with self._reading():
            table = self._tables[OCCURRENCES]
            matches = table.search().where(where).select(["sentence"]).with_row_id(True).to_arrow()
            rows = matches["_rowid"].to_numpy()
            rows = rows[np.lexsort((rows, matches["sentence"].to_numpy()))]
            chosen = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)] if len(rows) else rows
            return numpy_columns(table.take_row_ids(chosen.tolist()).select(list(columns)).to_arrow())

    def nearest(
        self, table: str, vector: NDArray[np.float32], columns: Sequence[str], *, k: int, where: str | None, exact: bool
    ) -> dict[str, Any]:
        """The k rows nearest to a vector, with their `_distance`, one minus the cosine; `exact` compares all rows."""
        with self._reading():
            query = self._tables[table].search(vector.astype(np.float32), vector_column_name="vector")
            query = query.distance_type("cosine").limit(k).select([*columns, "_distance"])
            query = query if where is None else query.where(where, prefilter=True)
            query = query.bypass_vector_index() if exact else query.nprobes(self.probes).refine_factor(self.refine)
            return numpy_columns(query.to_arrow())

    def with_sentences(self, rows: Columns, similarities: NDArray[Any]) -> tuple[list[Occurrence], NDArray[np.float32]]:
        """Join n occurrences with their sentences and similarities, (n,): results, and their vectors (m, d).

        Occurrences whose sentence is gone (or not there yet) are left out.
        """
        ids = rows["sentence"].tolist()
        sentences: dict[int, tuple[str, int]] = {}
        where = f"id IN ({_listed(np.unique(ids))})"
        for block in self.scan(SENTENCES, ["id", "text", "row"], where=where) if ids else ():
            places = zip(block["text"], block["row"].tolist(), strict=True)
            sentences |= dict(zip(block["id"].tolist(), places, strict=True))
        numbers = zip(ids, rows["start"].tolist(), rows["end"].tolist(), similarities.tolist(), strict=True)
        occurrences, kept = [], []
        for i, (number, start, end, similarity) in enumerate(numbers):
            if number in sentences:
                text, row = sentences[number]
                word, document = rows["word"][i], rows["document"][i]
                occurrences.append(Occurrence(word, text, start, end, document, row, number, similarity))
                kept.append(i)
        return occurrences, rows["vector"][kept]


def schemas(width: int) -> dict[str, Any]:
    """The Arrow schema of each table, for vectors of a width."""
    import pyarrow as pa

    text, number, place, vector = pa.string(), pa.int64(), pa.int32(), pa.list_(pa.float16(), width)
    occurrence = {"word": text, "sentence": number, "start": place, "end": place, "document": text}
    sentence = {"id": number, "source": text, "row": number, "document": text, "text": text}
    return {
        OCCURRENCES: pa.schema({**occurrence, "length": pa.float32(), "vector": vector}),
        SENTENCES: pa.schema({**sentence, "vector": vector}),
    }


def arrow_table(schema: Any, columns: Columns) -> Any:
    """Columns → an Arrow table, vectors as float16."""
    import pyarrow as pa

    vectors = np.ascontiguousarray(columns["vector"], dtype=np.float16)
    nested = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({**columns, "vector": nested}, schema=schema)


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


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _listed(numbers: NDArray[np.int64]) -> str:
    return ", ".join(map(str, numbers.tolist()))
