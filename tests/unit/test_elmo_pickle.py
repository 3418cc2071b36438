"""`Elmo` sent to other processes: by where it came from and how it was opened, never by its weights."""

import copy
import os
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed

from elmokit import Elmo, LayerMix
from elmokit.checkpoints import save
from elmokit.errors import ConfigError, MissingFile
from unit.tiny_models import tiny_checkpoint, tiny_elmo

TEXTS = ["the cat sat", "", "a dog ran away"]


@pytest.fixture
def folder(tmp_path):
    save(tiny_checkpoint(name=""), tmp_path / "model")
    return tmp_path / "model"


def test_a_pickle_names_the_folder_and_the_options_and_holds_no_weights(folder):
    elmo = Elmo.load(folder, precision="float64", n_threads=3, cache_words=7)
    data = pickle.dumps(elmo)
    assert len(data) < 1_000
    assert str(folder).encode() in data
    again = pickle.loads(data)
    assert np.array_equal(again.encode(TEXTS), elmo.encode(TEXTS))
    assert (again.precision, again._engine.workers.n_threads, again.name) == ("float64", 3, elmo.name)
    assert pickle.dumps(again) == data


def test_the_model_inside_the_package_is_named_not_its_place():
    data = pickle.dumps(Elmo.load())
    assert b"default" in data
    assert os.fsencode(Path.cwd()) not in data
    assert pickle.loads(data).name == Elmo.load().name


def test_what_was_set_since_comes_along(folder):
    elmo = Elmo.load(folder)
    elmo.layer_mix = LayerMix(weights=(3.0, 0.0, -1.0), gamma=2.0)
    assert np.array_equal(pickle.loads(pickle.dumps(elmo)).encode(TEXTS), elmo.encode(TEXTS))
    assert np.array_equal(copy.deepcopy(elmo).encode(TEXTS), elmo.encode(TEXTS))


def test_a_relative_folder_is_found_from_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    elmo = Elmo.load("model")
    data = pickle.dumps(elmo)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = pickle.loads(data)
    assert again.name == elmo.name == "model"
    assert np.array_equal(again.encode(TEXTS), elmo.encode(TEXTS))


def test_a_pair_of_files_stays_a_pair(tmp_path):
    save(tiny_checkpoint(), tmp_path, format="allennlp")
    options, weights = tmp_path / "options.json", tmp_path / "weights.hdf5"
    elmo = Elmo.load(options=options, weights=weights)
    assert np.array_equal(pickle.loads(pickle.dumps(elmo)).encode(TEXTS), elmo.encode(TEXTS))


def test_a_model_made_in_memory_says_what_to_do():
    with pytest.raises(ConfigError, match=r"made in memory.*elmo\.save"):
        pickle.dumps(tiny_elmo())


def test_a_folder_that_is_gone_is_named(folder):
    data = pickle.dumps(Elmo.load(folder))
    folder.rename(folder.with_name("moved"))
    with pytest.raises(MissingFile, match="model"):
        pickle.loads(data)


def encode(elmo, text):
    return elmo.encode([text])[0]


def test_joblib_and_spawned_processes_give_the_same_vectors(folder):
    elmo = Elmo.load(folder, n_threads=1)
    expected = elmo.encode(TEXTS)
    by_joblib = Parallel(n_jobs=2)(delayed(encode)(elmo, text) for text in TEXTS)
    assert np.array_equal(np.stack(by_joblib), expected)
    with get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(Elmo.encode, (elmo, TEXTS)), expected)
