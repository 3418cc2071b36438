"""Ray: embed files on a cluster that may lose machines while it works.

A part is a fixed range of rows of one file, so a part whose worker died is written again to the same file, and every
row is in the output exactly once. The folder (`elmokit.data.shards`) must be shared by all machines. For object stores
and formats that Ray reads and writes itself, use `AddVectors` with `Dataset.map_batches`.
"""

import dataclasses
import json
import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from glob import glob
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elmokit.data.outputs import VECTOR_SUFFIXES
from elmokit.data.shards import InputFile, manifest_line, open_shards, shard_name
from elmokit.data.streams import STDIN
from elmokit.data.tables import Row, Table, require_columns
from elmokit.errors import ConfigError, ElmoKitError, MissingFile, OutputError, needing
from elmokit.files import atomic_path
from elmokit.tasks.embed import VectorSpec, VectorWriter, vectors_or_none

BAD_ROWS = "bad-rows.jsonl"  # the list of rows that were left out, with file, number and reason


@dataclass(frozen=True, kw_only=True)
class Actors:
    """The number of workers that hold the model, a core each, and their share of a GPU."""

    at_least: int = 1
    at_most: int | None = None  # None: as many as the cluster has room for
    gpus: float | None = None  # per worker; None: one if the device is "cuda", else none

    def __post_init__(self) -> None:
        if self.at_least < 1 or (self.at_most is not None and self.at_most < self.at_least):
            raise ConfigError(f"{self.at_least} to {self.at_most} actors; expected at least one, and at most no fewer.")


class Part(NamedTuple):
    """A part that has just been finished, on which machine (Ray's id), and how many texts are done in all."""

    n_rows: int
    node: str
    pid: int
    n_done: int
    n_texts: int


class Embedded(NamedTuple):
    """The result of a job: numbers of texts and of rows left out (listed in `BAD_ROWS`), files, and damaged files."""

    n_texts: int
    n_bad: int
    n_parts: int
    n_parts_before: int
    damaged: tuple[str, ...]


def embed_files(
    source: Table | str | Path,
    folder: str | Path,
    spec: VectorSpec = VectorSpec(),
    *,
    column: str = "text",
    id_column: str | None = None,
    part_rows: int = 4096,
    part_format: str = "parquet",
    actors: Actors = Actors(),
    on_part: Callable[[Part], object] = lambda _: None,
) -> Embedded:
    """Write the vectors of files to a folder of parts, on a Ray cluster.

    Uses the cluster of `ray.init`, else the one that RAY_ADDRESS names, else the cores of this machine.

    Args:
        source: a file or a pattern such as "tweets/*.parquet" that all machines can read, or a `Table`, which says how.
        folder: a folder that all machines can write. It holds one job; an interrupted job is resumed.
        spec: which vectors.
        column, id_column: the column of texts, and one to copy to the output.
        part_rows, part_format: number of texts in a part; "parquet" or another that `elmokit.data.outputs` writes.
        actors: number and resources of the workers.
        on_part: called after each part, on this machine.

    Returns:
        what was done. Beside each vector is its "row", from 1, and its "file" if there are several.

    Raises InputError for a bad row (see `Table`) or a file that changed while it was read, ConfigError for standard
    input, OutputError if the folder belongs to another job or run.
    """
    columns = [column] if id_column is None else [column, id_column]
    tables, suffix = _tables(source), f".{part_format.lstrip('.')}"
    if suffix not in VECTOR_SUFFIXES or part_rows < 1:
        known = ", ".join(known.lstrip(".") for known in VECTOR_SUFFIXES)
        raise ConfigError(f"parts of {part_rows} rows as {suffix[1:]!r}; expected at least one, and one of {known}.")
    spec, folder = dataclasses.replace(spec.anywhere(), n_threads=spec.n_threads or 1), Path(folder).absolute()
    gpus = float(spec.device.startswith("cuda")) if actors.gpus is None else actors.gpus
    resources = {"num_cpus": 1, "num_gpus": gpus}
    with _connected() as ray:
        identity = ray.get(ray.remote(**resources)(_identity).remote(spec))
        spec = dataclasses.replace(spec, precision=identity["precision"])
        survey = ray.remote(num_returns=3)(_survey)
        answers = [survey.remote(table, columns) for table in tables]
        files, n_rows = (ray.get([answer[i] for answer in answers]) for i in (0, 1))
        sums = [file.sha256 for file in files]
        job = {"input": sums[0] if len(sums) == 1 else sums, "columns": columns, "bad_rows": tables[0].bad_rows}
        job |= {**identity, "shard_rows": part_rows, "format": suffix[1:]}
        with open_shards(folder, job=job, suffix=suffix) as shards:
            n_bad = 0
            if tables[0].bad_rows == "skip":
                with atomic_path(folder / BAD_ROWS) as path, path.open("w", encoding="ascii") as file:
                    for _, _, bad in answers:
                        n_bad += sum(1 for line in ray.get(bad) if file.write(f"{line}\n"))
            plan = _Plan(tables, n_rows, columns, part_rows, shards.has)
            pool = ray.data.ActorPoolStrategy(
                min_size=actors.at_least,
                max_size=actors.at_most,
                max_tasks_in_flight_per_actor=2,  # one in work, one waiting; with more, others would be idle at the end
            )
            made = {"spec": spec, "folder": folder, "suffix": suffix, "column": column, "id_column": id_column}
            for row in _written(ray, plan, compute=pool, fn_constructor_kwargs=made, **resources):
                line = json.loads(row["line"])
                files[plan.place_of(line["shard"])].check_unchanged()
                shards.enter(line)
                on_part(Part(line["rows"], row["node"], int(row["pid"]), shards.n_rows, plan.n_rows))
            if shards.n_rows != plan.n_rows:
                raise OutputError(
                    f"{folder}: {shards.n_rows:,} of {plan.n_rows:,} texts are done; a file may have changed while it"
                    " was read. Run the same again; finished parts are kept."
                )
            shards.remove_leftovers()  # of workers that were killed
            return Embedded(plan.n_rows, n_bad, plan.n_parts, len(plan.finished), tuple(shards.damaged))


class AddVectors:
    """Adds a column of vectors, (N, D) float32 with zeros for missing texts, by `Dataset.map_batches`.

    Example:
        >>> ds.map_batches(AddVectors, fn_constructor_kwargs={"column": "tweet"}, concurrency=4)  # doctest: +SKIP
    """

    def __init__(self, spec: VectorSpec = VectorSpec(), *, column: str = "text", output: str = "features") -> None:
        if spec.words:
            raise ConfigError("AddVectors makes one vector per text; words=True makes one per word. Use embed_files.")
        self._spec, self._column, self._output = spec, column, output
        self._elmo = spec.open_model()
        self._dim = self._elmo.width(spec.encoding)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch with the column of vectors; raises `InputError` if the column of texts does not exist."""
        require_columns([self._column], list(batch), "the data set: ")
        vectors, zeros = vectors_or_none(self._elmo, self._spec, batch[self._column]), np.zeros(self._dim)
        output = np.array([zeros if vector is None else vector for vector in vectors], np.float32)
        return {**batch, self._output: output.reshape(-1, self._dim)}


@dataclass(eq=False)
class _Plan:
    """The parts of a job, numbered through all files; a part never holds rows of two files."""

    tables: Sequence[Table]
    sizes: Sequence[int]  # usable rows of each
    columns: Sequence[str]
    part_rows: int
    is_finished: InitVar[Callable[[int], bool]]

    def __post_init__(self, is_finished: Callable[[int], bool]) -> None:
        self.first = [0, *accumulate(-(-n // self.part_rows) for n in self.sizes)]
        self.n_rows, self.n_parts = sum(self.sizes), self.first[-1]
        self.finished = frozenset(filter(is_finished, range(self.n_parts)))

    def place_of(self, number: int) -> int:
        return bisect_right(self.first, number) - 1

    def unfinished_files(self) -> list[int]:
        return sorted({self.place_of(number) for number in range(self.n_parts) if number not in self.finished})

    def read(self, place: int) -> Iterator[dict[str, Any]]:
        """The unfinished parts of a file as rows of a Ray data set; the same on every machine."""
        rows = self.tables[place].rows(self.columns)
        file = str(self.tables[place].source) if len(self.tables) > 1 else ""
        for number in range(self.first[place], self.first[place + 1]):
            some = list(islice(rows, self.part_rows))
            if number not in self.finished:
                texts = json.dumps([(row.number, dict(row.values)) for row in some])  # also unpaired surrogates
                yield {"number": number, "file": file, "rows": texts}


class _PartWriter:
    """The work of an actor: a model that writes parts."""

    def __init__(self, spec: VectorSpec, folder: Path, suffix: str, column: str, id_column: str | None) -> None:
        self._writer = VectorWriter(spec.open_model(), spec, column=column, id_column=id_column)
        self._folder, self._suffix = folder, suffix

    def __call__(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Write a part, whole or not at all; return its manifest line and its writer as a row of a Ray data set."""
        import ray

        line = json.dumps(self.write(part))
        return {"line": line, "node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}

    def write(self, part: Mapping[str, Any]) -> dict[str, Any]:
        number, rows = int(part["number"]), [Row(n, None, values) for n, values in json.loads(part["rows"])]
        path = self._folder / shard_name(number, self._suffix)
        self._writer.write_file(path, rows, file=part["file"] or None)
        return manifest_line(path, number=number, n_rows=len(rows))


def _written(ray: Any, plan: _Plan, **workers: Any) -> Iterator[Mapping[str, Any]]:
    """Write the unfinished parts; yield what `_PartWriter` returns for each."""
    places = [{"place": place} for place in plan.unfinished_files()]
    if places:
        parts = ray.data.from_items(places)
        parts.context.target_max_block_size = 1  # a block for each part, so that parts of one file go to many actors
        parts.context.enable_progress_bars = False
        # readers take no core, else the actors could leave them none; and so they are not fused with the actors
        parts = parts.flat_map(lambda row: plan.read(int(row["place"])), num_cpus=0)
        yield from parts.map(_PartWriter, **workers).iter_rows()


def _survey(table: Table, columns: Sequence[str]) -> tuple[InputFile, int, list[str]]:
    """Read a file once: how it was, the number of usable rows, and a line for each bad one."""
    n_rows = 0
    bad: list[str] = []

    def note(problem: str) -> None:
        about = {"file": str(table.source), "row": n_rows + len(bad) + 1, "problem": problem}
        bad.append(json.dumps(about))

    file = InputFile.of(table.source)
    for _ in dataclasses.replace(table, on_skip=note).rows(columns):
        n_rows += 1
    return file, n_rows, bad


def _identity(spec: VectorSpec) -> dict[str, Any]:
    return VectorWriter(spec.open_model(), spec).identity()


def _tables(source: Table | str | Path) -> list[Table]:
    table = source if isinstance(source, Table) else Table(source=source)
    name = str(table.source)
    if name == STDIN:
        raise ConfigError("a cluster can't read standard input; give a file that all machines can read.")
    paths = [name] if Path(name).exists() else sorted(filter(os.path.isfile, glob(name, recursive=True)))  # noqa: PTH207
    if not paths:
        raise MissingFile(f"{name}: no such file, and none matches it as a pattern (looked in {Path.cwd()}).")
    return [dataclasses.replace(table, source=str(Path(path).absolute()), on_skip=None) for path in paths]


@contextmanager
def _connected() -> Iterator[Any]:
    """Connect to a Ray cluster; disconnect afterwards unless it was connected before."""
    with needing("ray", "ray", "working on a cluster"):
        import ray
        import ray.data
    connected = ray.is_initialized()
    if not connected:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start ourselves does not report home
        ray.init(logging_level=logging.WARNING, log_to_driver=False)
    try:
        yield ray
    except ray.exceptions.RayError as error:  # raise our own errors from other machines without Ray's wrapping
        inner: BaseException | None = error
        while inner is not None:
            if isinstance(inner, ElmoKitError) and not isinstance(inner, ray.exceptions.RayError):
                raise inner from None
            inner = getattr(inner, "cause", None) or inner.__cause__
        raise
    finally:
        if not connected:
            ray.shutdown()
