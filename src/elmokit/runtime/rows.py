"""Matrix products whose rows do not depend on how many other rows there are.

OpenBLAS takes other code for one row (a matrix-vector product) and for small products (n·K·N up to 100³); both
may add terms in another order, so a sentence alone would differ in its last bits from the same sentence in a batch.
So rows are padded until that code is out of reach. What this promises, measured over shapes of all published sizes:

- OpenBLAS on AVX-512: a row's result is the same bits, whatever stands in the other rows and however many they are.
- OpenBLAS on AVX2: float32 products add in an order that depends on a row's place among twelve: equal to rounding
  (1e-6 relative), as with any other BLAS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

MULTIPLE = 8
"""Rows of every product are a multiple of this."""

_SMALL_PRODUCT = 100**3
_FEW_TERMS = 128  # so many terms are added in one order by all code

Array = NDArray[Any]


def padded(n: int, least: int = MULTIPLE) -> int:
    """Rows to compute for n rows: the next multiple of `MULTIPLE`, and `least` at least.

    Example:
        >>> padded(1), padded(8), padded(9), padded(9, least=24)
        (8, 8, 16, 24)
    """
    return max(least, -(-n // MULTIPLE) * MULTIPLE)


def least_rows(*weights: Array | None) -> int:
    """Rows that products with these weights need at least, not to be small ones.

    Args:
        weights: arrays of shape (K, N); None are passed over.

    Returns:
        a multiple of `MULTIPLE`.

    Example:
        >>> least_rows(np.zeros((512, 16384))), least_rows(np.zeros((300, 50)))
        (8, 72)
    """
    sizes = [w.size for w in weights if w is not None and w.shape[0] > _FEW_TERMS]
    return padded(_SMALL_PRODUCT // min(sizes) + 1) if sizes else MULTIPLE


class Product(Protocol):
    """Multiplication by one weight, prepared once: what differs between precisions.

    Attributes:
        n_outputs: N.
        least_rows: rows that a call must have at least; their number is a multiple of `MULTIPLE`.
    """

    n_outputs: int
    least_rows: int

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        ...


MakeProduct = Callable[[Array], Product]


class MatrixProduct:
    """Multiplication by a weight with NumPy, in the weight's own precision.

    Args:
        weight: Shape (K, N).

    Example:
        >>> MatrixProduct(np.ones((2, 3)))(np.ones((8, 2)), np.empty((8, 3)))[0]
        array([2., 2., 2.])
    """

    def __init__(self, weight: Array) -> None:
        self.weight = np.ascontiguousarray(weight)
        self.n_outputs = int(weight.shape[1])
        self.least_rows = least_rows(weight)

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        return np.matmul(x, self.weight, out=out)


def product(x: Array, weight: Array) -> Array:
    """`x @ weight` by a product of padded rows.

    Args:
        x: Shape (n, K).
        weight: Shape (K, N).

    Returns:
        the product. Shape (n, N); a view of an array of padded rows.
    """
    rows = np.zeros((padded(len(x), least_rows(weight)), x.shape[1]), weight.dtype)
    rows[: len(x)] = x
    result: Array = np.matmul(rows, weight)[: len(x)]
    return result


def aligned(size: int, dtype: DTypeLike) -> Array:
    """Zeros that begin where a cache line begins, so that no load of a whole register touches two.

    Args:
        size: numbers.
        dtype: of them.

    Example:
        >>> aligned(100, "float32").ctypes.data % 64
        0
    """
    n_bytes = size * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + n_bytes].view(dtype)


class Buffers:
    """Arrays that are allocated once and handed out again, grown when a larger one is asked for.

    Fresh memory costs more than the arithmetic done in it: the system clears every page first.

    Args:
        dtype: of all arrays.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}

    def get(self, name: str, *shape: int) -> Array:
        """An array with undefined but finite contents.

        Args:
            name: what it is for; the same name gives the same memory.
            shape: of the array.

        Returns:
            the array, contiguous.
        """
        size = int(np.prod(shape))
        array = self._arrays.get(name)
        if array is None or array.size < size:
            self._arrays[name] = array = aligned(size, self.dtype)
        return array[:size].reshape(shape)


class BufferPool:
    """Buffers for as many tasks as run at a time.

    Args:
        dtype: of all arrays.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = dtype
        self._free: list[Buffers] = []  # append and pop need no lock, which a fork could leave held

    @contextmanager
    def borrowed(self) -> Iterator[Buffers]:
        """Buffers for one task, given back after the block."""
        try:
            buffers = self._free.pop()
        except IndexError:
            buffers = Buffers(self.dtype)
        yield buffers
        self._free.append(buffers)
