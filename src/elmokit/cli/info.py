"""`elmokit info`, `convert`, `push` and `examples`: what a model or a file is, in another format, on a hub."""

import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import elmokit
from elmokit.cli.app import argument, option
from elmokit.cli.options import TextOptions
from elmokit.cli.screen import screen
from elmokit.errors import MissingFile
from elmokit.files import atomic_path, make_folder
from elmokit.reading import MAX_JSON_BYTES, printable, read_json, reading

_LINES = 10
_MAX_CHARACTERS, _MAX_ITEMS, _MAX_ARRAYS = 200, 8, 100
_SAMPLES = (".csv", ".conll", ".ipynb", ".txt", ".py")
_FIRST = ("model", "classes", "tags", "encoding", "layers", "head")


def info(
    *,
    model: str = argument("PATH", '"default", a model, classifier, tagger, index, vectors, training run …', "default"),
    whole: bool = option(False, "Print everything, not the first ten lines.", "--all"),
    as_json: bool = option(False, "Print JSON.", "--json"),
) -> None:
    """Show what a model is, or anything else that elmokit wrote.

    Example:  elmokit info
    """
    values = (_described(Path(model)) if model != "default" else {}) or _of_model(model)
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


def _described(path: Path) -> dict[str, Any]:
    for pattern, (kind, describe) in _KINDS.items():
        lone = pattern.startswith("*")  # a file by itself, not one in the folder `path`
        files = sorted(path.glob(pattern)) if not lone else [path] if path.is_file() and path.match(pattern) else []
        if files:
            with reading(files[-1], what=f"file of {kind}"):
                if values := describe(files[-1]):
                    return {"kind": kind} | values
    return {}


def _of_model(place: str) -> dict[str, Any]:
    from elmokit import checkpoints
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
        "elmokit": elmokit.__version__,
        **checkpoint.metadata,
    }


def _of_settings(path: Path) -> dict[str, Any]:
    """The settings of a saved head, the most telling first; numbers that were learned are left out."""
    values, first = read_json(path), {}
    metadata = values.pop("metadata", None)
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    with suppress(KeyError, IndexError, TypeError, ValueError):
        scores = metadata.pop("report", None)["entries"][0]["held_out"]
        first["held out"] = f"weighted F1 {scores['weighted_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
    ordered = {name: values[name] for name in _FIRST if name in values} | values
    learned = {k for k, v in values.items() if isinstance(v, list) and len(v) > _MAX_ITEMS and isinstance(v[0], float)}
    return first | {name: value for name, value in ordered.items() if name not in learned} | metadata


def _of_shards(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        first, *lines = (json.loads(line) for line in islice(file, 1_000_000))
    return {"shards": len(lines), "rows": sum(int(line["rows"]) for line in lines)} | dict(first["job"])


def _of_run(path: Path) -> dict[str, Any]:
    """The newest snapshot's own words, in its header; the numbers are not read."""
    with path.open("rb") as file:
        size = min(int.from_bytes(file.read(8), "little"), MAX_JSON_BYTES)
        values = dict(json.loads(json.loads(file.read(size))["__metadata__"]["metadata"]))
    return {"snapshots": len(list(path.parent.glob("step-*.safetensors"))), "newest": path.name} | values


def _of_npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"features": _shape(file)}


def _of_npz(path: Path) -> dict[str, Any]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in islice(archive.namelist(), _MAX_ARRAYS):
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = _shape(file)
    return _with_texts(arrays)


def _shape(file: Any) -> str:
    from numpy.lib import format

    read = format.read_array_header_1_0 if format.read_magic(file) == (1, 0) else format.read_array_header_2_0
    shape, _, dtype = read(file)
    return f"{' × '.join(map(str, shape))} {dtype}"


def _of_hdf5(path: Path) -> dict[str, Any]:
    """Shapes of the first datasets; nothing where the file holds a model's weights."""
    import h5py

    with h5py.File(path, "r") as file:
        if any(name in file for name in ("char_embed", "RNN_0", "lm")):
            return {}
        shapes = {str(name): getattr(file[name], "shape", None) or () for name in islice(file, _MAX_ARRAYS)}
        return {"datasets": len(file)} | _with_texts({name: " × ".join(map(str, x)) for name, x in shapes.items()})


def _with_texts(arrays: Mapping[str, str]) -> dict[str, Any]:
    """The number of texts, if the arrays are elmokit's features, and the arrays."""
    ends = arrays.get("text_ends", "").split(" ")[0]
    return ({"texts": int(ends)} if ends.isdigit() else {}) | dict(arrays)


_KINDS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "classifier.json": ("classifier", _of_settings),
    "pairs.json": ("sentence pairs", _of_settings),
    "tagger.json": ("tagger", _of_settings),
    "index.json": ("index of words", lambda path: elmokit.WordIndex.open(path.parent).about()),
    "store.json": ("training texts", _of_settings),
    "manifest.jsonl": ("shards of vectors", _of_shards),
    "step-*.safetensors": ("training run", _of_run),
    "*.npy": ("vectors", _of_npy),
    "*.npz": ("vectors", _of_npz),
    "*.h5": ("vectors", _of_hdf5),
    "*.hdf5": ("vectors", _of_hdf5),
}
"""Files in a folder, or files by themselves: what they are, and what describes them."""


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
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
    if isinstance(value, list | tuple):
        more = f" … ({len(value)} in all)" if len(value) > _MAX_ITEMS else ""
        return ", ".join(map(_line, value[:_MAX_ITEMS])) + more or "none"
    return printable(json.dumps(value, default=str))


def convert(
    *,
    source: str = argument("SRC", '"default", a folder, file, archive, published name or address.'),
    target: str = argument("DST", 'A folder; for "onnx" a file.'),
    weights: str | None = option(None, "The weights, where SRC is the options of a pair."),
    format: str = option("native", '"native", "allennlp" or "onnx".'),
    storage: str = option("float32", 'Of native weights: "float32" (exact), "float16" or "int8".'),
    whiten: str | None = option(None, "A text file to fit the whitening of text vectors on (see Elmo.fit_whitening)."),
) -> None:
    """Read an ELMo of any format and write it in another.

    Read are: AllenNLP and bilm-tf (options.json with HDF5), bilm-tf's training checkpoints, TF-Hub modules,
    ELMoForManyLangs, models that AllenNLP trained, NLPL's zips, SeqVec, and elmokit's own folders.

    Example:  elmokit convert 212.zip norwegian/ --storage float16
    """
    from elmokit import checkpoints

    if weights is None:
        screen.note(f"{source}: {checkpoints.detect(source).title}")
    checkpoint = checkpoints.load(source, weights=weights)
    if "verified" in checkpoint.metadata:
        screen.note(f"{source}: {checkpoint.metadata['verified']}")
    if whiten is not None:
        elmo = elmokit.Elmo(checkpoint).fit_whitening(TextOptions(source=whiten).read()[1])
        checkpoint = replace(checkpoint, whitening=elmo.whitening)
    if format == "onnx":
        from elmokit.integrations.onnx import export_onnx

        export_onnx(checkpoint, target)
    else:
        checkpoints.save(checkpoint, target, format=format, storage=storage)  # type: ignore[arg-type]
    screen.done(f"{target}: {checkpoint.config.n_params:,} parameters")


def push(
    *,
    folder: str = argument("FOLDER", 'What elmokit convert or train wrote, or "default".'),
    repository: str = argument("USER/MODEL", "On the Hugging Face hub."),
    private: bool = option(False, "Make a new repository private.", "--private"),
) -> None:
    """Put a model on the Hugging Face hub, under your own account; load it with --model hf:USER/MODEL.

    Example:  elmokit push norwegian/ me/elmo-norwegian
    """
    from elmokit.checkpoints import EMBEDDED, fetching

    screen.say(fetching.push(EMBEDDED if folder == "default" else Path(folder), repository, private=private))


def examples(*, folder: str = argument("FOLDER", "Folder to write to.", "examples")) -> None:
    """Copy the sample files of the documentation to a folder; existing files are not replaced.

    Example:  elmokit examples
    """
    package, target = Path(elmokit.__file__).parent, Path(folder)
    places = (package / "examples", package.parent.parent / "examples")  # in the package, or in a source checkout
    source = next((place for place in places if (place / "product_tweets.csv").is_file()), None)
    if source is None:
        raise MissingFile(f"{places[0]}: no sample files in this installation.")
    for path in sorted(path for path in source.rglob("*") if path.suffix in _SAMPLES):
        copy = target / path.relative_to(source)
        if copy.exists():
            screen.note(f"{copy} exists already")
            continue
        make_folder(copy.parent)
        with atomic_path(copy) as temporary:
            temporary.write_bytes(path.read_bytes())
        screen.say(str(copy))
