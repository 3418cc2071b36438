"""The encoder as an ONNX graph, for runtimes without Python (extra `onnx`). PyTorch is not needed.

The graph is built by hand from the checkpoint's arrays: tracing would fix the sentence length, and ONNX's own LSTM has
no projection. Each LSTM layer is a `Scan` over time; the backward tower scans in reverse and stands still on padding.

    char_ids (B, T, C) int64, 0 = no word  →  layers (L, B, T, 2P), mix (B, T, 2P), mask (B, T)
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import __version__
from elmokit.checkpoints import Checkpoint
from elmokit.config import CharCNNConfig
from elmokit.errors import ConfigError, needing
from elmokit.files import atomic_path
from elmokit.text.char_ids import char_id_multipliers, sentence_boundary_ids, table_keys

OPSET, IR_VERSION = 17, 8  # what onnxruntime 1.12 (2022) and everything later reads


def export_onnx(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a model's encoder as an ONNX file, whole or not at all.

    ConfigError for a model that reads whole words or a dictionary of characters, or whose layer mix normalises.
    """
    with needing("onnx", "onnx", "exporting to ONNX"):
        import onnx
    config = checkpoint.config
    if config.char_cnn is None or config.char_cnn.characters is not None:
        raise ConfigError("only models that read UTF-8 bytes are exported to ONNX; this one has a dictionary.")
    if checkpoint.layer_mix.layer_norm:
        raise ConfigError(
            "the layer mix of this model normalises layers, which is not exported; mix `layers` yourself."
        )
    with atomic_path(path) as temporary:
        onnx.save(_Model(onnx.helper, checkpoint).proto(onnx), str(temporary))


class _Graph:
    """Nodes and constants as they are added; every method gives the name of a value."""

    def __init__(self, helper: Any, prefix: str = "") -> None:
        self.helper, self.prefix = helper, prefix
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, value: Any, dtype: str = "float32") -> str:
        name = f"const_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(value, dtype=dtype)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, "int64")

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, n_outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        outputs = [f"{self.prefix}{operator.lower()}_{len(self.nodes)}_{k}" for k in range(n_outputs)]
        self.nodes.append(self.helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def output(self, name: str, operator: str, *inputs: str, **attributes: Any) -> None:
        """Add an operator whose result is an output of the graph."""
        self.nodes.append(self.helper.make_node(operator, list(inputs), [name], **attributes))

    def as_numbers(self, mask: str, axis: int) -> str:
        """A mask as 0 and 1, with one axis more."""
        return self.add("Unsqueeze", self.add("Cast", mask, to=1), self.ints(axis))

    def linear(self, x: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
        """The affine map x · Wᵀ + b, W as PyTorch keeps it."""
        return self.add("Add", self.add("MatMul", x, self.constant(weight.T)), self.constant(bias))

    def clipped(self, x: str, bound: float | None) -> str:
        return x if bound is None else self.add("Clip", x, self.constant(-bound), self.constant(bound))


class _Model:
    def __init__(self, helper: Any, checkpoint: Checkpoint) -> None:
        self.helper, self.config, self.tensors = helper, checkpoint.config, checkpoint.tensors
        self.mix, self.words, self.graph = checkpoint.layer_mix, checkpoint.words or (), _Graph(helper)

    def proto(self, onnx: Any) -> Any:
        g, h = self.graph, self.helper
        cnn = self.config.char_cnn
        assert cnn is not None
        rows, real_rows, real_words = self._with_boundaries("char_ids", cnn.max_characters)
        weights = g.as_numbers(real_rows, 2)  # (B, R, 1)
        tokens = g.add("Mul", self._tokens(rows, cnn), weights)
        layers = self._layers(tokens, real_rows, weights)
        L, D = self.config.n_layers, self.config.dim
        stacked = g.add("Slice", layers, g.ints(1), g.ints(-1), g.ints(2))
        shares = g.constant(self.mix.gamma * np.array(self.mix.shares(L), np.float32).reshape(-1, 1, 1, 1))
        g.output("layers", "Mul", stacked, g.as_numbers(real_words, 2))
        g.output("mix", "ReduceSum", g.add("Mul", "layers", shares), g.ints(0), keepdims=0)
        g.output("mask", "Identity", real_words)
        inputs = [h.make_tensor_value_info("char_ids", 7, ["batch", "words", cnn.max_characters])]
        shapes = {"layers": [L, "batch", "words", D], "mix": ["batch", "words", D]}
        outputs = [h.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
        outputs.append(h.make_tensor_value_info("mask", 9, ["batch", "words"]))
        constants = [onnx.numpy_helper.from_array(array, name) for name, array in g.constants.items()]
        graph = h.make_graph(g.nodes, "elmo", inputs, outputs, constants)
        made = {"producer_name": "elmokit", "producer_version": __version__, "ir_version": IR_VERSION}
        return h.make_model(graph, opset_imports=[h.make_opsetid("", OPSET)], **made)

    def _with_boundaries(self, ids: str, n_characters: int) -> tuple[str, str, str]:
        """Ids with begin and end of sentence (B, R, C); which rows (B, R) and words (B, T) are real."""
        g = self.graph
        begin, end = sentence_boundary_ids(n_characters)
        words = g.add("Greater", g.add("ReduceMax", ids, axes=[2], keepdims=0), g.constant(0, "int64"))
        lengths = g.add("ReduceSum", g.add("Cast", words, to=7), g.ints(1), keepdims=1)  # (B, 1)
        padded = g.add("Pad", ids, g.ints(0, 1, 0, 0, 1, 0))
        n_rows = g.add("Squeeze", g.add("Slice", g.add("Shape", padded), g.ints(1), g.ints(2)), g.ints(0))
        places = g.add("Range", g.constant(0, "int64"), n_rows, g.constant(1, "int64"))  # (R,)
        last = g.add("Add", lengths, g.ints(1))
        is_first = g.add("Unsqueeze", g.add("Equal", places, g.constant(0, "int64")), g.ints(1))
        is_last = g.add("Unsqueeze", g.add("Equal", places, last), g.ints(2))
        rows = g.add("Where", is_first, g.constant(begin, "int64"), padded)
        rows = g.add("Where", is_last, g.constant(end, "int64"), rows)
        return rows, g.add("Not", g.add("Greater", places, last)), words

    def _tokens(self, rows: str, cnn: CharCNNConfig) -> str:
        """Token vectors of all rows, (B, R, P)."""
        g = self.graph

        def get(name: str) -> NDArray[Any]:
            return self.tensors[f"char_cnn.{name}"]

        flat = g.add("Reshape", rows, g.ints(-1, cnn.max_characters))
        characters = g.add("Gather", g.constant(get("embedding.weight")), flat)
        characters = g.add("Transpose", characters, perm=[0, 2, 1])
        parts = []
        for i in range(len(cnn.filters)):
            weight, bias = (g.constant(get(f"convolutions.{i}.{part}")) for part in ("weight", "bias"))
            parts.append(g.add("ReduceMax", g.add("Conv", characters, weight, bias), axes=[2], keepdims=0))
        x = g.add("Relu" if cnn.activation == "relu" else "Tanh", g.add("Concat", *parts, axis=1))
        for k in range(cnn.n_highway):
            halves = {p: [get(f"highways.{k}.{p}.{q}") for q in ("weight", "bias")] for p in ("transform", "gate")}
            new = g.add("Relu", g.linear(x, *halves["transform"]))
            gate = g.add("Sigmoid", g.linear(x, *halves["gate"]))
            x = g.add("Add", x, g.add("Mul", gate, g.add("Sub", new, x)))
        if cnn.projection:
            x = g.linear(x, get("projection.weight"), get("projection.bias"))
        if self.config.word_table:
            x = self._with_table(flat, x, cnn.max_characters)
        sizes = g.add("Slice", g.add("Shape", rows), g.ints(0), g.ints(2))
        return g.add("Reshape", x, g.add("Concat", sizes, g.ints(self.config.projection_width), axis=0))

    def _with_table(self, ids: str, x: str, n_characters: int) -> str:
        """Token vectors from ids (N, C) and the character CNN's output (N, P) or (N, 2P), as in `WordTable`."""
        g = self.graph
        keys, rows = table_keys(self.words, n_characters)
        first, last = g.constant(ord("A") + 1, "int64"), g.constant(ord("Z") + 1, "int64")  # ids are bytes plus 1
        is_upper = g.add("And", g.add("GreaterOrEqual", ids, first), g.add("LessOrEqual", ids, last))
        lower = g.add("Where", is_upper, g.add("Add", ids, g.constant(32, "int64")), ids)
        place, known = self._find(ids, keys, n_characters)
        lower_place, lower_known = self._find(lower, keys, n_characters)
        place, known = g.add("Where", known, place, lower_place), g.add("Or", known, lower_known)
        table = g.constant(self.tensors["word_table.weight"] * self.tensors["word_table.gain"])
        vectors = g.add("Gather", table, g.add("Gather", g.constant(rows, "int64"), place))
        P, width = self.config.projection_width, self.config.char_width
        first, last = (g.add("Slice", x, g.ints(n), g.ints(n + P), g.ints(1)) for n in (0, width - P))
        return g.add("Where", g.add("Unsqueeze", known, g.ints(1)), g.add("Add", first, vectors), last)

    def _find(self, ids: str, keys: NDArray[np.int64], n_characters: int) -> tuple[str, str]:
        """Places of words among the keys of the word table, and whether they are there, (N,) each."""
        g = self.graph
        sorted_keys, last = g.constant(keys, "int64"), g.constant(len(keys) - 1, "int64")
        products = g.add("Mul", ids, g.constant(char_id_multipliers(n_characters), "int64"))
        wanted = g.add("ReduceSum", products, g.ints(1), keepdims=0)
        place = g.add("Sub", wanted, wanted)  # zeros
        for power in reversed(range(len(keys).bit_length())):  # binary search: the last key that is not above `wanted`
            further = g.add("Min", g.add("Add", place, g.constant(1 << power, "int64")), last)
            above = g.add("Greater", g.add("Gather", sorted_keys, further), wanted)
            place = g.add("Where", above, place, further)
        return place, g.add("Equal", g.add("Gather", sorted_keys, place), wanted)

    def _layers(self, tokens: str, real_rows: str, weights: str) -> str:
        """All layers, (L, B, R, 2P)."""
        g = self.graph
        in_time = g.add("Unsqueeze", g.add("Transpose", real_rows, perm=[1, 0]), g.ints(2))  # (R, B, 1) bool
        towers = [self._tower(tokens, in_time, weights, name) for name in ("forward", "backward")]
        pairs = [(tokens, tokens), *zip(*towers, strict=True)]
        joined = [g.add("Unsqueeze", g.add("Concat", *pair, axis=2), g.ints(0)) for pair in pairs]
        return g.add("Concat", *joined, axis=0)

    def _tower(self, x: str, in_time: str, weights: str, direction: str) -> list[str]:
        g, lstm = self.graph, self.config.bilstm
        n_rows = g.add("Slice", g.add("Shape", x), g.ints(0), g.ints(1))
        sizes = (self.config.projection_width, lstm.cell_width)
        zeros = [g.add("ConstantOfShape", g.add("Concat", n_rows, g.ints(size), axis=0)) for size in sizes]
        outputs: list[str] = []
        for layer in range(lstm.n_layers):
            prefix = f"{direction}_layers.{layer}."
            gates = g.linear(x, self.tensors[prefix + "weight_ih"], self.tensors[prefix + "bias"])
            gates = g.add("Transpose", gates, perm=[1, 0, 2])
            backward = int(direction == "backward")
            ways = {"scan_input_directions": [backward, backward], "scan_output_directions": [backward]}
            body = {"body": self._cell(prefix), "num_scan_inputs": 2}
            _, _, out = g.add_many("Scan", 3, *zeros, gates, in_time, **body, **ways)
            out = g.add("Mul", g.add("Transpose", out, perm=[1, 0, 2]), weights)
            x = g.add("Add", out, x) if lstm.skip_connections and layer else out
            outputs.append(x)
        return outputs

    def _cell(self, prefix: str) -> Any:
        """One step: state (h, c), this place's gates and whether it is real → the new state and output."""
        lstm, h = self.config.bilstm, self.helper
        g = _Graph(h, prefix)
        g.constants = self.graph.constants  # large arrays lie in the outer graph, where the body sees them
        recurrent = g.constant(self.tensors[prefix + "weight_hh"].T)
        gates = g.add("Add", "gates", g.add("MatMul", "h", recurrent))
        i, f, j, o = g.add_many("Split", 4, gates, axis=1)
        kept = g.add("Mul", g.add("Sigmoid", f), "c")
        cell = g.add("Add", kept, g.add("Mul", g.add("Sigmoid", i), g.add("Tanh", j)))
        cell = g.clipped(cell, lstm.cell_clip)
        hidden = g.add("Mul", g.add("Sigmoid", o), g.add("Tanh", cell))
        if lstm.projection:
            hidden = g.add("MatMul", hidden, g.constant(self.tensors[prefix + "weight_hr"].T))
            hidden = g.clipped(hidden, lstm.projection_clip)
        g.output("new_h", "Where", "real", hidden, "h")
        g.output("new_c", "Where", "real", cell, "c")
        g.output("out", "Identity", "new_h")
        P, C = self.config.projection_width, lstm.cell_width
        sizes = {"h": P, "c": C, "gates": 4 * C, "new_h": P, "new_c": C, "out": P}
        values = [h.make_tensor_value_info(name, 1, ["batch", size]) for name, size in sizes.items()]
        real = h.make_tensor_value_info("real", 9, ["batch", 1])
        return h.make_graph(g.nodes, prefix + "cell", [*values[:3], real], values[3:])
