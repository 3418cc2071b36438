"""Layers → one vector per word → one vector per text, on NumPy arrays of one text at a time.

Poolings work on each dimension by itself, so a long text is pooled segment by segment, each direction by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import LayerMix
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError
from elmokit.runtime.kernels import native_mix, native_precisions, native_scale

Array = NDArray[Any]

MEANS = ("mean", "sif")  # poolings that add words up
SIF_SMOOTHING = 1e-3  # a in the weight a / (a + p(word)) (Arora et al. 2017)


def mix_layers(layers: Array, layer_mix: LayerMix) -> Array:
    """γ · Σ softmax(w)ₗ · hₗ over the layers of one text, (L, T, 2P) → (T, 2P) (Peters et al. 2018, equation 1).

    Example:
        >>> mix_layers(np.array([[[1.0, 3.0]], [[3.0, 5.0]]]), LayerMix(gamma=2.0))
        array([[4., 8.]])
    """
    weights = [layer_mix.gamma * share for share in layer_mix.shares(len(layers))]
    return weighted_sum(layers, weights, layer_norm=layer_mix.layer_norm)


def weighted_sum(layers: Array, weights: Sequence[float], *, layer_norm: bool = False) -> Array:
    """Σ weightₗ · hₗ, added layer by layer, (L, T, D) → (T, D); float32 by the compiled loops where they run."""
    numbers = np.array(weights, dtype=layers.dtype)
    if _native(layers):
        return native_mix(layers, numbers, layer_norm=layer_norm)
    if layer_norm:
        layers = np.stack([_normalised(layer) for layer in layers])
    total: Array = layers[0] * numbers[0]
    for layer, weight in zip(layers[1:], numbers[1:], strict=True):
        total += layer * weight
    return total


def _native(array: Array) -> bool:
    """Whether the compiled loops take these numbers: they add in one order on every processor, unlike BLAS."""
    return array.dtype == np.float32 and array.size > 0 and "float32" in native_precisions()


def _normalised(layer: Array) -> Array:
    """Mean 0 and variance 1 over one text's words and dimensions (ε 1e-12, as the original)."""
    if not layer.size:
        return layer
    centred = layer - layer.mean(dtype=np.float64)
    scale = np.sqrt(np.square(centred).mean(dtype=np.float64) + 1e-12)
    return np.asarray(centred / scale, dtype=layer.dtype)


def pool(vectors: Array, pooling: str, weights: Array | None = None) -> Array:
    """One vector of a text's word vectors, (T, D) → (D,), or (2D,) for two poolings; `weights` (T,) are for "sif"."""
    if not len(vectors):
        return np.zeros(vectors.shape[1] * (1 + pooling.count("+")), vectors.dtype)
    return np.concatenate([_POOLED[part](vectors, weights) for part in pooling.split("+")])


_POOLED: Mapping[str, Callable[[Array, Any], Array]] = {
    "mean": lambda vectors, _: vectors.mean(axis=0),
    "max": lambda vectors, _: vectors.max(axis=0),
    "first": lambda vectors, _: vectors[0],
    "last": lambda vectors, _: vectors[-1],
    "sif": lambda vectors, weights: (vectors * weights[:, None]).mean(axis=0).astype(vectors.dtype),
}


def sif_weights(counts: Mapping[str, float] | None) -> dict[str, float]:
    """The weight of each counted word for "sif", which is 1 for others; ConfigError for counts that are none."""
    if counts is None:
        raise ConfigError(
            "pooling='sif' weighs words by how often they occur, and this model came without its words' counts: give"
            " word_frequencies={word: count, …}."
        )
    total = float(sum(counts.values()))
    if not 0 < total < np.inf or any(not count >= 0 for count in counts.values()):
        raise ConfigError("word_frequencies must hold finite numbers that are not negative, and not only zeros.")
    return {word: SIF_SMOOTHING / (SIF_SMOOTHING + count / total) for word, count in counts.items()}


@dataclass(frozen=True, eq=False)
class Reduce:
    """What is kept of each text's layers, computed on the thread that read it: one vector, or one per word.

    Without an encoding, words keep all layers, (L, T, 2P). `weights` of words are for "sif", `whitening` for means.
    """

    sentences: Sequence[Sequence[str]]
    encoding: Encoding | None = None
    layer_mix: LayerMix = field(default_factory=LayerMix)
    pooled: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    whitening: Array | None = None

    def whole(self, i: int, layers: Array) -> Array:
        """The result for text i, from its layers (L, T, 2P)."""
        if self.encoding is None:
            return np.array(layers)
        vectors = _concatenated(self.select(layers))
        if self.pooled:
            weights = self.word_weights(self.sentences[i]) if self.encoding.pooling == "sif" else None
            return self.finished(pool(vectors, self.encoding.pooling, weights))
        return np.array(vectors) if vectors.base is not None else vectors

    def collector(self, i: int, *, whole: bool = False) -> Collector:
        """A collector for text i, which is read in segments; a `whole` one keeps all layers until the end."""
        words, encoding = self.sentences[i], self.encoding
        if whole or encoding is None or (self.layer_mix.layer_norm and encoding.layers == "mix"):  # over all words
            return Collector(len(words), partial(self.whole, i))
        if self.pooled:
            return _PooledCollector(self, words, encoding.pooling.split("+"))
        return Collector(len(words), _concatenated, self.select)

    def select(self, layers: Array) -> Array:
        """What the encoding makes of the layers of a text: one mixed layer, or several, (L, T, D) → (k, T, D)."""
        encoding = self.encoding or Encoding(layers="all")
        if encoding.layer_weights is not None:
            return weighted_sum(layers, encoding.layer_weights)[None]
        if encoding.layers == "mix":
            return mix_layers(layers, self.layer_mix)[None]
        return layers if encoding.layers == "all" else layers[list(encoding.numbers(len(layers)))]

    def word_weights(self, words: Sequence[str]) -> Array:
        """The weights of words in a mean, (T,)."""
        return np.array([self.weights.get(word, 1.0) for word in words])

    def finished(self, vector: Array) -> Array:
        """The pooled vector, its means whitened, scaled to length 1 where the encoding says so."""
        encoding = self.encoding or Encoding()
        if self.whitening is not None and encoding.layers == "mix" and encoding.layer_weights is None:
            matrix, names = np.asarray(self.whitening, vector.dtype), encoding.pooling.split("+")
            parts, native = list(np.split(vector, len(names))), _native(vector)
            for i in [i for i, name in enumerate(names) if name in MEANS]:  # rows are mixed as layers are: in one order
                parts[i] = native_mix(matrix[:, None], parts[i])[0] if native else parts[i] @ matrix
            vector = np.concatenate(parts)
        if not encoding.normalize:
            return vector
        if _native(vector):
            return native_scale(np.array(vector[None])).reshape(-1)
        length = np.linalg.norm(vector)
        return np.asarray(vector / length) if length > 0 else vector


def _concatenated(layers: Array) -> Array:
    """Layers of each word end to end, (k, T, D) → (T, k · D)."""
    return layers[0] if len(layers) == 1 else np.concatenate(list(layers), axis=-1)


class Collector:
    """Puts what `select` makes of the segments of a text together, for `finish` at the end."""

    def __init__(
        self, n_words: int, finish: Callable[[Array], Array], select: Callable[[Array], Array] = np.asarray
    ) -> None:
        self._n_words, self._finish, self._select, self._layers = n_words, finish, select, np.empty(0)

    def add(self, direction: int, start: int, layers: Array) -> None:
        """Take one direction's layers (L, n, P) of the words from `start` on; they are valid during the call only."""
        layers = self._select(layers)
        L, n, P = layers.shape
        if not self._layers.size:
            self._layers = np.empty((L, self._n_words, 2 * P), layers.dtype)
        self._layers[:, start : start + n, direction * P : (direction + 1) * P] = layers

    def result(self) -> Array:
        """What is kept of the text."""
        return self._finish(self._layers)


class _PooledCollector(Collector):
    """Collects one vector of a long text: sums (in float64), maxima and ends of each direction, (k, P)."""

    def __init__(self, reduce: Reduce, words: Sequence[str], parts: Sequence[str]) -> None:
        self._reduce, self._words, self._parts = reduce, words, parts
        self._pooled: dict[tuple[str, int], Array] = {}  # by part and direction
        self._dtype: Any = None

    def add(self, direction: int, start: int, layers: Array) -> None:
        selected = self._reduce.select(layers)  # (k, n, P)
        end, self._dtype = start + selected.shape[1], layers.dtype
        for part in self._parts:
            key = part, direction
            if part in MEANS:
                weights = self._reduce.word_weights(self._words[start:end])
                self._pooled[key] = self._pooled.get(key, 0) + np.einsum("n,knp->kp", weights, selected)
            elif part == "max":
                top = selected.max(axis=1)
                self._pooled[key] = np.maximum(self._pooled.get(key, top), top)
            elif (part == "first" and start == 0) or (part == "last" and end == len(self._words)):
                self._pooled[key] = np.array(selected[:, 0 if part == "first" else -1])

    def result(self) -> Array:
        vectors = []
        for part in self._parts:
            both = np.stack([self._pooled[part, 0], self._pooled[part, 1]], axis=1)  # (k, 2, P)
            vectors.append(both.reshape(-1) / (len(self._words) if part in MEANS else 1))  # (k · 2P,)
        return self._reduce.finished(np.concatenate(vectors).astype(self._dtype))
