"""The compiled loops, as Python sees them: what is there, how weights are packed, one function each.

`bilm.c` is compiled when a wheel is built (`hatch_build.py`). It is loaded with ctypes: no headers of Python, one file
for all its versions, and the interpreter's lock is free while it runs. Nothing is there without a compiler at that
time, on another system than Linux on x86-64, without AVX-512, or with ELMOKIT_NATIVE=0: `native_precisions` tells.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.runtime.processor import processor_flags
from elmokit.runtime.rows import MULTIPLE, Buffers, aligned

Array = NDArray[Any]

LIBRARY = Path(__file__).with_name("bilm.so")
LANES, COLUMNS, GAP = 16, 64, 16
"""Floats in a register, columns in a panel of weights, floats between rows of cells: as in `bilm.c`."""

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"})
_NEEDED = {"float32": _AVX512, "bfloat16": _AVX512 | {"avx512_bf16"}}
_INT, _FLOAT, _POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p


class Layer(ctypes.Structure):
    """One direction of one LSTM layer: `Layer` of `bilm.c`."""

    _fields_ = (
        ("n_steps", _INT),
        ("counts", _POINTER),
        ("starts", _POINTER),
        ("input_units", _INT),
        ("output_units", _INT),
        ("n_cells", _INT),
        ("n_outputs", _INT),
        ("inputs", _POINTER),
        ("of_input", _POINTER),
        ("of_hidden", _POINTER),
        ("projection", _POINTER),
        ("ahead", _POINTER),
        ("numbers", _POINTER),
        ("cell_clip", _FLOAT),
        ("projection_clip", _FLOAT),
        ("hidden", _POINTER),
        ("cells", _POINTER),
        ("memory", _POINTER),
        ("outputs", _POINTER),
    )


class Convolution(ctypes.Structure):
    """One convolution over words: `Convolution` of `bilm.c`."""

    _fields_ = (
        ("n_words", _INT),
        ("lengths", _POINTER),
        ("max_characters", _INT),
        ("n_read", _INT),
        ("character_units", _INT),
        ("width", _INT),
        ("n_outputs", _INT),
        ("characters", _POINTER),
        ("weight", _POINTER),
        ("of_padding", _POINTER),
        ("bias", _POINTER),
        ("relu", _INT),
        ("stride", _INT),
        ("out", _POINTER),
    )


class Highway(ctypes.Structure):
    """One highway layer over rows of features: `Highway` of `bilm.c`."""

    _fields_ = (
        ("n_rows", _INT),
        ("width", _INT),
        ("n_units", _INT),
        ("rounded", _POINTER),
        ("weight", _POINTER),
        ("bias", _POINTER),
        ("features", _POINTER),
        ("out", _POINTER),
    )


@cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get("ELMOKIT_NATIVE", "1") == "0" or not LIBRARY.exists():
        return None
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError:  # built for another system
        return None


def function(name: str, precision: str) -> Any:
    """A compiled loop.

    Args:
        name: "product", "round", "convolve", "highway" or "read".
        precision: one of `native_precisions()`.

    Returns:
        the function, for ctypes.
    """
    library = _library()
    assert library is not None
    loop = getattr(library, f"elmokit_{name}_{precision}")
    loop.restype = None
    return loop


def native_precisions() -> tuple[str, ...]:
    """The precisions in which the compiled loops run here: both, one or none.

    Example:
        >>> set(native_precisions()) <= {"float32", "bfloat16"}
        True
    """
    if _library() is None:
        return ()
    return tuple(name for name, needed in _NEEDED.items() if needed <= processor_flags())


def up(n: int, multiple: int) -> int:
    """The next multiple.

    Example:
        >>> up(17, 16)
        32
    """
    return -(-n // multiple) * multiple


def address(array: Array | None) -> ctypes.c_void_p:
    """Where an array lies; it must be contiguous and outlive the call."""
    assert array is None or array.flags.c_contiguous
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


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
    """A weight in panels of 64 columns, in units of four bytes (see `bilm.c`).

    Args:
        weight: Shape (K, N).
        precision: "float32" or "bfloat16".
        n_terms: K with padding, at least; for bfloat16 it is padded to an even number anyway.

    Returns:
        the panels. Shape (panels, units, 64), of float32 (in bfloat16: two numbers in each).

    Example:
        >>> pack(np.ones((3, 70)), "float32").shape, pack(np.ones((3, 70)), "bfloat16").shape
        ((2, 3, 64), (2, 2, 64))
    """
    K, N = weight.shape
    per_unit = 2 if precision == "bfloat16" else 1
    terms = up(max(K, n_terms or 0), per_unit)
    padded = np.zeros((terms, up(N, COLUMNS)), np.float32)
    padded[:K, :N] = weight
    panels = aligned(terms // per_unit * padded.shape[1], np.float32).reshape(-1, terms // per_unit, COLUMNS)
    if precision == "float32":
        panels[:] = padded.reshape(terms, -1, COLUMNS).transpose(1, 0, 2)
    else:
        pairs = to_bfloat16(padded).reshape(terms // 2, 2, -1, COLUMNS).transpose(2, 0, 3, 1)
        panels.view(np.uint16).reshape(pairs.shape)[:] = pairs
    return panels


def round_rows(x: Array, out: Array) -> Array:
    """Rows of float32 as rows of units in bfloat16.

    Args:
        x: Shape (n, K).
        out: takes them. Shape (n, units), a multiple of 8 units.

    Returns:
        `out`.
    """
    sizes = ctypes.c_int64(len(x)), ctypes.c_int64(x.shape[1])
    function("round", "bfloat16")(address(x), *sizes, address(out), ctypes.c_int64(out.shape[1]))
    return out


class NativeProduct:
    """Multiplication by a weight with the compiled loop; a `Product`.

    Args:
        weight: Shape (K, N).
        precision: "float32" or "bfloat16" (of weight and input; sums are float32).
        bias: is added to every row. Shape (N,); None for none.

    Example:
        >>> if "float32" in native_precisions():
        ...     product = NativeProduct(np.eye(3, 5, dtype=np.float32), "float32")
        ...     assert product(np.ones((2, 3), np.float32), np.empty((2, 5), np.float32))[1].tolist() == [1, 1, 1, 0, 0]
    """

    least_rows = MULTIPLE

    def __init__(self, weight: Array, precision: str, bias: Array | None = None) -> None:
        self.bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        self.precision, self.n_inputs, self.n_outputs = precision, int(weight.shape[0]), int(weight.shape[1])
        self.weight = pack(weight, precision, n_terms=up(self.n_inputs, LANES) if precision == "bfloat16" else None)
        self.multiply = function("product", precision)
        self._rounded = local()

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        n, n_units = len(x), self.weight.shape[1]
        assert x.dtype == out.dtype == np.float32
        assert (x.shape, out.shape) == ((n, self.n_inputs), (n, self.n_outputs))
        if self.precision == "bfloat16":
            x = self._round(x)
        self.multiply(
            address(x),
            ctypes.c_int64(n),
            ctypes.c_int64(n_units),
            address(self.weight),
            address(self.bias),
            ctypes.c_int64(self.n_outputs),
            address(out),
        )
        return out

    def _round(self, x: Array) -> Array:
        buffers = self._rounded.__dict__.setdefault("buffers", Buffers(np.float32))
        return round_rows(x, buffers.get("rounded", len(x), self.weight.shape[1]))
