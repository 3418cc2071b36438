"""The exported graph, run by onnxruntime, says what the NumPy reference says."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from dataclasses import replace  # noqa: E402

from elmokit.checkpoints import load  # noqa: E402
from elmokit.config import LayerMix  # noqa: E402
from elmokit.errors import ConfigError  # noqa: E402
from elmokit.integrations.onnx import export_onnx  # noqa: E402
from elmokit.text.char_ids import words_to_char_ids  # noqa: E402
from golden import make_tiny, reference  # noqa: E402

BATCHES = [[["The", "cat", "sat", "."], [], ["naïve", "x" * 60]], [["日本語"]], [[], []]]
NAMES = [name for name in make_tiny.VARIANTS if not make_tiny.VARIANTS[name].get("words")]


def run(path, batch, n_characters):
    ids = np.zeros((len(batch), max(map(len, batch)), n_characters), dtype=np.int64)
    for row, words in zip(ids, batch, strict=True):
        row[: len(words)] = words_to_char_ids(words, n_characters)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["layers", "mix", "mask"], {"char_ids": ids})


@pytest.mark.parametrize("name", NAMES)
def test_graph_equals_reference(name, tmp_path):
    options, arrays = make_tiny.make(name, tmp_path)
    n_layers = options["lstm"]["n_layers"] + 1
    mix = LayerMix(weights=tuple(0.3 * k for k in range(n_layers)), gamma=1.5)
    export_onnx(replace(load(tmp_path), layer_mix=mix), tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    n_characters = options["char_cnn"]["max_characters_per_token"]
    for batch in BATCHES:
        layers, mixed, mask = run(tmp_path / "model.onnx", batch, n_characters)
        assert layers.shape == (n_layers, len(batch), max(map(len, batch)), 8)
        assert mask.sum(axis=1).tolist() == [len(words) for words in batch]
        for row, words in enumerate(batch):
            expected = reference.layers(words, options, arrays)
            np.testing.assert_allclose(layers[:, row, : len(words)], expected, atol=3e-6)
            np.testing.assert_allclose(mixed[row, : len(words)], reference.mix(expected, mix.weights, 1.5), atol=3e-6)
            assert not layers[:, row, len(words) :].any()
            assert not mixed[row, len(words) :].any()


def test_what_is_not_exported(tmp_path):
    make_tiny.make("word_input", tmp_path / "words")
    with pytest.raises(ConfigError, match="bytes"):
        export_onnx(load(tmp_path / "words"), tmp_path / "model.onnx")
    make_tiny.make("plain", tmp_path / "plain")
    with pytest.raises(ConfigError, match="normalises"):
        export_onnx(replace(load(tmp_path / "plain"), layer_mix=LayerMix(layer_norm=True)), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
