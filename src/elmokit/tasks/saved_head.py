"""A learned head as two files, JSON and safetensors, and the mark of the model that its features came from.

Reading them executes nothing. A head is of no use with another model than its own, even one of the same shape; so it
keeps the hash of the model's configuration and the vector of one fixed sentence, and whoever loads it beside another
model is told so instead of getting nonsense.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import CheckpointError, MissingFile, OutputError
from elmokit.files import atomic_path

PROBE = "The quick brown fox can't jump over 13 lazy dogs :-( #probe"
"""The sentence whose vector tells models apart."""

_FORMAT = 1
Arrays = dict[str, NDArray[Any]]


class Model(Protocol):
    """What a mark is made of: `elmokit.Elmo` is one."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def config(self) -> ElmoConfig:
        """What the model is made of."""
        ...


@dataclass(frozen=True)
class SavedHead:
    """What lies in a folder.

    Args:
        folder: where it lies.
        config: settings, classes and facts, as JSON values.
        arrays: what was learned.
    """

    folder: Path
    config: Mapping[str, Any]
    arrays: Arrays


def save_head(
    folder: str | Path, kind: str, *, model: Model, probe: NDArray[Any], config: Mapping[str, Any], arrays: Arrays
) -> None:
    """Write `KIND.json` and `KIND.safetensors`.

    Args:
        folder: where to; made if it does not exist.
        kind: of head, the files' name.
        model: that the features came from.
        probe: the features of `PROBE`. Shape (d,).
        config: JSON values.
        arrays: by name.

    Raises:
        OutputError: the folder can't be written.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be created ({error.strerror}).") from error
    data = save({name: np.ascontiguousarray(array) for name, array in {**arrays, "probe": probe}.items()})
    with atomic_path(folder / f"{kind}.safetensors") as path:
        path.write_bytes(data)
    whole = {
        "format": _FORMAT,
        "model": model_mark(model),
        **config,
        "arrays_sha256": hashlib.sha256(data).hexdigest(),
    }
    with atomic_path(folder / f"{kind}.json") as path:
        path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_head_config(folder: str | Path, kind: str) -> dict[str, Any]:
    """What a saved head says of itself, without its arrays.

    Args:
        folder: where it lies.
        kind: of head, the files' name.

    Returns:
        the JSON of its `KIND.json`.

    Raises:
        MissingFile: no such head there.
        CheckpointError: a file that is none, or of a later format.
    """
    folder = Path(folder)
    for name in (f"{kind}.json", f"{kind}.safetensors"):
        if not (folder / name).is_file():
            raise MissingFile(f"{folder / name}: no such file; expected a folder that `train --out` wrote.")
    try:
        config = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / kind}.json is not JSON ({error}); save it again.") from None
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise CheckpointError(f"{folder / kind}.json is not of format {_FORMAT}; was it written by a later elmokit?")
    return config


def load_head(folder: str | Path, kind: str) -> SavedHead:
    """Read what `save_head` wrote.

    Args:
        folder: where it lies.
        kind: of head, the files' name.

    Returns:
        settings and arrays.

    Raises:
        MissingFile: no such head there.
        CheckpointError: damaged files, or of a later format.
    """
    from safetensors.numpy import load

    folder, config = Path(folder), read_head_config(folder, kind)
    data = (folder / f"{kind}.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != config["arrays_sha256"]:
        raise CheckpointError(f"{folder / kind}.safetensors does not belong to {kind}.json beside it; save it again.")
    return SavedHead(folder, config, load(data))


def check_model(head: SavedHead, model: Model, probe: NDArray[Any]) -> None:
    """Refuse another model than the head was made with; rounding (bfloat16, int8) may differ.

    Args:
        head: that was loaded.
        model: the one given.
        probe: its features of `PROBE`. Shape (d,).

    Raises:
        CheckpointError: it is another one.
    """
    made = head.config["model"]
    if made["config_sha256"] == model_mark(model)["config_sha256"]:
        known = head.arrays["probe"]
        if known.shape == probe.shape and np.linalg.norm(probe - known) <= 0.1 * np.linalg.norm(known):
            return
        difference = "which has the same shape but other weights"
    else:
        difference = "which is made differently"
    raise CheckpointError(
        f"{head.folder}: this was made with the model {made['name']!r}; the one given is {model.name!r}, {difference}."
        " Load it with its own model, or train it again."
    )


def model_mark(model: Model) -> dict[str, str]:
    """What a head's file says of its model, beside the features of `PROBE`.

    Args:
        model: the one that features come from.

    Returns:
        its name and the hash of its configuration, as JSON values.
    """
    config = json.dumps(model.config.to_dict(), sort_keys=True)
    return {"name": model.name, "config_sha256": hashlib.sha256(config.encode()).hexdigest()}
