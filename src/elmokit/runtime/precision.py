"""What the precision "auto" means on this machine: what its processor multiplies fastest at hardly any loss.

bfloat16 where the processor (or GPU) computes in it and there is code for it, compiled loops or PyTorch; else float32.
It is a choice to be asked for and never the default: float32 is the reference, and results should not hang on the
machine. int8 is never picked: no faster than bfloat16 where both were measured, and the least exact (`dev/LOG.md`).
"""

from __future__ import annotations

from importlib.util import find_spec

from elmokit.runtime.kernels import native_precisions
from elmokit.runtime.processor import cpu_has_bfloat16


def choose_precision(device: str = "cpu") -> tuple[str, str]:
    """The precision that "auto" stands for, and why.

    Args:
        device: "auto" or "cpu", or a GPU's name ("cuda", "cuda:N").

    Returns:
        "bfloat16" or "float32", and the reason in a few words.

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
