"""The library of compiled loops: which instruction sets it holds, which one is at work, how its functions are called.

`hatch_build.py` compiles `bilm.c` once for each instruction set and links all of them into one library without
dependencies. ctypes loads it: no Python headers, one file for all versions, and the interpreter's lock is free while
a loop runs. `INSTRUCTION_SETS` is the one table of what can be chosen.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.errors import ConfigError

Array = NDArray[Any]

VERSION = 2
"""Of the functions' arguments, as in `processor.c`: a library built from other sources is left alone."""

LIBRARY = Path(__file__).with_name("bilm.dll" if sys.platform == "win32" else "bilm.so")


@dataclass(frozen=True)
class InstructionSet:
    """One way in which the loops are compiled.

    Attributes:
        name: what ELMOKIT_CPU calls it.
        bit: its bit in the answer of `processor.c`.
        lanes: floats in a register.
        precisions: what the loops compute in.
    """

    name: str
    bit: int
    lanes: int
    precisions: tuple[str, ...] = ("float32",)


INSTRUCTION_SETS = (  # best first
    InstructionSet("avx512_bf16", 16, 16, ("float32", "bfloat16")),
    InstructionSet("avx512", 8, 16),
    InstructionSet("avx2", 4, 8),
    InstructionSet("neon", 2, 4),
    InstructionSet("plain", 1, 4),
)


@cache
def _library(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path)) if path.exists() else None
    except OSError:  # built for another system
        return None
    return library if hasattr(library, f"elmokit_instruction_sets_{VERSION}") else None


def available() -> tuple[InstructionSet, ...]:
    """Instruction sets that the library holds and this processor runs, best first; empty without a library.

    Example:
        >>> set(available()) <= set(INSTRUCTION_SETS)
        True
    """
    return () if os.environ.get("ELMOKIT_NATIVE", "1") == "0" else _available(LIBRARY)


@cache
def _available(path: Path) -> tuple[InstructionSet, ...]:
    library = _library(path)
    if library is None:
        return ()
    runs = getattr(library, f"elmokit_instruction_sets_{VERSION}")
    runs.restype = ctypes.c_int64
    bits = runs()
    return tuple(s for s in INSTRUCTION_SETS if bits & s.bit and hasattr(library, f"elmokit_{s.name}_product_float32"))


def chosen() -> InstructionSet | None:
    """The instruction set at work: the best available one, or the one that ELMOKIT_CPU names; None without a library.

    Raises:
        ConfigError: ELMOKIT_CPU names none that is available.
    """
    sets, wanted = available(), os.environ.get("ELMOKIT_CPU", "")
    if not wanted or not sets:
        return sets[0] if sets else None
    for instruction_set in sets:
        if instruction_set.name == wanted:
            return instruction_set
    raise ConfigError(
        f"ELMOKIT_CPU is {wanted!r}; expected one of {', '.join(s.name for s in sets)}, the instruction sets that this "
        "build of elmokit and this processor support. Unset it to take the best one."
    )


def instruction_set() -> str | None:
    """The name of the instruction set at work; None where NumPy computes instead.

    Example:
        >>> instruction_set() in {None, "avx512_bf16", "avx512", "avx2", "neon", "plain"}
        True
    """
    at_work = chosen()
    return None if at_work is None else at_work.name


def computed_by() -> str:
    """What computes here, and why, for people.

    Example:
        >>> computed_by().split()[0] in {"compiled", "NumPy"}
        True
    """
    at_work = chosen()
    if at_work is not None:
        return f"compiled loops, {at_work.name} ({', '.join(at_work.precisions)})"
    if os.environ.get("ELMOKIT_NATIVE", "1") == "0":
        return "NumPy (ELMOKIT_NATIVE is 0)"
    missing = LIBRARY.with_name("missing.txt")  # written by hatch_build.py
    reason = (
        missing.read_text(encoding="utf-8").strip() if missing.exists() else "no library for this system and version"
    )
    return f"NumPy (no compiled loops: {reason})"


def native_precisions() -> tuple[str, ...]:
    """The precisions in which the compiled loops run here.

    Example:
        >>> set(native_precisions()) <= {"float32", "bfloat16"}
        True
    """
    at_work = chosen()
    return () if at_work is None else at_work.precisions


def function(name: str, precision: str) -> Any:
    """A compiled loop of the instruction set at work.

    Args:
        name: "product", "round", "convolve", "highway", "read", "mix" or "scale".
        precision: "float32" or "bfloat16".

    Returns:
        the function, for ctypes.

    Raises:
        ConfigError: the loops are not there, or not in this precision.
    """
    at_work, library = chosen(), _library(LIBRARY)
    if at_work is None or library is None or precision not in at_work.precisions:
        raise ConfigError(
            f"the compiled loops don't run in {precision!r} here (they do in: {native_precisions() or 'none'}); "
            "take `numpy_backend` for float32, or the extra `torch` for bfloat16."
        )
    loop = getattr(library, f"elmokit_{at_work.name}_{name}_{precision}")
    loop.restype = None
    return loop


def address(array: Array | None, *shape: int, dtype: DTypeLike = np.float32) -> ctypes.c_void_p:
    """Where an array lies, once it is certain that a loop may read or write it.

    Args:
        array: C-contiguous; it must outlive the call. None gives a null pointer.
        shape: that the loop will assume.
        dtype: likewise.

    Raises:
        ValueError: another shape or dtype, or an array that is not contiguous.
    """
    if array is None:
        return ctypes.c_void_p(None)
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"a compiled loop was given an array of shape {array.shape} and dtype {array.dtype}; expected a contiguous "
            f"one of shape {shape} and dtype {np.dtype(dtype)}."
        )
    return ctypes.c_void_p(array.ctypes.data)


def _fields(spec: str) -> list[tuple[str, Any]]:
    """Fields of a structure in the C source's order; `*` marks pointers, `~` floats, the rest are int64."""
    kinds = {"*": ctypes.c_void_p, "~": ctypes.c_float}
    return [(name.rstrip("*~"), kinds.get(name[-1], ctypes.c_int64)) for name in spec.split()]


class Layer(ctypes.Structure):
    """One direction of one LSTM layer: `Layer` of `lstm.h`."""

    _fields_ = _fields(
        "n_steps counts* starts* input_units output_units n_cells n_outputs inputs* of_input* of_hidden* projection* "
        "ahead* numbers* cell_clip~ projection_clip~ hidden* cells* memory* outputs*"
    )


class Convolution(ctypes.Structure):
    """One convolution over words: `Convolution` of `words.h`."""

    _fields_ = _fields(
        "n_words lengths* max_characters n_read character_units width n_outputs characters* weight* of_padding* bias* "
        "relu stride out*"
    )


class Highway(ctypes.Structure):
    """One highway layer over rows of features: `Highway` of `words.h`."""

    _fields_ = _fields("n_rows width n_units rounded* weight* bias* features* out*")


class Mixture(ctypes.Structure):
    """Layers of one text and what is made of them: `Mixture` of `pooling.h`."""

    _fields_ = _fields("n_layers n_words width layer_stride layers* weights* moments* word_weights* words* mean* max*")
