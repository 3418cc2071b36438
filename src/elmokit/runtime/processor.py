"""What the processor can do, as the system tells it: asked before compiled loops or bfloat16 are taken."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def processor_flags() -> frozenset[str]:
    """What the processor says that it can do (Linux on x86-64 tells; elsewhere: nothing).

    Example:
        >>> "teapot" in processor_flags()
        False
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    return frozenset(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def cpu_has_bfloat16() -> bool:
    """Whether the processor says that it multiplies in bfloat16."""
    return bool({"avx512_bf16", "amx_bf16"} & processor_flags())
