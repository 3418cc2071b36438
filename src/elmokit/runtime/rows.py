"""Matrix products whose rows do not depend on how many other rows there are.

OpenBLAS takes other code for one row (a matrix-vector product) and for very small products; both add the terms in
another order, so a sentence alone would differ in the last bits from the same sentence in a batch. Products of
at least `MULTIPLE` rows, in multiples of it, give each row the same bits, whatever stands in the other rows
(measured on its kernels for AVX2 and AVX-512; tests/laws/test_runtime_numpy.py). So rows are padded to that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MULTIPLE = 8
"""Rows of every product are a multiple of this."""

Array = NDArray[Any]


def padded(n: int) -> int:
    """The next multiple of `MULTIPLE`.

    Example:
        >>> padded(1), padded(8), padded(9)
        (8, 8, 16)
    """
    return -(-n // MULTIPLE) * MULTIPLE


def product(x: Array, weight: Array) -> Array:
    """`x @ weight` by a product of padded rows.

    Args:
        x: Shape (n, K).
        weight: Shape (K, N).

    Returns:
        the product. Shape (n, N); a view of an array of padded rows.
    """
    rows = np.zeros((padded(len(x)), x.shape[1]), weight.dtype)
    rows[: len(x)] = x
    result: Array = np.matmul(rows, weight)[: len(x)]
    return result


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
            self._arrays[name] = array = np.zeros(size, self.dtype)
        return array[:size].reshape(shape)
