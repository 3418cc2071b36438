"""The same plan with compiled loops: float32 and bfloat16 on processors with AVX-512, without PyTorch.

NumPy leaves half of the machine unused where a model is small: between two products of a step, every gate goes to
memory and back a dozen times, and two threads wait for each other's interpreter. `kernels/bilm.c` computes gates while
they are in registers and takes words through a convolution without building their windows. Where it can't run
(`kernels/__init__.py` says where), `choice` takes NumPy or PyTorch.

Promised: the same bits for a text alone and in any batch, in both precisions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.char_cnn import Parts, highway_weights
from elmokit.runtime.kernels import (
    COLUMNS,
    GAP,
    LANES,
    Convolution,
    Highway,
    Layer,
    NativeProduct,
    address,
    function,
    native_precisions,
    pack,
    round_rows,
    up,
)
from elmokit.runtime.lstm import BLOCK_BYTES
from elmokit.runtime.numpy import NumpyRuntime
from elmokit.runtime.plan import Batch, step_blocks
from elmokit.runtime.rows import MULTIPLE, Buffers
from elmokit.runtime.word_cache import CACHE_WORDS

Array = NDArray[Any]


class NativeConvolutions:
    """The convolutions of one model; the interface of `elmokit.runtime.char_cnn.Convolutions`.

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
            units = up(table.shape[1], LANES) // 2
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
        """Compute the features of words; see `elmokit.runtime.char_cnn.Convolutions.run`.

        Args:
            ids: rows of character ids; fastest where neighbours have one length. Shape (D, C).
            out: takes the features. Shape (D, F).
            buffers: memory to compute in.
        """
        if not len(ids):
            return
        lengths = (ids != self.padding_id).sum(axis=1, dtype=np.int64)
        C, units = self.config.max_characters, self._table.shape[1]
        widest = max(width for width, _ in self.config.filters)
        n_read = min(C, int(lengths.max()) - 1 + widest)
        characters = buffers.get("characters", len(ids), n_read, units)
        np.take(self._table, ids[:, :n_read], axis=0, out=characters, mode="clip")
        column = 0
        for (width, n), (weight, of_padding, bias) in zip(self.config.filters, self._each, strict=True):
            task = Convolution(
                *(len(ids), address(lengths), C, n_read, units, width, n),
                *(address(characters), address(weight), address(of_padding), address(bias)),
                *(int(self.config.activation == "relu"), out.shape[1], out[:, column:].ctypes.data),
            )
            self.convolve(ctypes.byref(task))
            column += n


class NativeHighway:
    """One highway layer; the interface of `elmokit.runtime.char_cnn.Highway`.

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
        n_terms = up(F, LANES) if precision == "bfloat16" else F
        self.weight = pack(_side_by_side(weight, F), precision, n_terms=n_terms)
        self.bias = _side_by_side(bias, F)

    def run(self, x: Array, buffers: Buffers) -> Array:
        """Pass features through the layer; see `elmokit.runtime.char_cnn.Highway.run`.

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
        arrays = (address(array) for array in (rounded, self.weight, self.bias, x, out))
        self.pass_highway(ctypes.byref(Highway(*x.shape, n_units, *arrays)))
        return out


def _side_by_side(both: Array, F: int) -> Array:
    """Transform and gate of 32 features side by side, padded. Shape (..., 2F) → (..., 64 · panels)."""
    half = COLUMNS // 2
    padding = [(0, 0)] * (both.ndim - 1) + [(0, up(F, half) - F)]
    halves = [np.pad(part, padding).reshape(*both.shape[:-1], -1, half) for part in (both[..., :F], both[..., F:])]
    return np.ascontiguousarray(np.concatenate(halves, axis=-1).reshape(*both.shape[:-1], -1))


@dataclass(frozen=True, eq=False)
class _Weights:
    """One layer, packed: inputs that are words are multiplied ahead, inputs from a layer below in the loop."""

    of_words: NativeProduct | None
    of_input: Array | None
    of_hidden: Array
    projection: Array
    bias: Array


class NativeTower:
    """The LSTM layers of one direction; the interface of `elmokit.runtime.lstm.Tower`.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        precision: "float32" or "bfloat16".
        direction: "forward" or "backward".
    """

    def __init__(self, config: ElmoConfig, tensors: Mapping[str, Array], precision: str, direction: str) -> None:
        self.config, self.precision = config.bilstm, precision
        self.width, self.n_cells = config.projection_width, up(config.bilstm.cell_width, LANES)
        self.n_units = up(self.width, LANES) // (2 if precision == "bfloat16" else 1)
        self.read = function("read", precision)
        self.layers = [self._pack(tensors, k, f"{direction}_layers.{k}.") for k in range(config.bilstm.n_layers)]

    def _pack(self, tensors: Mapping[str, Array], k: int, prefix: str) -> _Weights:
        C, P, cells = self.config.cell_width, self.width, self.n_cells

        def gates(name: str) -> Array:
            """Gates of 16 cells side by side, sigmoid gates halved. Shape (..., 4 · cells)."""
            array = np.asarray(tensors[prefix + name], np.float32).T
            i, f, g, o = (array[..., k * C : (k + 1) * C] for k in range(4))
            out = np.zeros((*array.shape[:-1], cells // LANES, 4, LANES), np.float32)
            for k, gate in enumerate((i / 2, f / 2, o / 2, g)):
                padding = [(0, 0)] * (gate.ndim - 1) + [(0, cells - C)]
                out[..., k, :] = np.pad(gate, padding).reshape(*gate.shape[:-1], cells // LANES, LANES)
            return out.reshape(*array.shape[:-1], 4 * cells)

        if self.config.projection:
            projection = np.asarray(tensors[prefix + "weight_hr"], np.float32).T
        else:
            projection = np.eye(C, P, dtype=np.float32)
        n_terms = up(P, LANES)
        return _Weights(
            NativeProduct(gates("weight_ih"), self.precision, gates("bias")) if k == 0 else None,
            pack(gates("weight_ih"), self.precision, n_terms=n_terms) if k > 0 else None,
            pack(gates("weight_hh"), self.precision, n_terms=n_terms),
            pack(projection, self.precision, n_terms=cells),
            gates("bias"),
        )

    def run(
        self, batch: Batch, numbers: NDArray[np.intp], tokens: Array, hidden: Array, cell: Array, buffers: Buffers
    ) -> tuple[list[Array], Array, Array]:
        """Read a batch; see `elmokit.runtime.lstm.Tower.run`.

        Args:
            batch: its layout.
            numbers: this direction's word numbers, step by step. Shape (N,).
            tokens: token vectors by word number. Shape (D, P).
            hidden: where each row starts. Shape (LSTM layers, B, P).
            cell: likewise. Shape (LSTM layers, B, C).
            buffers: memory to compute in; the outputs lie there too.

        Returns:
            the outputs of each layer, step by step, (N, P), and the rows' final hidden and cell states.
        """
        N, B, C = len(numbers), len(batch.rows), self.config.cell_width
        last = batch.starts[batch.lengths - 1] + np.arange(B)
        outputs: list[Array] = []
        hiddens, cells = np.empty_like(hidden), np.empty_like(cell)
        h = buffers.get("hidden", B, self.n_units)
        c = buffers.get("cell", B, self.n_cells + GAP)
        for k, weights in enumerate(self.layers):
            self._units(np.ascontiguousarray(hidden[k]), h)
            c[:, :C], c[:, C:] = cell[k], 0
            out = buffers.get(f"outputs {k}", N, self.width)
            if k == 0:
                self._read_words(weights, batch, numbers, tokens, h, c, out, buffers)
            else:
                below = self._units(outputs[-1], buffers.get("inputs", N, self.n_units))
                self._call(weights, batch, 0, len(batch.counts), h, c, out, buffers, weights.bias, inputs=below)
            hiddens[k], cells[k] = out[last], c[:, :C]
            if k > 0 and self.config.skip_connections:
                out += outputs[-1]
            outputs.append(out)
        return outputs, hiddens, cells

    def _units(self, x: Array, out: Array) -> Array:
        """Rows as the loop reads them: padded, rounded."""
        if self.precision == "bfloat16":
            return round_rows(x, out)
        out[:, : self.width], out[:, self.width :] = x, 0
        return out

    def _read_words(
        self,
        weights: _Weights,
        batch: Batch,
        numbers: NDArray[np.intp],
        tokens: Array,
        h: Array,
        c: Array,
        out: Array,
        buffers: Buffers,
    ) -> None:
        """The first layer: each distinct word of a block of steps is multiplied once."""
        n_gates = len(weights.bias)
        for first, end in step_blocks(batch.starts, max(len(batch.rows), BLOCK_BYTES // (4 * n_gates))):
            start = batch.starts[first]
            distinct, places = np.unique(numbers[start : batch.starts[end]], return_inverse=True)
            table = buffers.get("word products", len(distinct), n_gates)
            assert weights.of_words is not None
            weights.of_words(tokens[distinct], table)
            self._call(weights, batch, first, end, h, c, out, buffers, table, numbers=places)

    def _call(
        self,
        weights: _Weights,
        batch: Batch,
        first: int,
        end: int,
        h: Array,
        c: Array,
        out: Array,
        buffers: Buffers,
        ahead: Array,
        *,
        inputs: Array | None = None,
        numbers: Array | None = None,
    ) -> None:
        start = batch.starts[first]
        counts = np.ascontiguousarray(batch.counts[first:end], np.int64)
        starts = np.ascontiguousarray(batch.starts[first:end] - start, np.int64)
        memory = buffers.get("memory", len(h), self.n_cells + GAP)
        if numbers is not None:
            numbers = np.ascontiguousarray(numbers, np.int64)
        bounds = (self.config.cell_clip, self.config.projection_clip)
        clips = [float("inf") if bound is None else bound for bound in bounds]
        layer = Layer(
            len(counts),
            counts.ctypes.data,
            starts.ctypes.data,
            0 if inputs is None else self.n_units,
            self.n_units,
            self.n_cells,
            self.width,
            None if inputs is None else inputs.ctypes.data,
            None if weights.of_input is None else weights.of_input.ctypes.data,
            weights.of_hidden.ctypes.data,
            weights.projection.ctypes.data,
            ahead.ctypes.data,
            None if numbers is None else numbers.ctypes.data,
            clips[0],
            clips[1] if self.config.projection else float("inf"),
            h.ctypes.data,
            c.ctypes.data,
            memory.ctypes.data,
            out[start:].ctypes.data,
        )
        self.read(ctypes.byref(layer))


class NativeRuntime(NumpyRuntime):
    """A biLM that computes layers with the compiled loops; the interface of `NumpyRuntime`.

    Args:
        config: what it is made of.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        words: the vocabulary of a model without characters; a word's place is its id.
        precision: "float32" or "bfloat16". Results are float32.
        n_threads: threads to compute on; None for one per core.
        batch_words: words that are read together; bounds the memory, changes no result.
        cache_words: words whose token vectors are kept between calls.

    Raises:
        ConfigError: the loops are not there, or the processor can't run them in this precision.
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        *,
        words: Sequence[str] | None = None,
        precision: str = "float32",
        n_threads: int | None = None,
        batch_words: int = 4096,
        cache_words: int = CACHE_WORDS,
    ) -> None:
        if precision not in native_precisions():
            raise ConfigError(
                f"the compiled loops don't run in {precision!r} here (they do in: {native_precisions() or 'none'}); "
                "take `NumpyRuntime` for float32, or the extra `torch` for bfloat16."
            )
        super().__init__(
            config,
            tensors,
            words=words,
            n_threads=n_threads,
            batch_words=batch_words,
            cache_words=cache_words,
            parts=Parts(
                partial(NativeProduct, precision=precision),
                partial(NativeConvolutions, precision),
                partial(NativeHighway, precision),
            ),
            make_tower=partial(NativeTower, config, tensors, precision),
        )
