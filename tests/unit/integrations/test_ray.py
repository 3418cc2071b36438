"""A job on a Ray cluster: what is promised whatever happens to its machines, and the plan that makes it so.

The cluster is real: two raylets, which are two machines to Ray, and their workers as processes. That takes a minute
(--slow) and Ray; the plan's laws, the survey and the part writer are tested without.
"""

import contextlib
import json
import os
import random
import signal
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import elmokit
from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.cli import main
from elmokit.data.shards import MANIFEST, open_shards
from elmokit.data.tables import Table
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, InputError, MissingExtra, MissingFile, OutputError
from elmokit.integrations import ray as door
from elmokit.integrations.ray import BAD_ROWS, Actors, AddVectors, embed_files
from elmokit.tasks.embed import VectorSpec
from unit.tiny_models import tiny_checkpoint

HAS_RAY = find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'elmokit[ray]'")
# Ray's own warnings, and what it leaves open when a worker is killed, are not ours
pytestmark = pytest.mark.filterwarnings("ignore")

N_FIRST, N_SECOND, PART = 700, 300, 50
BAD = {("first.csv", 11): "empty", ("first.csv", 500): "fields", ("second.csv", 1): "empty"}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A model, and two files of tweets with three rows that can't be used."""
    folder = tmp_path_factory.mktemp("job")
    save(tiny_checkpoint(), folder / "model")
    rng = random.Random(0)
    for name, n in (("first.csv", N_FIRST), ("second.csv", N_SECOND)):
        lines = ["id,tweet"]
        for row in range(1, n + 1):
            text = " ".join(f"word{rng.randrange(300)}" for _ in range(rng.randrange(1, 12)))
            kind = BAD.get((name, row))
            lines.append(
                f"{name[0]}{row}," if kind == "empty" else f"{name[0]}{row},{text}" + ",x" * (kind == "fields")
            )
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def cluster():
    """Two machines of one core each; the first one is where the job is started from."""
    if not HAS_RAY:
        pytest.skip("Ray is not installed: pip install 'elmokit[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        source = str(Path(elmokit.__file__).parent.parent)
        patch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        size = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=size)
        try:
            made.second = made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
            ray.init(address=made.address, log_to_driver=False)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def read(folder):
    tables = [pyarrow.parquet.read_table(path) for path in sorted(folder.glob("part-*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def spec(job, **settings):
    return VectorSpec(model=job / "model", **settings)


@pytest.mark.slow
@needs_ray
def test_a_killed_worker_and_a_lost_machine_lose_nothing_and_double_nothing(job, cluster, tmp_path):
    parts, out = [], tmp_path / "out"

    def disturb(part):
        parts.append(part)
        if len(parts) == 2:
            os.kill(part.pid, signal.SIGKILL)  # a worker of our own cluster
        if len(parts) == 6:
            cluster.remove_node(cluster.second, allow_graceful=False)

    table = Table(source=job / "*.csv", bad_rows="skip")
    settings = {"column": "tweet", "id_column": "id", "part_rows": PART, "on_part": disturb}
    done = embed_files(table, out, spec(job), actors=Actors(at_least=2, at_most=2), **settings)
    n_texts = N_FIRST + N_SECOND - len(BAD)
    assert (done.n_texts, done.n_bad, done.n_parts) == (n_texts, len(BAD), 14 + 6)
    assert [part.n_done for part in parts][-1] == n_texts
    assert len({part.pid for part in parts}) > 1

    rows = read(out)
    found = Counter((Path(row["file"]).name, row["row"]) for row in rows)
    assert set(found.values()) == {1}
    listed = {(Path(bad["file"]).name, bad["row"]) for bad in map(json.loads, (out / BAD_ROWS).open())}
    assert listed == set(BAD)
    every = {("first.csv", n + 1) for n in range(N_FIRST)} | {("second.csv", n + 1) for n in range(N_SECOND)}
    assert set(found) | listed == every
    assert not set(found) & listed
    assert not list(out.glob(".part-*"))

    table = [Table(source=job / name, bad_rows="skip") for name in ("first.csv", "second.csv")]
    texts = [row.values for one in table for row in one.rows(["tweet", "id"])]
    assert [row["id"] for row in rows] == [text["id"] for text in texts]
    local = Elmo.load(job / "model").encode([text["tweet"] for text in texts])
    np.testing.assert_allclose(np.array([row["features"] for row in rows], np.float32), local, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@needs_ray
def test_what_a_cluster_began_it_does_not_do_again_and_one_machine_can_end(job, cluster, tmp_path, capsys):
    out, parts = tmp_path / "out", []

    def stop(part):
        parts.append(part)
        if len(parts) == 3:
            raise KeyboardInterrupt

    settings = {"column": "tweet", "part_rows": PART}
    table = Table(source=job / "first.csv", bad_rows="skip")
    with pytest.raises(KeyboardInterrupt):
        embed_files(table, out, spec(job), on_part=stop, **settings)
    listed = [json.loads(line)["shard"] for line in (out / MANIFEST).read_text().splitlines()[1:]]
    assert len(parts) == len(listed)
    before = {number: (out / f"part-{number:06d}.parquet").stat().st_mtime_ns for number in listed}
    lost = out / f"part-{listed[0]:06d}.parquet"
    lost.write_bytes(lost.read_bytes()[:-9])

    command = [
        "embed",
        str(job / "first.csv"),
        "--column",
        "tweet",
        "--model",
        str(job / "model"),
        "--output",
        str(out),
    ]
    command += ["--shard-rows", str(PART), "--bad-rows", "skip"]
    run([*command, "--engine", "ray", "--actors", "1:2"])
    said = capsys.readouterr()
    assert f"{lost.name} was damaged and was written again" in said.err
    assert "2 rows left out: see" in said.err
    assert f"{N_FIRST - 2:,} texts in 14 files, 2 of them from an earlier run" in said.out
    after = {number: (out / f"part-{number:06d}.parquet").stat().st_mtime_ns for number in listed[1:]}
    assert after == {number: before[number] for number in listed[1:]}
    assert [row["row"] for row in read(out)] == [n for n in range(1, N_FIRST + 1) if ("first.csv", n) not in BAD]

    run([*command, "--shard-format", "parquet"])  # the same job, on one machine
    assert f"resuming: {N_FIRST - 2:,} texts are done" in capsys.readouterr().err
    with pytest.raises(OutputError, match="started with pooling 'mean', but now it is 'max'"):
        embed_files(table, out, spec(job, encoding=Encoding(pooling="max")), **settings)
    same = json.loads((out / MANIFEST).read_text().splitlines()[0])["job"]
    with open_shards(out, job=same, suffix=".parquet"), pytest.raises(OutputError, match="another run is using"):
        embed_files(table, out, spec(job), **settings)


def run(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


@pytest.mark.slow
@needs_ray
def test_errors_of_workers_come_as_they_were_raised(job, cluster, tmp_path):
    with pytest.raises(InputError, match=r"no column 'twet'.*Did you mean 'tweet'") as caught:
        embed_files(job / "first.csv", tmp_path / "out", spec(job), column="twet")
    assert type(caught.value) is InputError
    with pytest.raises(InputError, match=r"row 11 .*'tweet' is empty"):
        embed_files(job / "first.csv", tmp_path / "out", spec(job), column="tweet")
    with pytest.raises(ConfigError, match="the model has the layers 0 to 2"):
        embed_files(job / "first.csv", tmp_path / "out", spec(job, encoding=Encoding(layers=9)), column="tweet")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_ray
def test_a_data_set_of_ones_own(job, cluster):
    import ray

    texts = ["the cat", "sat", "", "the cat sat"]
    data = ray.data.from_items([{"n": n, "tweet": text} for n, text in enumerate(texts)])
    settings = {"spec": spec(job).anywhere(), "column": "tweet"}
    made = data.map_batches(AddVectors, fn_constructor_kwargs=settings, concurrency=1).take_all()
    made.sort(key=lambda row: row["n"])
    local = Elmo.load(job / "model").encode(texts)
    np.testing.assert_allclose(np.stack([row["features"] for row in made]), local, rtol=1e-6, atol=1e-7)


def test_the_encoder_without_a_cluster(job):
    encoder = AddVectors(spec(job), column="tweet", output="elmo")
    made = encoder({"tweet": np.array(["the cat", None, "sat"], object), "id": np.array([1, 2, 3])})
    assert list(made) == ["tweet", "id", "elmo"]
    assert np.array_equal(made["elmo"], Elmo.load(job / "model").encode(["the cat", "", "sat"]))
    assert encoder({"tweet": np.array([], object)})["elmo"].shape == (0, 12)
    with pytest.raises(InputError, match="no column 'tweet'; the columns are 'text'"):
        encoder({"text": ["a"]})
    with pytest.raises(ConfigError, match="one vector per text"):
        AddVectors(spec(job, words=True))


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    part_rows=st.integers(1, 4),
    finished=st.sets(st.integers(0, 20)),
)
def test_every_row_is_in_one_part_whatever_is_finished(tmp_path_factory, sizes, part_rows, finished):
    folder = tmp_path_factory.mktemp("plan")
    tables = []
    for place, n in enumerate(sizes):
        (folder / f"{place}.txt").write_text("".join(f"text {place} {row}\n" for row in range(1, n + 1)))
        tables.append(Table(source=folder / f"{place}.txt"))

    plan = door._Plan(tables, sizes, ["text"], part_rows, finished.__contains__)
    parts = [part for place in plan.unfinished_files() for part in plan.read(place)]
    assert [part["number"] for part in parts] == [n for n in range(plan.n_parts) if n not in finished]

    plan = door._Plan(tables, sizes, ["text"], part_rows, set().__contains__)
    rows = [values["text"] for place in plan.unfinished_files() for p in plan.read(place) for _, values in rows_of(p)]
    assert rows == [f"text {place} {row}" for place, n in enumerate(sizes) for row in range(1, n + 1)]
    assert all(len(rows_of(p)) <= part_rows for place in plan.unfinished_files() for p in plan.read(place))


def rows_of(part):
    return json.loads(part["rows"])


def test_a_file_that_grew_after_the_survey_does_not_get_another_files_number(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")

    plan = door._Plan([Table(source=tmp_path / "a.txt")] * 2, [1, 1], ["text"], 1, set().__contains__)
    assert [part["number"] for place in (0, 1) for part in plan.read(place)] == [0, 1]


def test_the_survey_names_every_bad_row(job):
    file, n_rows, bad = door._survey(Table(source=job / "first.csv", bad_rows="skip"), ["tweet"])
    assert (file.path, n_rows) == (job / "first.csv", N_FIRST - 2)
    notes = [json.loads(line) for line in bad]
    assert [note["row"] for note in notes] == [11, 500]
    assert "row 11 (line 12) left out: 'tweet' is empty" in notes[0]["problem"]


def test_a_part_is_the_same_however_often_it_is_written(job, tmp_path):
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"text": "lone \\ud800 surrogate"}\n{"text": "nul \\u0000 and नमस्ते"}\n')
    plan = door._Plan([Table(source=odd)], [2], ["text"], 2, set().__contains__)
    [part] = plan.read(0)
    writer = door._PartWriter(spec(job), tmp_path, ".npz", "text", None)
    lines = []
    for _ in range(2):
        lines.append(writer.write(part))
        found = np.load(tmp_path / "part-000000.npz")["features"]
    assert lines[0] == lines[1]
    assert lines[0]["rows"] == 2
    texts = [row.values["text"] for row in Table(source=odd).rows(["text"])]
    assert np.array_equal(found, Elmo.load(job / "model").encode(texts))


def test_what_cannot_be_meant(job, tmp_path):
    with pytest.raises(MissingFile, match="none matches it as a pattern"):
        embed_files(tmp_path / "no*.csv", tmp_path / "out")
    with pytest.raises(ConfigError, match="can't read standard input"):
        embed_files(Table(source="-", format="txt"), tmp_path / "out")
    with pytest.raises(ConfigError, match="rows as 'pickle'; expected at least one, and one of npz"):
        embed_files(job / "first.csv", tmp_path / "out", part_format="pickle")
    with pytest.raises(ConfigError, match="parts of 0 rows"):
        embed_files(job / "first.csv", tmp_path / "out", part_rows=0)
    with pytest.raises(ConfigError, match="3 to 2 actors"):
        Actors(at_least=3, at_most=2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--engine", "spark"], "expected --engine local, or --engine ray"),
        (["--actors", "2"], "--actors '2'; expected --engine local, or --engine ray"),
        (["--engine", "ray", "--actors", "many"], '--engine ray with --actors N or a range "1:16"'),
        (["--engine", "ray", "--format", "allennlp-hdf5", "--all"], "use --engine local"),
    ],
)
def test_what_cannot_be_meant_on_the_command_line(job, tmp_path, capsys, options, problem):
    with contextlib.suppress(SystemExit):
        main(["embed", str(job / "first.csv"), "-c", "tweet", "-o", str(tmp_path / "out"), *options])
    assert problem in capsys.readouterr().err


def test_without_ray(job, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'elmokit\[ray\]'"):
        embed_files(job / "first.csv", tmp_path / "out")
