"""`elmokit info`: what a model, or anything else that elmokit writes, is."""

import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from elmokit.cli.commands import argument, option
from elmokit.cli.screen import screen
from elmokit.reading import printable, read_json, reading

_LINES = 10
_MAX_CHARACTERS, _MAX_ITEMS = 200, 8
_FIRST = ("model", "name", "source", "classes", "tags", "encoding", "pooling", "layers", "head", "words", "dim")


def info(
    *,
    model: str = argument("PATH", '"default", a model, classifier, tagger, index, vectors, training run …', "default"),
    whole: bool = option(False, "Print everything, not the first ten lines.", "--all"),
    as_json: bool = option(False, "Print JSON.", "--json"),
) -> None:
    """Show what a model is, or anything else that elmokit wrote.

    Example:  elmokit info
    """
    values = _describe(model)
    if as_json:
        screen.say(json.dumps(values, indent=2, ensure_ascii=False, default=str))
        return
    lines = _flat(values)
    shown = dict(lines if whole else islice(lines.items(), _LINES))
    width = max(map(len, shown))
    for name, value in shown.items():
        screen.say(f"{name.ljust(width)}  {value}")
    if len(lines) > len(shown):
        screen.say(f"… {len(lines) - len(shown)} more lines: --all")


def _describe(place: str) -> dict[str, Any]:
    """Find out what a path is and describe it."""
    path = Path(place)
    if place != "default" and path.is_dir():
        for name, (kind, describe) in _FOLDERS.items():
            if (path / name).is_file():
                return {"kind": kind} | describe(path / name)
        snapshots = sorted(path.glob("step-*.safetensors"))
        if snapshots and not (path / "model.safetensors").is_file():
            return {"kind": "training run", "snapshots": len(snapshots)} | _of_snapshot(snapshots[-1])
    reader = _FILES.get(path.suffix)
    if place != "default" and path.is_file() and reader is not None:
        with reading(path, what="file of vectors"):
            if values := reader(path):
                return {"kind": "vectors"} | values
    return _of_model(place)


def _of_model(place: str) -> dict[str, Any]:
    from elmokit import __version__, checkpoints
    from elmokit.runtime.kernels import computed_by

    checkpoint = checkpoints.load(place, with_softmax=False)
    config = checkpoint.config
    return {
        "model": checkpoint.name or place,
        **({} if place == "default" else {"format": checkpoints.detect(place).title}),
        "parameters": config.n_params,
        "numbers per word": f"{config.dim} in each of {config.n_layers} layers",
        "words are read as": "whole words" if config.char_cnn is None else "characters",
        "tokenizer": config.tokenizer,
        "computed by": computed_by(),
        "elmokit": __version__,
        **checkpoint.metadata,
    }


def _of_settings(path: Path) -> dict[str, Any]:
    """The settings of a saved head or index, the most telling first; numbers that were learned are left out."""
    values = read_json(path, what="description")
    metadata = values.pop("metadata", values.pop("facts", None))
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    held_out = {}
    with suppress(KeyError, IndexError, TypeError, ValueError):
        scores = metadata.pop("report", None)["entries"][0]["held_out"]
        held_out["held out"] = f"weighted F1 {scores['weighted_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
    ordered = {name: values[name] for name in _FIRST if name in values} | values
    return held_out | {name: value for name, value in ordered.items() if not _is_learned(value)} | metadata


def _is_learned(value: Any) -> bool:
    return isinstance(value, list) and len(value) > _MAX_ITEMS and all(isinstance(x, int | float) for x in value)


def _of_shards(path: Path) -> dict[str, Any]:
    with reading(path, what="manifest"), path.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in islice(file, 1_000_000)]
        job = lines[0].get("job", lines[0])
        rows = sum(int(line.get("rows", 0)) for line in lines[1:])
    return {"shards": len(lines) - 1, "rows": rows} | (dict(job) if isinstance(job, dict) else {})


def _of_snapshot(path: Path) -> dict[str, Any]:
    """What a snapshot says of itself in its header; the numbers are not read."""
    with reading(path, what="training snapshot"), path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > 16 << 20:
            raise ValueError(f"its header claims {size:,} bytes")
        header = json.loads(file.read(size))
        values: dict[str, Any] = {"newest": path.name, "tensors": len(header) - ("__metadata__" in header)}
        for text in header.get("__metadata__", {}).values():
            said = json.loads(text)
            values |= said if isinstance(said, dict) else {}
    return values


def _of_npy(path: Path) -> dict[str, Any]:
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return {"rows": len(array), "shape": " × ".join(map(str, array.shape)), "type": str(array.dtype)}


def _of_npz(path: Path) -> dict[str, Any]:
    """Names, shapes and types of the arrays, by their headers alone."""
    import numpy as np

    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in islice(archive.namelist(), 100):
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            arrays[name.removesuffix(".npy")] = f"{' × '.join(map(str, shape))} {dtype}"
    return _arrays(arrays)


def _of_hdf5(path: Path) -> dict[str, Any]:
    """Names and shapes of the first datasets; nothing where the file holds a model's weights."""
    import h5py

    with h5py.File(path, "r") as file:
        if "char_embed" in file or "RNN_0" in file or "lm" in file:
            return {}
        about = json.loads(file.attrs["about"]) if "about" in file.attrs else {}
        shapes = {}
        for name in islice(file, 100):
            item = file[name]
            shape = getattr(item, "shape", None) or ()
            shapes[str(name)] = f"{' × '.join(map(str, shape))} {getattr(item, 'dtype', 'group')}"
        return {"datasets": len(file)} | about | _arrays(shapes)


def _arrays(arrays: Mapping[str, str]) -> dict[str, Any]:
    """Texts, if the arrays are elmokit's features, and the arrays."""
    ends = arrays.get("text_ends", "").split(" ")[0]
    return ({"texts": int(ends)} if ends.isdigit() else {}) | dict(arrays)


_FILES: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npy": _of_npy, ".npz": _of_npz, ".h5": _of_hdf5, ".hdf5": _of_hdf5,
}  # fmt: skip
_FOLDERS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "classifier.json": ("classifier", _of_settings),
    "pairs.json": ("sentence pairs", _of_settings),
    "tagger.json": ("tagger", _of_settings),
    "index.json": ("index of words", _of_settings),
    "store.json": ("training texts", _of_settings),
    "manifest.jsonl": ("shards of vectors", _of_shards),
}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as lines of printable text; long texts are left out."""
    lines: dict[str, str] = {}
    for name, value in values.items():
        label = printable(f"{prefix}{name}".replace("_", " "))
        if isinstance(value, dict):
            lines |= _flat(value, f"{label}, ")
        elif value is not None and len(text := _line(value)) <= _MAX_CHARACTERS:
            lines[label] = text
    return lines


def _line(value: Any) -> str:
    if isinstance(value, bool | str):
        return printable(str(value))
    if isinstance(value, int | float):
        return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
    if isinstance(value, list | tuple) and all(isinstance(x, str | int | float) for x in value):
        more = f" … ({len(value)} in all)" if len(value) > _MAX_ITEMS else ""
        return ", ".join(_line(x) for x in value[:_MAX_ITEMS]) + more or "none"
    return printable(json.dumps(value, ensure_ascii=True, default=str))
