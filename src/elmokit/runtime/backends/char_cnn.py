"""Words → token vectors in NumPy, with shortcuts that change nothing.

Most of a word's 50 positions are padding, and every window that holds padding alone gives one constant. So a word of
m ids needs the convolutions at its first m positions, and one comparison with that constant: a fifth of the work
for English. Words of one length are computed together. The bias and the activation come after the maximum over
positions (both rise, so the result is the same). What remains is the highway layers: one matrix product each,
with transform and gate side by side; the gate's sigmoid is a tanh with its halves folded into the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from elmokit.config import CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.rows import Buffers, MakeProduct, MatrixProduct, Product, padded
from elmokit.text.char_ids import PADDING_ID

Array = NDArray[Any]

WINDOW_ROWS = 2048
"""Windows in one convolution's product; bounds its memory (8 MB at 1,024 filters)."""


class AnyConvolutions(Protocol):
    """What computes the convolutions of words (see `Convolutions`)."""

    def run(self, ids: NDArray[np.integer], out: Array, buffers: Buffers) -> None:
        """Put the features of words into `out`."""
        ...


MakeConvolutions = Callable[[CharCNNConfig, Callable[[str], Array], int], AnyConvolutions]


class Convolutions:
    """The convolutions of one model: windows of characters, maximum, bias, activation.

    Args:
        config: the character CNN's options.
        get: gives its arrays by their names.
        padding_id: the id that fills a word's row to its end.
    """

    def __init__(self, config: CharCNNConfig, get: Callable[[str], Array], padding_id: int) -> None:
        self.config, self.padding_id = config, padding_id
        self._table = get("embedding.weight")
        self._each = [self._convolution(get, i, w) for i, (w, _) in enumerate(config.filters)]

    def _convolution(self, get: Callable[[str], Array], i: int, width: int) -> tuple[int, Product, Array, Array]:
        """Width, multiplication by the weights (width · E, n), bias, and what a window of padding gives."""
        weight = get(f"convolutions.{i}.weight")
        product = MatrixProduct(weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]))
        padding = np.tile(self._table[self.padding_id], (product.least_rows, width))
        of_padding = product(padding, np.empty((len(padding), product.n_outputs), weight.dtype))[0]
        return width, product, get(f"convolutions.{i}.bias"), of_padding

    def run(self, ids: NDArray[np.integer], out: Array, buffers: Buffers) -> None:
        """Compute the features of words.

        Args:
            ids: rows of character ids; fastest where neighbours have one length. Shape (D, C).
            out: takes the features. Shape (D, F).
            buffers: memory to compute in.
        """
        lengths = (ids != self.padding_id).sum(axis=1)
        changes = np.flatnonzero(np.diff(lengths)) + 1
        for start, end in zip([0, *changes], [*changes, len(ids)], strict=True):
            m = int(lengths[start])
            step = max(1, WINDOW_ROWS // m)
            for s in range(start, end, step):
                self._convolve(ids[s : min(s + step, end)], m, out[s : min(s + step, end)], buffers)

    def _convolve(self, ids: NDArray[np.integer], m: int, out: Array, buffers: Buffers) -> None:
        """All convolutions of words of m ids: windows, maximum, bias, activation. `out` has shape (g, F)."""
        C, g = self.config.max_characters, len(ids)
        n_read = min(C, m - 1 + max(width for width, _ in self.config.filters))
        characters = self._table[ids[:, :n_read]]  # (g, n_read, E)
        column = 0
        for width, product, bias, of_padding in self._each:
            n_windows, K, n = min(m, C - width + 1), width * self._table.shape[1], product.n_outputs
            rows, rows_computed = g * n_windows, padded(g * n_windows, product.least_rows)
            windows = buffers.get("windows", rows_computed, K)
            a, b, c = characters.strides
            windows[:rows].reshape(g, n_windows, K)[:] = as_strided(characters, (g, n_windows, K), (a, b, c))
            windows[rows:] = 0
            values = product(windows, buffers.get("values", rows_computed, n))
            best = out[:, column : column + n]
            np.max(values[:rows].reshape(g, n_windows, n), axis=1, out=best)
            if C - width + 1 > m:
                np.maximum(best, of_padding, out=best)
            best += bias
            column += n
        if self.config.activation == "relu":
            np.maximum(out, 0, out=out)
        else:
            np.tanh(out, out=out)


class AnyHighway(Protocol):
    """What computes a highway layer (see `Highway`).

    Attributes:
        least_rows: rows that a call must have at least; their number is a multiple of `MULTIPLE`.
    """

    least_rows: int

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Give the features after the layer; `x` may be overwritten."""
        ...


class Highway:
    """One highway layer: x ← g · relu(t) + (1 − g) · x, one product with transform and gate side by side.

    Args:
        get: gives the character CNN's arrays by their names.
        k: which layer.
        make_product: how to multiply.
    """

    def __init__(self, get: Callable[[str], Array], k: int, make_product: MakeProduct = MatrixProduct) -> None:
        weight, self.bias = highway_weights(get, k)
        self.product = make_product(weight)
        self.least_rows = self.product.least_rows

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Pass features through the layer, in place.

        Args:
            x: Shape (D, F).
            buffers: memory to compute in.

        Returns:
            `x`.
        """
        z = buffers.get("highway", len(x), 2 * x.shape[1])
        self.product(x, z)
        z += self.bias
        t, gate = z[:, : x.shape[1]], z[:, x.shape[1] :]
        np.maximum(t, 0, out=t)
        np.tanh(gate, out=gate)
        gate += 1
        t -= x
        t *= gate
        t *= 0.5
        x += t
        return x


def highway_weights(get: Callable[[str], Array], k: int) -> tuple[Array, Array]:
    """Transform and gate side by side, the gate halved, since sigmoid(x) = (1 + tanh(x / 2)) / 2.

    Args:
        get: gives the character CNN's arrays by their names.
        k: which layer.

    Returns:
        weight, (F, 2F), and bias, (2F,).
    """
    weight = np.concatenate([get(f"highways.{k}.transform.weight"), get(f"highways.{k}.gate.weight") / 2])
    bias = np.concatenate([get(f"highways.{k}.transform.bias"), get(f"highways.{k}.gate.bias") / 2])
    return weight.T, bias


@dataclass(frozen=True)
class Parts:
    """What a character CNN is computed with: NumPy's parts, if nothing else is said.

    Args:
        product: how the projection multiplies.
        convolutions: makes the convolutions.
        highway: makes a highway layer.
    """

    product: MakeProduct = MatrixProduct
    convolutions: MakeConvolutions = Convolutions
    highway: Callable[[Callable[[str], Array], int], AnyHighway] = Highway


class CharCNN:
    """The character CNN of one model.

    Args:
        config: its options.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        dtype: float32 or float64.
        parts: what it is computed with.
        padding_id: the id that fills a word's row to its end.
    """

    def __init__(
        self,
        config: CharCNNConfig,
        tensors: Mapping[str, Array],
        dtype: DTypeLike,
        parts: Parts | None = None,
        *,
        padding_id: int = PADDING_ID,
    ) -> None:
        def get(name: str) -> Array:
            return np.asarray(tensors[f"char_cnn.{name}"], dtype=dtype)

        self.config, self.padding_id, self.dtype = config, padding_id, np.dtype(dtype)
        parts = parts or Parts()
        self.convolutions = parts.convolutions(config, get, padding_id)
        self.highways = [parts.highway(get, k) for k in range(config.n_highway)]
        self.projection: tuple[Product, Array] | None = None
        if config.projection:
            self.projection = parts.product(get("projection.weight").T), get("projection.bias")
        last = [self.projection[0].least_rows] if self.projection else []
        self.least_rows = max([1, *(highway.least_rows for highway in self.highways), *last])

    def encode_ids(self, ids: NDArray[np.integer], buffers: Buffers) -> Array:
        """Token vectors.

        Args:
            ids: rows of character ids; fastest where neighbours have one length. Shape (D, C).
            buffers: memory to compute in.

        Returns:
            vectors. Shape (D, P).
        """
        D, F, rows = len(ids), self.config.n_filters, padded(len(ids), self.least_rows)
        x = buffers.get("features", rows, F)
        x[D:] = 0
        self.convolutions.run(ids, x[:D], buffers)
        for highway in self.highways:
            x = highway.run(x, buffers)
        if self.projection is None:
            return np.array(x[:D])
        product, bias = self.projection
        vectors: Array = product(x, np.empty((rows, product.n_outputs), x.dtype))[:D]
        vectors += bias
        return vectors


def char_cnn_of(
    config: ElmoConfig, tensors: Mapping[str, Array], dtype: DTypeLike, parts: Parts | None = None
) -> CharCNN | None:
    """The character CNN of a model; None for a model without.

    The projection of a model with a word table maps both side by side; the character CNN has the part behind.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        dtype: float32 or float64.
        parts: what it is computed with.
    """
    cnn = config.char_cnn
    if cnn is None:
        return None
    if config.word_width:
        name = "char_cnn.projection.weight"
        tensors = {**tensors, name: tensors[name][:, config.word_width :]}
    padding_id = PADDING_ID if cnn.characters is None else _padding_id(cnn.characters)
    return CharCNN(cnn, tensors, dtype, parts, padding_id=padding_id)


def _padding_id(characters: tuple[str, ...]) -> int:
    if "<pad>" not in characters:
        raise ConfigError("the model's dictionary of characters lacks <pad>.")
    return characters.index("<pad>") + 1
