"""What AllenNLP's HDF5 files, bilm-tf's training checkpoints and TF-Hub modules share: names and layouts of TensorFlow.

One graph wrote all three; only the names of the LSTM cells changed with TensorFlow's versions, so variables are renamed
to those of the HDF5 files. TensorFlow computes y = x·W + b. Its LSTM has one kernel (P + P, 4C) for input and recurrent
state, gates in the order input, candidate, forget, output, and adds 1 to the forget gate while running. The character
table has no padding row. Sources: bilm-tf `model.py`, `dump_weights`; AllenNLP 0.9 `elmo.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.mapping import Rule, add_to_block, apply_rules, drop_axis, pad_row, reorder_blocks, transpose
from elmokit.checkpoints.tensor_bundle import Bundle
from elmokit.config import ElmoConfig
from elmokit.errors import CheckpointError
from elmokit.reading import printable

_CELL = re.compile(
    r"RNN_(\d)/(?:(?:RNN|rnn|MultiRNNCell|multi_rnn_cell|LSTMCell|lstm_cell|[Cc]ell_?(\d+))/)+"
    r"(kernel|bias|projection/kernel|W_0|B|W_P_0)"
)
_LEAVES = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_OTHER = re.compile(r"embedding|char_embed|CNN/[Wb]_cnn_\d+|CNN_high_\d+/[Wb]_(carry|transform)|CNN_proj/[Wb]_proj")


def published_name(name: str) -> str | None:
    """The HDF5 dataset that a variable of the biLM was dumped to."""
    cell = _CELL.fullmatch(name)
    if cell:
        leaf = _LEAVES.get(cell[3], cell[3])
        return f"RNN_{cell[1]}/RNN/MultiRNNCell/Cell{cell[2] or 0}/LSTMCell/{leaf}"
    return name if _OTHER.fullmatch(name) else None


def model_prefix(names: Iterable[str], place: Path) -> str:
    """What stands before the model's own names, for instance "lm/" or "bilm/"."""
    prefixes = {name[: match.start()] for name in names if (match := re.search(r"(?<![^/])RNN_0/", name))}
    prefixes = {p for p in prefixes if any(published_name(name.removeprefix(p)) for name in names)}
    if len(prefixes) != 1:
        some = ", ".join(map(printable, sorted(names)[:5]))
        what = "no ELMo" if not prefixes else f"several models ({', '.join(sorted(prefixes))})"
        raise CheckpointError(f"{place}: {what} among the variables of this TensorFlow checkpoint ({some}, …).")
    return prefixes.pop()


def read_bilm(bundle: Bundle, place: Path) -> dict[str, NDArray[Any]]:
    """A biLM's variables by the published format's names, as float32."""
    prefix = model_prefix(bundle.entries, place)
    arrays: dict[str, NDArray[Any]] = {}
    for name in bundle.entries:
        if name.startswith(prefix) and (published := published_name(name.removeprefix(prefix))):
            arrays[published] = bundle.read(name).astype(np.float32, copy=False)
    return arrays


_TF_GATES = reorder_blocks((0, 2, 1, 3))
_FORGET_BIAS = add_to_block(1, 4, 1.0)


def rules_for(config: ElmoConfig, *, single_cell: bool = False) -> tuple[Rule, ...]:
    """The rules between this format's arrays and ours."""
    cell = "LSTMCell" if single_cell else "MultiRNNCell/Cell{layer}/LSTMCell"
    rules = list(token_rules(config))
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(config.bilstm.n_layers):
            place = f"RNN_{d}/RNN/{cell.format(layer=layer)}/"
            rules += lstm_rules(f"{direction}_layers.{layer}.", config, [place + "W_0", place + "B", place + "W_P_0"])
    return tuple(rules)


def token_rules(config: ElmoConfig) -> tuple[Rule, ...]:
    """The rules of the token encoder, whose names all families of TensorFlow files share."""
    cnn = config.char_cnn
    if cnn is None:
        return (Rule("embedding", ("word_embedding.weight",), (pad_row(),)),)
    rules = [Rule("char_embed", ("char_cnn.embedding.weight",), (pad_row(),))]
    for i in range(len(cnn.filters)):
        ours = f"char_cnn.convolutions.{i}."
        rules.append(Rule(f"CNN/W_cnn_{i}", (ours + "weight",), (drop_axis(), transpose((2, 1, 0)))))
        rules.append(Rule(f"CNN/b_cnn_{i}", (ours + "bias",)))
    for k in range(cnn.n_highway):
        for their_part, our_part in (("carry", "gate"), ("transform", "transform")):
            ours = f"char_cnn.highways.{k}.{our_part}."
            rules.append(Rule(f"CNN_high_{k}/W_{their_part}", (ours + "weight",), (transpose(),)))
            rules.append(Rule(f"CNN_high_{k}/b_{their_part}", (ours + "bias",)))
    if cnn.projection:
        rules.append(Rule("CNN_proj/W_proj", ("char_cnn.projection.weight",), (transpose(),)))
        rules.append(Rule("CNN_proj/b_proj", ("char_cnn.projection.bias",)))
    return tuple(rules)


def lstm_rules(ours: str, config: ElmoConfig, theirs: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of one TensorFlow LSTM cell."""
    kernel, bias, projection = theirs
    rules = (
        Rule(kernel, (ours + "weight_ih", ours + "weight_hh"), (transpose(), _TF_GATES), axis=1),
        Rule(bias, (ours + "bias",), (_TF_GATES, _FORGET_BIAS)),
    )
    return (*rules, Rule(projection, (ours + "weight_hr",), (transpose(),))) if config.bilstm.projection else rules


def convert(
    rules: Sequence[Rule], config: ElmoConfig, arrays: Mapping[str, NDArray[Any]], path: Path, options_path: Path
) -> dict[str, NDArray[Any]]:
    """Our tensors from a file's arrays, after every name and shape was compared with what the options need."""
    ours = config.tensor_shapes()
    for rule in rules:
        needed = rule.their_shape(ours)
        if rule.theirs not in arrays:
            raise CheckpointError(
                f"{path}: the dataset {rule.theirs} {needed} is missing; {options_path.name} needs it:"
                " are both files of one model?"
            )
        shape = arrays[rule.theirs].shape
        if shape != needed:
            raise CheckpointError(
                f"{path}: {rule.theirs} has shape {shape}; {options_path.name} ({_sizes(config)}) needs {needed}:"
                " are both files of one model?"
            )
    left_over = sorted(set(arrays) - {rule.theirs for rule in rules})
    if left_over:
        raise CheckpointError(
            f"{path}: the dataset {left_over[0]} {arrays[left_over[0]].shape} is left over ({len(left_over)} in all);"
            f" {options_path.name} ({_sizes(config)}) has no place for it: are both files of one model?"
        )
    return apply_rules(rules, arrays, ours)


def _sizes(config: ElmoConfig) -> str:
    return f"dim {config.bilstm.cell_width}, projection_dim {config.projection_width}"
