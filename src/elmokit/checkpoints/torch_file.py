"""Models that torch saved: the ELMo inside a model that AllenNLP trained (`model.tar.gz`, `weights.th`, `best.th`).

Sizes are read off the tensors; clips, activation and skip connections stand in the ELMo options that AllenNLP packs
under `fta/`, else the published models' stand in and `metadata["assumed"]` says so. torch (an extra) reads with
`weights_only`. AllenNLP's LSTM has our gates' order; its highway gates the *old* value, so the sign is turned.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints import mapping
from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format
from elmokit.checkpoints.mapping import ASSUMED, PUBLISHED, Names, Options, Rule, Step, convert, read_options
from elmokit.config import LayerMix
from elmokit.errors import CheckpointError, needing
from elmokit.reading import open_zip, reading

_MAX_PICKLE_BYTES = 16 << 20


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict, as float32."""
    with needing("torch", "torch", f"reading {path.name}"):
        import torch
    with reading(path, what="file of tensors that torch wrote; files that would run code are refused"):
        if zipfile.is_zipfile(path):  # torch would inflate any; its own files are stored as they are
            with open_zip(path) as archive:
                members = archive.infolist()
            pickled = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
            if pickled > _MAX_PICKLE_BYTES or sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError("it claims to hold more than the file does; this is not believed")
        value = torch.load(path, map_location="cpu", weights_only=True)
        items = value.items() if isinstance(value, dict) else ()
        tensors = {str(name): x for name, x in items if isinstance(x, torch.Tensor)}
        if not tensors:
            raise ValueError("it holds no named tensors; expected the state dict of an ELMo")
        if sum(x.numel() * x.element_size() for x in tensors.values()) > path.stat().st_size:
            raise ValueError("its tensors claim more numbers than the file holds; this is not believed")
        return {name: np.ascontiguousarray(x.detach().float().numpy()) for name, x in tensors.items()}


def torch_rules(names: Names, *steps: Step) -> tuple[Rule, ...]:
    """The templates of rules between the state dict of AllenNLP's modules, by a tool's names, and our tensors.

    `steps` lead from its table of characters to ours.
    """
    cell, ours = names.cell.replace("forward", "{direction}"), "{direction}_layers.{i}."
    rules = [
        Rule(names.table, ("char_cnn.embedding.weight",), steps),
        Rule(cell, (ours + "weight_ih",)),
        Rule(cell.replace("input_", "state_"), (ours + "weight_hh",)),
        Rule(cell.replace("input_linearity.weight", "state_linearity.bias"), (ours + "bias",)),
        Rule(names.cell_projection.replace("forward", "{direction}"), (ours + "weight_hr",)),
    ]
    for part in ("weight", "bias"):
        both = tuple(f"char_cnn.highways.{{i}}.{half}.{part}" for half in ("transform", "gate"))
        rules += [
            Rule(names.convolution.replace("weight", part), (f"char_cnn.convolutions.{{i}}.{part}",)),
            Rule(names.highway.replace("weight", part), both, (mapping.change_block(1, 2, np.negative, np.negative),)),
            Rule(names.projection.replace("weight", part), (f"char_cnn.projection.{part}",)),
        ]
    return tuple(rules)


_NAMES = ("weights.th", "best.th")
_SUFFIXES = (".th", ".pt", ".bin")
_TABLE = "_token_embedder._char_embedding_weights"
_ALLENNLP = Names(
    table=_TABLE,
    convolution="_token_embedder.char_conv_{i}.weight",
    highway="_token_embedder._highways._layers.{i}.weight",
    projection="_token_embedder._projection.weight",
    cell="_elmo_lstm.forward_layer_{i}.input_linearity.weight",
    cell_projection="_elmo_lstm.forward_layer_{i}.state_projection.weight",
    has_padding_row=True,
)
ALLENNLP_RULES = torch_rules(_ALLENNLP)
"""The templates of the rules between the state dict of AllenNLP's `_ElmoBiLm` and our tensors."""


def recognise(source: CheckpointFiles) -> bool:
    """Whether there is a file of a trained model's weights."""
    return any(source.has(name) for name in _NAMES) or (source.path.is_file() and source.path.suffix in _SUFFIXES)


def read(source: CheckpointFiles) -> Checkpoint:
    """Read the ELMo of an unpacked archive or of its file of weights."""
    path = source.path if source.path.is_file() else next(source.path / n for n in _NAMES if source.has(n))
    state = read_state(path)
    prefix = _prefix(path, state)
    arrays = {
        n.removeprefix(prefix): x for n, x in state.items() if n.startswith((prefix + "_token", prefix + "_elmo"))
    }
    options = _options(source)
    arrays[_TABLE][0] = 0  # our padding row; AllenNLP's masks hide it
    sized = _ALLENNLP.options(arrays, path, options)
    config, tensors = convert(sized, arrays, _ALLENNLP, ALLENNLP_RULES, path, path)
    return Checkpoint(config, tensors, _layer_mix(state, prefix), metadata=ASSUMED if options is PUBLISHED else {})


def _prefix(path: Path, state: Mapping[str, Any]) -> str:
    """What stands before `_token_embedder`, for instance `text_field_embedder.token_embedder_elmo._elmo_lstm.`."""
    prefixes = [name.removesuffix(_TABLE) for name in state if name.endswith(_TABLE)]
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise CheckpointError(f"{path}: holds {len(prefixes)} ELMos ({', '.join(prefixes)}); expected one.")
    if any("attention" in name for name in state):
        raise CheckpointError(f"{path}: a model with a transformer inside; only ELMos of LSTMs are read.")
    raise CheckpointError(f"{path}: no ELMo among its tensors ({', '.join(list(state)[:4])}, …).")


def _options(source: CheckpointFiles) -> Options:
    """The ELMo's options, or those of the published models."""
    for folder in (source.folder, source.folder / "fta"):
        for path in sorted(folder.glob("*options*.json" if folder == source.folder else "*options*")):
            values = read_options(path)
            if isinstance(values.get("lstm"), dict) and isinstance(values.get("char_cnn"), dict):
                absent = {"cell_clip": None, "proj_clip": None, "use_skip_connections": False}
                return {"lstm": absent | values["lstm"], "char_cnn": {**PUBLISHED["char_cnn"], **values["char_cnn"]}}
    return PUBLISHED


def _layer_mix(state: Mapping[str, NDArray[Any]], prefix: str) -> LayerMix:
    mix = prefix.removesuffix("_elmo_lstm.") + "scalar_mix_0."
    pattern = re.compile(re.escape(mix) + r"scalar_parameters\.(\d+)")
    weights = {int(m[1]): float(np.ravel(x)[0]) for name, x in state.items() if (m := pattern.fullmatch(name))}
    if not weights:
        return LayerMix()
    gamma = float(np.ravel(state[mix + "gamma"])[0]) if mix + "gamma" in state else 1.0
    return LayerMix(weights=tuple(weights[i] for i in sorted(weights)), gamma=gamma)


FORMAT = Format("allennlp-archive", "a model that AllenNLP trained (model.tar.gz, best.th)", recognise, read)
