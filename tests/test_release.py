"""What a release promises of files: those that an earlier version wrote are read, hostile ones are refused.

`tests/data/make_data.py` made the files. `dev/check_release.py` checks the rest of a release (wheel, licences, size).
"""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import archives, load
from elmokit.checkpoints.native import FORMAT_VERSION
from elmokit.errors import ElmoKitError, MissingExtra

DATA = Path(__file__).parent / "data"
SENTENCES = [["The", "cat", "sat", "."], ["naïve", "日本語", "🙂", "x" * 60], ["again"], []]
PLACE = {".json": "config.json", ".safetensors": "model.safetensors", ".txt": "words.txt"}


def test_every_format_version_has_its_stored_models():
    assert sorted(path.name for path in DATA.glob("native_v*")) == [f"native_v{i + 1}" for i in range(FORMAT_VERSION)]


@pytest.mark.parametrize("folder", sorted(DATA.glob("native_v*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_models_of_earlier_versions_give_the_vectors_they_gave(folder):
    elmo = Elmo.load(folder)
    with np.load(folder / "vectors.npz", allow_pickle=False) as stored:
        np.testing.assert_allclose(elmo.encode(SENTENCES), stored["texts"], rtol=1e-5, atol=1e-6)
        for i, found in enumerate(elmo.encode_words(SENTENCES, layers="each")):
            np.testing.assert_allclose(found.vectors, stored[f"layers_{i}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("folder", sorted(DATA.glob("native_v*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_models_of_earlier_versions_keep_their_words_and_facts(folder):
    checkpoint = load(folder)
    assert checkpoint.words == ("<S>", "</S>", "<UNK>", "the", "cat", "sat")
    assert checkpoint.word_counts == (9, 9, 1, 5, 3, 2)
    assert checkpoint.softmax is not None
    assert checkpoint.softmax.weight.shape == (6, 6)
    assert checkpoint.layer_mix.weights == (0.5, -0.25, 1.0)
    assert checkpoint.layer_mix.gamma == 1.5
    assert (checkpoint.name, dict(checkpoint.facts)) == ("stored", {"made_by": "0.1.0"})


def refused(source, tmp_path, monkeypatch):
    """`load` and `Elmo.load` raise one of our errors, warn of nothing, and run nothing."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.parent.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ElmoKitError) as caught:
            Elmo.load(load(source) and source)
    assert len(str(caught.value)) < 2000
    assert not (tmp_path / "it-ran").exists()
    assert not Path("/tmp/it-ran").exists()
    assert sorted(tmp_path.parent.iterdir()) == before
    if isinstance(caught.value, MissingExtra):
        pytest.skip(str(caught.value))


@pytest.mark.parametrize("part", sorted((DATA / "hostile" / "parts").iterdir()), ids=lambda p: p.name)
def test_a_model_with_a_hostile_part_is_refused(part, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(DATA / "native_v1" / "float32", folder)
    shutil.copyfile(part, folder / PLACE[part.suffix])
    refused(folder, tmp_path, monkeypatch)


WHOLE = sorted((DATA / "hostile" / "whole").iterdir())


@pytest.mark.parametrize("source", WHOLE, ids=lambda p: p.name)
def test_hostile_files_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_BYTES", 1 << 20)  # the true bounds take seconds to reach: next test
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 100)
    refused(source, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["archive-bomb.zip", "archive-many.tar.xz"])
def test_bombs_are_refused_at_the_true_bounds(name, tmp_path, monkeypatch):
    refused(DATA / "hostile" / "whole" / name, tmp_path, monkeypatch)
