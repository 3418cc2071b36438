"""TF-Hub and Kaggle modules (`google/elmo/2`, `/3`, DeepPavlov's): a SavedModel folder, read without TensorFlow.

Only `variables/` is read; the graph in `saved_model.pb` is not. Sizes are read off the variables. What the graph alone
knows is taken from an `options.json` beside it, or else from what Google's module is: skip connections, clips at 3,
relu, 50 characters; `metadata["assumed"]` says so. The trained layer mix comes along. Unknown variables (states that
stateful exports keep) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.checkpoints.options import config_from_options
from elmokit.checkpoints.source import CheckpointFiles, Format, check_finite, fitting, read_options
from elmokit.checkpoints.tensor_bundle import Bundle, open_bundle
from elmokit.checkpoints.tensorflow import convert, read_bilm, rules_for
from elmokit.config import LayerMix
from elmokit.reading import reading

_WEIGHTS = ("aggregation/weights", "_ELMo_W")
_GAMMAS = ("aggregation/scaling", "_ELMo_gamma")


def recognise(source: CheckpointFiles) -> bool:
    """Whether there are a graph and its variables."""
    graphs = ("saved_model.pb", "tfhub_module.pb")
    return any(source.has(name) for name in graphs) and (source.path / "variables").is_dir()


def read(source: CheckpointFiles) -> Checkpoint:
    """Read a SavedModel folder."""
    index_path = source.path / "variables" / "variables.index"
    bundle = open_bundle(index_path)
    arrays = read_bilm(bundle, index_path)
    options_path = source.path / "options.json"
    known = options_path.is_file()
    options = read_options(options_path) if known else options_from_arrays(arrays, index_path)
    if "char_embed" in arrays and len(arrays["char_embed"]) == 262:
        arrays["char_embed"] = arrays["char_embed"][1:]  # exports that feed shifted ids have the padding row inside
    place = options_path if known else index_path
    config = config_from_options(options, place, index_path, arrays)
    tensors = convert(rules_for(config), config, arrays, index_path, place)
    metadata = {} if known else {"assumed": "skip connections, clips at 3, relu, 50 characters: Google's module"}
    with fitting(source.path):
        checkpoint = Checkpoint(config, tensors, _layer_mix(bundle), metadata=metadata)
    return check_finite(checkpoint, index_path)


def options_from_arrays(arrays: Mapping[str, NDArray[Any]], place: Path) -> dict[str, Any]:
    """The options that arrays alone imply, and Google's module's for the rest."""
    with reading(place, what="list of an ELMo's variables; one is missing or of another shape"):
        cell = "RNN_0/RNN/MultiRNNCell/Cell{}/LSTMCell/W_0"
        joined, gates = arrays[cell.format(0)].shape
        n_layers = sum(cell.format(layer) in arrays for layer in range(len(arrays)))
        filters: list[list[int]] = []
        while f"CNN/W_cnn_{len(filters)}" in arrays:
            _, width, _, n = arrays[f"CNN/W_cnn_{len(filters)}"].shape
            filters.append([width, n])
        cnn = {
            "embedding": {"dim": arrays["char_embed"].shape[1]},
            "filters": filters,
            "n_highway": sum(f"CNN_high_{k}/W_carry" in arrays for k in range(len(arrays))),
            "activation": "relu",
            "max_characters_per_token": 50,
        }
    lstm = {"dim": gates // 4, "projection_dim": joined // 2, "n_layers": n_layers, "use_skip_connections": True}
    return {"lstm": lstm | {"cell_clip": 3, "proj_clip": 3}, "char_cnn": cnn}


def _layer_mix(bundle: Bundle) -> LayerMix:
    def find(endings: tuple[str, ...]) -> NDArray[Any] | None:
        names = [name for name in bundle.entries if name.endswith(endings)]
        return np.ravel(bundle.read(names[0])) if names else None

    weights, gamma = find(_WEIGHTS), find(_GAMMAS)
    return LayerMix(
        weights=None if weights is None else tuple(map(float, weights)),
        gamma=1.0 if gamma is None or gamma.size != 1 else float(gamma[0]),
    )


FORMAT = Format("tfhub", "TF-Hub module (saved_model.pb, variables/)", recognise, read)
