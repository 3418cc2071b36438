"""Layers of one text → word vectors and the text's vector, by the compiled loops: one pass, every sum in one order."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.runtime.kernels.library import Mixture, address, function

Array = NDArray[Any]


def native_mix(
    layers: Array,
    weights: Array | None = None,
    *,
    layer_norm: bool = False,
    word_weights: Array | None = None,
    words: Array | None = None,
    mean: Array | None = None,
    maximum: Array | None = None,
) -> None:
    """Mix the layers of one text and pool its words.

    Args:
        layers: float32, (L, T, D).
        weights: of the layers, (L,); None takes the first layer as it is.
        layer_norm: whether each layer gets mean 0 and variance 1 first, over all words and dimensions.
        word_weights: of the words in `mean`, (T,); None for ones.
        words: takes the mixed word vectors, (T, D).
        mean: takes the sum of the (weighted) words, divided by T, (D,).
        maximum: takes their maximum, (D,).
    """
    L, T, D = layers.shape
    if not T or not L or layers.dtype != np.float32 or not layers[0].flags.c_contiguous or layers.strides[0] % 4:
        raise ValueError(f"layers have shape {layers.shape} and dtype {layers.dtype}; expected float32 with words.")
    if layer_norm and weights is None:
        raise ValueError("layer_norm needs weights.")
    weights, word_weights = (
        None if w is None else np.ascontiguousarray(w, np.float32) for w in (weights, word_weights)
    )
    moments = np.empty(2 * L) if layer_norm else None
    task = Mixture(
        *(L, T, D, layers.strides[0] // 4, layers.ctypes.data),
        *(address(weights, L), address(moments, 2 * L, dtype=np.float64), address(word_weights, T)),
        *(address(words, T, D), address(mean, D), address(maximum, D)),
    )
    function("mix", "float32")(ctypes.byref(task))


def native_scale(rows: Array) -> Array:
    """Scale rows (n, D) to length 1, in place; zeros stay zeros."""
    n, D = rows.shape
    function("scale", "float32")(address(rows, n, D), ctypes.c_int64(n), ctypes.c_int64(D))
    return rows
