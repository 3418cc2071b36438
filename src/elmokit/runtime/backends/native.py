"""The same plan with compiled loops: float32 on every instruction set, bfloat16 on processors that multiply in it.

NumPy leaves half of the machine unused where a model is small: between two products of a step, every gate goes to
memory and back a dozen times, and two threads wait for each other's interpreter. `kernels/lstm.h` computes gates while
they are in registers, and `kernels/words.h` takes words through a convolution without building their windows.

Promised: the same bits for a text alone and in any batch; in float32 also on every instruction set.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import CharCNNConfig, ElmoConfig
from elmokit.runtime.backends.numpy import BLOCK_BYTES, CpuBackend, Parts, char_cnn_of, highway_weights
from elmokit.runtime.batches import MULTIPLE, Batch, Buffers, step_blocks
from elmokit.runtime.kernels.library import Convolution, Highway, Layer, address, function
from elmokit.runtime.kernels.weights import MAX_UNITS, TERMS, NativeProduct, lanes, pack, round_rows, up

Array = NDArray[Any]

GAP = 16
"""Floats between rows of cells, as in `lstm.h`."""

FEW_ROWS = 6
"""Steps with fewer rows than the loops compute together take a layer's inputs ahead: each weight is read less often."""


class NativeConvolutions:
    """The convolutions of one model; the interface of `NumpyConvolutions`.

    Args:
        precision: "float32" or "bfloat16".
        config: the character CNN's options.
        get: gives its arrays by their names.
        padding_id: the id that fills a word's row to its end.
    """

    def __init__(self, precision: str, config: CharCNNConfig, get: Callable[[str], Array], padding_id: int) -> None:
        self.config, self.padding_id = config, padding_id
        self.convolve = function("convolve", precision)
        table = get("embedding.weight")
        self._pad = (0, table.shape[1] % 2 if precision == "bfloat16" else 0)  # a character is a whole number of units
        table = np.pad(table, ((0, 0), self._pad))
        self._table = table
        if precision == "bfloat16":
            units = up(table.shape[1], TERMS) // 2
            rounded = round_rows(np.ascontiguousarray(table), np.empty((len(table), units), np.float32))
            self._table = np.ascontiguousarray(rounded[:, : table.shape[1] // 2])
        self._each = [self._convolution(get, i, precision, table) for i in range(len(config.filters))]

    def _convolution(
        self, get: Callable[[str], Array], i: int, precision: str, table: Array
    ) -> tuple[Array, Array, Array]:
        """Packed weight, what a window of padding gives, bias."""
        weight = np.pad(get(f"convolutions.{i}.weight"), ((0, 0), self._pad, (0, 0)))  # (n, E, width)
        matrix = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        product = NativeProduct(matrix, precision)
        padding = np.tile(table[self.padding_id], (1, weight.shape[2]))
        of_padding = product(padding, np.empty((1, product.n_outputs), np.float32))[0]
        return pack(matrix, precision), of_padding, np.ascontiguousarray(get(f"convolutions.{i}.bias"))

    def run(self, ids: NDArray[np.integer], out: Array, buffers: Buffers) -> None:
        """Compute the features of words; see `NumpyConvolutions.run`.

        Args:
            ids: rows of character ids; fastest where neighbours have one length. Shape (D, C).
            out: takes the features. Shape (D, F).
            buffers: memory to compute in.
        """
        if not len(ids):
            return
        D, C, units = len(ids), self.config.max_characters, self._table.shape[1]
        if ids.shape != (D, C) or out.shape != (D, self.config.n_filters) or out.dtype != np.float32:
            raise ValueError(
                f"the convolutions were given ids of shape {ids.shape} and an array of shape {out.shape} and dtype"
                f" {out.dtype}; expected {(D, C)} and float32 of shape {(D, self.config.n_filters)}."
            )
        lengths = (ids != self.padding_id).sum(axis=1, dtype=np.int64)
        widest = max(width for width, _ in self.config.filters)
        n_read = min(C, int(lengths.max()) - 1 + widest)
        characters = buffers.get("characters", D, n_read, units)
        np.take(self._table, ids[:, :n_read], axis=0, out=characters, mode="clip")
        column = 0
        for (width, n), (weight, of_padding, bias) in zip(self.config.filters, self._each, strict=True):
            task = Convolution(
                *(D, address(lengths, D, dtype=np.int64), C, n_read, units, width, n),
                *(address(characters, D, n_read, units), address(weight, *weight.shape)),
                *(address(of_padding, n), address(bias, n)),
                *(int(self.config.activation == "relu"), out.strides[0] // 4, out[:, column:].ctypes.data),
            )
            self.convolve(ctypes.byref(task))
            column += n


class NativeHighway:
    """One highway layer; the interface of `NumpyHighway`.

    Args:
        precision: "float32" or "bfloat16".
        get: gives the character CNN's arrays by their names.
        k: which layer.
    """

    least_rows = MULTIPLE

    def __init__(self, precision: str, get: Callable[[str], Array], k: int) -> None:
        self.precision, self.k = precision, k
        self.pass_highway = function("highway", precision)
        weight, bias = highway_weights(get, k)
        F = len(weight)
        n_terms = up(F, TERMS) if precision == "bfloat16" else F
        self.weight = pack(_side_by_side(weight, F), precision, n_terms=n_terms)
        self.bias = _side_by_side(bias, F)

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Pass features through the layer; see `NumpyHighway.run`.

        Args:
            x: Shape (D, F).
            buffers: memory to compute in.

        Returns:
            the features after it, in other memory.
        """
        n_units, rounded = self.weight.shape[1], x
        if self.precision == "bfloat16":
            rounded = round_rows(x, buffers.get("rounded", len(x), n_units))
        out = buffers.get(f"highway {self.k}", *x.shape)
        (D, F), weight, bias = x.shape, self.weight, self.bias
        arrays = address(rounded, D, n_units), address(weight, *weight.shape), address(bias, *bias.shape)
        self.pass_highway(ctypes.byref(Highway(D, F, n_units, *arrays, address(x, D, F), address(out, D, F))))
        return out


def _side_by_side(both: Array, F: int) -> Array:
    """Transform and gate of half a panel's features side by side, padded. Shape (..., 2F) → (..., columns · panels)."""
    half = 2 * lanes()
    padding = [(0, 0)] * (both.ndim - 1) + [(0, up(F, half) - F)]
    halves = [np.pad(part, padding).reshape(*both.shape[:-1], -1, half) for part in (both[..., :F], both[..., F:])]
    return np.ascontiguousarray(np.concatenate(halves, axis=-1).reshape(*both.shape[:-1], -1))


@dataclass(frozen=True, eq=False)
class _Weights:
    """One layer, packed."""

    of_input: NativeProduct  # with the bias
    of_hidden: Array
    projection: Array | None
    bias: Array


@dataclass(frozen=True, eq=False)
class _Reading:
    """One layer's arrays while it reads a batch."""

    weights: _Weights
    batch: Batch
    hidden: Array  # (B, units)
    cells: Array  # (B, cells + GAP)
    out: Array  # (N, P)
    buffers: Buffers


class NativeTower:
    """The LSTM layers of one direction; the interface of `elmokit.runtime.backends.numpy.Tower`.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        precision: "float32" or "bfloat16".
        direction: "forward" or "backward".
    """

    def __init__(self, config: ElmoConfig, tensors: Mapping[str, Array], precision: str, direction: str) -> None:
        self.config, self.precision = config.bilstm, precision
        self.width, self.n_cells = config.projection_width, up(config.bilstm.cell_width, TERMS)
        self.n_units = up(self.width, TERMS) // (2 if precision == "bfloat16" else 1)
        self.read = function("read", precision)
        self.layers = [self._pack(tensors, k, f"{direction}_layers.{k}.") for k in range(config.bilstm.n_layers)]

    def _pack(self, tensors: Mapping[str, Array], k: int, prefix: str) -> _Weights:
        C, P, cells, width = self.config.cell_width, self.width, self.n_cells, lanes()

        def gates(name: str) -> Array:
            """Gates of a register's cells side by side, sigmoid gates halved. Shape (..., 4 · cells)."""
            array = np.asarray(tensors[prefix + name], np.float32).T
            i, f, g, o = (array[..., k * C : (k + 1) * C] for k in range(4))
            out = np.zeros((*array.shape[:-1], cells // width, 4, width), np.float32)
            for k, gate in enumerate((i / 2, f / 2, o / 2, g)):
                padding = [(0, 0)] * (gate.ndim - 1) + [(0, cells - C)]
                out[..., k, :] = np.pad(gate, padding).reshape(*gate.shape[:-1], cells // width, width)
            return out.reshape(*array.shape[:-1], 4 * cells)

        projection = None
        if self.config.projection:
            weight = np.asarray(tensors[prefix + "weight_hr"], np.float32).T
            projection = pack(weight, self.precision, n_terms=cells)
        bias, n_terms = gates("bias"), up(P, TERMS)
        return _Weights(
            NativeProduct(gates("weight_ih"), self.precision, bias, n_terms=n_terms if k > 0 else None),
            pack(gates("weight_hh"), self.precision, n_terms=n_terms),
            projection,
            bias,
        )

    def run(
        self, batch: Batch, numbers: NDArray[np.intp], tokens: Array, hidden: Array, cell: Array, buffers: Buffers
    ) -> tuple[list[Array], Array, Array]:
        """Read a batch; see `elmokit.runtime.backends.numpy.Tower.run`.

        Args:
            batch: its layout.
            numbers: this direction's word numbers, step by step. Shape (N,).
            tokens: token vectors by word number. Shape (D, P).
            hidden: where each row starts. Shape (LSTM layers, B, P).
            cell: likewise. Shape (LSTM layers, B, C).
            buffers: memory to compute in; the outputs lie there too.

        Returns:
            the outputs of each layer, step by step, (N, P), and the rows' final hidden and cell states.

        Raises:
            ValueError: arrays whose shapes do not fit the batch or the model.
        """
        N, B, C = len(numbers), len(batch.rows), self.config.cell_width
        self._check(batch, numbers, tokens, hidden, cell)
        last = batch.starts[batch.lengths - 1] + np.arange(B)
        outputs: list[Array] = []
        hiddens, cells = np.empty_like(hidden), np.empty_like(cell)
        h = buffers.get("hidden", B, self.n_units)
        c = buffers.get("cell", B, self.n_cells + GAP)
        for k, weights in enumerate(self.layers):
            self._units(np.ascontiguousarray(hidden[k], np.float32), h)
            c[:, :C], c[:, C:] = cell[k], 0
            out = buffers.get(f"outputs {k}", N, self.width)
            reading = _Reading(weights, batch, h, c, out, buffers)
            if k == 0:
                self._read_words(reading, numbers, tokens)
            else:
                self._read_layer(reading, self._units(outputs[-1], buffers.get("inputs", N, self.n_units)))
            hiddens[k], cells[k] = out[last], c[:, :C]
            if k > 0 and self.config.skip_connections:
                out += outputs[-1]
            outputs.append(out)
        return outputs, hiddens, cells

    def _check(self, batch: Batch, numbers: Array, tokens: Array, hidden: Array, cell: Array) -> None:
        """The compiled loop trusts its sizes, so none may be wrong."""
        N, B, n = len(numbers), len(batch.rows), len(self.layers)
        for what, array, expected in (
            ("token vectors", tokens, (len(tokens), self.width)),
            ("hidden states", hidden, (n, B, self.width)),
            ("cells", cell, (n, B, self.config.cell_width)),
        ):
            if array.shape != expected:
                raise ValueError(f"{what} have shape {array.shape}; expected {expected}.")
        counts, starts = batch.counts, batch.starts
        steps_fit = len(starts) == len(counts) + 1 and starts[0] == 0 and (np.diff(starts) == counts).all()
        rows_fit = len(counts) and counts[0] <= B and (np.diff(counts) <= 0).all() and counts[-1] > 0
        if not (steps_fit and rows_fit) or starts[-1] != N or not 0 <= numbers.min() <= numbers.max() < len(tokens):
            raise ValueError(f"the batch's steps do not fit its {B} rows, {N} words and {len(tokens)} token vectors.")

    def _units(self, x: Array, out: Array) -> Array:
        """Rows as the loop reads them: padded, rounded."""
        if self.precision == "bfloat16":
            return round_rows(x, out)
        out[:, : self.width], out[:, self.width :] = x, 0
        return out

    def _read_words(self, reading: _Reading, numbers: NDArray[np.intp], tokens: Array) -> None:
        """The first layer: each distinct word of a block of steps is multiplied once."""
        batch, n_gates = reading.batch, 4 * self.n_cells
        for first, end in step_blocks(batch.starts, max(len(batch.rows), BLOCK_BYTES // (4 * n_gates))):
            distinct, places = np.unique(numbers[batch.starts[first] : batch.starts[end]], return_inverse=True)
            table = reading.buffers.get("word products", len(distinct), n_gates)
            reading.weights.of_input(np.ascontiguousarray(tokens[distinct], np.float32), table)
            self._call(reading, first, end, ahead=table, numbers=places)

    def _read_layer(self, reading: _Reading, below: Array) -> None:
        """A later layer: inputs are multiplied in the loop, or ahead where a step has few rows; same bits."""
        batch, n_gates = reading.batch, 4 * self.n_cells
        n_in_loop = 0
        if self.n_units <= MAX_UNITS:
            n_in_loop = int(np.searchsorted(-batch.counts, -FEW_ROWS, side="right"))  # steps with FEW_ROWS and more
        if n_in_loop:
            self._call(reading, 0, n_in_loop, inputs=below)
        max_rows = max(len(batch.rows), BLOCK_BYTES // (4 * n_gates))
        for first, end in step_blocks(batch.starts[n_in_loop:], max_rows):
            first, end = first + n_in_loop, end + n_in_loop
            start, stop = batch.starts[first], batch.starts[end]
            table = reading.buffers.get("word products", int(stop - start), n_gates)
            reading.weights.of_input.multiply_units(below[start:stop], table)
            self._call(reading, first, end, ahead=table, numbers=np.arange(stop - start))

    def _call(
        self,
        reading: _Reading,
        first: int,
        end: int,
        *,
        ahead: Array | None = None,
        inputs: Array | None = None,
        numbers: Array | None = None,
    ) -> None:
        """Read the steps from `first` to `end`, from products taken ahead or from inputs."""
        weights, batch, config = reading.weights, reading.batch, self.config
        B, P, cells, units = len(batch.rows), self.width, self.n_cells, self.n_units
        start, stop = batch.starts[first], batch.starts[end]
        n, n_rows = end - first, int(stop - start)
        counts, starts = (np.ascontiguousarray(a[first:end], np.int64) for a in (batch.counts, batch.starts - start))
        memory = reading.buffers.get("memory", B, cells + GAP)
        numbers = None if numbers is None else np.ascontiguousarray(numbers, np.int64)
        bounds = config.cell_clip, config.projection_clip if config.projection else None
        of_input, of_hidden, projection = weights.of_input.weight, weights.of_hidden, weights.projection
        layer = Layer(
            *(n, address(counts, n, dtype=np.int64), address(starts, n, dtype=np.int64)),
            *(0 if inputs is None else units, units, cells, P),
            address(None if inputs is None else inputs[start:stop], n_rows, units),
            None if inputs is None else address(of_input, *of_input.shape),
            address(of_hidden, *of_hidden.shape),
            None if projection is None else address(projection, *projection.shape),
            address(weights.bias, 4 * cells) if ahead is None else address(ahead, *ahead.shape),
            address(numbers, n_rows, dtype=np.int64),
            *(float("inf") if bound is None else bound for bound in bounds),
            *(address(reading.hidden, B, units), address(reading.cells, B, cells + GAP)),
            *(address(memory, B, cells + GAP), address(reading.out[start:stop], n_rows, P)),
        )
        self.read(ctypes.byref(layer))


def native_backend(config: ElmoConfig, tensors: Mapping[str, Array], precision: str = "float32") -> CpuBackend:
    """A backend that computes with the compiled loops; results are float32.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        precision: "float32" or "bfloat16".

    Raises:
        ConfigError: the loops are not there, or the processor can't run them in this precision.
    """
    parts = Parts(
        partial(NativeProduct, precision=precision),
        partial(NativeConvolutions, precision),
        partial(NativeHighway, precision),
    )
    towers = [NativeTower(config, tensors, precision, direction) for direction in ("forward", "backward")]
    return CpuBackend(char_cnn_of(config, tensors, "float32", parts), towers, "float32")
