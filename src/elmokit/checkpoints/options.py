"""`options.json` of the published format ↔ `ElmoConfig`.

What is in the weights decides, since tools disagree about it in the options. What the format has no place for
(tokenizer, layer mix, name, metadata) is written under the key "elmokit", which other tools ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.reading import reading

PUBLISHED: dict[str, dict[str, Any]] = {
    "lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": True},
    "char_cnn": {"activation": "relu", "max_characters_per_token": 50},
}
"""What all published models have in common, and files without options do not say."""

ASSUMED = {"assumed": "skip connections, clips at 3, relu, 50 characters, as all published models"}
"""Metadata of a model that was read with those."""


def config_from_options(
    options: Mapping[str, Any], options_path: Path, weights_path: Path, arrays: Mapping[str, NDArray[Any]]
) -> ElmoConfig:
    """The configuration that options and the presence of arrays describe."""
    with reading(options_path, what='ELMo options; expected "lstm" with dim and projection_dim, and "char_cnn"'):
        lstm, cnn, n_words = options["lstm"], options.get("char_cnn"), 0
        C, P = int(lstm["dim"]), int(lstm["projection_dim"])
        bilstm = BiLSTMConfig(
            n_layers=int(lstm.get("n_layers", 1)),
            cell_width=C,
            projection=any(name.endswith("/W_P_0") for name in arrays) or C != P,
            cell_clip=float(lstm.get("cell_clip") or 0) or None,
            projection_clip=float(lstm.get("proj_clip") or 0) or None,
            skip_connections=bool(lstm.get("use_skip_connections")),
        )
        if cnn is None:
            if (table := arrays.get("embedding")) is None or table.ndim != 2:
                raise ValueError(
                    f"without char_cnn the model looks words up, but {weights_path} has no dataset embedding (words,"
                    " projection): are both files of one model?"
                )
            n_words = len(table) + 1
        char_cnn = None if cnn is None else _char_cnn(cnn, P, arrays)
        tokenizer = str(options.get("elmokit", {}).get("tokenizer", "whitespace"))
        return ElmoConfig(projection_width=P, char_cnn=char_cnn, n_words=n_words, bilstm=bilstm, tokenizer=tokenizer)


def _char_cnn(options: Mapping[str, Any], projection_width: int, arrays: Mapping[str, NDArray[Any]]) -> CharCNNConfig:
    if options.get("projection_after_highway", True) is False:
        raise ValueError("projection_after_highway is false; only models that project after the highway are read")
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


def options_from_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Make the options.json that bilm-tf, AllenNLP and simple_elmo read."""
    config, bilstm, cnn = checkpoint.config, checkpoint.config.bilstm, checkpoint.config.char_cnn
    lstm = {
        "dim": bilstm.cell_width,
        "projection_dim": config.projection_width,
        "n_layers": bilstm.n_layers,
        "use_skip_connections": bilstm.skip_connections,
        "cell_clip": bilstm.cell_clip,
        "proj_clip": bilstm.projection_clip,
    }
    options: dict[str, Any] = {"lstm": {name: value for name, value in lstm.items() if value is not None}}
    if cnn is not None:
        options["char_cnn"] = {
            "embedding": {"dim": cnn.embedding_width},
            "filters": [list(pair) for pair in cnn.filters],
            "n_highway": cnn.n_highway,
            "activation": cnn.activation,
            "max_characters_per_token": cnn.max_characters,
            "n_characters": 262,
        }
    own = {"name": checkpoint.name, "tokenizer": config.tokenizer, "layer_mix": asdict(checkpoint.layer_mix)}
    return options | {"elmokit": own | {"metadata": dict(checkpoint.metadata)}}


def training_metadata(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what options say beyond the model itself: batch size, tokens and so on."""
    return {name: value for name, value in options.items() if name not in ("lstm", "char_cnn", "elmokit")}
