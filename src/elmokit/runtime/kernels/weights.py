"""Weights as the compiled loops read them, and the product that reads them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.runtime.batches import MULTIPLE, Buffers, aligned
from elmokit.runtime.kernels import address, chosen, function

Array = NDArray[Any]

TERMS = 16  # terms of rows and numbers of cells are padded to a multiple of this, for every instruction set


def up(n: int, multiple: int) -> int:
    """The next multiple."""
    return -(-n // multiple) * multiple


def lanes() -> int:
    """Floats in a register of the instruction set at work."""
    at_work = chosen()
    return 4 if at_work is None else at_work.lanes


def to_bfloat16(x: Array) -> NDArray[np.uint16]:
    """The upper halves of float32 numbers, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded


def pack(weight: Array, precision: str, n_terms: int = 0) -> Array:
    """A weight (K, N) in panels of four registers' columns, (panels, four-byte units, columns); `n_terms` pads K."""
    (K, N), columns, per_unit = weight.shape, 4 * lanes(), 2 if precision == "bfloat16" else 1
    terms = up(max(K, n_terms), per_unit)
    padded = np.zeros((terms, up(N, columns)), np.float32)
    padded[:K, :N] = weight
    panels = aligned(terms // per_unit * padded.shape[1], np.float32).reshape(-1, terms // per_unit, columns)
    if precision == "float32":
        panels[:] = padded.reshape(terms, -1, columns).transpose(1, 0, 2)
    else:
        pairs = to_bfloat16(padded).reshape(terms // 2, 2, -1, columns).transpose(2, 0, 3, 1)
        panels.view(np.uint16).reshape(pairs.shape)[:] = pairs
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
            *(address(self.weight, *self.weight.shape), None, ctypes.c_int64(n_outputs)),
            address(out, n, n_outputs),
        )
        return out
