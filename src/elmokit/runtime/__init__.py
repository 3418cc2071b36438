"""Checkpoint arrays + words → layers, without gradients: what `Elmo.encode` runs on.

One plan (`plan`), three ways to compute it: `numpy` (everywhere), `native` (the same with compiled loops, float32 and
bfloat16 on AVX-512) and `torch` (bfloat16 and int8 elsewhere, GPUs); `choice` takes the fastest that there is. `state`
holds the explicit LSTM states, `pooling` makes one vector of many.
"""

from elmokit.runtime.choice import Runtime, make_runtime
from elmokit.runtime.numpy import NumpyRuntime
from elmokit.runtime.state import State

__all__ = ["NumpyRuntime", "Runtime", "State", "make_runtime"]
