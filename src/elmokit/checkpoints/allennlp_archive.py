"""The ELMo inside a model that AllenNLP trained: `model.tar.gz`, or `weights.th` / `best.th` alone.

Only the biLM and its layer mix are taken; the tagger or classifier around it is left. Sizes are read off the tensors.
Clips, activation and skip connections stand in the ELMo options that AllenNLP packs under `fta/` (or names in
`config.json`); where they are not to be had, the published models' stand in and `metadata["assumed"]` says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.checkpoints.mapping import Rule
from elmokit.checkpoints.source import CheckpointFiles, Format, check_finite, fitting, read_options
from elmokit.checkpoints.tensorflow import convert
from elmokit.checkpoints.torch_file import Names, read_state
from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import CheckpointError

_NAMES = ("weights.th", "best.th")
_SUFFIXES = (".th", ".pt", ".bin")
_TABLE = "_token_embedder._char_embedding_weights"
_ALLENNLP = Names(
    _TABLE,
    "_token_embedder.char_conv_{i}",
    "_token_embedder._highways._layers.{i}",
    "_token_embedder._projection",
    "_elmo_lstm.",
)
_PUBLISHED: dict[str, dict[str, Any]] = {
    "lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": True},
    "cnn": {"activation": "relu", "max_characters_per_token": 50},
}


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
    options, assumed = _options(source)
    with fitting(path):
        arrays[_TABLE][0] = 0  # our padding row; AllenNLP's masks hide it
        config = _ALLENNLP.config(arrays, lstm=options["lstm"], cnn=options["cnn"])
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


def _options(source: CheckpointFiles) -> tuple[dict[str, dict[str, Any]], bool]:
    """The ELMo's options, and whether they are assumed."""
    for folder in (source.folder, source.folder / "fta"):
        for path in sorted(folder.glob("*options*.json" if folder == source.folder else "*options*")):
            values = read_options(path)
            if isinstance(values.get("lstm"), dict) and isinstance(values.get("char_cnn"), dict):
                absent = {"cell_clip": None, "proj_clip": None, "use_skip_connections": False}
                return {"lstm": absent | values["lstm"], "cnn": _PUBLISHED["cnn"] | values["char_cnn"]}, False
    return _PUBLISHED, True


def archive_rules(config: ElmoConfig) -> tuple[Rule, ...]:
    """Return the rules between the state dict of AllenNLP's `_ElmoBiLm` and our tensors."""
    return (Rule(_TABLE, ("char_cnn.embedding.weight",)), *_ALLENNLP.rules(config))


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
