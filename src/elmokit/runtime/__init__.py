"""Checkpoint arrays + words → layers, without gradients: what `Elmo.encode` runs on.

One plan (`plan`), two ways to compute it: `numpy` (the default, no PyTorch needed) and `torch` (bfloat16, int8,
GPUs). `state` holds the explicit LSTM states, `pooling` makes one vector of many.
"""

from elmokit.runtime.numpy import NumpyRuntime
from elmokit.runtime.state import State

__all__ = ["NumpyRuntime", "State"]
