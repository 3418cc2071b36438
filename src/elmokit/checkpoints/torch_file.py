"""Weights that torch saved (`.th`, `.pt`, `.pth`, `.pkl`), and the names that AllenNLP's modules give them.

torch reads them with `weights_only`, so nothing in a file is run; torch itself is an extra. AllenNLP's LSTM has our
order of gates and its biases whole; its highway gates the *old* value, so the gate's sign is turned.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.mapping import Rule, negate_block, rules_from
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import CheckpointError, MissingExtra, MissingFile
from elmokit.reading import open_zip, reading

_MAX_PICKLE_BYTES = 16 << 20


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict, as float32."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", f"reading {path.name}") from None
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it should hold the model's weights.")
    _check_records(path)
    with reading(path, what="file of tensors that torch wrote; files that would run code are refused"):
        value = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {str(k): x for k, x in value.items() if isinstance(x, torch.Tensor)} if isinstance(value, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path}: holds no named tensors; expected the state dict of an ELMo.")
    if sum(x.numel() * x.element_size() for x in tensors.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors claim more numbers than the file holds; this is not believed.")
    with reading(path, what="state dict of plain arrays of numbers"):
        return {name: np.ascontiguousarray(x.detach().float().numpy()) for name, x in tensors.items()}


def _check_records(path: Path) -> None:
    """Refuse zips that torch would inflate: its own files are stored as they are."""
    if not zipfile.is_zipfile(path):
        return
    with reading(path, what="file of torch"), open_zip(path) as archive:
        members = archive.infolist()
        pickled = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
        if pickled > _MAX_PICKLE_BYTES or sum(member.file_size for member in members) > path.stat().st_size:
            raise CheckpointError(f"{path}: claims to hold more than the file does; this is not believed.")


@dataclass(frozen=True)
class Names:
    """What a tool calls the arrays of AllenNLP's modules; {i} stands for a number."""

    table: str
    convolution: str
    highway: str
    projection: str
    lstm: str = ""

    def rules(self, config: ElmoConfig) -> tuple[Rule, ...]:
        """Return the rules of everything but the tables."""
        cell, ours = self.lstm + "{direction}_layer_{i}.", "{direction}_layers.{i}."
        table = [
            Rule(cell + "input_linearity.weight", (ours + "weight_ih",)),
            Rule(cell + "state_linearity.weight", (ours + "weight_hh",)),
            Rule(cell + "state_linearity.bias", (ours + "bias",)),
            Rule(cell + "state_projection.weight", (ours + "weight_hr",)),
        ]
        for part in ("weight", "bias"):
            both = tuple(f"char_cnn.highways.{{i}}.{half}.{part}" for half in ("transform", "gate"))
            table += [
                Rule(f"{self.convolution}.{part}", (f"char_cnn.convolutions.{{i}}.{part}",)),
                Rule(f"{self.highway}.{part}", both, (negate_block(1, 2),)),
                Rule(f"{self.projection}.{part}", (f"char_cnn.projection.{part}",)),
            ]
        return rules_from(table, config)

    def config(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        lstm: Mapping[str, Any],
        cnn: Mapping[str, Any],
        characters: tuple[str, ...] | None = None,
        **words: Any,
    ) -> ElmoConfig:
        """Read sizes off the arrays, the rest from options; `words` are fields of the configuration."""

        def shapes(name: str) -> list[tuple[int, ...]]:
            return [arrays[name.format(i=i)].shape for i in range(len(arrays)) if name.format(i=i) in arrays]

        cells = shapes(self.lstm + "forward_layer_{i}.input_linearity.weight")
        gates, width = arrays[self.lstm + "forward_layer_0.input_linearity.weight"].shape
        bilstm = BiLSTMConfig(
            n_layers=len(cells),
            cell_width=gates // 4,
            projection=self.lstm + "forward_layer_0.state_projection.weight" in arrays,
            cell_clip=float(lstm["cell_clip"] or 0) or None,
            projection_clip=float(lstm["proj_clip"] or 0) or None,
            skip_connections=bool(lstm.get("use_skip_connections", True)),
        )
        char_cnn = None
        if self.table in arrays:
            n_rows, embedding_width = arrays[self.table].shape
            char_cnn = CharCNNConfig(
                embedding_width=embedding_width,
                filters=tuple((size, n) for n, _, size in shapes(self.convolution + ".weight")),
                n_highway=len(shapes(self.highway + ".weight")),
                activation=cnn["activation"],
                max_characters=int(cnn["max_characters_per_token"]),
                n_characters=n_rows if characters is None else n_rows + 1,
                projection=self.projection + ".weight" in arrays,
                characters=characters,
            )
        return ElmoConfig(projection_width=width, char_cnn=char_cnn, bilstm=bilstm, **words)
