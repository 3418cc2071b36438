"""The compiled loops, as the rest of the package sees them.

They need a library that is built with the wheel; without it, or with ELMOKIT_NATIVE=0, NumPy computes.
ELMOKIT_CPU=avx2 (or another name of `INSTRUCTION_SETS`) takes a lower instruction set than the best one.
"""

from elmokit.runtime.kernels.library import available, computed_by, instruction_set, native_precisions
from elmokit.runtime.kernels.pooling import native_mix, native_scale
from elmokit.runtime.kernels.weights import NativeProduct

__all__ = ["NativeProduct", "available", "computed_by", "instruction_set", "native_mix", "native_precisions"]
__all__ += ["native_scale"]
