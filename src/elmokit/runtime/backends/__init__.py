"""Ways to compute a biLM, and the choice of one: compiled loops on the CPU where they run, else NumPy, else PyTorch."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError, MissingExtra
from elmokit.runtime.batches import Batch, State
from elmokit.runtime.kernels import native_precisions

Array = NDArray[Any]

PRECISIONS = ("float32", "float64", "bfloat16")


class Backend(Protocol):
    """What the engine needs of a way to compute. All methods may be called from several threads at a time."""

    device: str  # for people: "cpu", "cuda:0" …
    dtype: np.dtype[Any]  # of the vectors
    splits: Sequence[tuple[int, ...]]  # directions that a call of `read` takes: ((0,), (1,)); ((0, 1),) on one thread

    def embed(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Pass character ids (D, C) through the character CNN. Shape (D, P), or (D, 2P) with a spelling projection."""

    def read(
        self, batch: Batch, tokens: Array, start: State, slab: Array, after: State, directions: Sequence[int]
    ) -> None:
        """Read a batch through all LSTM layers in some directions (0 forward, 1 backward).

        `tokens` are token vectors by word number (D, P). `slab` (L, N, 2P) takes the layers of all rows behind each
        other, from index 1 on, and `after` the final states.
        """


def make_backend(
    config: ElmoConfig, tensors: Mapping[str, Array], *, device: str = "auto", precision: str = "float32"
) -> Backend:
    """The fastest backend for a device ("auto" is the CPU) and precision, with the weights packed."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(map(repr, PRECISIONS))} or 'auto'.")
    on_cpu = device in ("auto", "cpu")
    if precision == "float64" and not on_cpu:
        raise ConfigError(f"precision 'float64' is for the CPU, not {device!r}.")
    if on_cpu and precision in native_precisions():
        from elmokit.runtime.backends.native import native_backend

        return native_backend(config, tensors, precision)
    if on_cpu and precision != "bfloat16":
        from elmokit.runtime.backends.numpy import CpuBackend

        return CpuBackend(config, tensors, precision)
    if find_spec("torch") is None:
        purpose = "precision 'bfloat16' on this processor" if on_cpu else f"device {device!r}"
        raise MissingExtra("PyTorch", "torch", purpose)
    from elmokit.runtime.backends.torch import TorchBackend

    return TorchBackend(config, tensors, device="cpu" if on_cpu else device, precision=precision)


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 (Linux on x86-64 tells; elsewhere: no)."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and {"avx512_bf16", "amx_bf16"} & set(line.split()) for line in lines)


def choose_precision(device: str = "cpu") -> tuple[str, str]:
    """What the precision "auto" means on a device, and the reason in a few words: bfloat16 where it is computed fast.

    It is never the default: float32 is the reference, and results should not depend on the machine.
    """
    on_cpu = device in ("auto", "cpu")
    if on_cpu and not cpu_has_bfloat16() and "bfloat16" not in native_precisions():
        return "float32", "the processor does not multiply in bfloat16"
    if find_spec("torch") is None and not (on_cpu and "bfloat16" in native_precisions()):
        return "float32", "PyTorch, which bfloat16 needs here, is not installed"
    if on_cpu:
        return "bfloat16", "the processor multiplies in bfloat16"
    import torch

    if device.startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bfloat16", "the GPU multiplies in bfloat16"
    return "float32", f"{device} is not known to multiply in bfloat16"
