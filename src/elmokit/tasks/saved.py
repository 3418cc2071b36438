"""A fitted head as two files, JSON and safetensors, with the fingerprint of the model whose vectors it was fitted on.

Reading them executes nothing. A head is useless with any other model, even one of the same shape, so fingerprints are
compared: the same weights in another folder are accepted, other weights in the same folder are not.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints import fetching
from elmokit.checkpoints.native import read_tensors
from elmokit.elmo import Elmo
from elmokit.encoding import Encoder
from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile
from elmokit.files import atomic_path, checksum, make_folder
from elmokit.reading import read_json, reading

Arrays = dict[str, NDArray[Any]]
_FORMAT = 2
_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "|u1"}
_MAX_BYTES = 256 << 20  # of one array: 100 classes of 300,000 terms


@dataclass(frozen=True)
class SavedHead:
    """A saved head: its JSON file (for errors), its settings, and its arrays by name, mapped from the disk."""

    path: Path
    config: Mapping[str, Any]
    mapped: Arrays

    def array(self, name: str, *shape: int | None, kind: str = "f") -> NDArray[Any]:
        """Read an array of this shape (None: any length) and kind of numbers, floats that are finite unless told.

        CheckpointError for something else, and for more than 256 MiB, before memory is taken.
        """
        array = self.mapped.get(name)
        if array is None:
            raise CheckpointError(f"{self.path}: the array {name!r} is missing; save the head again.")
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        fits = fits and array.nbytes <= _MAX_BYTES and array.dtype.kind == kind
        if not fits or (kind == "f" and not np.isfinite(array).all()):
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise CheckpointError(
                f"{self.path}: the array {name!r} has the shape {array.shape} and type {array.dtype}; expected finite"
                f" numbers of shape ({expected}), at most {_MAX_BYTES >> 20} MiB. Save the head again."
            )
        return np.array(array)


def save_head(folder: str | Path, kind: str, *, model: Encoder, config: Mapping[str, Any], arrays: Arrays) -> None:
    """Write `KIND.json` and `KIND.safetensors` into a new folder, for a head fitted on vectors of `model`."""
    from safetensors.numpy import save

    folder = make_folder(folder)
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    whole = {"format": _FORMAT, "model": model_record(model), **config}
    whole["arrays_sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    for suffix, content in (("safetensors", data), ("json", text.encode())):
        with atomic_path(folder / f"{kind}.{suffix}") as path:
            path.write_bytes(content)


def model_record(model: Encoder) -> dict[str, Any]:
    """Name, fingerprint, and the path or name a model was loaded from (None if unknown), as JSON values."""
    return {"name": model.name, "fingerprint": model.fingerprint, "source": getattr(model, "source", None)}


def read_head_config(folder: str | Path, kind: str) -> dict[str, Any]:
    """Read the JSON of a saved head, without its arrays.

    MissingFile without such a head, CheckpointError for a damaged file or one of another format version.
    """
    path = Path(folder) / f"{kind}.json"
    for needed in (path, path.with_suffix(".safetensors")):
        if not needed.is_file():
            raise MissingFile(f"{needed}: no such file; expected a folder that `train --out` wrote.")
    config = read_json(path, what="saved head")
    if config.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: format {config.get('format')!r:.20}, expected {_FORMAT}; another version of elmokit wrote it."
            " Train again."
        )
    with _reading_head(path):
        metadata = config.setdefault("metadata", {})
        record = config["model"]
        if not isinstance(metadata, dict) or not all(isinstance(record[key], str) for key in ("name", "fingerprint")):
            raise ValueError("model or metadata have an unexpected type")
    return config


@contextmanager
def loaded_head(folder: str | Path, kind: str, model: Any = None) -> Iterator[tuple[SavedHead, Any]]:
    """What `save_head` wrote, and its model, loaded where the folder says unless it is given.

    CheckpointError for another model than the head was fitted on, and for whatever damaged values raise in the block.
    """
    config, path = read_head_config(folder, kind), Path(folder) / f"{kind}.json"
    arrays = path.with_suffix(".safetensors")
    if checksum(arrays) != config.get("arrays_sha256"):
        raise CheckpointError(f"{arrays}: does not belong to {path.name} beside it; save it again.")
    saved = SavedHead(path, config, read_tensors(arrays, types=_TYPES))
    model = _open_model(path, config["model"]) if model is None else model
    check_record(config["model"], model, path.parent)
    with _reading_head(path):
        yield saved, model


def check_record(record: Mapping[str, Any], model: Encoder, place: str | Path) -> None:
    """Refuse a model of another fingerprint than recorded by `model_record`; `place` is where the record was read."""
    if record["fingerprint"] != model.fingerprint:
        raise CheckpointError(
            f"{place}: this was trained with the model {record['name']!r}; the one given is {model.name!r},"
            " which has other weights, settings or words. Load it with its own model, or train it again."
        )


def _open_model(path: Path, record: Mapping[str, Any]) -> Elmo:
    """Load the model that a saved head records: the embedded model, a local path or a name of the catalogue.

    The file may come from a stranger, so it may never name an address to download from: a CheckpointError.
    """
    source = record.get("source")
    with _reading_head(path):
        local = isinstance(source, str) and "://" not in source and Path(source).exists()
    if isinstance(source, str) and (source == "default" or local or fetching.find(source) is not None):
        return Elmo.load(source)
    where = "an unknown place" if source is None else repr(source)
    raise CheckpointError(
        f"{path.parent}: this was trained with the model {record['name']!r} from {where}, which is neither the embedded"
        " model, a path that exists here, nor a name of the catalogue. Give the model yourself: --model on the command"
        " line, the argument elmo in Python."
    )


@contextmanager
def _reading_head(path: Path) -> Iterator[None]:
    """Turn whatever damaged values raise in the block into a `CheckpointError` that names the file."""
    try:
        with reading(path, what="saved head"):
            yield
    except (ConfigError, InputError) as error:
        raise CheckpointError(f"{path}: {error}") from error
