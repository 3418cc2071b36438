"""A fitted head as two files, JSON and safetensors, with the fingerprint of the model whose vectors it was fitted on.

Reading them executes nothing. A head is useless with any other model, even one of the same shape, so `check_model`
compares fingerprints: the same weights in another folder are accepted, other weights in the same folder are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints import catalogue
from elmokit.elmo import Elmo
from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile, OutputError
from elmokit.files import atomic_path
from elmokit.reading import read_bytes, read_json, reading

Arrays = dict[str, NDArray[Any]]
_FORMAT = 2
_MAX_BYTES = 1 << 30


class Model(Protocol):
    """What is recorded of a model; `elmokit.Elmo` is one."""

    @property
    def name(self) -> str:
        """Name of the model, for people."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides its vectors."""


@dataclass(frozen=True)
class SavedHead:
    """Contents of a saved head: its JSON file (for errors), its settings as JSON values, its arrays by name."""

    path: Path
    config: Mapping[str, Any]
    arrays: Arrays

    def array(self, name: str, *shape: int | None) -> NDArray[Any]:
        """An array of this shape (None: any length) and finite floats; a CheckpointError if it is something else."""
        array = self.arrays.get(name)
        if array is None:
            raise CheckpointError(f"{self.path}: the array {name!r} is missing; save the head again.")
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if not fits or array.dtype.kind != "f" or not np.isfinite(array).all():
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise CheckpointError(
                f"{self.path}: the array {name!r} has the shape {array.shape} and type {array.dtype}; expected finite"
                f" floats of shape ({expected}). Save the head again."
            )
        return array


def save_head(folder: str | Path, kind: str, *, model: Model, config: Mapping[str, Any], arrays: Arrays) -> None:
    """Write `KIND.json` and `KIND.safetensors` into a folder, which is created; an OutputError if it can't be written.

    Args:
        folder: target folder.
        kind: name of the files: "classifier", "pairs" or "tagger".
        model: model whose vectors the head was fitted on.
        config: JSON values.
        arrays: fitted arrays by name.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be created ({error.strerror}).") from error
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    whole = {"format": _FORMAT, "model": model_record(model), **config}
    whole["arrays_sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    with atomic_path(folder / f"{kind}.safetensors") as path:
        path.write_bytes(data)
    with atomic_path(folder / f"{kind}.json") as path:
        path.write_text(text, encoding="utf-8")


def model_record(model: Model) -> dict[str, Any]:
    """Name, fingerprint, and the path or name a model was loaded from (None if unknown), as JSON values."""
    return {"name": model.name, "fingerprint": model.fingerprint, "source": getattr(model, "source", None)}


def read_head_config(folder: str | Path, kind: str) -> dict[str, Any]:
    """Read the JSON of a saved head, without its arrays.

    Raises:
        MissingFile: no such head there.
        CheckpointError: a damaged file, or one of another format version.
    """
    folder = Path(folder)
    path = folder / f"{kind}.json"
    for name in (path.name, f"{kind}.safetensors"):
        if not (folder / name).is_file():
            raise MissingFile(f"{folder / name}: no such file; expected a folder that `train --out` wrote.")
    config = read_json(path, what="saved head")
    if config.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: format {config.get('format')!r:.20}, expected {_FORMAT}; another version of elmokit wrote it."
            " Train again."
        )
    with reading_head(path):
        metadata = config.setdefault("metadata", {})
        record = config["model"]
        if not isinstance(metadata, dict) or not all(isinstance(record[key], str) for key in ("name", "fingerprint")):
            raise ValueError("model or metadata have an unexpected type")
    return config


def load_head(folder: str | Path, kind: str) -> SavedHead:
    """Read what `save_head` wrote; raises as `read_head_config` does."""
    from safetensors.numpy import load

    config, path = read_head_config(folder, kind), Path(folder) / f"{kind}.json"
    arrays = path.with_suffix(".safetensors")
    with reading_head(arrays):
        data = read_bytes(arrays, max_bytes=_MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != config.get("arrays_sha256"):
            raise CheckpointError(f"{arrays}: does not belong to {path.name} beside it; save it again.")
        return SavedHead(path, config, load(data))


def check_model(head: SavedHead, model: Model) -> None:
    """Refuse a model other than the one that the head was fitted on."""
    check_record(head.config["model"], model, head.path.parent)


def check_record(record: Mapping[str, Any], model: Model, place: str | Path) -> None:
    """Refuse a model of another fingerprint than recorded by `model_record`; `place` is where the record was read."""
    if record["fingerprint"] != model.fingerprint:
        raise CheckpointError(
            f"{place}: this was trained with the model {record['name']!r}; the one given is {model.name!r},"
            " which has other weights, settings or words. Load it with its own model, or train it again."
        )


def named_model(folder: str | Path, kind: str) -> str:
    """Where the model of a saved head can be loaded from, as far as the folder may say so.

    A folder may come from a stranger, so it may name the embedded model, a local path or a catalogue name, and never
    an address to download from.

    Raises:
        MissingFile: no such head there.
        CheckpointError: a damaged file, or another kind of model name.
    """
    record = read_head_config(folder, kind)["model"]
    source = record.get("source")
    with reading_head(Path(folder) / f"{kind}.json"):
        local = isinstance(source, str) and "://" not in source and Path(source).exists()
    if isinstance(source, str) and (source == "default" or local or catalogue.find(source) is not None):
        return source
    where = "an unknown place" if source is None else repr(source)
    raise CheckpointError(
        f"{folder}: this was trained with the model {record['name']!r} from {where}, which is neither the embedded"
        " model, a path that exists here, nor a name of the catalogue. Give the model yourself: --model on the command"
        " line, the argument elmo in Python."
    )


def open_model(folder: str | Path, kind: str, model: str | Path | None = None) -> Elmo:
    """Load the model of a saved head: this one, or else the recorded one as far as `named_model` allows it."""
    return Elmo.load(named_model(folder, kind) if model is None else model)


@contextmanager
def reading_head(path: Path) -> Iterator[None]:
    """Turn whatever damaged values raise in the block into a `CheckpointError` that names the file."""
    try:
        with reading(path, what="saved head"):
            yield
    except (ConfigError, InputError) as error:
        raise CheckpointError(f"{path}: {error}") from error
