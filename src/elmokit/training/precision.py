"""Which number type the matrix products of training run in."""

from __future__ import annotations

import torch

from elmokit.errors import ConfigError
from elmokit.runtime.processor import cpu_has_bfloat16


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products run in, or None for float32.

    Args:
        precision: "float32", "bfloat16" or "auto".
        device: where they run.

    Raises:
        ConfigError: another precision.
    """
    if precision not in ("float32", "bfloat16", "auto"):
        raise ConfigError(f"precision is {precision!r}; expected 'float32', 'bfloat16' or 'auto'.")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bfloat16()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None
