"""`elmokit info` knows whatever elmokit writes, in ten lines."""

import json

import h5py
import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import load, save
from golden import make_tiny

ESCAPES = "tiny\x1b[31m\x07"


@pytest.fixture
def folder(tmp_path):
    make_tiny.make("plain", tmp_path / "model")
    return tmp_path / "model"


def described(here, place):
    """The JSON of a thing; its printed form must be short, printable and agree."""
    lines = here("info", place).out.splitlines()
    assert 1 < len(lines) <= 11
    assert all(line.isprintable() for line in lines)
    everything = here("info", place, "--all").out.splitlines()
    assert len(everything) >= len(lines) - 1
    assert not any("--all" in line for line in everything)
    return json.loads(here("info", place, "--json").out)


def test_models(here, folder, tmp_path):
    assert described(here, folder)["format"].startswith("AllenNLP")
    assert described(here, "default")["parameters"] > 1_000_000
    values = json.loads((folder / "options.json").read_text()) | {
        "elmokit": {"name": ESCAPES, "metadata": {"a": ESCAPES}}
    }
    (folder / "options.json").write_text(json.dumps(values))
    assert described(here, folder)["model"] == "tiny\\x1b[31m\\x07"


def test_features(here, folder, tmp_path):
    elmo = Elmo.load(folder)
    features = elmo.encode_words(["a b c", "", "d"])
    for name in ("f.npz", "f.h5"):
        features.save(tmp_path / name)
        assert described(here, tmp_path / name)["texts"] == 3
    np.save(tmp_path / "v.npy", np.zeros((5, 8), np.float32))
    assert described(here, tmp_path / "v.npy")["features"] == "5 × 8 float32"
    with h5py.File(tmp_path / "old.hdf5", "w") as file:
        for i in range(200):
            file[str(i)] = np.zeros((3, 2, 8), np.float32)
    assert described(here, tmp_path / "old.hdf5")["datasets"] == 200


@pytest.mark.parametrize("name", ["classifier.json", "pairs.json", "tagger.json", "store.json"])
def test_settings_of_saved_things(here, tmp_path, name):
    learned = [0.5] * 100
    values = {"format": 1, "zeta": 2, "classes": ["a", "b"], "model": {"name": ESCAPES}, "probe": learned}
    values["metadata"] = {
        "text": "tweet",
        "report": {"entries": [{"held_out": {"weighted_f1": 0.5, "accuracy": 0.25}}]},
    }
    (tmp_path / name).write_text(json.dumps(values))
    found = described(here, tmp_path)
    assert list(found)[:3] == ["kind", "held out", "model"]
    assert found["held out"] == "weighted F1 0.500, accuracy 0.250"
    assert found["text"] == "tweet"
    assert "probe" not in found


def test_training_runs_and_shards(here, tmp_path):
    from safetensors.numpy import save_file

    run_folder, shards = tmp_path / "run", tmp_path / "shards"
    run_folder.mkdir()
    for step in (1, 2):
        path = run_folder / f"step-{step}.safetensors"
        save_file({"a": np.zeros(3, np.float32)}, path, {"metadata": json.dumps({"step": step, "n_words": 64})})
    found = described(here, run_folder)
    assert (found["kind"], found["snapshots"], found["step"], found["n_words"]) == ("training run", 2, 2, 64)
    shards.mkdir()
    lines = [{"job": {"model": "default"}}, {"rows": 3}, {"rows": 4}]
    (shards / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = described(here, shards)
    assert (found["shards"], found["rows"], found["model"]) == (2, 7, "default")


@pytest.mark.parametrize(
    "name", ["classifier.json", "index.json", "manifest.jsonl", "step-1.safetensors", "f.npz", "f.npy", "f.h5"]
)
@pytest.mark.parametrize("data", [b"", b"{", b"\xff" * 40, b"[]", b'{"a":' * 2000, b"\x93NUMPY\x01\x00\xff\xff"])
def test_damaged_files_are_named(here, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    place = tmp_path / name if name.startswith("f.") else tmp_path
    assert name in here("info", place, code=1).err.replace("\n", "")


def test_a_copy_of_the_embedded_model(here, tmp_path, monkeypatch):
    here("convert", "default", tmp_path / "copy")
    first, second = load("default"), load(tmp_path / "copy")
    assert first.config == second.config
    assert all((second.tensors[name] == array).all() for name, array in first.tensors.items())
    pushed = []
    monkeypatch.setattr("elmokit.checkpoints.fetching.push", lambda folder, *a, **k: pushed.append(folder) or "address")
    here("push", "default", "me/model")
    assert (pushed[0] / "config.json").is_file()
    save(second, tmp_path / "again", storage="float16")
