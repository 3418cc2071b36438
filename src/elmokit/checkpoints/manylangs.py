"""ELMoForManyLangs: `encoder.pkl`, `token_embedder.pkl`, `char.dic`, `word.dic` (HIT-SCIR/ELMoForManyLangs, b3de5f1).

A token is its word's vector beside a character CNN over Unicode characters, joined by the projection. Where the
configuration is missing, that of all released models stands in. Dictionaries are cut at the *last* tab and not
stripped, which would lose words that are some kind of space.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format
from elmokit.checkpoints.mapping import PAD_ROW, PUBLISHED, Names, Rule, convert, read_options
from elmokit.checkpoints.torch_file import read_state, torch_rules
from elmokit.errors import CheckpointError
from elmokit.reading import reading
from elmokit.text.vocab import read_words

_ENCODER, _EMBEDDER = "encoder.pkl", "token_embedder.pkl"
_WORDS = "word_emb_layer.embedding.weight"
_NAMES = Names(
    table="char_emb_layer.embedding.weight",
    convolution="convolutions.{i}.weight",
    highway="highways._layers.{i}.weight",
    projection="projection.weight",
    cell="forward_layer_{i}.input_linearity.weight",
    cell_projection="forward_layer_{i}.state_projection.weight",
)
_RULES = (*torch_rules(_NAMES, PAD_ROW), Rule(_WORDS, ("word_embedding.weight",), (PAD_ROW,)))
_CHARACTER_MARKS = ("<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>")
_WORD_MARKS = ("<bos>", "<eos>", "<oov>")
_OUR_MARKS = {"<bos>": "<S>", "<eos>": "</S>", "<oov>": "<UNK>"}
_DEFAULTS = {
    "encoder": {"name": "elmo", **PUBLISHED["lstm"]},
    "token_embedder": {"name": "cnn", **PUBLISHED["char_cnn"]},
}


def recognise(source: CheckpointFiles) -> bool:
    """Whether both files of weights are there."""
    return source.has(_ENCODER) and source.has(_EMBEDDER)


def read(source: CheckpointFiles) -> Checkpoint:
    """Read a model's folder."""
    folder = source.path
    arrays = read_state(folder / _EMBEDDER) | read_state(folder / _ENCODER)
    options = _options(folder)
    words = _dictionary(folder / "word.dic", arrays.get(_WORDS), _WORD_MARKS)
    characters = _dictionary(folder / "char.dic", arrays.get(_NAMES.table), _CHARACTER_MARKS)
    sizes = {}
    if words is not None:
        words = tuple(_OUR_MARKS.get(word, word) for word in words)
        sizes = {"n_words": len(words) + 1, "word_width": 0 if characters is None else arrays[_WORDS].shape[1]}
        if characters is None:
            with reading(folder / _EMBEDDER, what="table of words with its projection"):
                weight, bias = arrays.pop("projection.weight"), arrays.pop("projection.bias")
                arrays[_WORDS] = arrays[_WORDS] @ weight.T + bias
    known = {"lstm": options["encoder"], "char_cnn": options["token_embedder"]}
    sized = _NAMES.options(arrays, folder, known)
    config, tensors = convert(sized, arrays, _NAMES, _RULES, folder / _ENCODER, folder, characters=characters, **sizes)
    return Checkpoint(config, tensors, words=words, metadata={"format": "ELMoForManyLangs"})


def _options(folder: Path) -> dict[str, dict[str, Any]]:
    """The configuration, where it lies beside; else what all released models have."""
    options = {part: dict(values) for part, values in _DEFAULTS.items()}
    values = read_options(folder / "config.json") if (folder / "config.json").is_file() else {}
    if "encoder" not in values:  # the arguments of the training, which name the configuration's file
        name = PurePosixPath(str(values.get("config_path", "")).replace("\\", "/")).name or "."
        config_path = next((path for path in (folder / name, folder / "configs" / name) if path.is_file()), None)
        values = read_options(config_path) if config_path else {}
    for part, known in options.items():
        if isinstance(values.get(part), dict):
            known.update(values[part])
    encoder, embedder = (str(part["name"]).lower() for part in options.values())
    if (encoder, embedder) != ("elmo", "cnn"):
        raise CheckpointError(
            f"{folder}: encoder {encoder!r} with token embedder {embedder!r}; only 'elmo' with 'cnn' is read, which all"
            " released models are."
        )
    return options


def _dictionary(path: Path, table: NDArray[Any] | None, marks: tuple[str, ...]) -> tuple[str, ...] | None:
    """A dictionary as a tuple, place = id, as long as the table. Numbers that no line has become empty words."""
    if table is None:
        return None
    lines, counts = read_words(path)
    if counts is None:
        raise CheckpointError(f"{path}: expected on each line a token, a tab and its number.")
    n_rows = len(table)
    tokens = [""] * n_rows
    for token, number in zip(lines, counts, strict=True):
        if number >= n_rows:
            raise CheckpointError(
                f"{path}: {token!r} has the number {number}, but the table has {n_rows} rows: are both of one model?"
            )
        tokens[number] = token
    missing = [mark for mark in marks if mark not in tokens]
    if missing:
        raise CheckpointError(f"{path}: lacks {missing[0]!r}; is it the dictionary of an ELMoForManyLangs model?")
    return tuple(tokens)


FORMAT = Format("manylangs", "ELMoForManyLangs (encoder.pkl, token_embedder.pkl, dictionaries)", recognise, read)
