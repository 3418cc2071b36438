"""The ELMo inside a model that AllenNLP trained: `model.tar.gz`, or `weights.th` / `best.th` alone.

Only the biLM and its layer mix are taken; the tagger or classifier around it is left. Sizes are read off the tensors.
Clips, activation and skip connections stand in the ELMo options that AllenNLP packs under `fta/` (or names in
`config.json`); where they are not to be had, the published models' stand in and `metadata["assumed"]` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.checkpoints.mapping import Rule
from elmokit.checkpoints.source import Format, Source, check_finite, fitting, read_options
from elmokit.checkpoints.tensorflow_layout import convert
from elmokit.checkpoints.torch_file import lstm_rules, read_state, token_rules
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix
from elmokit.errors import CheckpointError

_NAMES = ("weights.th", "best.th")
_SUFFIXES = (".th", ".pt", ".bin")
_TABLE = "_token_embedder._char_embedding_weights"
_PUBLISHED: dict[str, dict[str, Any]] = {
    "lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": True},
    "char_cnn": {"activation": "relu", "max_characters_per_token": 50},
}


def recognise(source: Source) -> bool:
    """Whether there is a file of a trained model's weights."""
    return any(source.has(name) for name in _NAMES) or (source.path.is_file() and source.path.suffix in _SUFFIXES)


def read(source: Source) -> Checkpoint:
    """Read the ELMo of an unpacked archive or of its file of weights."""
    path = source.path if source.path.is_file() else next(source.path / n for n in _NAMES if source.has(n))
    state = read_state(path)
    prefix = _prefix(path, state)
    arrays = {
        n.removeprefix(prefix): x for n, x in state.items() if n.startswith((prefix + "_token", prefix + "_elmo"))
    }
    options, assumed = _options(source)
    with fitting(path):
        arrays[_TABLE][0] = 0  # our padding row; AllenNLP's masks hide it
        config = _config(arrays, options)
        tensors = convert(archive_rules(config), config, arrays, path, path)
        metadata = {"assumed": "clips at 3, relu, 50 characters, skip connections"} if assumed else {}
        checkpoint = Checkpoint(config, tensors, _layer_mix(state, prefix), metadata=metadata)
    return check_finite(checkpoint, path)


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


def _options(source: Source) -> tuple[dict[str, dict[str, Any]], bool]:
    """The ELMo's options, and whether they are assumed."""
    for path in _option_files(source):
        values = read_options(path)
        if isinstance(values.get("lstm"), dict) and isinstance(values.get("char_cnn"), dict):
            absent: dict[str, dict[str, Any]] = {
                "lstm": {"cell_clip": None, "proj_clip": None, "use_skip_connections": False},
                "char_cnn": {},
            }
            return {part: _PUBLISHED[part] | absent[part] | values[part] for part in _PUBLISHED}, False
    return _PUBLISHED, True


def _option_files(source: Source) -> Iterator[Path]:
    folder = source.folder
    yield from sorted(folder.glob("*options*.json"))
    if (folder / "fta").is_dir():
        yield from sorted(path for path in (folder / "fta").iterdir() if "options" in path.name and path.is_file())


def _config(arrays: Mapping[str, NDArray[Any]], options: Mapping[str, Mapping[str, Any]]) -> ElmoConfig:
    lstm, cnn = options["lstm"], options["char_cnn"]
    cell, conv = "_elmo_lstm.forward_layer_{}.", "_token_embedder.char_conv_{}.weight"
    gates, P = arrays[cell.format(0) + "input_linearity.weight"].shape
    kernels = [arrays[conv.format(i)].shape for i in range(len(arrays)) if conv.format(i) in arrays]
    highway = "_token_embedder._highways._layers.{}.weight"
    return ElmoConfig(
        projection_width=P,
        char_cnn=CharCNNConfig(
            embedding_width=arrays[_TABLE].shape[1],
            filters=tuple((width, n) for n, _, width in kernels),
            n_highway=sum(highway.format(k) in arrays for k in range(len(arrays))),
            activation=cnn["activation"],
            max_characters=int(cnn["max_characters_per_token"]),
            n_characters=len(arrays[_TABLE]),
            projection="_token_embedder._projection.weight" in arrays,
        ),
        bilstm=BiLSTMConfig(
            n_layers=sum(cell.format(i) + "input_linearity.weight" in arrays for i in range(len(arrays))),
            cell_width=gates // 4,
            projection=cell.format(0) + "state_projection.weight" in arrays,
            cell_clip=lstm["cell_clip"] or None,
            projection_clip=lstm["proj_clip"] or None,
            skip_connections=bool(lstm["use_skip_connections"]),
        ),
    )


def archive_rules(config: ElmoConfig) -> tuple[Rule, ...]:
    """The rules between the state dict of AllenNLP's `_ElmoBiLm` and our tensors."""
    names = {"convolution": "char_conv_{i}", "highway": "_highways._layers.{k}", "projection": "_projection"}
    tokens = token_rules(config, **{part: "_token_embedder." + name for part, name in names.items()})
    return (Rule(_TABLE, ("char_cnn.embedding.weight",)), *tokens, *lstm_rules(config, "_elmo_lstm."))


def _layer_mix(state: Mapping[str, NDArray[Any]], prefix: str) -> LayerMix:
    """The first scalar mix beside the ELMo."""
    mix = prefix.removesuffix("_elmo_lstm.") + "scalar_mix_0."
    pattern = re.compile(re.escape(mix) + r"scalar_parameters\.(\d+)")
    weights = {int(m[1]): float(np.ravel(x)[0]) for name, x in state.items() if (m := pattern.fullmatch(name))}
    if not weights:
        return LayerMix()
    gamma = float(np.ravel(state[mix + "gamma"])[0]) if mix + "gamma" in state else 1.0
    return LayerMix(weights=tuple(weights[i] for i in sorted(weights)), gamma=gamma)


FORMAT = Format("allennlp-archive", "a model that AllenNLP trained (model.tar.gz, best.th)", recognise, read)
