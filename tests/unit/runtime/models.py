"""Random models of every option, for the tests of the runtimes."""

import numpy as np

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime import Engine

CNN = CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 8), (3, 16)), n_highway=2)
LSTM = BiLSTMConfig(cell_width=24)
WORDS = ("<S>", "</S>", "<UNK>", "the", "cat", "sat")

CONFIGS = {
    "published kind": ElmoConfig(projection_width=8, char_cnn=CNN, bilstm=LSTM),
    "no skip, no clips": ElmoConfig(
        projection_width=8,
        char_cnn=CNN,
        bilstm=BiLSTMConfig(cell_width=24, cell_clip=None, projection_clip=None, skip_connections=False),
    ),
    "tight clips": ElmoConfig(
        projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(cell_width=24, cell_clip=0.2, projection_clip=0.1)
    ),
    "no projections, tanh, no highway": ElmoConfig(
        projection_width=12,
        char_cnn=CharCNNConfig(
            embedding_width=3,
            filters=((1, 4), (3, 8)),
            n_highway=0,
            activation="tanh",
            max_characters=12,
            projection=False,
        ),
        bilstm=BiLSTMConfig(cell_width=12, projection=False),
    ),
    "one layer": ElmoConfig(projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(n_layers=1, cell_width=24)),
    "three layers": ElmoConfig(projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(n_layers=3, cell_width=24)),
    "whole words": ElmoConfig(projection_width=8, char_cnn=None, n_words=len(WORDS) + 1, bilstm=LSTM),
}


def tensors_of(config, seed=0, dtype=np.float64, scale=1.5):
    """Random arrays of float32 values, large enough that gates, clips and maxima matter."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        values = rng.standard_normal(shape) * scale / np.sqrt(fan_in) * (0.2 if name.endswith("bias") else 1)
        tensors[name] = values.astype(np.float32).astype(dtype)
        if name.endswith("embedding.weight"):
            tensors[name][0] = 0
    return tensors


def words_of(config):
    return WORDS if config.char_cnn is None else None


def numpy_engine(config, tensors, *, dtype="float32", **options):
    """An engine on NumPy, whatever else there is."""
    from elmokit.runtime.backends.numpy import CpuBackend

    return Engine(config, tensors, backend=CpuBackend(config, tensors, dtype), **options)


def native_engine(config, tensors, *, precision="float32", **options):
    """An engine on the compiled loops."""
    from elmokit.runtime.backends.native import native_backend

    return Engine(config, tensors, backend=native_backend(config, tensors, precision), **options)


def torch_engine(config, tensors, *, device="cpu", precision="float32", **options):
    """An engine on PyTorch."""
    from elmokit.runtime.backends.torch import TorchBackend

    return Engine(config, tensors, backend=TorchBackend(config, tensors, device=device, precision=precision), **options)
