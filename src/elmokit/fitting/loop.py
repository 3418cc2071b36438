"""The loop of optimizer steps and the one kind of snapshot: a safetensors file with all that a run needs to go on.

Snapshots are written whole or not at all, and opening one runs no code.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path
from elmokit.reading import check_header

Weights = dict[str, Tensor]


class FittingLoop(ABC):
    """Takes optimizer steps until the work is done, and saves and restores its state. Subclasses define the work."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    clip_norm: float
    step = 0
    gradient_norm = 0.0

    @abstractmethod
    def is_done(self) -> bool:
        """Whether no step is left."""

    @abstractmethod
    def learning_rates(self) -> Sequence[float]:
        """The learning rate of each parameter group in the next step."""

    @abstractmethod
    def add_gradients(self) -> float:
        """Compute the gradients of the next step; return its mean loss."""

    @abstractmethod
    def after_step(self, loss: float) -> None:
        """Evaluate, report and save where due."""

    def run(self) -> None:
        """Take all steps that are left."""
        while not self.is_done():
            self.after_step(self.take_step())

    def take_step(self) -> float:
        """Take one step and return its loss; TrainingError if the loss or the gradient is not finite."""
        for group, rate in zip(self.optimizer.param_groups, self.learning_rates(), strict=True):
            group["lr"] = rate
        self.network.train()
        loss = self.add_gradients()
        self.gradient_norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm))
        if not math.isfinite(loss) or not math.isfinite(self.gradient_norm):
            raise TrainingError(
                f"the loss became {loss} and the norm of the gradient {self.gradient_norm} at step {self.step}, with a"
                f" learning rate of {self.learning_rates()[0]:.2g}. Check that the inputs are finite, or continue with"
                " a lower learning rate; the last snapshot is kept, if there is one."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss

    def weights(self) -> Weights:
        """The parameters by name, tied ones once."""
        return {name: parameter.detach() for name, parameter in self.network.named_parameters()}

    def optimizer_tensors(self) -> Weights:
        """The moments of the optimizer, as `optimizer.NUMBER.NAME`."""
        state = self.optimizer.state_dict()["state"]
        return {f"optimizer.{i}.{name}": torch.as_tensor(x) for i, xs in state.items() for name, x in xs.items()}

    def restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the moments; the inverse of `optimizer_tensors`."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, Weights] = {}
        for key, tensor in prefixed(tensors, "optimizer.").items():
            number, name = key.split(".", 1)
            if name != "step" and tensor.shape != parameters[int(number)].shape:
                raise ValueError(f"optimizer.{key} has the shape {tuple(tensor.shape)}")
            state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def write_snapshot(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON values into one file."""
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(ready, str(temporary), metadata={"state": json.dumps(metadata)})
    except (SafetensorError, OSError) as error:  # a full disk is a SafetensorError
        raise OutputError(f"{path}: can't be written ({error}). The previous snapshot is kept.") from error


@contextmanager
def reading_snapshot(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Iterator[tuple[Weights, dict[str, Any]]]:
    """The tensors and metadata of a snapshot; `shapes` are of tensors that must be in it, checked before reading.

    Errors of reading and of using them in the block become a TrainingError that names the file.
    """
    try:
        check_header(path, error=TrainingError)
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["state"])
            names = set(file.keys())
            for name, shape in (shapes or {}).items():
                stored = tuple(file.get_slice(name).get_shape()) if name in names else None
                if stored != shape:
                    raise TrainingError(f"{path}: {name} has the shape {stored}; this run needs {shape}.")
            tensors = {name: file.get_tensor(name) for name in names}
        yield tensors, metadata
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(f"{path}: not a complete snapshot ({error}); delete it.") from error


def prefixed(tensors: Mapping[str, Tensor], prefix: str) -> Weights:
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
