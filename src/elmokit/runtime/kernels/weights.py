"""Weights as the compiled loops read them, and the product that reads them."""

from __future__ import annotations

import ctypes
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.runtime.batches import MULTIPLE, Buffers, aligned
from elmokit.runtime.kernels.library import address, chosen, function

Array = NDArray[Any]

MAX_UNITS = 512
"""Units of a row that one sum may run over, as in `products.h`; longer sums are added up from several."""

TERMS = 16
"""Terms of rounded rows and numbers of cells are padded to a multiple of this, for every instruction set."""


def up(n: int, multiple: int) -> int:
    """The next multiple.

    Example:
        >>> up(17, 16)
        32
    """
    return -(-n // multiple) * multiple


def lanes() -> int:
    """Floats in a register of the instruction set at work."""
    at_work = chosen()
    return 4 if at_work is None else at_work.lanes


def to_bfloat16(x: Array) -> NDArray[np.uint16]:
    """The upper halves of float32 numbers, rounded to the nearest, ties to even.

    Example:
        >>> [hex(bits) for bits in to_bfloat16(np.array([1.0, 1.00390625, 1.01171875], np.float32))]
        ['0x3f80', '0x3f80', '0x3f82']
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded


def pack(weight: Array, precision: str, *, n_terms: int | None = None) -> Array:
    """A weight in panels of four registers' columns, in units of four bytes (see `products.h`).

    Args:
        weight: Shape (K, N).
        precision: "float32" or "bfloat16".
        n_terms: K with padding, at least; for bfloat16 it is padded to an even number anyway.

    Returns:
        the panels. Shape (panels, units, columns), of float32 (in bfloat16: two numbers in each).

    Example:
        >>> pack(np.ones((3, 4 * lanes())), "float32").shape[:2]
        (1, 3)
    """
    (K, N), columns = weight.shape, 4 * lanes()
    per_unit = 2 if precision == "bfloat16" else 1
    terms = up(max(K, n_terms or 0), per_unit)
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
    """Rows of float32 as rows of units in bfloat16.

    Args:
        x: Shape (n, K).
        out: takes them. Shape (n, units), a multiple of 8 units.

    Returns:
        `out`.

    Raises:
        ValueError: shapes that do not fit.
    """
    n, K = x.shape
    if out.shape[1] % 8 or 2 * out.shape[1] < K:
        raise ValueError(f"{K} numbers do not fit into rows of {out.shape[1]} units, a multiple of 8.")
    sizes = ctypes.c_int64(n), ctypes.c_int64(K)
    rounded = address(out, n, out.shape[1])
    function("round", "bfloat16")(address(x, n, K), *sizes, rounded, ctypes.c_int64(out.shape[1]))
    return out


class NativeProduct:
    """Multiplication by a weight with the compiled loop; a `Product`.

    Args:
        weight: Shape (K, N).
        precision: "float32" or "bfloat16" (of weight and input; sums are float32).
        bias: is added to every row. Shape (N,); None for none.
        n_terms: K with padding, for `multiply_units`.

    Example:
        >>> from elmokit.runtime.kernels import native_precisions
        >>> if "float32" in native_precisions():
        ...     product = NativeProduct(np.eye(3, 5, dtype=np.float32), "float32")
        ...     assert product(np.ones((2, 3), np.float32), np.empty((2, 5), np.float32))[1].tolist() == [1, 1, 1, 0, 0]
    """

    least_rows = MULTIPLE

    def __init__(self, weight: Array, precision: str, bias: Array | None = None, *, n_terms: int | None = None) -> None:
        self.bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        self.precision, self.n_inputs, self.n_outputs = precision, int(weight.shape[0]), int(weight.shape[1])
        if precision == "bfloat16":
            n_terms = up(self.n_inputs, TERMS)
        self.weight = pack(weight, precision, n_terms=n_terms)
        self.multiply = function("product", precision)
        self._rounded = local()

    @property
    def n_units(self) -> int:
        """Units in a row of its input."""
        return int(self.weight.shape[1])

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        if self.precision == "bfloat16":
            buffers = self._rounded.__dict__.setdefault("buffers", Buffers(np.float32))
            x = round_rows(x, buffers.get("rounded", len(x), self.n_units))
        return self.multiply_units(x, out)

    def multiply_units(self, x: Array, out: Array) -> Array:
        """The same for rows that are padded and rounded already, (n, units) → (n, N)."""
        n = len(x)
        self.multiply(
            address(x, n, self.n_units),
            ctypes.c_int64(n),
            ctypes.c_int64(self.n_units),
            address(self.weight, *self.weight.shape),
            address(self.bias, self.n_outputs),
            ctypes.c_int64(self.n_outputs),
            address(out, n, self.n_outputs),
        )
        return out
