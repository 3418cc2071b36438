"""The biLM in NumPy: the reference, and what runs where there are no compiled loops.

OpenBLAS adds in another order for one row and for small products, so rows are padded: then, on AVX-512, a row has the
same bits beside any other rows. A sigmoid is (1 + tanh(x / 2)) / 2, with the halves folded into the weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime.batches import MULTIPLE, Batch, Buffers, State, step_blocks

Array = NDArray[Any]
Get = Callable[[str], Array]
Ids = NDArray[np.integer[Any]]

SMALL_PRODUCT, FEW_TERMS = 100**3, 128  # OpenBLAS's bound on small products; terms with one order everywhere
BLOCK_BYTES = 64 << 20  # of the input products of a block of steps


def padded(n: int, least: int = MULTIPLE) -> int:
    """Rows to compute for n rows: the next multiple of `MULTIPLE`, and at least `least`."""
    return max(least, -(-n // MULTIPLE) * MULTIPLE)


class MatrixProduct:
    """Multiplication by one weight (K, N), in its own precision, of `least_rows` rows at least."""

    def __init__(self, weight: Array) -> None:
        self.weight, self.n_outputs = np.ascontiguousarray(weight), int(weight.shape[1])
        small = weight.shape[0] > FEW_TERMS
        self.least_rows = padded(SMALL_PRODUCT // weight.size + 1) if small else MULTIPLE

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        return np.matmul(x, self.weight, out=out)


class NumpyConvolutions:
    """Windows of characters, maximum, bias, activation; one window of padding alone stands for all behind a word."""

    def __init__(self, config: CharCNNConfig, get: Get) -> None:
        self.config, self._table, self._each = config, get("embedding.weight"), list[tuple[int, MatrixProduct, Array]]()
        for i, (width, n) in enumerate(config.filters):
            weight = get(f"convolutions.{i}.weight").transpose(2, 1, 0)  # (width, E, n)
            self._each.append((width, MatrixProduct(weight.reshape(-1, n)), get(f"convolutions.{i}.bias")))

    def run(self, ids: Ids, out: Array, buffers: Buffers) -> None:
        """Put the features of words into `out`, (D, C) → (D, F); fastest where neighbours have one length."""
        (D, C), longest = ids.shape, int((ids != self.config.padding_id).sum(axis=1).max(initial=0))
        characters = self._table[ids[:, : longest + max(width for width, _ in self.config.filters)]]  # (D, read, E)
        a, b, c = characters.strides
        column = 0
        for width, product, bias in self._each:
            n_windows, K, n = min(longest + 1, C - width + 1), width * characters.shape[2], product.n_outputs
            rows = D * n_windows
            windows = buffers.get("windows", padded(rows, product.least_rows), K)
            windows[:rows].reshape(D, n_windows, K)[:] = as_strided(characters, (D, n_windows, K), (a, b, c))
            windows[rows:] = 0
            values = product(windows, buffers.get("values", len(windows), n))
            best = out[:, column : column + n]
            np.max(values[:rows].reshape(D, n_windows, n), axis=1, out=best)
            best += bias
            column += n
        np.maximum(out, 0, out=out) if self.config.activation == "relu" else np.tanh(out, out=out)


def highway_weights(get: Get, k: int) -> tuple[Array, Array]:
    """Transform and gate (halved) of layer k side by side: weight (F, 2F) and bias (2F,)."""
    weight = np.concatenate([get(f"highways.{k}.transform.weight"), get(f"highways.{k}.gate.weight") / 2])
    bias = np.concatenate([get(f"highways.{k}.transform.bias"), get(f"highways.{k}.gate.bias") / 2])
    return weight.T, bias


class NumpyHighway:
    """One highway layer: x ← g · relu(t) + (1 − g) · x, one product with transform and gate side by side."""

    def __init__(self, get: Get, k: int) -> None:
        weight, self.bias = highway_weights(get, k)
        self.product = MatrixProduct(weight)
        self.least_rows = self.product.least_rows

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Pass features (D, F) through the layer, in place."""
        z = self.product(x, buffers.get("highway", len(x), 2 * x.shape[1]))
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


class NumpyLayer:
    """One LSTM layer of one direction. Input products are taken ahead, so only the recurrent one is in the loop."""

    def __init__(self, config: BiLSTMConfig, tensors: Mapping[str, Array], prefix: str, dtype: DTypeLike) -> None:
        def gates(name: str) -> Array:
            """Gates in the order input, forget, output, candidate; sigmoid gates halved."""
            i, f, g, o = np.split(np.asarray(tensors[prefix + name], dtype=dtype), 4)
            return np.asarray(np.concatenate([i / 2, f / 2, o / 2, g]).T)

        self.config, self.bias = config, gates("bias")  # (4C,)
        self.of_input, self.of_hidden = MatrixProduct(gates("weight_ih")), MatrixProduct(gates("weight_hh"))  # P → 4C
        products, self.projection = [self.of_input, self.of_hidden], None
        if config.projection:  # halved, C → P
            self.projection = MatrixProduct(np.asarray(tensors[prefix + "weight_hr"], dtype=dtype).T / 2)
            products.append(self.projection)
        self.least_rows = max(each.least_rows for each in products)

    def read(
        self, batch: Batch, below: Array, numbers: Ids | None, start: tuple[Array, Array], out: Array, buffers: Buffers
    ) -> tuple[Array, Array]:
        """Read all steps of a batch, and return the final hidden states (B, P) and cells (B, C).

        `below` are inputs step by step, or token vectors that `numbers` name. `out` (N, P) takes the outputs; both have
        `least_rows` more rows than are used. `start` are hidden states and cells.
        """
        (hidden, cell), least, width = start, self.least_rows, len(self.bias)
        B, C = padded(len(hidden), least), cell.shape[1]
        h, c = buffers.get("hidden", B, hidden.shape[1]), buffers.get("cell", B, C)
        z, scratch = buffers.get("gates", B, width), buffers.get("scratch", B, C)
        h[len(hidden) :], c[len(cell) :] = 0, 0
        h[: len(hidden)], c[: len(cell)] = hidden, cell
        last_h, last_c = np.empty_like(hidden), np.empty_like(cell)
        counts, starts = [*batch.counts.tolist(), 0], batch.starts.tolist()
        for first, end in step_blocks(batch.starts, max(B, BLOCK_BYTES // (width * h.itemsize))):
            ahead = self._input_products(below, numbers, starts[first], starts[end], buffers)  # (rows, 4C)
            for t in range(first, end):
                n, row = counts[t], starts[t] - starts[first]
                b = padded(n, least)
                self.of_hidden(h[:b], z[:b])
                z[:n] += ahead[row : row + n]
                self._step(z[:b], h[:b], c[:b], scratch[:b])
                out[starts[t] : starts[t + 1]] = h[:n]
                if counts[t + 1] < n:
                    last_h[counts[t + 1] : n], last_c[counts[t + 1] : n] = h[counts[t + 1] : n], c[counts[t + 1] : n]
        return last_h, last_c

    def _input_products(self, below: Array, numbers: Ids | None, start: int, end: int, buffers: Buffers) -> Array:
        """Products of the rows from `start` on: of rows of `below`, or of its distinct rows that `numbers` name."""
        if numbers is None:
            rows = padded(end - start, self.least_rows)
            products = self.of_input(below[start : start + rows], buffers.get("products", rows, len(self.bias)))
            products += self.bias
            return products
        distinct, places = np.unique(numbers[start:end], return_inverse=True)
        words = buffers.get("words", padded(len(distinct), self.least_rows), below.shape[1])
        words[len(distinct) :] = 0
        np.take(below, distinct, axis=0, out=words[: len(distinct)], mode="clip")
        products = self._input_products(words, None, 0, len(distinct), buffers)
        return np.take(products, places, axis=0, out=buffers.get("ahead", len(places), len(self.bias)), mode="clip")

    def _step(self, z: Array, h: Array, c: Array, scratch: Array) -> None:
        """One step, in place: gates before their non-linearity in `z` (B, 4C), new states in `h` and `c`."""
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
        if self.projection is None:
            np.multiply(o, scratch, out=h)
            h *= 0.5
            return
        scratch *= o
        self.projection(scratch, h)
        if self.config.projection_clip is not None:
            np.clip(h, -self.config.projection_clip, self.config.projection_clip, out=h)


class CpuBackend:
    """A `Backend` on the CPU, whose parts compute with NumPy or with the compiled loops."""

    device = "cpu"
    splits: Sequence[tuple[int, ...]] = ((0,), (1,))

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        dtype: DTypeLike = "float32",
        product: Any = MatrixProduct,
        convolutions: Any = NumpyConvolutions,
        highway: Any = NumpyHighway,
        layer: Any = NumpyLayer,
    ) -> None:
        def get(name: str) -> Array:
            return np.asarray(tensors[f"char_cnn.{name}"], dtype=dtype)

        self.dtype, self._buffers, self._cnn = np.dtype(dtype), Buffers(dtype), config.char_cnn
        self._projection: Any = None
        if (cnn := self._cnn) is not None:
            self._convolutions = convolutions(cnn, get)
            self._highways = [highway(get, k) for k in range(cnn.n_highway)]
            if cnn.projection:  # beside a word table, the columns behind the table's
                self._projection = product(get("projection.weight")[:, config.word_width :].T)
                self._bias = get("projection.bias")
            products = [*self._highways, *([self._projection] if cnn.projection else ())]
            self._least_rows = max([1, *(each.least_rows for each in products)])
        self._skips, prefixes = config.bilstm.skip_connections, [f"layers.{k}." for k in range(config.bilstm.n_layers)]
        self.layers = [
            [layer(config.bilstm, tensors, f"{direction}_{prefix}", dtype) for prefix in prefixes]
            for direction in ("forward", "backward")
        ]

    def embed(self, ids: Ids) -> Array:
        """Pass character ids (D, C) through the character CNN: token vectors (D, P)."""
        assert self._cnn is not None, "a model without characters has no character ids"
        D, rows = len(ids), padded(len(ids), self._least_rows)
        x = self._buffers.get("features", rows, self._cnn.n_filters)
        x[D:] = 0
        self._convolutions.run(ids, x[:D], self._buffers)
        for highway in self._highways:
            x = highway.run(x, self._buffers)
        if self._projection is None:
            return np.array(x[:D])
        vectors: Array = self._projection(x, np.empty((rows, self._projection.n_outputs), x.dtype))[:D]
        vectors += self._bias
        return vectors

    def read(
        self, batch: Batch, tokens: Array, start: State, slab: Array, after: State, directions: Sequence[int]
    ) -> None:
        """Read a batch through all LSTM layers; see `elmokit.runtime.backends.Backend.read`."""
        P, N = tokens.shape[1], batch.numbers.shape[1]
        for d in directions:
            below = tokens
            for k, layer in enumerate(self.layers[d]):
                numbers, state = None if k else batch.numbers[d], (start.hidden[d, k], start.cell[d, k])
                out = self._buffers.get(f"outputs {k % 2}", N + layer.least_rows, P)
                after.hidden[d, k], after.cell[d, k] = layer.read(batch, below, numbers, state, out, self._buffers)
                if k and self._skips:
                    out += below
                slab[k + 1, :, d * P : (d + 1) * P] = out[batch.places[d]]
                below = out
