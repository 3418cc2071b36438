"""Layers → one vector per word → one vector per text, on NumPy arrays of one text at a time.

A text's vectors depend on that text alone, so nothing here sees a batch. A text without words gives zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import LayerMix
from elmokit.encoding import POOLINGS
from elmokit.errors import ConfigError

Array = NDArray[Any]

SIF_SMOOTHING = 1e-3
"""a in the weight a / (a + p(word)) (Arora et al. 2017)."""


def mix_layers(layers: Array, layer_mix: LayerMix) -> Array:
    """γ · Σ softmax(w)ₗ · hₗ over the layers of one text (Peters et al. 2018, equation 1).

    Args:
        layers: Shape (L, T, 2P).
        layer_mix: weights, γ, and whether each layer is normalised first (over all words and dimensions).

    Returns:
        word vectors. Shape (T, 2P).

    Raises:
        ConfigError: the mix has another number of weights than L.

    Example:
        >>> mix_layers(np.array([[[1.0, 3.0]], [[3.0, 5.0]]]), LayerMix(gamma=2.0))
        array([[4., 8.]])
    """
    shares = layer_mix.shares(len(layers))
    if layer_mix.layer_norm:
        layers = np.stack([_normalise(layer) for layer in layers])
    weights = np.array([layer_mix.gamma * share for share in shares], dtype=layers.dtype)
    mixed: Array = layers[0] * weights[0]
    for layer, weight in zip(layers[1:], weights[1:], strict=True):
        mixed += layer * weight
    return mixed


def _normalise(layer: Array) -> Array:
    """Mean 0 and variance 1 over one text's words and dimensions (ε 1e-12, as the original)."""
    if not layer.size:
        return layer
    centred = layer - layer.mean(dtype=np.float64)
    scale = np.sqrt(np.square(centred).mean(dtype=np.float64) + 1e-12)
    return np.asarray(centred / scale, dtype=layer.dtype)


def _sif(vectors: Array, shares: Array | None) -> Array:
    """Mean of the vectors, each weighted by a / (a + p(word)): frequent words count less."""
    weights = np.ones(len(vectors)) if shares is None else SIF_SMOOTHING / (SIF_SMOOTHING + shares)
    return np.asarray((weights @ vectors) / len(vectors), dtype=vectors.dtype)


_SIMPLE: Mapping[str, Callable[[Array], Array]] = {
    "mean": lambda vectors: np.asarray(vectors.mean(axis=0)),
    "max": lambda vectors: np.asarray(vectors.max(axis=0)),
    "first": lambda vectors: np.array(vectors[0]),
    "last": lambda vectors: np.array(vectors[-1]),
}


def pooled_width(pooling: str, dim: int) -> int:
    """Width of a text's vector.

    Args:
        pooling: one of `POOLINGS`.
        dim: width of a word's vector.

    Returns:
        `dim`, or twice that for the poolings with a "+".

    Example:
        >>> pooled_width("mean", 32), pooled_width("mean+max", 32)
        (32, 64)
    """
    return dim * (1 + pooling.count("+"))


def pool(vectors: Array, pooling: str, *, shares: Array | None = None) -> Array:
    """One vector of a text's word vectors.

    Args:
        vectors: Shape (T, D).
        pooling: one of `POOLINGS`.
        shares: p(word) of each word, for "sif": its share of all running words; None counts all words alike.
            Shape (T,).

    Returns:
        the text's vector, zeros for a text without words. Shape (D,), or (2D,) for "mean+max" and "first+last".

    Raises:
        ConfigError: no pooling has that name.

    Example:
        >>> pool(np.array([[1.0, 4.0], [3.0, 2.0]]), "mean+max")
        array([2., 3., 3., 4.])
    """
    if pooling not in POOLINGS:
        raise ConfigError(f"no pooling is called {pooling!r}; known are {', '.join(map(repr, POOLINGS))}.")
    if not len(vectors):
        return np.zeros(pooled_width(pooling, vectors.shape[1]), vectors.dtype)
    if pooling == "sif":
        return _sif(vectors, shares)
    return np.concatenate([_SIMPLE[part](vectors) for part in pooling.split("+")])
