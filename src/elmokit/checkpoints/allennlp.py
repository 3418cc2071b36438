"""AllenNLP's and bilm-tf's published format: `options.json` and an HDF5 file of TensorFlow arrays (read, write).

The format of the official models, of the NLPL repository (`model.hdf5`, `options.json`, `vocab.txt`), SeqVec,
PubMed and others. TensorFlow's layout is y = x·W + b; its LSTM has one kernel (P + P, 4C) for input and recurrent
state, gates in the order input, candidate, forget, output, and adds 1 to the forget gate while running. The
characters' table has no padding row; ids are shifted by one at prediction. What is in the weights decides (is
there a `CNN_proj`, a `W_P_0`?), since tools disagree about it in the options; sizes must agree with both.

What the format has no place for (tokenizer, layer mix, name, facts) is written under the key "elmokit" of
options.json, which other tools pass over. A softmax goes to `softmax_weights.hdf5`, as the official models' did.
Sources: bilm-tf `model.py`, `dump_weights`; AllenNLP 0.9 `elmo.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint, Softmax
from elmokit.checkpoints.hdf5 import dataset_shapes, is_hdf5, read_datasets
from elmokit.checkpoints.mapping import (
    AddToBlock,
    DropAxis,
    PadRow,
    ReorderBlocks,
    Rule,
    Transpose,
    apply_rules,
    revert_rules,
)
from elmokit.checkpoints.source import Format, Source, check_finite, read_json, read_words, write_words
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix
from elmokit.errors import CheckpointError, ConfigError, MissingFile
from elmokit.files import atomic_path, surviving_file

_TF_GATES = ReorderBlocks((0, 2, 1, 3))
_FORGET_BIAS = AddToBlock(1, 4, 1.0)
_MAX_LAYERS = 1000  # far beyond any model; keeps a hostile number from being counted to


def rules_for(config: ElmoConfig, *, single_cell: bool = False) -> tuple[Rule, ...]:
    """The rules between this format's arrays and ours.

    Args:
        config: the model's configuration.
        single_cell: whether the file has bilm-tf's shorter names for one LSTM layer.

    Returns:
        one rule per array of theirs.

    Example:
        >>> rules_for(ElmoConfig())[0].theirs
        'char_embed'
    """
    cell = "LSTMCell" if single_cell else "MultiRNNCell/Cell{layer}/LSTMCell"
    rules = list(token_rules(config))
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(config.bilstm.n_layers):
            place = f"RNN_{d}/RNN/{cell.format(layer=layer)}/"
            rules += lstm_rules(f"{direction}_layers.{layer}.", config, [place + "W_0", place + "B", place + "W_P_0"])
    return tuple(rules)


def token_rules(config: ElmoConfig) -> tuple[Rule, ...]:
    """The rules of the token encoder, whose names all families of TensorFlow files share.

    Args:
        config: the model's configuration.

    Returns:
        one rule per array of theirs.
    """
    cnn = config.char_cnn
    if cnn is None:
        return (Rule("embedding", ("word_embedding.weight",), (PadRow(),)),)
    rules = [Rule("char_embed", ("char_cnn.embedding.weight",), (PadRow(),))]
    for i in range(len(cnn.filters)):
        ours = f"char_cnn.convolutions.{i}."
        rules.append(Rule(f"CNN/W_cnn_{i}", (ours + "weight",), (DropAxis(), Transpose((2, 1, 0)))))
        rules.append(Rule(f"CNN/b_cnn_{i}", (ours + "bias",)))
    for k in range(cnn.n_highway):
        for their_part, our_part in (("carry", "gate"), ("transform", "transform")):
            ours = f"char_cnn.highways.{k}.{our_part}."
            rules.append(Rule(f"CNN_high_{k}/W_{their_part}", (ours + "weight",), (Transpose(),)))
            rules.append(Rule(f"CNN_high_{k}/b_{their_part}", (ours + "bias",)))
    if cnn.projection:
        rules.append(Rule("CNN_proj/W_proj", ("char_cnn.projection.weight",), (Transpose(),)))
        rules.append(Rule("CNN_proj/b_proj", ("char_cnn.projection.bias",)))
    return tuple(rules)


def lstm_rules(ours: str, config: ElmoConfig, theirs: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of one TensorFlow LSTM cell.

    Args:
        ours: prefix of our names.
        config: the model's configuration.
        theirs: their names of kernel, bias and projection.

    Returns:
        two or three rules.
    """
    kernel, bias, projection = theirs
    rules = (
        Rule(kernel, (ours + "weight_ih", ours + "weight_hh"), (Transpose(), _TF_GATES), axis=1),
        Rule(bias, (ours + "bias",), (_TF_GATES, _FORGET_BIAS)),
    )
    return (*rules, Rule(projection, (ours + "weight_hr",), (Transpose(),))) if config.bilstm.projection else rules


def recognise(source: Source) -> bool:
    """Whether there are HDF5 files; whether they hold a biLM is for `read` to say, which can say why not."""
    if source.weights is not None:
        return True
    if source.path.is_file():
        return is_hdf5(source.path) or (source.path.suffix == ".json" and _weights_beside(source.path) is not None)
    return bool(source.files(".hdf5", ".h5"))


def read(source: Source) -> Checkpoint:
    """Read a folder or a pair of files.

    Args:
        source: a folder, or the options file, or the weights file, or both.

    Returns:
        the checkpoint, float32.

    Raises:
        MissingFile: options or weights are not there.
        CheckpointError: the files are damaged, of another kind, or do not fit together.
    """
    options_path, weights_path = _find_pair(source)
    options = read_json(options_path)
    arrays = {_short(name): array for name, array in read_datasets(weights_path).items()}
    refuse_other_kinds(weights_path, arrays)
    config = config_from_options(options, options_path, weights_path, arrays)
    rules = rules_for(config, single_cell="RNN_0/RNN/LSTMCell/W_0" in arrays)
    tensors = convert(rules, config, arrays, weights_path, options_path)
    words, counts = vocabulary_beside(options_path) if source.weights is None else (None, None)
    extra = options.get("elmokit", {})
    try:
        mix = LayerMix(**extra.get("layer_mix", {}))
        facts, name = dict(extra.get("facts", training_facts(options))), str(extra.get("name", ""))
        wanted = source.weights is None and source.with_softmax
        softmax = _softmax(source.folder, config) if wanted else None
        checkpoint = Checkpoint(config, tensors, mix, words, counts, softmax, name, facts)
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(f"{source.folder}: {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f'{options_path}: the part "elmokit" can\'t be read ({error}).') from None
    return check_finite(checkpoint, weights_path)


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `options.json`, `weights.hdf5` and, where there are, `vocab.txt` and `softmax_weights.hdf5`.

    Args:
        checkpoint: what to write.
        folder: an existing folder.

    Raises:
        OutputError: the folder can't be written.
    """
    check_finite(checkpoint, folder)
    if checkpoint.config.word_width or (checkpoint.config.char_cnn and checkpoint.config.char_cnn.characters):
        raise CheckpointError(
            f"{folder}: this model reads a dictionary of characters (ELMoForManyLangs), which AllenNLP's format has no"
            " place for; write it as 'native'."
        )
    write_hdf5(folder / "weights.hdf5", revert_rules(rules_for(checkpoint.config), checkpoint.tensors))
    if checkpoint.softmax is not None:
        softmax = {"softmax/W": checkpoint.softmax.weight, "softmax/b": checkpoint.softmax.bias}
        write_hdf5(folder / "softmax_weights.hdf5", softmax)
    if checkpoint.words is not None:
        with atomic_path(folder / "vocab.txt") as path:
            write_words(path, checkpoint.words, checkpoint.word_counts)
    with atomic_path(folder / "options.json") as path:
        text = json.dumps(options_from_checkpoint(checkpoint), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def write_hdf5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an HDF5 file, whole or not at all.

    Args:
        path: the file.
        arrays: by their full names.

    Raises:
        OutputError: the folder can't be written.
    """
    import h5py

    with atomic_path(path) as temporary, surviving_file(temporary) as disk, h5py.File(disk, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=np.asarray(array, dtype=np.float32))


def convert(
    rules: Sequence[Rule], config: ElmoConfig, arrays: Mapping[str, NDArray[Any]], path: Path, options_path: Path
) -> dict[str, NDArray[Any]]:
    """Our tensors from a file's arrays, after every name and shape was compared with what the options need.

    Args:
        rules: the format's rules.
        config: what the options say.
        arrays: the file's arrays.
        path: the file, for errors.
        options_path: the options, for errors.

    Returns:
        our tensors by our names.

    Raises:
        CheckpointError: an array is missing, left over or of another shape.
    """
    ours = config.tensor_shapes()
    for rule in rules:
        needed = rule.their_shape(ours)
        if rule.theirs not in arrays:
            raise CheckpointError(
                f"{path}: the dataset {rule.theirs} {needed} is missing; {options_path.name} needs it:"
                " are both files of one model?"
            )
        found = arrays[rule.theirs].shape
        if found != needed:
            raise CheckpointError(
                f"{path}: {rule.theirs} has shape {found}; {options_path.name} ({_sizes(config)}) needs {needed}:"
                " are both files of one model?"
            )
    left_over = sorted(set(arrays) - {rule.theirs for rule in rules})
    if left_over:
        raise CheckpointError(
            f"{path}: the dataset {left_over[0]} {arrays[left_over[0]].shape} is left over ({len(left_over)} in all);"
            f" {options_path.name} ({_sizes(config)}) has no place for it: are both files of one model?"
        )
    return apply_rules(rules, arrays, ours)


def config_from_options(
    options: Mapping[str, Any], options_path: Path, weights_path: Path, arrays: Mapping[str, NDArray[Any]]
) -> ElmoConfig:
    """The configuration that options and the presence of arrays describe.

    Args:
        options: what options.json says.
        options_path: its place, for errors.
        weights_path: the weights' place, for errors.
        arrays: the weights, with this format's names.

    Returns:
        the configuration.

    Raises:
        CheckpointError: an entry is missing or of the wrong kind.
    """
    try:
        lstm = options["lstm"]
        C, P, n_layers = int(lstm["dim"]), int(lstm["projection_dim"]), int(lstm["n_layers"])
        if max(n_layers, int(options.get("char_cnn", {}).get("n_highway") or 0)) > _MAX_LAYERS:
            raise CheckpointError(f"{options_path}: more than {_MAX_LAYERS} layers; is this an ELMo's options file?")
        has_projection = any(name.endswith("/W_P_0") for name in arrays)
        bilstm = BiLSTMConfig(
            n_layers=n_layers,
            cell_width=C,
            projection=has_projection or C != P,
            cell_clip=_clip(lstm.get("cell_clip")),
            projection_clip=_clip(lstm.get("proj_clip")),
            skip_connections=bool(lstm.get("use_skip_connections")),
        )
        char_cnn = _char_cnn(options["char_cnn"], options_path, P, arrays) if "char_cnn" in options else None
        n_words = 0 if char_cnn else _n_words(arrays, weights_path)
        tokenizer = str(options.get("elmokit", {}).get("tokenizer", "whitespace"))
        return ElmoConfig(projection_width=P, char_cnn=char_cnn, n_words=n_words, bilstm=bilstm, tokenizer=tokenizer)
    except ConfigError as error:
        raise CheckpointError(f"{options_path}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{options_path}: not the options of an ELMo: an entry is missing or of the wrong kind ({error!r})."
            ' Expected "lstm" with dim, projection_dim and n_layers, and "char_cnn".'
        ) from None


def options_from_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """The options.json that bilm-tf, AllenNLP and simple_elmo read.

    Args:
        checkpoint: the checkpoint.

    Returns:
        JSON values.
    """
    config, bilstm, cnn = checkpoint.config, checkpoint.config.bilstm, checkpoint.config.char_cnn
    lstm = {
        "dim": bilstm.cell_width,
        "projection_dim": config.projection_width,
        "n_layers": bilstm.n_layers,
        "use_skip_connections": bilstm.skip_connections,
    }
    clips = {"cell_clip": bilstm.cell_clip, "proj_clip": bilstm.projection_clip}
    options: dict[str, Any] = {"lstm": lstm | {name: clip for name, clip in clips.items() if clip is not None}}
    if cnn is not None:
        options["char_cnn"] = {
            "embedding": {"dim": cnn.embedding_width},
            "filters": [list(pair) for pair in cnn.filters],
            "n_highway": cnn.n_highway,
            "activation": cnn.activation,
            "max_characters_per_token": cnn.max_characters,
            "n_characters": 262,
        }
    mix = checkpoint.layer_mix
    options["elmokit"] = {
        "name": checkpoint.name,
        "tokenizer": config.tokenizer,
        "layer_mix": {
            "weights": None if mix.weights is None else list(mix.weights),
            "gamma": mix.gamma,
            "layer_norm": mix.layer_norm,
        },
        "facts": dict(checkpoint.facts),
    }
    return options


def refuse_other_kinds(path: Path, names: Mapping[str, Any]) -> None:
    """Say by name what a file is that holds no biLM.

    Args:
        path: the file.
        names: the names in it.

    Raises:
        CheckpointError: it is a file of features, a softmax, cached token embeddings, or something else.
    """
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


def _short(name: str) -> str:
    return name.removeprefix("lm/")


def _clip(value: Any) -> float | None:
    return None if value is None or float(value) == 0 else float(value)


def _sizes(config: ElmoConfig) -> str:
    return f"dim {config.bilstm.cell_width}, projection_dim {config.projection_width}"


def _char_cnn(
    options: Mapping[str, Any], options_path: Path, projection_width: int, arrays: Mapping[str, NDArray[Any]]
) -> CharCNNConfig:
    if options.get("projection_after_highway", True) is False:
        raise CheckpointError(
            f"{options_path}: projection_after_highway is false; only models that project after the highway are read."
        )
    filters = tuple((int(width), int(n)) for width, n in options["filters"])
    table = arrays.get("char_embed")
    return CharCNNConfig(
        embedding_width=int(options["embedding"]["dim"]),
        filters=filters,
        n_highway=int(options.get("n_highway") or 0),
        activation=options.get("activation", "relu"),
        max_characters=int(options.get("max_characters_per_token", 50)),
        n_characters=262 if table is None or table.ndim == 0 else max(len(table), 261) + 1,
        projection="CNN_proj/W_proj" in arrays or sum(n for _, n in filters) != projection_width,
    )


def _n_words(arrays: Mapping[str, NDArray[Any]], path: Path) -> int:
    table = arrays.get("embedding")
    if table is None or table.ndim != 2:
        raise CheckpointError(
            f"{path}: the options have no char_cnn, so the model looks words up, but a dataset embedding (words,"
            " projection) is missing: are both files of one model?"
        )
    return len(table) + 1


def _holds_bilm(path: Path) -> bool:
    try:
        return any(name.startswith("RNN_") for name in dataset_shapes(path))
    except (CheckpointError, MissingFile):
        return False


def _holds_softmax(path: Path) -> bool:
    try:
        return set(dataset_shapes(path)) == {"softmax/W", "softmax/b"}
    except (CheckpointError, MissingFile):
        return False


def _weights_beside(options_path: Path) -> Path | None:
    """The weights that belong to an options file: the same name with "weights", or the folder's only ones."""
    same = options_path.with_name(options_path.stem.replace("options", "weights") + ".hdf5")
    if same.is_file():
        return same
    found = [path for path in Source(options_path.parent).files(".hdf5", ".h5") if _holds_bilm(path)]
    return found[0] if len(found) == 1 else None


def _find_pair(source: Source) -> tuple[Path, Path]:
    """Options and weights, wherever they were given."""
    if source.weights is not None:
        return source.path, source.weights
    if source.path.is_file() and source.path.suffix == ".json":
        weights = _weights_beside(source.path)
        if weights is None:
            raise MissingFile(f"{source.path}: no HDF5 file of weights lies beside it; give it as weights=….")
        return source.path, weights
    weights_path = source.path if source.path.is_file() else _only_weights(source)
    same = weights_path.with_name(weights_path.stem.replace("weights", "options") + ".json")
    named = sorted(p for p in source.folder.glob("*options*.json") if p.is_file())
    for candidate in (same, source.folder / "options.json", *(named if len(named) == 1 else ())):
        if candidate.is_file() and candidate != weights_path:
            return candidate, weights_path
    refuse_other_kinds(weights_path, dataset_shapes(weights_path))
    raise MissingFile(f"{source.folder}: there are weights ({weights_path.name}) but no options.json beside them.")


def _only_weights(source: Source) -> Path:
    files = source.files(".hdf5", ".h5")
    found = [path for path in files if _holds_bilm(path)]
    preferred = [path for path in found if path.name in ("model.hdf5", "weights.hdf5")]
    if len(preferred or found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{source.path}: several files of weights ({names}); give options and weights by name.")
    return (preferred or found or files)[0]  # a file that holds none: reading it says what it is


def vocabulary_beside(options_path: Path) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
    """The vocabulary in the same folder: `vocab.txt.gz`, `vocab.txt` or the first other `vocab*.txt`.

    Args:
        options_path: the options file.

    Returns:
        words and counts, each None where unknown.
    """
    folder = options_path.parent
    for path in (folder / "vocab.txt.gz", folder / "vocab.txt", *sorted(folder.glob("vocab*.txt"))):
        if path.is_file():
            return read_words(path, skip_maxtermid=True)
    return None, None


def training_facts(options: Mapping[str, Any]) -> dict[str, Any]:
    """What options say beyond the model itself: batch size, tokens and so on.

    Args:
        options: what options.json says.

    Returns:
        JSON values.
    """
    return {name: value for name, value in options.items() if name not in ("lstm", "char_cnn", "elmokit")}


def _softmax(folder: Path, config: ElmoConfig) -> Softmax | None:
    for path in Source(folder).files(".hdf5", ".h5"):
        if "softmax" in path.name and _holds_softmax(path):
            softmax = read_softmax(path)
            if softmax.weight.shape[1] != config.projection_width:
                raise CheckpointError(
                    f"{path}: softmax/W has shape {softmax.weight.shape}; the model needs rows of width"
                    f" {config.projection_width}: are both files of one model?"
                )
            return softmax
    return None


def read_softmax(path: Path) -> Softmax:
    """The softmax that was published beside the official models.

    Args:
        path: an HDF5 file with `softmax/W` (V, P) and `softmax/b` (V,).

    Returns:
        the softmax.

    Raises:
        CheckpointError: the file holds something else.
    """
    arrays = read_datasets(path)
    if set(arrays) != {"softmax/W", "softmax/b"}:
        raise CheckpointError(f"{path}: expected the datasets softmax/W and softmax/b, found {sorted(arrays)[:5]}.")
    try:
        return Softmax(arrays["softmax/W"], arrays["softmax/b"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def read_token_embeddings(path: Path) -> NDArray[Any]:
    """Token vectors of a vocabulary that were computed once and kept (`dump_token_embeddings`).

    Args:
        path: an HDF5 file with `embedding` (V, P).

    Returns:
        the table. Shape (V, P).

    Raises:
        CheckpointError: the file holds something else.
    """
    arrays = read_datasets(path)
    if set(arrays) != {"embedding"} or arrays["embedding"].ndim != 2:
        raise CheckpointError(
            f"{path}: expected one dataset, embedding (words, projection); found {sorted(arrays)[:5]}."
        )
    return arrays["embedding"]


FORMAT = Format("allennlp", "AllenNLP / bilm-tf (options.json, HDF5 weights)", recognise, read, write)
