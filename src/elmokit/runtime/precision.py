"""What the precision "auto" means on this machine: bfloat16 where the processor or GPU computes in it, else float32.

It is never the default: float32 is the reference, and results should not depend on the machine.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from elmokit.runtime.kernels import native_precisions


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 (Linux on x86-64 tells; elsewhere: no)."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and {"avx512_bf16", "amx_bf16"} & set(line.split()) for line in lines)


def choose_precision(device: str = "cpu") -> tuple[str, str]:
    """The precision that "auto" stands for on a device ("auto", "cpu", "cuda" …), and the reason in a few words.

    Example:
        >>> choose_precision("cpu")[0] in ("bfloat16", "float32")
        True
    """
    if device in ("auto", "cpu"):
        if "bfloat16" in native_precisions():
            return "bfloat16", "the processor multiplies in bfloat16"
        if not cpu_has_bfloat16():
            return "float32", "the processor does not multiply in bfloat16"
        if find_spec("torch") is None:
            return "float32", "neither compiled loops nor PyTorch, one of which bfloat16 needs, is installed"
        return "bfloat16", "the processor multiplies in bfloat16"
    if find_spec("torch") is None:
        return "float32", f"PyTorch, which {device} needs, is not installed"
    import torch

    if device.startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bfloat16", "the GPU multiplies in bfloat16"
    return "float32", f"{device} is not known to multiply in bfloat16"
