"""What is written comes back; what fails leaves nothing behind."""

import json
import os

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from elmokit.data.outputs import TABLE_SUFFIXES, VECTOR_SUFFIXES, vector_file, write_table
from elmokit.data.tables import Table
from elmokit.errors import ConfigError, InputError, OutputError
from elmokit.features import Features

RNG = np.random.default_rng(0)
BLOCKS = [
    ({"row": [1, 2], "id": ["a", 'b,"c"\n']}, RNG.normal(size=(2, 3)).astype(np.float32)),
    ({"row": [4], "id": ["नमस्ते"]}, RNG.normal(size=(1, 3)).astype(np.float32)),
]
FEATURES = np.concatenate([vectors for _, vectors in BLOCKS])
IDS = ["a", 'b,"c"\n', "नमस्ते"]
ABOUT = {"pooling": "mean"}


def read(path):
    """(features, rows, ids, about) of a file of vectors; None for what it has no room for."""
    if path.suffix == ".npy":
        return np.load(path), None, None, None
    if path.suffix == ".npz":
        data = np.load(path)
        return data["features"], data["row"].tolist(), data["id"].tolist(), json.loads(str(data["about"]))
    table = pyarrow.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"about"])
    features = np.array(table["features"].to_pylist(), np.float32)
    return features, table["row"].to_pylist(), table["id"].to_pylist(), about


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_vectors_come_back_bit_for_bit(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    with vector_file(path, dim=3, about=ABOUT) as write:
        for columns, vectors in BLOCKS:
            write(columns, vectors)
        assert not path.exists(), "the file took its name before it was whole"
    features, rows, ids, about = read(path)
    np.testing.assert_array_equal(features, FEATURES)
    assert features.dtype == np.float32
    assert rows in (None, [1, 2, 4])
    assert ids in (None, IDS)
    assert about in (None, ABOUT)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_a_run_that_fails_leaves_nothing(tmp_path, suffix):
    def interrupted():
        with vector_file(tmp_path / f"a{suffix}", dim=3, about=ABOUT) as write:
            write(*BLOCKS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_no_vectors_are_an_empty_matrix(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with vector_file(path, dim=3, about={}):
        pass
    if suffix == ".npy":
        assert np.load(path).shape == (0, 3)
    elif suffix == ".npz":
        assert np.load(path)["features"].shape == (0, 3)
    else:
        assert pyarrow.parquet.read_table(path).num_rows == 0


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_strange_characters_can_be_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with vector_file(path, dim=3, about={}) as write:
        write({"row": [1], "id": ["a\0b\udc80c"]}, FEATURES[:1])
    assert path.stat().st_size


def test_many_rows_do_not_outgrow_the_header(tmp_path):
    path = tmp_path / "a.npy"
    with vector_file(path, dim=1, about={}) as write:
        for _ in range(12):
            write({}, np.zeros((1000, 1), np.float32))
    assert np.load(path, mmap_mode="r").shape == (12_000, 1)


def test_unknown_suffixes_and_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.npz, \.npy"), vector_file(tmp_path / "a.xls", dim=1, about={}):
        pass
    with pytest.raises(ConfigError, match=r"\.csv, \.tsv"):
        write_table(tmp_path / "a.npz", ["a"], [])
    with pytest.raises(OutputError, match="does not exist"), vector_file(tmp_path / "b" / "a.npz", dim=1, about={}):
        pass


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_tables_come_back(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    ids = IDS if suffix != ".tsv" else ["a", 'b,"c"', "नमस्ते"]
    assert write_table(path, ["id", "label"], ((identity, i) for i, identity in enumerate(ids))) == 3
    rows = [row.values for row in Table(source=path).rows(["id", "label"])]
    assert rows == [{"id": identity, "label": str(i)} for i, identity in enumerate(ids)]


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_tables_without_rows_have_their_header(tmp_path, suffix):
    assert write_table(tmp_path / f"a{suffix}", ["id", "label"], []) == 0
    if suffix != ".jsonl":
        assert list(Table(source=tmp_path / f"a{suffix}").rows(["id"])) == []


def test_tsv_refuses_what_it_can_not_hold(tmp_path):
    with pytest.raises(InputError, match="tab or line break"):
        write_table(tmp_path / "a.tsv", ["id"], [["a\tb"]])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_one_long_word_does_not_blow_a_file_up(tmp_path, suffix):
    words = ["short"] * 400 + ["Q" * 50_000]
    path = tmp_path / f"a{suffix}"
    with vector_file(path, dim=1, about={}) as write:
        columns = {"row": list(range(401)), "word": words, "start": [0] * 401, "end": [5] * 401}
        write(columns, np.zeros((401, 1), np.float32))
    assert path.stat().st_size < 500_000
    if suffix == ".npz":
        assert [word for text in Features.load(path) for word in text.words] == words


def test_a_format_that_the_name_does_not_tell(tmp_path):
    with vector_file(tmp_path / "a.data", dim=1, about={}, format="npy") as write:
        write({}, np.ones((2, 1), np.float32))
    assert np.load(tmp_path / "a.data").shape == (2, 1)


def test_parquet_columns_that_begin_without_values(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, ["n", "text"], ([i, None if i < 8500 else "late"] for i in range(9000)))
    assert Table(source=path, bad_rows="keep").columns() == ["n", "text"]
    with pytest.raises(OutputError, match="differ in type"):
        write_table(path, ["n"], ([i if i < 8500 else "late"] for i in range(9000)))


def test_words_that_version_0_1_wrote_to_hdf5_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"], file["row"] = FEATURES, [1, 1, 2]
        file["start"], file["end"] = [0, 2, 0], [1, 3, 1]
        file.create_dataset("word", data=["a", "b", "नमस्ते"], dtype=h5py.string_dtype())
    loaded = Features.load(tmp_path / "a.h5")
    assert [text.words for text in loaded] == [("a", "b"), ("नमस्ते",)]
    np.testing.assert_array_equal(loaded[1].vectors, FEATURES[2:])
