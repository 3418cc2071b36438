"""The biLM as PyTorch modules: for training, fine-tuning and use inside other models (extra `torch`).

Nothing here opens a file, reads a string or chooses a device. Parameters have the names of
`ElmoConfig.tensor_shapes()`, so a checkpoint's tensors are a `state_dict`.
"""

from elmokit.errors import needing

with needing("PyTorch", "torch", "elmokit.nn"):
    import torch as _torch  # noqa: F401

from elmokit.nn.bilm import BiLM, LayerMixer, Layers, LSTMTower, TowerState
from elmokit.nn.softmax import SampledSoftmax
from elmokit.nn.token_encoder import CharCNN

__all__ = ["BiLM", "CharCNN", "LSTMTower", "LayerMixer", "Layers", "SampledSoftmax", "TowerState"]
