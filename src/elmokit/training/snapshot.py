"""All that a run needs to go on, in one file that is either whole or not there.

Tensors (weights, optimiser moments, carried states, random generators) go into a safetensors file; numbers and
names into its header as JSON. No pickle: opening a snapshot can't run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path


def write_snapshot(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a snapshot.

    Args:
        path: the file; its folder must exist.
        tensors: by name.
        facts: JSON values.

    Raises:
        OutputError: the folder can't be written, the disk is full.
    """
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(ready, str(temporary), metadata={"facts": json.dumps(facts)})
        except SafetensorError as error:  # how safetensors tells of a full disk
            raise OutputError(f"{path}: can't be written ({error}). The snapshot before it is kept.") from error


def read_snapshot(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a snapshot.

    Args:
        path: the file.
        shapes: what it must hold; compared before anything is read.

    Returns:
        tensors and facts.

    Raises:
        TrainingError: not a snapshot, a damaged one, or one of another model.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            names = set(file.keys())
            for name, shape in (shapes or {}).items():
                stored = tuple(file.get_slice(name).get_shape()) if name in names else None
                if stored != shape:
                    raise TrainingError(f"{path}: {name} has the shape {stored}; this run needs {shape}.")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: not a whole training snapshot ({error}). Delete it: the one before is used."
        ) from error


def snapshots(folder: Path) -> list[Path]:
    """The snapshots of a run, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments by parameter number and name."""
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put moments back that `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def model_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The language model's tensors in a snapshot, by their own names; a word table is the softmax's weight too."""
    own = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    if "bilm.word_table.weight" in own:
        own["softmax.weight"] = own["bilm.word_table.weight"]
    return own
