"""The biLM by the compiled loops, with the same bits for a text alone and in any batch.

The loops trust their sizes, so each array's shape is checked here before its address is given away.
"""

import ctypes
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime.backends.numpy import BLOCK_BYTES, CpuBackend, highway_weights
from elmokit.runtime.batches import MULTIPLE, Batch, Buffers, aligned
from elmokit.runtime.kernels import Convolutions, Filters, Highway, Layer, address, chosen, function

Array = NDArray[Any]
Get = Callable[[str], Array]
Ids = NDArray[np.integer[Any]]

GAP = 16  # floats between rows of cells, as in lstm.h
TERMS = 16  # terms of rows and numbers of cells are padded to a multiple of this, for every instruction set


def up(n: int, multiple: int) -> int:
    """The next multiple."""
    return -(-n // multiple) * multiple


def pack(weight: Array, precision: str, n_terms: int = 0) -> Array:
    """A weight (K, N) in panels of four registers' columns, (panels, four-byte units, columns); `n_terms` pads K."""
    (K, N), columns, per_unit = weight.shape, 4 * chosen().lanes, 2 if precision == "bfloat16" else 1
    n_units = -(-max(K, n_terms) // per_unit)
    padded = np.zeros((n_units * per_unit, up(N, columns)), np.float32)
    padded[:K, :N] = weight
    if precision == "bfloat16":  # two terms to a unit
        rows = np.ascontiguousarray(padded.T)
        padded = round_rows(rows, np.zeros((len(rows), up(n_units, 8)), np.float32)).T[:n_units]
    panels = aligned(padded.size, np.float32).reshape(-1, n_units, columns)
    panels[:] = padded.reshape(n_units, -1, columns).transpose(1, 0, 2)
    return panels


def round_rows(x: Array, out: Array) -> Array:
    """Put rows of float32 (n, K) as bfloat16 into rows of units, a multiple of 8, and give them back."""
    (n, K), n_units = x.shape, out.shape[1]
    if n_units % 8 or 2 * n_units < K:
        raise ValueError(f"{K} numbers do not fit into rows of {n_units} units, a multiple of 8.")
    sizes = ctypes.c_int64(n), ctypes.c_int64(K)
    function("round", "bfloat16")(address(x, n, K), *sizes, address(out, n, n_units), ctypes.c_int64(n_units))
    return out


class NativeProduct:
    """The interface of `MatrixProduct` by the compiled loop; sums are float32 in every precision."""

    least_rows = MULTIPLE

    def __init__(self, weight: Array, precision: str) -> None:
        self.precision, self.n_outputs = precision, int(weight.shape[1])
        self.weight = pack(weight, precision, up(len(weight), TERMS) if precision == "bfloat16" else 0)
        self.multiply, self._buffers = function("product", precision), Buffers(np.float32)

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        n, n_units, n_outputs = len(x), self.weight.shape[1], self.n_outputs
        if self.precision == "bfloat16":
            x = round_rows(x, self._buffers.get("rounded", n, n_units))
        self.multiply(
            *(address(x, n, n_units), ctypes.c_int64(n), ctypes.c_int64(n_units)),
            *(address(self.weight), None, ctypes.c_int64(n_outputs)),
            address(out, n, n_outputs),
        )
        return out


class NativeConvolutions:
    """The convolutions of one model; the interface of `NumpyConvolutions`."""

    def __init__(self, precision: str, config: CharCNNConfig, get: Get) -> None:
        self.config, self.convolve, table = config, function("convolve", precision), get("embedding.weight")
        pad = (0, table.shape[1] % 2 if precision == "bfloat16" else 0)  # a character is a whole number of units
        self._table = table = np.ascontiguousarray(np.pad(table, ((0, 0), pad)))
        if precision == "bfloat16":
            rounded = round_rows(table, np.empty((len(table), up(table.shape[1], TERMS) // 2), np.float32))
            self._table = np.ascontiguousarray(rounded[:, : table.shape[1] // 2])
        self._filters, self._arrays = (Filters * len(config.filters))(), []  # which keeps what the filters point to
        for i, (width, n) in enumerate(config.filters):
            weight = np.pad(get(f"convolutions.{i}.weight"), ((0, 0), pad, (0, 0)))  # (n, E, width)
            product = NativeProduct(weight.transpose(2, 1, 0).reshape(-1, n), precision)
            packed = pack(weight.transpose(2, 1, 0).reshape(-1, n), precision)
            of_padding = product(np.tile(table[config.padding_id], (1, width)), np.empty((1, n), np.float32))[0]
            bias = np.ascontiguousarray(get(f"convolutions.{i}.bias"))
            self._arrays.append((packed, of_padding, bias))
            self._filters[i] = Filters(width, n, address(packed), address(of_padding, n), address(bias, n))

    def run(self, ids: Ids, out: Array, buffers: Buffers) -> None:
        """Put the features of words into `out`, (D, C) → (D, F); fastest where neighbours have one length."""
        if not len(ids):
            return
        D, C, F, units = len(ids), self.config.max_characters, self.config.n_filters, self._table.shape[1]
        if ids.shape != (D, C):
            raise ValueError(f"the convolutions were given ids of shape {ids.shape}; expected {(D, C)}.")
        lengths = (ids != self.config.padding_id).sum(axis=1, dtype=np.int64)
        n_read = min(C, int(lengths.max()) - 1 + max(width for width, _ in self.config.filters))
        characters = buffers.get("characters", D, n_read, units)
        np.take(self._table, ids[:, :n_read], axis=0, out=characters, mode="clip")
        task = Convolutions(
            *(D, address(lengths, D, dtype=np.int64), C, n_read, units, address(characters, D, n_read, units)),
            *(self.config.activation == "relu", len(self._filters), ctypes.addressof(self._filters)),
            *(F, address(out, D, F)),
        )
        self.convolve(ctypes.byref(task))


class NativeHighway:
    """Highway layer k; the interface of `NumpyHighway`."""

    least_rows = MULTIPLE

    def __init__(self, precision: str, get: Get, k: int) -> None:
        self.precision, self.k, self.pass_highway = precision, k, function("highway", precision)
        weight, bias = highway_weights(get, k)
        self.bias, n_terms = _side_by_side(bias), up(len(weight), TERMS) if precision == "bfloat16" else 0
        self.weight = pack(_side_by_side(weight), precision, n_terms)

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Pass features (D, F) through the layer, into other memory."""
        (D, F), n_units, rounded = x.shape, self.weight.shape[1], x
        out = buffers.get(f"highway {self.k}", D, F)
        if self.precision == "bfloat16":
            rounded = round_rows(x, buffers.get("rounded", D, n_units))
        arrays = address(rounded, D, n_units), address(self.weight), address(self.bias)
        self.pass_highway(ctypes.byref(Highway(D, F, n_units, *arrays, address(x, D, F), address(out, D, F))))
        return out


def _side_by_side(both: Array) -> Array:
    """Transform and gate of half a panel's features side by side, padded. Shape (..., 2F) → (..., columns · panels)."""
    half, F = 2 * chosen().lanes, both.shape[-1] // 2
    padding = [(0, 0)] * (both.ndim - 1) + [(0, up(F, half) - F)]
    halves = [np.pad(part, padding).reshape(*both.shape[:-1], -1, half) for part in (both[..., :F], both[..., F:])]
    return np.ascontiguousarray(np.concatenate(halves, axis=-1).reshape(*both.shape[:-1], -1))


class NativeLayer:
    """One LSTM layer of one direction; the interface of `NumpyLayer`."""

    least_rows = 0

    def __init__(
        self, precision: str, config: BiLSTMConfig, tensors: Mapping[str, Array], prefix: str, _dtype: str = "float32"
    ) -> None:
        def gates(name: str) -> Array:
            """Gates of a register's cells side by side, sigmoid gates halved. Shape (..., 4 · cells)."""
            array = np.asarray(tensors[prefix + name], np.float32).T
            i, f, g, o = np.split(array, 4, axis=-1)
            out = np.zeros((*array.shape[:-1], 4, cells), np.float32)
            out[..., : config.cell_width] = np.stack([i / 2, f / 2, o / 2, g], axis=-2)
            out = out.reshape(*array.shape[:-1], 4, cells // chosen().lanes, chosen().lanes)
            return np.ascontiguousarray(out.swapaxes(-3, -2)).reshape(*array.shape[:-1], 4 * cells)

        self.config, self.precision, self.loop = config, precision, function("read", precision)
        self.width, self.n_cells = tensors[prefix + "weight_ih"].shape[1], up(config.cell_width, TERMS)
        terms, cells = up(self.width, TERMS), self.n_cells
        self.n_units, self.bias = terms // (2 if precision == "bfloat16" else 1), gates("bias")
        self.of_input, self.of_hidden = (pack(gates(name), precision, terms) for name in ("weight_ih", "weight_hh"))
        self.projection = None
        if config.projection:
            self.projection = pack(np.asarray(tensors[prefix + "weight_hr"], np.float32).T, precision, cells)

    def read(
        self, batch: Batch, below: Array, numbers: Ids | None, start: tuple[Array, Array], out: Array, buffers: Buffers
    ) -> tuple[Array, Array]:
        """Read all steps of a batch; see `NumpyLayer.read`."""
        n_steps, N, B, P = len(batch.counts), int(batch.starts[-1]), len(batch.rows), self.width
        cells, units, C = self.n_cells, self.n_units, self.config.cell_width
        n_inputs = N if numbers is None else len(below)
        shapes, expected = (below.shape, *(s.shape for s in start)), ((n_inputs, P), (B, P), (B, C))
        if shapes != expected or not (numbers is None or 0 <= numbers.min() <= numbers.max() < n_inputs):
            raise ValueError(f"inputs and states of shapes {shapes}, or word numbers, do not fit; expected {expected}.")
        h, c = buffers.get("hidden", B, units), buffers.get("cell", B, cells + GAP)
        h[:], c[:, :C], c[:, C:] = self._units(start[0], buffers), start[1], 0
        inputs = self._units(below, buffers)  # (N, units), or (D, units) with numbers
        n = min(N, max(B, BLOCK_BYTES // (16 * cells)))  # rows of gates that are multiplied ahead
        counts, starts = (np.ascontiguousarray(array, np.int64) for array in (batch.counts, batch.starts))
        numbers = None if numbers is None else np.ascontiguousarray(numbers, np.int64)
        distinct = None if numbers is None else buffers.get("distinct", n, units)
        whole = np.zeros(2 * n + len(inputs), np.int64)  # three arrays of places
        bounds = self.config.cell_clip, self.config.projection_clip if self.config.projection else None
        layer = Layer(
            *(n_steps, address(counts, n_steps, dtype=np.int64), address(starts, n_steps + 1, dtype=np.int64)),
            *(units, cells, P, n, address(inputs, len(inputs), units), address(numbers, N, dtype=np.int64)),
            *(address(self.of_input), address(self.of_hidden), address(self.projection), address(self.bias, 4 * cells)),
            *(float("inf") if bound is None else bound for bound in bounds),
            *(address(h, B, units), address(c, B, cells + GAP)),
            address(buffers.get("memory", B, cells + GAP), B, cells + GAP),
            *(address(distinct, n, units), address(buffers.get("ahead", n, 4 * cells), n, 4 * cells)),
            *(whole[first:].ctypes.data for first in (0, 2 * n, n)),
            address(out, N, P),
        )
        self.loop(ctypes.byref(layer))
        return out[batch.starts[batch.lengths - 1] + np.arange(B)], c[:, :C]

    def _units(self, x: Array, buffers: Buffers) -> Array:
        """Rows (n, P) as the loop reads them: padded, rounded."""
        x = np.ascontiguousarray(x, np.float32)
        if self.precision == "bfloat16":
            return round_rows(x, buffers.get("inputs", len(x), self.n_units))
        if self.width == self.n_units:
            return x
        out = buffers.get("inputs", len(x), self.n_units)
        out[:, : self.width], out[:, self.width :] = x, 0
        return out


def native_backend(config: ElmoConfig, tensors: Mapping[str, Array], precision: str = "float32") -> CpuBackend:
    """A backend that computes with the compiled loops, results float32; ConfigError where they do not run."""
    parts = (NativeConvolutions, NativeHighway, NativeLayer)
    product = partial(NativeProduct, precision=precision)
    return CpuBackend(config, tensors, "float32", product, *(partial(part, precision) for part in parts))
