"""The biLM as PyTorch modules: for training, fine-tuning and use inside other models (extra `torch`).

Nothing here opens a file, reads a string or chooses a device. Parameters have the names of
`ElmoConfig.tensor_shapes()`, so a checkpoint's tensors are a `state_dict`.
"""

from elmokit.errors import needing

with needing("PyTorch", "torch", "elmokit.nn"):
    import torch as _torch  # noqa: F401

from elmokit.nn.bilm import BiLM, LayerMixer, Layers
from elmokit.nn.bilstm import LSTMTower, TowerState
from elmokit.nn.char_cnn import CharCNN
from elmokit.nn.softmax import SampledSoftmax

__all__ = ["BiLM", "CharCNN", "LSTMTower", "LayerMixer", "Layers", "SampledSoftmax", "TowerState"]
