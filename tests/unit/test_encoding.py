"""Encoding: what it accepts, what it refuses and with which words, and the widths it promises."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import elmokit.model
from elmokit import Elmo, Encoding, LayerMix, checkpoints
from elmokit.encoding import POOLINGS
from elmokit.errors import CheckpointError, ConfigError
from unit.tiny_models import tiny_checkpoint, tiny_elmo

TEXTS = ["The cat sat.", "", "A dog ran away, fast!"]
LAYERS = ["mix", "all", 0, -1, (0,), (2, 0), [0, 1, 2], np.array([1, 2])]


@pytest.fixture(scope="module")
def elmo():
    return tiny_elmo(words=("<S>", "cat"), word_counts=(1, 2))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_the_width_is_known_without_encoding(elmo, pooling, layers):
    encoding = Encoding(pooling, layers)
    vectors = elmo.encode(TEXTS, encoding)
    assert vectors.shape == (3, elmo.width(encoding))
    assert (vectors == elmo.encode(TEXTS, pooling=pooling, layers=layers)).all()
    assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding
    assert hash(encoding) == hash(replace(encoding))


def test_numbers_select_layers_and_weights_weigh_them(elmo):
    each = elmo.encode_words(TEXTS, layers="each")[0].vectors
    selected = elmo.encode_words(TEXTS, layers=[2, 0])[0].vectors
    assert (selected == np.concatenate([each[2], each[0]], axis=-1)).all()
    weighted = elmo.encode_words(TEXTS, layer_weights=[0, 1, 2])[0].vectors
    np.testing.assert_allclose(weighted, each[1] + 2 * each[2], atol=1e-6)
    assert elmo.width(Encoding(layer_weights=(0, 1, 2))) == elmo.dim


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "median"}, "pooling is 'median'; expected one of 'mean'"),
        ({"pooling": None}, "pooling is None"),
        ({"normalize": 1}, "normalize is 1"),
        ({"layers": "each"}, "encode_words"),
        ({"layers": "top"}, "layers is 'top'"),
        ({"layers": True}, "layers is True"),
        ({"layers": []}, r"layers is \[\]"),
        ({"layers": [0.2, 0.3, 0.5]}, r"layer_weights=\[0.2, 0.3, 0.5\]"),
        ({"layers": 1.0}, "layers is 1.0"),
        ({"layers": None}, "layers is None"),
        ({"layers": ["0", "1"]}, "layers is"),
        ({"layers": [[0, 1]]}, "layers is"),
        ({"layer_weights": []}, "layer_weights is"),
        ({"layer_weights": "012"}, "layer_weights is"),
        ({"layer_weights": 1.0}, "layer_weights is"),
        ({"layer_weights": [1.0, float("nan"), 0.0]}, "finite"),
        ({"layer_weights": [True, False, False]}, "layer_weights is"),
        ({"layer_weights": [1, 0, 0], "layers": 1}, "give one of them"),
    ],
)
def test_what_no_model_has_is_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Encoding(**arguments)


@pytest.mark.parametrize("layers", [3, -4, (0, 3), (0, 0), (2, -1), (-4,)], ids=str)
def test_what_this_model_lacks_is_refused_by_everything_that_takes_it(elmo, layers):
    for call in (elmo.width, lambda encoding: elmo.encode(TEXTS, encoding)):
        with pytest.raises(ConfigError, match="layers is"):
            call(Encoding(layers=layers))
    with pytest.raises(ConfigError, match="layers is"):
        elmo.encode_words(TEXTS, layers=layers)
    with pytest.raises(ConfigError, match="has 2 numbers; the model has 3"):
        elmo.width(Encoding(layer_weights=(1, 2)))


def test_an_encoding_is_given_whole_or_in_parts(elmo):
    with pytest.raises(ConfigError, match="not both"):
        elmo.encode(TEXTS, Encoding(), pooling="max")
    with pytest.raises(ConfigError, match="expected an Encoding"):
        elmo.encode(TEXTS, "max")
    with pytest.raises(ConfigError, match="not an encoding"):
        Encoding.from_dict({"poling": "max"})
    with pytest.raises(ConfigError, match="not an encoding"):
        Encoding.from_dict(["max"])


def test_weights_among_the_layers_are_refused_by_everything_that_takes_layers(elmo):
    calls = (
        lambda layers: elmo.encode(TEXTS, layers=layers),
        lambda layers: elmo.encode_one("a", layers=layers),
        lambda layers: list(elmo.encode_stream(TEXTS, layers=layers)),
        lambda layers: elmo.encode_words(TEXTS, layers=layers),
        lambda layers: list(elmo.encode_words_stream(TEXTS, layers=layers)),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="Give weights as layer_weights="):
            call([0.2, 0.3, 0.5])
        with pytest.raises(ConfigError, match="Give weights as layer_weights="):
            call(np.array([1.0, 1.0, 1.0]))


def test_what_the_first_version_saved_is_read_as_weights():
    assert Encoding.from_dict({"layers": [1, 0.5, 0]}).layer_weights == (1.0, 0.5, 0.0)


def test_a_fingerprint_is_of_the_model_not_of_its_place(tmp_path):
    elmo = tiny_elmo()
    checkpoints.save(tiny_checkpoint(), tmp_path / "model")
    loaded = Elmo.load(tmp_path / "model", precision="float64", n_threads=1)
    loaded.name = "another"
    assert len(elmo.fingerprint) == 64
    assert loaded.fingerprint == elmo.fingerprint == tiny_elmo().fingerprint


def test_a_fingerprint_is_computed_when_it_is_asked_for_and_nothing_was_recorded(tmp_path, monkeypatch):
    checkpoints.save(tiny_checkpoint(), tmp_path / "model")
    asked = []
    digest_of = elmokit.model.digest_of
    monkeypatch.setattr("elmokit.model.digest_of", lambda checkpoint: asked.append(1) or digest_of(checkpoint))
    elmo = Elmo.load(tmp_path / "model")
    expected = tiny_elmo().fingerprint
    assert len(asked) == 1
    assert elmo.fingerprint == elmo.fingerprint == expected
    assert len(asked) == 1
    config = tmp_path / "model" / "config.json"
    values = json.loads(config.read_text())
    del values["sha256"]["tensors"]  # as elmokit 0.1 wrote it
    config.write_text(json.dumps(values))
    old = Elmo.load(tmp_path / "model")
    old.encode(TEXTS)
    assert len(asked) == 1
    assert old.fingerprint == old.fingerprint == expected
    assert len(asked) == 2


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_the_recorded_digest_is_that_of_what_is_read(storage, tmp_path):
    checkpoints.save(tiny_checkpoint(), tmp_path, storage=storage)
    read = checkpoints.load(tmp_path)
    assert checkpoints.recorded_sums(tmp_path)["tensors"] == checkpoints.digest_of(read)


def test_the_recorded_digest_of_the_embedded_model_is_right():
    assert checkpoints.recorded_sums("default", check=True)["tensors"] == checkpoints.digest_of(
        checkpoints.load("default", with_softmax=False)
    )


def test_a_file_that_was_changed_in_place_gives_no_recorded_digest(tmp_path):
    checkpoints.save(tiny_checkpoint(), tmp_path)
    elmo = Elmo.load(tmp_path)
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert checkpoints.recorded_sums(tmp_path, check=True) == {}
    with pytest.raises(CheckpointError, match="was written with"):
        elmo.fingerprint  # noqa: B018


def test_files_that_changed_since_the_model_was_loaded_give_no_fingerprint(tmp_path):
    checkpoint = tiny_checkpoint()
    checkpoints.save(checkpoint, tmp_path / "model")
    elmo = Elmo.load(tmp_path / "model")
    name = "backward_layers.1.bias"
    changed = np.array(checkpoint.tensors[name])
    changed[-1] = np.nextafter(changed[-1], np.float32(9))
    shutil.rmtree(tmp_path / "model")
    checkpoints.save(replace(checkpoint, tensors={**checkpoint.tensors, name: changed}), tmp_path / "model")
    for ask in (lambda: elmo.fingerprint, elmo.checkpoint, lambda: elmo.save(tmp_path / "copy")):
        with pytest.raises(CheckpointError, match="the files have changed since"):
            ask()


def test_a_fingerprint_tells_models_apart():
    checkpoint = tiny_checkpoint()
    name = "backward_layers.1.bias"
    changed = np.array(checkpoint.tensors[name])
    changed[0] = np.nextafter(changed[0], np.float32(9))
    others = [
        replace(checkpoint, tensors={**checkpoint.tensors, name: changed}),
        replace(checkpoint, config=replace(checkpoint.config, tokenizer="whitespace")),
        replace(checkpoint, layer_mix=LayerMix(gamma=2.0)),
    ]
    assert len({Elmo(each).fingerprint for each in (checkpoint, *others)}) == 4
