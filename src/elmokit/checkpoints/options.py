"""`options.json` of the published format ↔ `ElmoConfig`, for all foreign formats.

What is in the weights decides, since tools disagree about it in the options. What the format has no place for
(tokenizer, layer mix, name, metadata) is written under the key "elmokit", which other tools ignore.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elmokit.checkpoints.checkpoint import Checkpoint, Tensors
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.reading import read_json, reading

Options = Mapping[str, Mapping[str, Any]]

PUBLISHED: Options = {
    "lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": True},
    "char_cnn": {"activation": "relu", "max_characters_per_token": 50},
}
"""What all published models have in common, and files without options do not say."""

ASSUMED = {"assumed": "skip connections, clips at 3, relu, 50 characters, as all published models"}
"""Metadata of a model that was read with those."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a format calls the weights that tell the sizes of a model; {i} stands for a number.

    `has_padding_row` tells whether its table of characters begins as ours. TensorFlow's weights are (in, out), and
    those of a cell's input and state are one array.
    """

    table: str
    convolution: str
    highway: str
    projection: str
    cell: str
    cell_projection: str
    has_padding_row: bool = False
    tensorflow: bool = False

    def options(self, arrays: Tensors, place: Path, known: Options = PUBLISHED) -> dict[str, Any]:
        """Add the sizes of arrays to what is known otherwise."""

        def shapes(template: str) -> list[tuple[int, ...]]:
            numbered = [arrays.get(template.format(i=i)) for i in range(len(arrays))]
            return [x.shape[::-1] if self.tensorflow else x.shape for x in numbered if x is not None]

        with reading(place, what="list of an ELMo's weights; one is missing or of another shape"):
            cells = shapes(self.cell)
            gates, width = cells[0]
            sizes: dict[str, Any] = {"dim": gates // 4, "n_layers": len(cells)}
            sizes["projection_dim"] = width // 2 if self.tensorflow else width
            options = {"lstm": {**known["lstm"], **sizes}}
            if self.table in arrays:
                sizes = {"embedding": {"dim": arrays[self.table].shape[1]}, "n_highway": len(shapes(self.highway))}
                sizes["filters"] = [(width, n) for n, _, width, *_ in shapes(self.convolution)]
                options["char_cnn"] = {**known["char_cnn"], **sizes}
            return options


def read_options(path: Path) -> dict[str, Any]:
    """Read the JSON object of a model's configuration."""
    return read_json(path, max_bytes=4 << 20, what="configuration of a model: not a JSON file")


def config_from_options(
    options: Mapping[str, Any],
    place: Path,
    arrays: Tensors,
    names: Names,
    *,
    characters: tuple[str, ...] | None = None,
    n_words: int = 0,
    word_width: int = 0,
) -> ElmoConfig:
    """The configuration that options and the presence of arrays describe; errors name `place`."""
    with reading(place, what='ELMo options; expected "lstm" with dim and projection_dim, and "char_cnn"'):
        lstm, cnn, char_cnn = options["lstm"], options.get("char_cnn"), None
        C, P = int(lstm["dim"]), int(lstm["projection_dim"])
        bilstm = BiLSTMConfig(
            n_layers=int(lstm.get("n_layers", 1)),
            cell_width=C,
            projection=names.cell_projection.format(i=0) in arrays or C != P,
            cell_clip=float(lstm.get("cell_clip") or 0) or None,
            projection_clip=float(lstm.get("proj_clip") or 0) or None,
            skip_connections=bool(lstm.get("use_skip_connections")),
        )
        if cnn is None and not n_words:
            if (table := arrays.get("embedding")) is None or table.ndim != 2:
                raise ValueError(
                    "without char_cnn the model looks words up, but its weights have no dataset embedding (words,"
                    " projection): are both files of one model?"
                )
            n_words = len(table) + 1
        if cnn is not None:
            if cnn.get("projection_after_highway", True) is False:
                raise ValueError(
                    "projection_after_highway is false; only models that project after the highway are read"
                )
            filters = tuple((int(width), int(n)) for width, n in cnn["filters"])
            n_rows = sum(arrays[names.table].shape[:1]) if names.table in arrays else 0
            n_rows += not names.has_padding_row
            char_cnn = CharCNNConfig(
                embedding_width=int(cnn["embedding"]["dim"]),
                filters=filters,
                n_highway=int(cnn.get("n_highway") or 0),
                activation=cnn.get("activation", "relu"),
                max_characters=int(cnn.get("max_characters_per_token", 50)),
                n_characters=max(n_rows, 262) if characters is None else n_rows,
                projection=names.projection in arrays or sum(n for _, n in filters) != P,
                characters=characters,
            )
        tokenizer = str(options.get("elmokit", {}).get("tokenizer", "whitespace"))
        words: dict[str, Any] = {"n_words": n_words, "word_width": word_width, "tokenizer": tokenizer}
        return ElmoConfig(projection_width=P, char_cnn=char_cnn, bilstm=bilstm, **words)


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
