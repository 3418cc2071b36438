"""The table of vectors' SHA-256 that every build of the compiled loops must meet, on every processor.

    python tests/golden/test_vector_hashes.py   # writes the table anew, after a change that is meant to change vectors

Random models with every option and the embedded model; float32; NumPy alone is close but makes no such promise.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from elmokit import Elmo, Encoding
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix
from elmokit.encoding import POOLINGS
from elmokit.runtime import Engine
from elmokit.runtime.kernels import available
from elmokit.runtime.pooling import mix_layers
from unit.runtime.models import CONFIGS, tensors_of, words_of

TABLE = Path(__file__).with_name("vector_hashes.json")
MODELS = {
    **CONFIGS,
    "nothing a multiple of a register": ElmoConfig(
        projection_width=37,
        char_cnn=CharCNNConfig(embedding_width=5, filters=((1, 7), (3, 70), (6, 130)), n_highway=1),
        bilstm=BiLSTMConfig(cell_width=75, n_layers=3),
    ),
    "sums of more than 512 terms": ElmoConfig(
        projection_width=530,
        char_cnn=CharCNNConfig(embedding_width=16, filters=((1, 32), (7, 600)), n_highway=1),
        bilstm=BiLSTMConfig(cell_width=540, n_layers=2),
    ),
}
SENTENCES = [
    ["the", "cat", "sat"],
    [],
    ["a\0b", "\ud800", "🙂", "x" * 500, "", "<S>"],
    ["cat"] * 11,
    *([f"w{(i * j) % 40}" for j in range(1 + i % 13)] for i in range(20)),
]
TEXTS = [
    "The bank raised its interest rates.",
    "They sat on the bank of the river, and watched the boats go by until it was dark.",
    "",
    "Grüße aus Köln, 世界 🙂 — naïve café",
    "GERMANY beat the drupal team in LEICESTER.",
    *(" ".join(["yes", "no", "perhaps"][: 1 + i % 3] * (1 + i % 5)) for i in range(11)),
]


def sha256(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        assert array.dtype == np.float32
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def model_hash(name):
    config = MODELS[name]
    engine = Engine(config, tensors_of(config, scale=1.0), words=words_of(config))
    layers = dict(engine.layers(SENTENCES))
    mix = LayerMix(weights=tuple(0.3 * k - 0.4 for k in range(config.n_layers)), gamma=1.3, layer_norm=True)
    mixed = [mix_layers(layers[i], mix) for i in sorted(layers) if layers[i].size]
    return sha256([*(layers[i] for i in sorted(layers)), *mixed])


def embedded_hashes():
    elmo = Elmo.load()
    kinds = {pooling: Encoding(pooling) for pooling in POOLINGS}
    kinds["mean, all layers"] = Encoding(layers="all")
    kinds["mean+max, normalised"] = Encoding("mean+max", normalize=True)
    encoded = {name: sha256([elmo.encode(TEXTS, encoding=encoding)]) for name, encoding in kinds.items()}
    return {"fingerprint": elmo.fingerprint, **encoded}


@pytest.mark.parametrize("instruction_set", [s.name for s in available()] or ["none"])
def test_vectors_are_those_of_the_table(instruction_set, monkeypatch):
    if instruction_set == "none":
        pytest.skip("no compiled loops on this machine")
    monkeypatch.setenv("ELMOKIT_CPU", instruction_set)
    table = json.loads(TABLE.read_text())
    assert {name: model_hash(name) for name in MODELS} == table["random models"]
    assert embedded_hashes() == table["embedded model"]


if __name__ == "__main__":
    table = {"random models": {name: model_hash(name) for name in MODELS}, "embedded model": embedded_hashes()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
