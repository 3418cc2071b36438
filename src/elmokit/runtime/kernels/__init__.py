"""The compiled loops: which instruction sets the library holds, which one is at work, how its functions are called.

`hatch_build.py` compiles `bilm.c` once for each instruction set into one library without dependencies, which ctypes
loads. Without it, or with ELMOKIT_NATIVE=0, NumPy computes. ELMOKIT_CPU=avx2 (or another name of `INSTRUCTION_SETS`)
takes a lower instruction set than the best one.
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.errors import ConfigError

Array = NDArray[Any]

VERSION = 4  # of the functions' arguments, as in processor.c: a library built from other sources is left alone
LIBRARY = Path(__file__).with_name("bilm.dll" if sys.platform == "win32" else "bilm.so")


class InstructionSet(NamedTuple):
    """One way in which the loops are compiled: its name, its bit in `processor.c`, floats in a register."""

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
NUMPY = InstructionSet("NumPy", 0, 4, ())


@cache
def _load(path: Path) -> tuple[ctypes.CDLL | None, tuple[InstructionSet, ...]]:
    """The library, and the instruction sets that it holds and this processor runs."""
    try:
        library = ctypes.CDLL(str(path)) if path.exists() else None
        runs = getattr(library, f"elmokit_instruction_sets_{VERSION}")
    except (OSError, AttributeError):  # built for another system or from other sources, or not there
        return None, ()
    runs.restype = ctypes.c_int64
    bits = runs()
    return library, tuple(
        s for s in INSTRUCTION_SETS if bits & s.bit and hasattr(library, f"elmokit_{s.name}_mix_float32")
    )


def available() -> tuple[InstructionSet, ...]:
    """Instruction sets that the library holds and this processor runs, best first; empty without a library."""
    return () if os.environ.get("ELMOKIT_NATIVE", "1") == "0" else _load(LIBRARY)[1]


def chosen() -> InstructionSet:
    """The instruction set at work: the best one, or the one that ELMOKIT_CPU names; `NUMPY` without compiled loops.

    "plain" must be named: without the processor's fused multiply-add the same bits take several times NumPy's time.
    """
    sets, wanted = {s.name: s for s in available()}, os.environ.get("ELMOKIT_CPU", "")
    best = next(iter(sets.values()), NUMPY)
    if not wanted or best is NUMPY:
        return NUMPY if best.name == "plain" else best
    if wanted not in sets:
        raise ConfigError(
            f"ELMOKIT_CPU is {wanted!r}; expected one of {', '.join(sets)}, the instruction sets that this build of"
            " elmokit and this processor support. Unset it to take the best one."
        )
    return sets[wanted]


def native_precisions() -> tuple[str, ...]:
    """Precisions in which the compiled loops run here."""
    return chosen().precisions


def computed_by() -> str:
    """What computes here, and why, for people."""
    at_work = chosen()
    if at_work is not NUMPY:
        return f"compiled loops, {at_work.name} ({', '.join(at_work.precisions)})"
    if os.environ.get("ELMOKIT_NATIVE", "1") == "0":
        return "NumPy (ELMOKIT_NATIVE is 0)"
    if available():
        return "NumPy (the processor lacks AVX2; ELMOKIT_CPU=plain gives other processors' bits, several times slower)"
    missing = LIBRARY.with_name("missing.txt")  # written by hatch_build.py
    reason = missing.read_text("utf-8").strip() if missing.exists() else "no library for this system and version"
    return f"NumPy (no compiled loops: {reason})"


def function(name: str, precision: str) -> Any:
    """A loop of the instruction set at work: "product", "round", "convolve", "highway", "read", "mix" or "scale"."""
    at_work = chosen()
    if precision not in at_work.precisions:
        known = at_work.precisions or "none"
        raise ConfigError(f"the compiled loops don't run in {precision!r} here (they do in: {known}).")
    loop = getattr(_load(LIBRARY)[0], f"elmokit_{at_work.name}_{name}_{precision}")
    loop.restype = None
    return loop


def address(array: Array | None, *shape: int, dtype: DTypeLike = np.float32) -> ctypes.c_void_p:
    """The address of an array of the type and shape that a loop assumes (any shape if none is given).

    The array must outlive the call.
    """
    if array is None:
        return ctypes.c_void_p(None)
    if (shape and array.shape != shape) or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"a compiled loop was given an array of shape {array.shape} and dtype {array.dtype}; expected a contiguous "
            f"one of shape {shape} and dtype {np.dtype(dtype)}."
        )
    return ctypes.c_void_p(array.ctypes.data)


def _structure(name: str, spec: str) -> type[ctypes.Structure]:
    """A structure with the C source's fields in their order; `*` marks pointers, `~` floats, the rest are int64."""
    kinds = {"*": ctypes.c_void_p, "~": ctypes.c_float}
    fields = [(field.rstrip("*~"), kinds.get(field[-1], ctypes.c_int64)) for field in spec.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


Layer = _structure(
    "Layer",
    "n_steps counts* starts* n_units n_cells n_outputs max_ahead inputs* numbers* of_input* of_hidden* projection* "
    "bias* cell_clip~ projection_clip~ hidden* cells* memory* distinct* ahead* rows* row_of* number_of* outputs*",
)
Filters = _structure("Filters", "width n_outputs weight* of_padding* bias*")
Convolutions = _structure(
    "Convolutions",
    "n_words lengths* max_characters n_read character_units characters* relu n_filters filters* n_outputs out*",
)
Highway = _structure("Highway", "n_rows width n_units rounded* weight* bias* features* out*")
Mixture = _structure("Mixture", "n_layers n_words width layer_stride layers* weights* moments* words*")


def native_mix(layers: Array, weights: Array, *, layer_norm: bool = False) -> Array:
    """Mix the layers of one text, (L, T, D) → (T, D), by weights (L,), float32; with `layer_norm`, normalised first."""
    layers = layers if layers[0].flags.c_contiguous and layers.strides[0] % 4 == 0 else np.ascontiguousarray(layers)
    L, T, D = layers.shape
    if not T or layers.dtype != np.float32:
        raise ValueError(f"layers have shape {layers.shape} and dtype {layers.dtype}; expected float32 with words.")
    moments = np.empty(2 * L) if layer_norm else None
    words = np.empty((T, D), np.float32)
    task = Mixture(
        *(L, T, D, layers.strides[0] // 4, layers.ctypes.data),
        *(address(np.ascontiguousarray(weights, np.float32), L), address(moments, 2 * L, dtype=np.float64)),
        address(words, T, D),
    )
    function("mix", "float32")(ctypes.byref(task))
    return words


def native_scale(rows: Array) -> Array:
    """Scale rows (n, D) to length 1, in place; zeros stay zeros."""
    n, D = rows.shape
    function("scale", "float32")(address(rows, n, D), ctypes.c_int64(n), ctypes.c_int64(D))
    return rows
