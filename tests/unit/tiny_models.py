"""Small random models for the tests of `Elmo`: seconds to make and run, large enough that every part matters."""

import numpy as np

from elmokit import BiLSTMConfig, CharCNNConfig, Checkpoint, Elmo, ElmoConfig

CNN = CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 8), (3, 12)), n_highway=1)
CONFIG = ElmoConfig(projection_width=6, char_cnn=CNN, bilstm=BiLSTMConfig(cell_width=16), tokenizer="default")
VOCABULARY = ("<S>", "</S>", "<UNK>", "the", "cat", "sat")


def tiny_checkpoint(config=CONFIG, *, seed=0, **parts):
    """Random weights, large enough that neighbours, gates and clips would show."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 4
        tensors[name] = (rng.standard_normal(shape) * 1.3 / np.sqrt(fan_in)).astype(np.float32)
        if name.endswith("embedding.weight"):
            tensors[name][0] = 0
    return Checkpoint(config, tensors, **{"name": "tiny", **parts})


def tiny_elmo(config=CONFIG, *, precision="float32", n_threads=None, **parts):
    return Elmo(tiny_checkpoint(config, **parts), precision=precision, n_threads=n_threads)
