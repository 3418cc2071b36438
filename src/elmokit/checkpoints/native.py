"""Our own format: `config.json`, `model.safetensors` and, with a vocabulary, `words.txt`.

`config.json` also holds a format version and the SHA-256 of the other files and of the tensors. Three storages: float32
(exact), float16, int8 (a scale per row of a matrix). Reading always gives float32.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format, Softmax, Storage, digest_of
from elmokit.checkpoints.mapping import read_options
from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import CheckpointError, OutputError
from elmokit.files import atomic_path, checksum, write_json
from elmokit.reading import printable, reading
from elmokit.text.vocab import read_words, write_words

FORMAT_VERSION = 1  # what we write, and the newest that we read
EMBEDDED = Path(__file__).resolve().parent.parent / "models" / "default"  # the model inside the package, "default"
CONFIG, WEIGHTS, WORDS = "config.json", "model.safetensors", "words.txt"
_SCALE = ".scale"
_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1"}
_MAX_HEADER = 4 << 20  # bytes; the largest model has 20 kB


def recognise(source: CheckpointFiles) -> bool:
    """Whether a folder (or its config.json) is in our format."""
    return source.folder.joinpath(WEIGHTS).is_file() and (source.path.is_dir() or source.path.name in (CONFIG, WEIGHTS))


def read(source: CheckpointFiles) -> Checkpoint:
    """Read our format."""
    folder = source.folder
    values = read_options(folder / CONFIG)
    version = values.get("format_version")
    if values.get("format") != "elmokit" or type(version) is not int or version < 1:
        raise CheckpointError(
            f'{folder / CONFIG}: not elmokit\'s configuration (expected "format": "elmokit" and its version).'
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder / CONFIG}: made by a newer elmokit (format version {version}, this one reads up to"
            f" {FORMAT_VERSION}). Upgrade with:  pip install -U elmokit"
        )
    with reading(folder / CONFIG, what="configuration; a part is missing or of the wrong kind"):
        _check_sums(folder, values.get("sha256", {}))
        config = ElmoConfig.from_dict(values["config"])
        mix = LayerMix(**values.get("layer_mix", {}))
        arrays = _read_arrays(folder / WEIGHTS, with_softmax=source.with_softmax)
        softmax = None
        if "softmax.bias" in arrays:  # a word table stays among the tensors and is its weight
            weight = arrays["word_table.weight"] if config.word_table else arrays.pop("softmax.weight")
            softmax = Softmax(weight, arrays.pop("softmax.bias"))
        words, counts = read_words(folder / WORDS) if values.get("words") else (None, None)
        name = printable(str(values.get("name", "")))
        metadata = dict(values.get("metadata", values.get("facts", {})))  # "facts" until 0.1
        whitening = arrays.pop("whitening", None)
        tensors = {name: arrays[name] for name in config.tensor_shapes() if name in arrays} | arrays  # in our order
        return Checkpoint(config, tensors, mix, words, counts, softmax, name, metadata, whitening)


def write(checkpoint: Checkpoint, folder: Path, storage: Storage = "float32") -> None:
    """Write our format; `config.json` comes last, so an interrupted write is no checkpoint."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if storage not in get_args(Storage):
        raise CheckpointError(f"storage is {storage!r}; expected 'float32', 'float16' or 'int8'.")
    arrays = dict(checkpoint.arrays)
    if checkpoint.softmax is not None:
        arrays["softmax.bias"] = checkpoint.softmax.bias
        if not checkpoint.config.word_table:  # else the word table is the softmax's weight, stored once
            arrays["softmax.weight"] = checkpoint.softmax.weight
    with atomic_path(folder / WEIGHTS) as path:
        try:
            save_file(_stored(arrays, storage), str(path))
        except SafetensorError as error:  # how safetensors tells of a full disk
            raise OutputError(f"{folder / WEIGHTS}: can't be written ({error}).") from error
        sums = {WEIGHTS: checksum(path)}
        kept = _read_arrays(path, with_softmax=False)  # rounded as they are stored
        kept.pop("whitening", None)
        sums["tensors"] = digest_of(replace(checkpoint, tensors=kept, softmax=None))
    if checkpoint.words is not None:
        with atomic_path(folder / WORDS) as path:
            write_words(path, checkpoint.words, checkpoint.word_counts)
            sums[WORDS] = checksum(path)
    values = {
        "format": "elmokit",
        "format_version": FORMAT_VERSION,
        "name": checkpoint.name,
        "config": checkpoint.config.to_dict(),
        "layer_mix": asdict(checkpoint.layer_mix),
        "storage": storage,
        "words": checkpoint.words is not None,
        "metadata": dict(checkpoint.metadata),
        "sha256": sums,
    }
    write_json(folder / CONFIG, values, indent=2, ensure_ascii=False)


def recorded_sums(source: str | Path, *, check: bool = False) -> dict[str, str]:
    """The SHA-256 that a folder in our format records of its files and "tensors" (see `digest_of`); {} if it does not.

    With `check`, also {} where a file is not as recorded.
    """
    folder = EMBEDDED if source == "default" else Path(source)
    sums = read_options(folder / CONFIG).get("sha256") if (folder / CONFIG).is_file() else None
    if not isinstance(sums, dict) or not {"tensors", WEIGHTS} <= sums.keys():
        return {}
    files = [name for name in (WEIGHTS, WORDS) if name in sums] if check else []
    return {} if any(checksum(folder / name) != sums[name] for name in files) else sums


def _check_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Compare files with the checksums that were written beside them; older checkpoints have none."""
    for name, expected in sums.items():
        if name not in (WEIGHTS, WORDS) or not (folder / name).is_file():
            continue  # a missing file is told by its reader
        if folder == EMBEDDED and name == WEIGHTS:
            continue  # part of the installed package; 20 ms of every start
        if checksum(folder / name) != expected:
            raise CheckpointError(
                f"{folder / name}: not the file that {CONFIG} was written with (another SHA-256); it is damaged or of"
                " another model. Fetch or write the folder again."
            )


def _stored(arrays: Mapping[str, NDArray[Any]], storage: Storage) -> dict[str, NDArray[Any]]:
    stored: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        half = storage == "float16" or (storage == "int8" and name == "whitening")  # whose small numbers add up
        if storage == "int8" and array.ndim > 1 and not half:  # -127 to 127, and a scale per row of the first axis
            rows = array.reshape(len(array), -1).astype(np.float32)
            stored[name + _SCALE] = scale = (np.abs(rows).max(axis=1) / np.float32(127)).astype(np.float32)
            steps = rows / np.where(scale > 0, scale, 1)[:, None]
            stored[name] = np.ascontiguousarray(np.rint(steps).astype(np.int8).reshape(array.shape))
        else:
            stored[name] = np.ascontiguousarray(array, dtype=np.float16 if half else np.float32)
    for name, array in stored.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{name} has numbers beyond the range of {array.dtype}; store it as float32.")
    return stored


def _read_arrays(path: Path, *, with_softmax: bool) -> dict[str, NDArray[Any]]:
    stored = read_tensors(path)
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in stored.items():
        if name.endswith(_SCALE) or (name.startswith("softmax.") and not with_softmax):
            continue
        arrays[name] = array.astype(np.float32, copy=False)
        if array.dtype == np.int8:
            scale = stored.get(name + _SCALE)
            if scale is None or scale.shape != array.shape[:1]:
                raise CheckpointError(f"{name} is int8, but {name}{_SCALE} of shape {array.shape[:1]} is missing.")
            arrays[name] *= scale.astype(np.float32).reshape(-1, *(1,) * (array.ndim - 1))
    return arrays


def read_tensors(path: Path, *, types: Mapping[str, str] = _TYPES) -> dict[str, NDArray[Any]]:
    """All arrays of a safetensors file, as stored, mapped into memory; `types` are those allowed, as NumPy names them.

    The library's own loader copies everything through Python bytes: 120 ms for 12 M float16 weights against 25 ms here.
    Every place is checked before it is used. Source: https://huggingface.co/docs/safetensors#format
    """
    with reading(path, what="safetensors file; was it cut off?"):
        data = np.memmap(path, mode="c", dtype=np.uint8)
        n_header = int.from_bytes(data[:8].tobytes(), "little")
        if not 2 <= n_header <= min(_MAX_HEADER, len(data) - 8):
            raise ValueError(f"its header claims {n_header} bytes")
        header = json.loads(data[8 : 8 + n_header].tobytes().decode("utf-8"))
        header.pop("__metadata__", None)
        body = data[8 + n_header :].view(np.ndarray)
        return {name: _array(name, entry, body, types) for name, entry in header.items()}


def _array(name: str, entry: dict[str, Any], body: NDArray[np.uint8], types: Mapping[str, str]) -> NDArray[Any]:
    if entry["dtype"] not in types:
        raise ValueError(f"{name} has the type {entry['dtype']}; expected one of {', '.join(types)}")
    dtype, shape = np.dtype(types[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    whole = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
    if not whole or end > len(body) or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} {shape} does not lie within the file's {len(body):,} bytes of numbers")
    return body[begin:end].view(dtype).reshape(shape)


FORMAT = Format("native", "elmokit (config.json, model.safetensors)", recognise, read, write)
