"""One direction of stacked LSTMs in NumPy, read step by step over the rows of a batch.

What makes it fast: the products of all inputs come first, in blocks of steps (for the first layer once per distinct
word of a block); the recurrent product is the only one inside the loop; weights lie transposed and contiguous; all
element-wise work is in place in arrays that are allocated once. A sigmoid is a tanh, (1 + tanh(x/2)) / 2, with the
halves folded into weights (exact: powers of two), so one call of tanh serves all four gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import BiLSTMConfig, ElmoConfig
from elmokit.runtime.batches import Batch, step_blocks
from elmokit.runtime.rows import Buffers, MakeProduct, MatrixProduct, Product, padded

Array = NDArray[Any]

BLOCK_BYTES = 64 << 20
"""Memory for the input products of a block of steps."""


@dataclass(frozen=True, eq=False)
class LSTMWeights:
    """One layer, ready to multiply: gates in the order input, forget, output, candidate; sigmoid gates halved.

    Args:
        of_input: P → 4C.
        of_hidden: P → 4C.
        bias: Shape (4C,).
        projection: halved, C → P; None for a model without.
    """

    of_input: Product
    of_hidden: Product
    bias: Array
    projection: Product | None

    @property
    def least_rows(self) -> int:
        """Rows that each of these products needs at least."""
        products = (self.of_input, self.of_hidden, self.projection)
        return max(product.least_rows for product in products if product is not None)


def pack_lstm(
    config: ElmoConfig,
    tensors: Mapping[str, Array],
    prefix: str,
    *,
    dtype: DTypeLike,
    make_product: MakeProduct,
) -> LSTMWeights:
    """One layer's weights as the loop wants them.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`, gates in the order i, f, g, o.
        prefix: which layer, for instance "forward_layers.0.".
        dtype: float32 or float64.
        make_product: prepares a weight (K, N) for multiplication.

    Returns:
        the layer, of copies.
    """
    C = config.bilstm.cell_width

    def gates(name: str) -> Array:
        i, f, g, o = (np.asarray(tensors[prefix + name][k * C : (k + 1) * C], dtype=dtype) for k in range(4))
        return np.asarray(np.concatenate([i / 2, f / 2, o / 2, g]).T)

    projection = None
    if config.bilstm.projection:
        projection = make_product(np.asarray(tensors[prefix + "weight_hr"], dtype=dtype).T / 2)
    of_input, of_hidden = make_product(gates("weight_ih")), make_product(gates("weight_hh"))
    return LSTMWeights(of_input, of_hidden, gates("bias"), projection)


class Tower:
    """The LSTM layers of one direction.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        direction: "forward" or "backward".
        dtype: float32 or float64.
        make_product: prepares a weight (K, N) for multiplication.
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        direction: str,
        *,
        dtype: DTypeLike,
        make_product: MakeProduct = MatrixProduct,
    ) -> None:
        self.config: BiLSTMConfig = config.bilstm
        self.layers = [
            pack_lstm(config, tensors, f"{direction}_layers.{k}.", dtype=dtype, make_product=make_product)
            for k in range(self.config.n_layers)
        ]

    def run(
        self, batch: Batch, numbers: NDArray[np.intp], tokens: Array, hidden: Array, cell: Array, buffers: Buffers
    ) -> tuple[list[Array], Array, Array]:
        """Read a batch.

        Args:
            batch: its layout.
            numbers: this direction's word numbers, step by step. Shape (N,).
            tokens: token vectors by word number. Shape (D, P).
            hidden: where each row starts. Shape (LSTM layers, B, P).
            cell: likewise. Shape (LSTM layers, B, C).
            buffers: memory to compute in; the outputs lie there too.

        Returns:
            the outputs of each layer, step by step, (N, P), valid until `buffers` serves another run; and the
            rows' final hidden and cell states.
        """
        N, P = len(numbers), tokens.shape[1]
        outputs: list[Array] = []
        hiddens, cells = np.empty_like(hidden), np.empty_like(cell)
        for k, weights in enumerate(self.layers):
            out = buffers.get(f"outputs {k}", N + weights.least_rows, P)
            inputs = _WordInputs(weights, numbers, tokens) if k == 0 else _LayerInputs(weights, outputs[-1])
            hiddens[k], cells[k] = self._read(weights, batch, inputs, hidden[k], cell[k], out, buffers)
            if k > 0 and self.config.skip_connections:
                out += outputs[-1]
            outputs.append(out)
        return [out[:N] for out in outputs], hiddens, cells

    def _read(
        self, weights: LSTMWeights, batch: Batch, inputs: Any, hidden: Array, cell: Array, out: Array, buffers: Buffers
    ) -> tuple[Array, Array]:
        """One layer over all steps; `out` takes its outputs, the final states come back."""
        least, width, C = weights.least_rows, weights.bias.shape[0], cell.shape[1]
        B = padded(len(batch.rows), least)
        h, c = buffers.get("hidden", B, hidden.shape[1]), buffers.get("cell", B, C)
        z, scratch = buffers.get("gates", B, width), buffers.get("scratch", B, C)
        h[len(hidden) :], c[len(cell) :] = 0, 0
        h[: len(hidden)], c[: len(cell)] = hidden, cell
        last_h, last_c = np.empty_like(hidden), np.empty_like(cell)
        counts, starts = [*batch.counts.tolist(), 0], batch.starts.tolist()
        block_rows = max(B, BLOCK_BYTES // (width * h.itemsize))
        for first, end in step_blocks(batch.starts, block_rows):
            ahead = inputs.products(starts[first], starts[end], buffers)
            for t in range(first, end):
                n, row = counts[t], starts[t] - starts[first]
                b = padded(n, least)
                weights.of_hidden(h[:b], z[:b])
                z[:n] += ahead[row : row + n]
                self._cell(weights, z[:b], h[:b], c[:b], scratch[:b])
                out[starts[t] : starts[t + 1]] = h[:n]
                if counts[t + 1] < n:
                    last_h[counts[t + 1] : n], last_c[counts[t + 1] : n] = h[counts[t + 1] : n], c[counts[t + 1] : n]
        return last_h, last_c

    def _cell(self, weights: LSTMWeights, z: Array, h: Array, c: Array, scratch: Array) -> None:
        """One step, in place: gates before their non-linearity in `z`, new states in `h` and `c`."""
        C = c.shape[1]
        np.tanh(z, out=z)
        z[:, : 3 * C] += 1
        i, f, o, g = (z[:, k * C : (k + 1) * C] for k in range(4))
        c *= f
        i *= g
        c += i
        c *= 0.5
        if self.config.cell_clip is not None:
            np.clip(c, -self.config.cell_clip, self.config.cell_clip, out=c)
        np.tanh(c, out=scratch)
        if weights.projection is None:
            np.multiply(o, scratch, out=h)
            h *= 0.5
            return
        scratch *= o
        weights.projection(scratch, h)
        if self.config.projection_clip is not None:
            np.clip(h, -self.config.projection_clip, self.config.projection_clip, out=h)


@dataclass(frozen=True, eq=False)
class _WordInputs:
    """The first layer's input products: one per distinct word of a block of steps."""

    weights: LSTMWeights
    numbers: NDArray[np.intp]
    tokens: Array

    def products(self, start: int, end: int, buffers: Buffers) -> Array:
        distinct, places = np.unique(self.numbers[start:end], return_inverse=True)
        n, width = len(distinct), self.weights.bias.shape[0]
        rows = padded(n, self.weights.least_rows)
        x = buffers.get("words", rows, self.tokens.shape[1])
        x[n:] = 0
        np.take(self.tokens, distinct, axis=0, out=x[:n], mode="clip")
        table = self.weights.of_input(x, buffers.get("word products", rows, width))
        table += self.weights.bias
        return np.take(table, places, axis=0, out=buffers.get("products", end - start, width), mode="clip")


@dataclass(frozen=True, eq=False)
class _LayerInputs:
    """A later layer's input products: one per row, from the layer below."""

    weights: LSTMWeights
    below: Array

    def products(self, start: int, end: int, buffers: Buffers) -> Array:
        rows = padded(end - start, self.weights.least_rows)
        out = buffers.get("products", rows, self.weights.bias.shape[0])
        self.weights.of_input(self.below[start : start + rows], out)
        out += self.weights.bias
        return out
