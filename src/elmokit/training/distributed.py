"""The processes that train together (one, or those that `torchrun` started), and the number type they compute in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from elmokit.errors import ConfigError
from elmokit.runtime.backends import cpu_has_bfloat16


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together; each reads its share of every batch, and 0 writes the files."""

    rank: int = 0
    size: int = 1

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> list[Tensor]:
        """The values of all processes by rank, on the CPU."""
        if self.size == 1:
            return [values.detach().cpu()]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.detach().contiguous())
        return [part.cpu() for part in parts]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


ONE_PROCESS = ProcessGroup()


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The group that `torchrun` describes in the environment (gloo, or NCCL on "cuda"), or one process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ONE_PROCESS
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products run in, or None for float32; ConfigError for an unknown precision."""
    if precision not in ("float32", "bfloat16", "auto"):
        raise ConfigError(f"precision is {precision!r}; expected 'float32', 'bfloat16' or 'auto'.")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bfloat16()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None
