"""Foreign formats ↔ ours: names and layouts of weights by rules, `options.json` ↔ `ElmoConfig`.

The same rules read and write a format; `revert` undoes `apply` bit for bit, but where a step adds 1, which rounds. What
is in the weights decides, since tools disagree about it in the options. What the published format has no place for
(tokenizer, layer mix, name, metadata) is written under the key "elmokit", which other tools ignore.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import Checkpoint, Tensors, check_shapes
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.reading import read_json, reading

Array = NDArray[Any]
Shape = tuple[int, ...]
Options = Mapping[str, Any]
PARTS = ("lstm", "char_cnn", "elmokit")  # of options, which describe a model; the rest is about its training

PUBLISHED: Options = {
    "lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": True},
    "char_cnn": {"activation": "relu", "max_characters_per_token": 50},
}
"""What all published models have in common, and files without options do not say."""

ASSUMED = {"assumed": "skip connections, clips at 3, relu, 50 characters, as all published models"}
"""Metadata of a model that was read with those."""


@dataclass(frozen=True)
class Step:
    """A change of layout, from theirs towards ours, that can be undone; `revert` is a view if the shape changes."""

    apply: Callable[[Array], Array]
    revert: Callable[[Array], Array]
    keeps_shape: bool = False


DROP_AXIS = Step(lambda x: np.squeeze(x, axis=0), lambda x: np.expand_dims(x, 0))  # the first one, of length 1
PAD_ROW = Step(lambda x: np.concatenate([np.zeros_like(x, shape=(1, *x.shape[1:])), x]), lambda x: x[1:])
"""A row of zeros in front: our id 0 means "nothing here"."""


def transpose(axes: tuple[int, ...] = (1, 0)) -> Step:
    """Put the axes in another order."""
    return Step(lambda x: np.transpose(x, axes), lambda x: np.transpose(x, np.argsort(axes)))


def reorder_blocks(order: tuple[int, ...]) -> Step:
    """Put equal blocks of the first axis (LSTM gates) in another order."""

    def reordered(order: Sequence[int]) -> Callable[[Array], Array]:
        return lambda x: np.concatenate([np.split(x, len(order))[i] for i in order])

    return Step(reordered(order), reordered([order.index(i) for i in range(len(order))]), keeps_shape=True)


def change_block(block: int, n: int, apply: Callable[[Array], Array], revert: Callable[[Array], Array]) -> Step:
    """Change one of `n` equal blocks of the first axis (a gate)."""

    def changed(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: np.concatenate([change(y) if i == block else y for i, y in enumerate(np.split(x, n))])

    return Step(changed(apply), changed(revert), keeps_shape=True)


@dataclass(frozen=True)
class Rule:
    """One of their arrays and the one or several of ours that it holds, beside each other on `axis`, in this order.

    `steps` lead from their layout to ours, before the parts are taken apart. In a table, the names hold {i} for a
    number, {direction} for "forward" or "backward", and {d} for 0 or 1.
    """

    theirs: str
    ours: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    axis: int = 0

    def their_shape(self, our_shapes: Mapping[str, Shape]) -> Shape:
        """Return the shape that their array must have."""
        joined = list(our_shapes[self.ours[0]])
        joined[self.axis] = sum(our_shapes[name][self.axis] for name in self.ours)
        x = np.broadcast_to(np.int8(0), joined)  # takes no memory
        for step in reversed(self.steps):
            x = x if step.keeps_shape else step.revert(x)
        return x.shape

    def apply(self, theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """Make our arrays from theirs; views where possible, which saves copies."""
        x = theirs[self.theirs]
        for step in self.steps:
            x = step.apply(x)
        ends = np.cumsum([our_shapes[name][self.axis] for name in self.ours])[:-1]
        return dict(zip(self.ours, np.split(x, ends, axis=self.axis), strict=True))

    def revert(self, ours: Mapping[str, Array]) -> Array:
        """Make their array, contiguous, from ours."""
        parts = [ours[name] for name in self.ours]
        x = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self.axis)
        for step in reversed(self.steps):
            x = step.revert(x)
        return np.ascontiguousarray(x)


def rules_from(table: Iterable[Rule], config: ElmoConfig) -> tuple[Rule, ...]:
    """Fill in the templates of a table for all tensors of a model; rules without templates stay as they are."""
    names, rules = list(config.tensor_shapes()), []
    for rule in table:
        pattern = re.escape(rule.ours[0]).replace(r"\{i\}", r"(?P<i>\d+)")
        pattern = pattern.replace(r"\{direction\}", r"(?P<direction>\w+)")
        for match in filter(None, (re.fullmatch(pattern, name) for name in names)):
            fields = match.groupdict() | {"d": int(match.groupdict().get("direction") == "backward")}
            ours = tuple(name.format_map(fields) for name in rule.ours)
            rules.append(replace(rule, theirs=rule.theirs.format_map(fields), ours=ours))
    return tuple(rules)


def apply_rules(
    rules: Sequence[Rule], theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]
) -> dict[str, Array]:
    """Make all our arrays from theirs, in our order."""
    arrays: dict[str, Array] = {}
    for rule in rules:
        arrays |= rule.apply(theirs, our_shapes)
    return {name: arrays[name] for name in our_shapes if name in arrays}


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
    options: Options,
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


def convert(
    options: Options, arrays: Tensors, names: Names, table: Iterable[Rule], place: Path, path: Path, **more: Any
) -> tuple[ElmoConfig, dict[str, Array]]:
    """Configuration and tensors from options (of the file `place`) and arrays (of `path`), all shapes compared.

    `more` goes to `config_from_options`.
    """
    config = config_from_options(options, place, arrays, names, **more)
    rules, ours = rules_from(table, config), config.tensor_shapes()
    sizes = f"dim {config.bilstm.cell_width}, projection_dim {config.projection_width}"
    expected = {rule.theirs: rule.their_shape(ours) for rule in rules}
    check_shapes(arrays, expected, needed_by=f"{place.name} ({sizes})", place=f"{path}: ")
    return config, apply_rules(rules, arrays, ours)
