"""Ray: the vectors of more texts than one machine reads, on a cluster that may lose machines while it works.

    files ─ survey ─▶ parts ─ Ray Data ─▶ actors that hold the model ─▶ part-000000.parquet … and manifest.jsonl

A part is so many rows of one file; which rows, and under which name their vectors are written, follows from the files
alone. So a part whose worker died is made again into the same file, whole or not at all, and each row is in the output
exactly once: no row is told from another by what Ray did. The folder is the one of `elmokit embed --shard-rows`
(`elmokit.data.shards`): finished parts are not made again, another job is refused, and what one machine began a
cluster can go on with. One row of the Ray data set is one part, so that Ray neither cuts nor merges them.

Costs: every file is read twice, first for its errors and checksum, then for the work; a file is read by one worker at a
time, which feeds hundreds of actors. The folder must be the same for all machines (NFS, Lustre, EFS). For object stores
and formats that Ray reads and writes itself (Lance, Iceberg, S3) there is `ElmoEncoder`, for `Dataset.map_batches`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

from elmokit.data.outputs import VECTOR_SUFFIXES
from elmokit.data.shards import InputFile, Shards, manifest_line, open_shards, shard_name
from elmokit.data.streams import STDIN
from elmokit.data.tables import Row, Table
from elmokit.errors import ConfigError, ElmoKitError, MissingExtra, MissingFile, OutputError
from elmokit.files import atomic_path
from elmokit.tasks.embed import VectorSpec, VectorWriter, vectors_or_none

BAD_ROWS = "bad-rows.jsonl"
"""The side file: a line for each row that was left out, with its file, number and reason."""

_IN_FLIGHT = 2
"""Parts with each actor: one at work, one at hand. With more, the last ones would queue while other actors rest."""


@dataclass(frozen=True, kw_only=True)
class Actors:
    """How many workers hold the model, and what each may use.

    Args:
        at_least: how many there always are.
        at_most: how many there may be while there is work for them; None for as many as the cluster has room for when
            the job starts. Ray's autoscaler adds machines for them where it may.
        cpus: cores of each.
        gpus: graphics cards of each; None for one where the device is "cuda", else none.

    Raises:
        ConfigError: less than one actor, or a maximum below the minimum.

    Example:
        >>> Actors(at_most=16, cpus=2)
        Actors(at_least=1, at_most=16, cpus=2, gpus=None)
    """

    at_least: int = 1
    at_most: int | None = None
    cpus: float = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.at_least < 1 or (self.at_most is not None and self.at_most < self.at_least):
            raise ConfigError(f"{self.at_least} to {self.at_most} actors; expected at least one, and at most no fewer.")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part that was finished just now.

    Args:
        number: of the part, from 0.
        n_rows: texts in it.
        node: Ray's name of the machine that made it.
        pid: of the process that made it.
        n_done: texts whose vectors are there by now, of earlier runs too.
        n_texts: texts of the job.
    """

    number: int
    n_rows: int
    node: str
    pid: int
    n_done: int
    n_texts: int


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What a job did.

    Args:
        n_texts: texts whose vectors are in the folder.
        n_bad: rows that were left out; they are listed in `BAD_ROWS`.
        n_parts: files with vectors.
        n_parts_before: those of them that were there already and whole.
        damaged: names of files that were there, but not what was listed, and so were made again.
    """

    n_texts: int
    n_bad: int
    n_parts: int
    n_parts_before: int
    damaged: tuple[str, ...] = ()


def embed_files(
    source: Table | str | Path,
    folder: str | Path,
    spec: VectorSpec = VectorSpec(),  # noqa: B008 - frozen
    *,
    column: str = "text",
    id_column: str | None = None,
    part_rows: int = 4096,
    part_format: str = "parquet",
    actors: Actors = Actors(),
    on_part: Callable[[Part], None] | None = None,
) -> Embedded:
    """Write the vectors of files' texts to a folder of parts, on a Ray cluster.

    It is the cluster that `ray.init` was called for, else the one that RAY_ADDRESS names, else this machine's cores.

    Args:
        source: a file or a pattern such as "tweets/*.parquet", the same for all machines; as a `Table` with all that
            tells how to read it and what happens to bad rows.
        folder: where to, the same for all machines. One job a folder; a job that was interrupted goes on.
        spec: which vectors.
        column: the column with the texts.
        id_column: a column to keep beside the vectors.
        part_rows: texts in a part.
        part_format: of the parts: "parquet", "npz" or another that `elmokit.data.outputs` writes.
        actors: how many hold the model, and what each may use.
        on_part: called after each part, on this machine.

    Returns:
        what was done. Beside each vector stands its "row", from 1, and its "file" where there are several.

    Raises:
        MissingExtra: Ray is not installed.
        MissingFile: no such file, or none that fits the pattern.
        InputError: a column that is not there, a row that can't be used (see `Table`).
        ConfigError: standard input, a format, pooling or layers that are not known.
        OutputError: the folder belongs to another job or run, or can't be written.

    Example:
        ``embed_files("tweets/*.parquet", "vectors", VectorSpec(encoding=Encoding("mean+max")), column="tweet")``
    """
    columns = [column] if id_column is None else [column, id_column]
    tables, suffix = _tables(source), f".{part_format.lstrip('.')}"
    _check_settings(suffix, part_rows)
    spec = dataclasses.replace(spec.anywhere(), n_threads=spec.n_threads or max(1, int(actors.cpus)))
    gpus = actors.gpus if actors.gpus is not None else float(spec.device.startswith("cuda"))
    actors = dataclasses.replace(actors, gpus=gpus)
    folder = Path(folder).absolute()
    with _connected() as ray, _plainly():
        identity = ray.get(ray.remote(num_cpus=actors.cpus, num_gpus=actors.gpus)(_identity).remote(spec))
        spec = dataclasses.replace(spec, precision=identity["precision"])
        surveys = _survey_all(ray, tables, columns)
        sums = [survey.file.sha256 for survey, _ in surveys]
        job: dict[str, Any] = {
            "input": sums[0] if len(sums) == 1 else sums,
            "columns": columns,
            "bad_rows": tables[0].bad_rows,
        }
        job |= {**identity, "shard_rows": part_rows, "format": suffix[1:]}
        with open_shards(folder, job=job, suffix=suffix) as shards:
            _write_bad_rows(ray, folder, surveys)
            plan = _Plan.of(tables, [survey.n_rows for survey, _ in surveys], columns, part_rows, shards)
            files = [survey.file for survey, _ in surveys]
            writer = {"spec": spec, "folder": folder, "suffix": suffix, "column": column, "id_column": id_column}
            for line, node, pid in _made(ray, plan, actors, writer):
                files[plan.place_of(line["shard"])].check_unchanged()
                shards.enter(line)
                if on_part is not None:
                    numbers = {"number": line["shard"], "n_rows": line["rows"]}
                    on_part(Part(**numbers, node=node, pid=pid, n_done=shards.n_rows, n_texts=plan.n_rows))
            _check_complete(folder, shards, plan)
            shards.remove_leftovers()  # of workers that were killed
            n_bad = sum(survey.n_bad for survey, _ in surveys)
            return Embedded(
                n_texts=plan.n_rows,
                n_bad=n_bad,
                n_parts=plan.n_parts,
                n_parts_before=len(plan.finished),
                damaged=tuple(shards.damaged),
            )


class ElmoEncoder:
    """A column of vectors for a Ray data set of your own: `Dataset.map_batches` makes actors of it.

    Args:
        spec: which vectors, one per text.
        column: the column with the texts.
        output: the column that the vectors are put into. Shape (n, d), float32; missing texts get zeros.

    Raises:
        ConfigError: a spec of vectors per word, which fit no column.

    Example:
        >>> ds.map_batches(ElmoEncoder, fn_constructor_kwargs={"column": "tweet"}, concurrency=4)  # doctest: +SKIP
    """

    def __init__(self, spec: VectorSpec = VectorSpec(), *, column: str = "text", output: str = "features") -> None:  # noqa: B008
        if spec.words:
            raise ConfigError("ElmoEncoder makes one vector per text; words=True makes one per word. Use embed_files.")
        self._spec, self._column, self._output = spec, column, output
        self._elmo = spec.open_model()
        self._writer = VectorWriter(self._elmo, spec)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with vectors.

        Args:
            batch: columns by name.

        Returns:
            the same with one column more.

        Raises:
            InputError: the column of texts is not there.
        """
        import numpy as np

        from elmokit.errors import InputError

        if self._column not in batch:
            there = ", ".join(repr(name) for name in batch)
            raise InputError(f"the data set has no column {self._column!r}; the columns are {there}.")
        nothing = np.zeros(self._writer.dim, np.float32)
        vectors = vectors_or_none(self._elmo, self._spec, batch[self._column])
        made = [nothing if vector is None else vector for vector in vectors]
        return {**batch, self._output: np.stack(made) if made else np.zeros((0, self._writer.dim), np.float32)}


@dataclass(frozen=True)
class _Survey:
    """A file as it was read, and how many of its rows can be used."""

    file: InputFile
    n_rows: int
    n_bad: int


@dataclass(frozen=True)
class _Plan:
    """Which parts there are, and which are finished."""

    tables: Sequence[Table]
    columns: Sequence[str]
    part_rows: int
    first: Sequence[int]
    n_rows: int
    n_parts: int
    finished: frozenset[int]

    @classmethod
    def of(
        cls, tables: Sequence[Table], n_rows: Sequence[int], columns: Sequence[str], part_rows: int, shards: Shards
    ) -> _Plan:
        """Parts are numbered through all files; a part never holds rows of two."""
        first = [0]
        for n in n_rows:
            first.append(first[-1] + -(-n // part_rows))
        finished = frozenset(number for number in range(first[-1]) if shards.has(number))
        return cls(tables, columns, part_rows, first, sum(n_rows), first[-1], finished)

    def place_of(self, number: int) -> int:
        """The place of the file that a part's rows are from."""
        return bisect_right(self.first, number) - 1

    def unfinished_files(self) -> list[int]:
        """The places of files that have parts to be made."""
        spans = enumerate(zip(self.first, self.first[1:], strict=False))
        return [place for place, (start, stop) in spans if any(n not in self.finished for n in range(start, stop))]

    def read(self, place: int) -> Iterator[dict[str, Any]]:
        """A file's unfinished parts, as rows of a Ray data set: the same whenever and wherever it is read."""
        rows = self.tables[place].rows(self.columns)
        file = str(self.tables[place].source) if len(self.tables) > 1 else ""
        for number in range(self.first[place], self.first[place + 1]):
            some = list(islice(rows, self.part_rows))
            if number not in self.finished:
                texts = json.dumps([(row.number, dict(row.values)) for row in some])  # also unpaired surrogates
                yield {"number": number, "file": file, "rows": texts}


class _PartWriter:
    """What an actor is: a model that writes parts."""

    def __init__(self, spec: VectorSpec, folder: Path, suffix: str, column: str, id_column: str | None) -> None:
        self._writer = VectorWriter(spec.open_model(), spec, column=column, id_column=id_column)
        self._folder, self._suffix = folder, suffix

    def __call__(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Write a part; the manifest's line for it, and who made it, as a row of a Ray data set."""
        import ray

        line = json.dumps(self.write(part))
        return {"line": line, "node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}

    def write(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Write a part, whole or not at all; the manifest's line for it."""
        number, rows = int(part["number"]), [Row(n, None, values) for n, values in json.loads(part["rows"])]
        path = self._folder / shard_name(number, self._suffix)
        self._writer.write_file(path, rows, file=part["file"] or None)
        return manifest_line(path, number=number, n_rows=len(rows))


def _made(
    ray: Any, plan: _Plan, actors: Actors, writer: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str, int]]:
    """Have the unfinished parts made; for each its line of the manifest, and who made it."""
    places = [{"place": place} for place in plan.unfinished_files()]
    if not places:
        return
    room = ray.cluster_resources().get("GPU" if actors.gpus else "CPU", 1) // (actors.gpus or actors.cpus)
    pool = ray.data.ActorPoolStrategy(
        min_size=actors.at_least,
        max_size=max(actors.at_least, int(room) if actors.at_most is None else actors.at_most),
        max_tasks_in_flight_per_actor=_IN_FLIGHT,
    )
    parts = ray.data.from_items(places)
    parts.context.target_max_block_size = 1  # a block for each part, so that parts of one file go to many actors
    parts.context.enable_progress_bars = False
    # readers take no core, else the actors could leave them none; and so they are not fused with the actors
    parts = parts.flat_map(lambda row: plan.read(int(row["place"])), num_cpus=0)
    made = parts.map(
        _PartWriter, compute=pool, fn_constructor_kwargs=dict(writer), num_cpus=actors.cpus, num_gpus=actors.gpus
    )
    for row in made.iter_rows():
        yield json.loads(row["line"]), row["node"], int(row["pid"])


def _survey_all(ray: Any, tables: Sequence[Table], columns: Sequence[str]) -> list[tuple[_Survey, Any]]:
    """Each file's survey, and where the lines on its bad rows are."""
    survey = ray.remote(num_returns=2)(_survey)
    asked = [survey.remote(table, columns) for table in tables]
    return [(ray.get(found), bad) for found, bad in asked]


def _survey(table: Table, columns: Sequence[str]) -> tuple[_Survey, list[str]]:
    """Read a file once for its errors."""
    n_rows = 0
    bad: list[str] = []

    def note(problem: str) -> None:
        about = {"file": str(table.source), "row": n_rows + len(bad) + 1, "problem": problem}
        bad.append(json.dumps(about, ensure_ascii=False))

    file = InputFile.of(table.source)
    for _ in dataclasses.replace(table, on_skip=note).rows(columns):
        n_rows += 1
    return _Survey(file, n_rows, len(bad)), bad


def _identity(spec: VectorSpec) -> dict[str, Any]:
    """What the model is where it will work."""
    return VectorWriter(spec.open_model(), spec).identity()


def _write_bad_rows(ray: Any, folder: Path, surveys: Sequence[tuple[_Survey, Any]]) -> None:
    if not any(survey.n_bad for survey, _ in surveys):
        return
    with atomic_path(folder / BAD_ROWS) as path, path.open("w", encoding="utf-8", errors="replace") as file:
        for survey, bad in surveys:
            if survey.n_bad:
                file.writelines(f"{line}\n" for line in ray.get(bad))


def _check_complete(folder: Path, shards: Shards, plan: _Plan) -> None:
    missing = [number for number in range(plan.n_parts) if not shards.has(number)]
    if missing or shards.n_rows != plan.n_rows:
        raise OutputError(
            f"{folder}: {shards.n_rows:,} of {plan.n_rows:,} texts are there, {len(missing)} parts are missing: did a"
            " file change while it was read? Run the same again; finished parts are kept."
        )


def _tables(source: Table | str | Path) -> list[Table]:
    """The files of a pattern, in the order of their names."""
    table = source if isinstance(source, Table) else Table(source=source)
    name = str(table.source)
    if name == STDIN:
        raise ConfigError("a cluster reads files that all of its machines see; standard input is none. Give a file.")
    fitting = glob(name, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [name] if Path(name).exists() else sorted(path for path in fitting if Path(path).is_file())
    if not found:
        raise MissingFile(f"{name}: no such file, and none that fits it as a pattern (looked in {Path.cwd()}).")
    return [dataclasses.replace(table, source=str(Path(path).absolute()), on_skip=None) for path in found]


def _check_settings(suffix: str, part_rows: int) -> None:
    if suffix not in VECTOR_SUFFIXES:
        known = ", ".join(known.lstrip(".") for known in VECTOR_SUFFIXES)
        raise ConfigError(f"parts in the format {suffix[1:]!r} can't be written; known are {known}.")
    if part_rows < 1:
        raise ConfigError(f"{part_rows} rows in a part; expected at least one.")


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, with a cluster; one that was not there before is left again."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtra("ray", "ray", "working on a cluster") from None
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start ourselves does not report home
    ray.init(logging_level=logging.WARNING, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _plainly() -> Iterator[None]:
    """Our own errors as they were raised on another machine, without what Ray wraps them into."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        inner: BaseException | None = error
        while inner is not None:
            if isinstance(inner, ElmoKitError) and not isinstance(inner, RayError):
                raise inner from None
            inner = getattr(inner, "cause", None) or inner.__cause__
        raise
