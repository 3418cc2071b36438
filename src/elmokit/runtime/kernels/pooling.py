"""Layers of one text → word vectors, and vectors → unit length, by the compiled loops: every sum in one order."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.runtime.kernels.library import Mixture, address, function

Array = NDArray[Any]


def native_mix(layers: Array, weights: Array, *, layer_norm: bool = False) -> Array:
    """Mix the layers of one text by weights (L,), float32, (L, T, D) → (T, D).

    With `layer_norm`, each layer gets mean 0 and variance 1 first, over all words and dimensions.
    """
    layers = layers if layers[0].flags.c_contiguous and layers.strides[0] % 4 == 0 else np.ascontiguousarray(layers)
    L, T, D = layers.shape
    if not T or layers.dtype != np.float32:
        raise ValueError(f"layers have shape {layers.shape} and dtype {layers.dtype}; expected float32 with words.")
    moments = np.empty(2 * L) if layer_norm else None
    words = np.empty((T, D), np.float32)
    task = Mixture(
        *(L, T, D, layers.strides[0] // 4, layers.ctypes.data),
        *(address(np.ascontiguousarray(weights, np.float32), L), address(moments, 2 * L, dtype=np.float64), None),
        *(address(words, T, D), None, None),
    )
    function("mix", "float32")(ctypes.byref(task))
    return words


def native_scale(rows: Array) -> Array:
    """Scale rows (n, D) to length 1, in place; zeros stay zeros."""
    n, D = rows.shape
    function("scale", "float32")(address(rows, n, D), ctypes.c_int64(n), ctypes.c_int64(D))
    return rows
