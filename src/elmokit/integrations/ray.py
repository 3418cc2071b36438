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
from dataclasses import dataclass
from glob import glob
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.data.outputs import VECTOR_SUFFIXES
from elmokit.data.shards import InputFile, Shards, manifest_line, open_shards, shard_name
from elmokit.data.streams import STDIN
from elmokit.data.tables import Row, Table, require_columns
from elmokit.errors import ConfigError, ElmoKitError, MissingFile, OutputError, needing
from elmokit.files import atomic_path
from elmokit.tasks.embed import VectorSpec, VectorWriter, vectors_or_none

BAD_ROWS = "bad-rows.jsonl"  # the list of rows that were left out, with file, number and reason


@dataclass(frozen=True, kw_only=True)
class Actors:
    """The number of workers that hold the model, and their resources."""

    at_least: int = 1
    at_most: int | None = None  # None: as many as the cluster has room for when the job starts
    cpus: float = 1  # cores per worker
    gpus: float | None = None  # per worker; None: one if the device is "cuda", else none

    def __post_init__(self) -> None:
        if self.at_least < 1 or (self.at_most is not None and self.at_most < self.at_least):
            raise ConfigError(f"{self.at_least} to {self.at_most} actors; expected at least one, and at most no fewer.")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part that has just been finished, on which machine (Ray's id), and how many texts are done in all."""

    number: int
    n_rows: int
    node: str
    pid: int
    n_done: int
    n_texts: int


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The result of a job: numbers of texts and of rows left out (listed in `BAD_ROWS`), files, and damaged files."""

    n_texts: int
    n_bad: int
    n_parts: int
    n_parts_before: int
    damaged: tuple[str, ...] = ()


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
        column: the column of texts.
        id_column: a column to copy to the output.
        part_rows: number of texts in a part.
        part_format: "parquet", "npz" or another that `elmokit.data.outputs` writes.
        actors: number and resources of the workers.
        on_part: called after each part, on this machine.

    Returns:
        what was done. Beside each vector is its "row", from 1, and its "file" if there are several.

    Raises InputError for a bad row (see `Table`) or a file that changed while it was read, ConfigError for standard
    input, OutputError if the folder belongs to another job or run.
    """
    columns = [column] if id_column is None else [column, id_column]
    tables, suffix = _tables(source), f".{part_format.lstrip('.')}"
    if suffix not in VECTOR_SUFFIXES:
        known = ", ".join(known.lstrip(".") for known in VECTOR_SUFFIXES)
        raise ConfigError(f"unknown format {suffix[1:]!r} of parts; expected one of {known}.")
    if part_rows < 1:
        raise ConfigError(f"{part_rows} rows in a part; expected at least one.")
    spec = dataclasses.replace(spec.anywhere(), n_threads=spec.n_threads or max(1, int(actors.cpus)))
    gpus = actors.gpus if actors.gpus is not None else float(spec.device.startswith("cuda"))
    actors = dataclasses.replace(actors, gpus=gpus)
    folder = Path(folder).absolute()
    with _connected() as ray:
        identity = ray.get(ray.remote(num_cpus=actors.cpus, num_gpus=actors.gpus)(_identity).remote(spec))
        spec = dataclasses.replace(spec, precision=identity["precision"])
        survey = ray.remote(num_returns=3)(_survey)
        answers = [survey.remote(table, columns) for table in tables]
        files, n_rows = (ray.get([answer[i] for answer in answers]) for i in (0, 1))
        sums = [file.sha256 for file in files]
        job = {"input": sums[0] if len(sums) == 1 else sums, "columns": columns, "bad_rows": tables[0].bad_rows}
        job |= {**identity, "shard_rows": part_rows, "format": suffix[1:]}
        with open_shards(folder, job=job, suffix=suffix) as shards:
            n_bad = _write_bad_rows(folder, (line for _, _, bad in answers for line in ray.get(bad)))
            plan = _Plan(tables, n_rows, columns, part_rows, shards.has)
            writer = {"spec": spec, "folder": folder, "suffix": suffix, "column": column, "id_column": id_column}
            for row in _written(ray, plan, actors, writer):
                line = json.loads(row["line"])
                files[plan.place_of(line["shard"])].check_unchanged()
                shards.enter(line)
                numbers = {"number": line["shard"], "n_rows": line["rows"], "pid": int(row["pid"])}
                on_part(Part(**numbers, node=row["node"], n_done=shards.n_rows, n_texts=plan.n_rows))
            _check_complete(folder, shards, plan)
            shards.remove_leftovers()  # of workers that were killed
            return Embedded(
                n_texts=plan.n_rows,
                n_bad=n_bad,
                n_parts=plan.n_parts,
                n_parts_before=len(plan.finished),
                damaged=tuple(shards.damaged),
            )


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
        self._writer = VectorWriter(self._elmo, spec)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch with the column of vectors; raises `InputError` if the column of texts does not exist."""
        require_columns([self._column], list(batch), "the data set: ")
        vectors, zeros = vectors_or_none(self._elmo, self._spec, batch[self._column]), np.zeros(self._writer.dim)
        output = np.array([zeros if vector is None else vector for vector in vectors], np.float32)
        return {**batch, self._output: output.reshape(-1, self._writer.dim)}


class _Plan:
    """The parts of a job, numbered through all files; a part never holds rows of two files."""

    def __init__(
        self,
        tables: Sequence[Table],
        n_rows: Sequence[int],
        columns: Sequence[str],
        part_rows: int,
        is_finished: Callable[[int], bool],
    ) -> None:
        self.tables, self.columns, self.part_rows, self.n_rows = tables, columns, part_rows, sum(n_rows)
        self.first = [0, *accumulate(-(-n // part_rows) for n in n_rows)]
        self.n_parts = self.first[-1]
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


def _written(ray: Any, plan: _Plan, actors: Actors, writer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Write the unfinished parts; yield what `_PartWriter` returns for each."""
    places = [{"place": place} for place in plan.unfinished_files()]
    if not places:
        return
    room = ray.cluster_resources().get("GPU" if actors.gpus else "CPU", 1) // (actors.gpus or actors.cpus)
    pool = ray.data.ActorPoolStrategy(
        min_size=actors.at_least,
        max_size=max(actors.at_least, int(room) if actors.at_most is None else actors.at_most),
        max_tasks_in_flight_per_actor=2,  # one in work, one waiting; with more, other actors would be idle at the end
    )
    parts = ray.data.from_items(places)
    parts.context.target_max_block_size = 1  # a block for each part, so that parts of one file go to many actors
    parts.context.enable_progress_bars = False
    # readers take no core, else the actors could leave them none; and so they are not fused with the actors
    parts = parts.flat_map(lambda row: plan.read(int(row["place"])), num_cpus=0)
    made = parts.map(
        _PartWriter, compute=pool, fn_constructor_kwargs=dict(writer), num_cpus=actors.cpus, num_gpus=actors.gpus
    )
    yield from made.iter_rows()


def _survey(table: Table, columns: Sequence[str]) -> tuple[InputFile, int, list[str]]:
    """Read a file once: how it was, the number of usable rows, and a line for each bad one."""
    n_rows = 0
    bad: list[str] = []

    def note(problem: str) -> None:
        about = {"file": str(table.source), "row": n_rows + len(bad) + 1, "problem": problem}
        bad.append(json.dumps(about, ensure_ascii=False))

    file = InputFile.of(table.source)
    for _ in dataclasses.replace(table, on_skip=note).rows(columns):
        n_rows += 1
    return file, n_rows, bad


def _identity(spec: VectorSpec) -> dict[str, Any]:
    return VectorWriter(spec.open_model(), spec).identity()


def _write_bad_rows(folder: Path, lines: Iterator[str]) -> int:
    n_bad, first = 0, next(lines, None)
    if first is not None:
        with atomic_path(folder / BAD_ROWS) as path, path.open("w", encoding="utf-8", errors="replace") as file:
            for line in chain([first], lines):
                file.write(f"{line}\n")
                n_bad += 1
    return n_bad


def _check_complete(folder: Path, shards: Shards, plan: _Plan) -> None:
    missing = [number for number in range(plan.n_parts) if not shards.has(number)]
    if missing or shards.n_rows != plan.n_rows:
        raise OutputError(
            f"{folder}: {shards.n_rows:,} of {plan.n_rows:,} texts are done, {len(missing)} parts are missing; a"
            " file may have changed while it was read. Run the same again; finished parts are kept."
        )


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
