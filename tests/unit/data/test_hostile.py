"""Damaged, huge and hostile inputs: only our own errors, in time and memory proportional to the input."""

import csv
import gzip
import io
import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.data import parquet as parquet_files
from elmokit.data import records, shards, streams
from elmokit.data.conll import read_columns
from elmokit.data.shards import MANIFEST, InputFile, open_shards
from elmokit.data.tables import Table
from elmokit.errors import ElmoKitError, InputError, OutputError

ROWS = [(f"id{i}", f'text {i}, "quoted" and ñ 😀\nline' if i % 3 else "plain") for i in range(60)]


def csv_bytes():
    text = io.StringIO()
    csv.writer(text).writerows([("id", "text"), *ROWS])
    return text.getvalue().encode()


def parquet_bytes():
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({"id": [i for i, _ in ROWS], "text": [t for _, t in ROWS]}), buffer)
    return buffer.getvalue()


def zstd_bytes():
    return pytest.importorskip("zstandard").compress(csv_bytes())


GOOD = {
    "t.csv": csv_bytes,
    "t.jsonl": lambda: "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in ROWS).encode(),
    "t.parquet": parquet_bytes,
    "t.csv.gz": lambda: gzip.compress(csv_bytes()),
    "t.csv.zst": zstd_bytes,
}
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 0.999), st.sampled_from(["flip", "cut", "insert", "zero"]), st.binary(min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=5,
)


def changed(data, changes):
    data = bytearray(data)
    for share, kind, extra in changes:
        place = int(share * len(data))
        if kind == "flip" and data:
            data[place] ^= extra[0] or 1
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = extra
        else:
            data[place : place + len(extra)] = bytes(len(extra))
    return bytes(data)


def our_errors_only(function, named):
    """What the function returns, or None where it raises one of our errors, which must say where."""
    try:
        return function()
    except ElmoKitError as error:
        if named not in str(error):
            raise AssertionError(f"{error} does not name {named}") from error
        return None


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=60, deadline=None)
@given(changes=CHANGES)
def test_damaged_tables_raise_only_our_errors(tmp_path_factory, name, changes):
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(changed(GOOD[name](), changes))
    for policy in ("skip", "keep", "stop"):
        rows = our_errors_only(lambda policy=policy: list(Table(source=path, bad_rows=policy).rows(["text"])), name)
        assert all(isinstance(row.values["text"], str) for row in rows or [])


@settings(max_examples=100, deadline=None)
@given(changes=CHANGES)
def test_damaged_manifests_raise_only_our_errors(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("shards")

    def work():
        with open_shards(folder, job={"input": "a"}, suffix=".txt") as opened:
            for number in range(3):
                if not opened.has(number):
                    with opened.write(number, n_rows=1) as path:
                        path.write_text(f"shard {number}")

    work()
    manifest = folder / MANIFEST
    manifest.write_bytes(changed(manifest.read_bytes(), changes))
    if our_errors_only(lambda: work() or True, str(folder)):
        assert [path.read_text() for path in sorted(folder.glob("part-*"))] == ["shard 0", "shard 1", "shard 2"]


@pytest.mark.parametrize(
    "unit", ["a", '"', ",", "\n", '"\n', '""', 'a,"b\n', "{", "[", '{"text": "a"}\n', "\t", "# a\n", "a b\n"]
)
def test_readers_are_linear(tmp_path, unit):
    def seconds(name, n):
        path = tmp_path / name
        path.write_text(("text\n" if name == "t.csv" else "") + (unit * n)[:n])
        start = time.process_time()
        try:
            if name == "t.conll":
                for _ in read_columns(path):
                    pass
            else:
                for _ in Table(source=path, bad_rows="skip").rows(["text"]):
                    pass
        except ElmoKitError:
            pass
        return time.process_time() - start

    for name in ("t.csv", "t.jsonl", "t.txt", "t.conll"):
        assert min(seconds(name, 60_000) for _ in range(2)) < 1.5, name


def test_a_line_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 1000)
    path = tmp_path / "a.txt"
    path.write_text("short\n" + "a" * 999 + "\n" + "b" * 1000)
    with pytest.raises(InputError, match="line 3 has over 1,000 characters"):
        list(Table(source=path).rows())


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(streams, "_TRUSTED_SIZE", 1 << 21)
    data = b"text\n" + b"a\n" * 3_000_000
    if suffix == ".zst":
        packed = pytest.importorskip("zstandard").compress(data)
    else:
        packed = gzip.compress(data) if suffix == ".gz" else __import__("lzma").compress(data)
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(packed)
    with pytest.raises(InputError, match="decompression bomb"):
        next(Table(source=path).rows(["text"]))  # before a row is read


def test_a_row_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_LONGEST_ROW", 1000)
    (tmp_path / "a.csv").write_text("text\n" + '"\n",' * 400)
    with pytest.raises(InputError, match=r"a\.csv: the row from line 2 on has more than 1,000 characters"):
        list(Table(source=tmp_path / "a.csv", bad_rows="skip").rows(["text"]))


@given(length=st.integers(0, 40), n_rows=st.integers(1, 50), repeated=st.booleans())
def test_long_texts_of_a_parquet_file_are_decoded_a_few_at_a_time(tmp_path_factory, length, n_rows, repeated):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = ["é" * length + ("" if repeated else str(i)) + "." for i in range(n_rows)]
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    parquet.write_table(pyarrow.table({"text": texts, "n": list(range(n_rows))}), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_files, "_BYTES", 100)
        rows = [row.values for row in Table(source=path).rows(["n", "text"])]
    assert rows == [{"n": str(i), "text": text} for i, text in enumerate(texts)]


def test_a_parquet_file_that_claims_too_much_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(parquet_bytes())
    monkeypatch.setattr(parquet_files, "_TRUSTED_SIZE", 100)
    monkeypatch.setattr(parquet_files, "_MAX_RATIO", 0)
    with pytest.raises(InputError, match=r"a\.parquet: .* not believed"):
        list(Table(source=tmp_path / "a.parquet").rows(["text"]))


def test_a_huge_manifest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_MAX_MANIFEST_BYTES", 100)
    (tmp_path / MANIFEST).write_bytes(bytes(101))
    with pytest.raises(OutputError, match="more than 100 bytes"), open_shards(tmp_path, job={}, suffix=".npz"):
        pass


def test_repetitive_zstandard_is_read_as_fast_as_gzip(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    data = b"text\n" + b"so happy with my new phone\n" * 200_000
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.csv.zst").write_bytes(zstandard.compress(data))

    def seconds(name):
        start = time.process_time()
        assert sum(1 for _ in Table(source=tmp_path / name).rows(["text"])) == 200_000
        return time.process_time() - start

    assert seconds("a.csv.zst") < 3 * seconds("a.csv.gz")


def test_long_fields_do_not_change_the_limit_of_the_process(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + ('"' + ("a" * 150 + "\n") * 1200 + '"\n') * 4)
    before, errors = csv.field_size_limit(), []

    def read():
        try:
            for _ in range(3):
                assert sum(1 for _ in Table(source=path).rows(["text"])) == 4
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert csv.field_size_limit() == before


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        list(Table(source="-", format="csv").rows(["text"]))


def test_an_input_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old words")
    read = InputFile.of(path)
    read.check_unchanged()
    with path.open("r+") as file:
        file.write("new")
    with pytest.raises(InputError, match="was changed while it was read"):
        read.check_unchanged()
    path.unlink()
    with pytest.raises(InputError, match="was changed"):
        read.check_unchanged()


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    with open_shards(tmp_path, job={}, suffix=".npz"):
        pass
    for name in ("..part-000001.npz-x1.npz", ".part-000000-abc.npz", ".manifest-q.jsonl"):
        (tmp_path / name).write_text("half")
    with open_shards(tmp_path, job={}, suffix=".npz"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", MANIFEST]
