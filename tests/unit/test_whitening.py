"""Whitening: means of the layer mix are multiplied by a matrix that evens out their components."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit import Elmo, checkpoints
from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.runtime.whitening import whitening_matrix
from unit.tiny_models import tiny_checkpoint, tiny_elmo

TEXTS = [
    f"{first} {second} the {third}" for first in "abcd" for second in ("cat", "dog", "x") for third in ("sat", "ran")
]


@pytest.fixture
def elmo():
    return tiny_elmo().fit_whitening(TEXTS)


def means_of(elmo, texts):
    return np.array([text.vectors.mean(axis=0) for text in elmo.encode_words(texts)])


def spread(vectors):
    return np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).mean()


@given(st.integers(0, 99), st.floats(0, 1))
def test_the_matrix_divides_components_by_a_power_of_their_deviation(seed, power):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((60, 5)) * (8, 4, 2, 1, 0.5) + 3
    matrix = whitening_matrix(vectors, power)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    before, after = (np.sqrt(np.linalg.eigvalsh(np.cov(each.T))) for each in (vectors, vectors @ matrix))
    scales = after / before ** (1 - power)
    np.testing.assert_allclose(scales, scales[0], rtol=2e-3)
    assert spread(vectors @ matrix) == pytest.approx(spread(vectors), rel=1e-4)


def test_power_0_changes_nothing():
    plain, elmo = tiny_elmo(), tiny_elmo().fit_whitening(TEXTS, power=0)
    np.testing.assert_allclose(elmo.encode(TEXTS), plain.encode(TEXTS), atol=1e-5)


def test_means_of_the_mix_alone_are_whitened(elmo):
    text, plain = "the cat sat", tiny_elmo()
    words = elmo.encode_words([text])[0].vectors
    np.testing.assert_array_equal(words, plain.encode_words([text])[0].vectors)
    white = words.mean(axis=0) @ elmo.whitening
    np.testing.assert_allclose(elmo.encode_one(text), white, atol=1e-5)
    np.testing.assert_allclose(elmo.encode_one(text, normalize=True), white / np.linalg.norm(white), atol=1e-5)
    both = np.concatenate([white, words.max(axis=0)])
    np.testing.assert_allclose(elmo.encode_one(text, pooling="mean+max"), both, atol=1e-5)
    counts = {"the": 3, "cat": 1}
    sif, unwhitened = (one.encode_one(text, pooling="sif", word_frequencies=counts) for one in (elmo, plain))
    np.testing.assert_allclose(sif, unwhitened @ elmo.whitening, atol=1e-5)
    for options in (
        {"pooling": "max"},
        {"pooling": "first+last"},
        {"layers": "all"},
        {"layer_weights": (0.2, 0.3, 0.5)},
    ):
        np.testing.assert_array_equal(elmo.encode_one(text, **options), plain.encode_one(text, **options))


def test_texts_without_words_long_texts_and_turns(elmo):
    assert not elmo.encode(["", "  "]).any()
    elmo._engine.batch_words = 8
    long = " ".join(["the cat sat on a mat"] * 9)
    white = means_of(elmo, [long])[0] @ elmo.whitening
    np.testing.assert_allclose(elmo.encode_one(long), white, atol=1e-5)
    *_, last = elmo.encode_in_turns(long.split(), None, turn_words=7)
    np.testing.assert_allclose(last, white, atol=1e-5)


def test_each_precision_has_its_own_numbers():
    elmo = tiny_elmo(precision="float64").fit_whitening(TEXTS)
    assert elmo.encode(["the cat"]).dtype == np.float64
    assert elmo.fit_whitening(iter(TEXTS)) is elmo  # a stream of texts


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_it_is_saved_with_the_model_and_is_part_of_what_it_is(tmp_path, elmo, storage):
    checkpoint = replace(elmo.checkpoint(), whitening=elmo.whitening)
    checkpoints.save(checkpoint, tmp_path / "model", storage=storage)
    again = Elmo.load(tmp_path / "model")
    np.testing.assert_allclose(again.whitening, elmo.whitening, rtol=0 if storage == "float32" else 1e-3, atol=1e-4)
    assert again.fingerprint != Elmo(replace(again.checkpoint(), whitening=None)).fingerprint
    copied = pickle.loads(pickle.dumps(again))
    assert np.array_equal(copied.encode(TEXTS), again.encode(TEXTS))
    assert len(pickle.dumps(again)) < 1000  # no weights
    again.whitening = None
    again.save(tmp_path / "plain")
    assert Elmo.load(tmp_path / "plain").whitening is None
    assert pickle.loads(pickle.dumps(again)).whitening is None
    if storage == "float32":
        elmo.save(tmp_path / "own")
        assert Elmo.load(tmp_path / "own").fingerprint == elmo.fingerprint


def test_a_wrong_matrix_is_refused(tmp_path, elmo):
    for wrong in (np.zeros((12, 11), np.float32), np.zeros(12, np.float32), np.zeros((12, 12), np.int64)):
        with pytest.raises(CheckpointError, match="whitening"):
            tiny_checkpoint(whitening=wrong)
    with pytest.raises(CheckpointError, match="whitening holds NaN"):
        checkpoints.save(tiny_checkpoint(whitening=np.full((12, 12), np.nan, np.float32)), tmp_path)
    checkpoints.save(elmo.checkpoint(), tmp_path / "theirs", format="allennlp")  # as it was before it was fitted
    with pytest.raises(CheckpointError, match="multiplies its text vectors by a whitening"):
        checkpoints.save(replace(elmo.checkpoint(), whitening=elmo.whitening), tmp_path / "theirs", format="allennlp")


def test_too_few_texts_and_wrong_powers_change_nothing(elmo):
    before = elmo.whitening
    for texts, power in (
        ([], 0.4),
        (TEXTS[:12], 0.4),
        (["", " "] * 20, 0.4),
        (["the cat", "a dog"] * 20, 0.4),
        (TEXTS, -0.1),
        (TEXTS, 1.1),
        (TEXTS, np.nan),
    ):
        with pytest.raises(ConfigError, match="expected more texts than the width"):
            elmo.fit_whitening(texts, power=power)
    with pytest.raises(InputError, match="not finite"):
        whitening_matrix(np.full((9, 2), np.inf), 0.5)
    assert elmo.whitening is before


def test_the_embedded_model_has_one():
    elmo = Elmo.load()
    assert elmo.whitening.shape == (768, 768)
    white = means_of(elmo, ["We sat on the bank of the river."])[0] @ elmo.whitening
    np.testing.assert_allclose(elmo.encode_one("We sat on the bank of the river."), white, atol=1e-4)
    assert "whitening" not in json.dumps(elmo.config.to_dict())


def test_a_file_with_another_matrix_has_changed(tmp_path, elmo):
    elmo.save(tmp_path / "model")
    again = Elmo.load(tmp_path / "model")
    checkpoints.save(replace(again.checkpoint(), whitening=None), tmp_path / "model")
    with pytest.raises(CheckpointError, match="have changed since the model was loaded"):
        again.checkpoint()
