"""AllenNLP's and bilm-tf's published format: `options.json` and an HDF5 file of TensorFlow arrays (read, write).

The format of the official models, of the NLPL repository (`model.hdf5`, `options.json`, `vocab.txt`), SeqVec, PubMed
and others. A softmax goes to `softmax_weights.hdf5`, as the official models' did; one inside the weights is read too.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format, Softmax, vocabulary_beside
from elmokit.checkpoints.mapping import PARTS, convert, options_from_checkpoint, read_options, rules_from
from elmokit.checkpoints.tensorflow import NAMES, TABLE, published_name, take_softmax
from elmokit.config import LayerMix
from elmokit.errors import CheckpointError, MissingFile
from elmokit.files import atomic_path, write_json
from elmokit.hdf5 import dataset_shapes, hdf5_file, is_hdf5, read_arrays
from elmokit.reading import printable, reading
from elmokit.text.vocab import write_words

_SUFFIXES = (".hdf5", ".h5")


def recognise(source: CheckpointFiles) -> bool:
    """Whether there are HDF5 files; whether they hold a biLM is for `read` to say, which can say why not."""
    if source.path.is_file() and source.path.suffix != ".json" and source.weights is None:
        return is_hdf5(source.path)
    return source.weights is not None or bool(CheckpointFiles(source.folder).files(*_SUFFIXES))


def read(source: CheckpointFiles) -> Checkpoint:
    """Read a folder or a pair of files."""
    options_path, weights_path = _find_pair(source)
    options = read_options(options_path)
    datasets = {name.removeprefix("lm/"): array for name, array in read_arrays(weights_path, dtype="f4").items()}
    arrays = {published_name(name) or name: array for name, array in datasets.items()}
    refuse_other_kinds(weights_path, arrays)
    softmax = take_softmax(arrays) or _softmax_beside(source)
    config, tensors = convert(options, arrays, NAMES, TABLE, options_path, weights_path)
    words, counts, metadata = None, None, {name: value for name, value in options.items() if name not in PARTS}
    if source.weights is None:
        words, counts, problem = vocabulary_beside(options_path, needed=config.char_cnn is None)
        metadata |= problem
    extra = options.get("elmokit", {})
    with reading(options_path, what='part "elmokit" of the options'):
        mix = LayerMix(**extra.get("layer_mix", {}))
        metadata |= dict(extra.get("metadata", extra.get("facts", {})))
        name = printable(str(extra.get("name", "")))
    return Checkpoint(config, tensors, mix, words, counts, softmax if source.with_softmax else None, name, metadata)


def write(checkpoint: Checkpoint, folder: Path, _storage: str = "float32") -> None:
    """Write `options.json`, `weights.hdf5` and, where there are, `vocab.txt` and `softmax_weights.hdf5`."""
    config, what = checkpoint.config, ""
    if config.word_width or (config.char_cnn and config.char_cnn.characters):
        what = "reads a dictionary of characters (ELMoForManyLangs)"
    if config.word_table:
        what = "adds a table of frequent words to its character CNN"
    if checkpoint.whitening is not None:
        what = "multiplies its text vectors by a whitening"
    if what:
        raise CheckpointError(f"{folder}: this model {what}; AllenNLP's format has none; write it as 'native'.")
    theirs = {rule.theirs: rule.revert(checkpoint.tensors) for rule in rules_from(TABLE, config)}
    write_hdf5(folder / "weights.hdf5", theirs)
    if checkpoint.softmax is not None:
        softmax = {"softmax/W": checkpoint.softmax.weight, "softmax/b": checkpoint.softmax.bias}
        write_hdf5(folder / "softmax_weights.hdf5", softmax)
    if checkpoint.words is not None:
        with atomic_path(folder / "vocab.txt") as path:
            write_words(path, checkpoint.words, checkpoint.word_counts)
    write_json(folder / "options.json", options_from_checkpoint(checkpoint), indent=2, ensure_ascii=False)


def write_hdf5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an HDF5 file, whole or not at all."""
    with hdf5_file(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=np.asarray(array, dtype=np.float32))


def refuse_other_kinds(path: Path, names: Collection[str]) -> None:
    """Say by name what a file is that holds no biLM."""
    if any(name == "char_embed" or name.startswith("RNN_") for name in names):
        return
    if "sentence_to_index" in names or (names and all(name.isdigit() for name in names)):
        kind = "a file of computed features (one dataset per sentence), not a model"
    elif names and all(name.startswith("softmax/") for name in names):
        kind = "the softmax of a language model alone; load the biLM's weights and give this beside them"
    elif set(names) == {"embedding"}:
        kind = "a table of cached token embeddings, not a model"
    elif any(name.startswith("rnn/") for name in names):
        kind = "a language model of one direction; ELMo needs both"
    else:
        kind = f"not the weights of an ELMo (it holds {', '.join(sorted(names)[:5]) or 'nothing'})"
    raise CheckpointError(f"{path}: this is {kind}.")


def _names(path: Path) -> set[str]:
    """Names of the datasets; none where the file can't be read."""
    with suppress(CheckpointError, MissingFile):
        return set(dataset_shapes(path))
    return set()


def _find_pair(source: CheckpointFiles) -> tuple[Path, Path]:
    """Options and weights, wherever they were given."""
    if source.weights is not None or source.path.suffix == ".json":
        return source.path, source.weights or _find_weights(source)
    weights_path = source.path if source.path.is_file() else _find_weights(source)
    same = weights_path.with_name(weights_path.stem.replace("weights", "options") + ".json")
    named = sorted(p for p in source.folder.glob("*options*.json") if p.is_file())
    for candidate in (same, source.folder / "options.json", *(named if len(named) == 1 else ())):
        if candidate.is_file() and candidate != weights_path:
            return candidate, weights_path
    refuse_other_kinds(weights_path, dataset_shapes(weights_path))
    raise MissingFile(f"{source.folder}: there are weights ({weights_path.name}) but no options.json beside them.")


def _find_weights(source: CheckpointFiles) -> Path:
    """The weights that belong to an options file or a folder: those of the same name, or the only ones."""
    same = source.path.with_name(source.path.stem.replace("options", "weights") + ".hdf5")
    if source.path.is_file() and same.is_file():
        return same
    files = CheckpointFiles(source.folder).files(*_SUFFIXES)
    weights = [path for path in files if any(name.startswith("RNN_") for name in _names(path))]
    preferred = [path for path in weights if path.name in ("model.hdf5", "weights.hdf5")] or weights
    if len(preferred) > 1:
        names = ", ".join(path.name for path in weights)
        raise CheckpointError(f"{source.path}: several files of weights ({names}); give options and weights by name.")
    return (preferred or files)[0]  # a file that holds none: reading it says what it is


def _softmax_beside(source: CheckpointFiles) -> Softmax | None:
    """The softmax in a file of its own beside a folder's weights."""
    if source.weights is not None or not source.with_softmax:
        return None
    files = CheckpointFiles(source.folder).files(*_SUFFIXES)
    path = next((path for path in files if "softmax" in path.name and _names(path) == {"softmax/W", "softmax/b"}), None)
    return None if path is None else take_softmax(read_arrays(path, dtype="f4"))


FORMAT = Format("allennlp", "AllenNLP / bilm-tf (options.json, HDF5 weights)", recognise, read, write)
