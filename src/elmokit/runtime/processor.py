"""What the processor can do, as the system tells it: asked before bfloat16 is taken."""

from functools import cache
from pathlib import Path


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 (Linux on x86-64 tells; elsewhere: no)."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and {"avx512_bf16", "amx_bf16"} & set(line.split()) for line in lines)
