"""The processes that train together: one alone, or those that `torchrun` started.

PyTorch's own DistributedDataParallel does the work. Each process reads its share of every batch's rows, so several
processes with a batch of B rows in all take the same steps as one with B rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together.

    Args:
        rank: its number, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> list[Tensor]:
        """Every process's values, in the order of ranks, on the CPU."""
        if self.size == 1:
            return [values.detach().cpu()]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.detach().contiguous())
        return [part.cpu() for part in parts]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


ALONE = Team()
"""One process by itself."""


@contextmanager
def joined_team(device: str) -> Iterator[Team]:
    """The team that the environment of `torchrun` describes, or one process alone.

    Args:
        device: "cpu" (gloo) or "cuda" (NCCL).

    Yields:
        the team.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Team(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
