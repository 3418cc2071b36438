"""The biLM in NumPy: the reference, and what runs where there are no compiled loops.

With OpenBLAS on AVX-512 a sentence's vectors are the same bits alone, in any batch and with any number of threads;
elsewhere equal to 1e-6 relative in float32. `elmokit.runtime.rows` says what that takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends.char_cnn import char_cnn_of
from elmokit.runtime.backends.cpu import CpuBackend
from elmokit.runtime.backends.lstm import Tower


def numpy_backend(config: ElmoConfig, tensors: Mapping[str, NDArray[Any]], dtype: DTypeLike = "float32") -> CpuBackend:
    """A backend that computes with NumPy.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        dtype: "float32" or "float64".

    Raises:
        ConfigError: another dtype.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ConfigError(f"dtype is {np.dtype(dtype)}; NumPy computes in float32 or float64.")
    towers = [Tower(config, tensors, direction, dtype=dtype) for direction in ("forward", "backward")]
    return CpuBackend(char_cnn_of(config, tensors, dtype), towers, dtype)
