"""Weights that torch saved (`.th`, `.pt`, `.pth`, `.pkl`), and the names that AllenNLP's modules give them.

torch reads them with `weights_only`, so nothing in a file is run; torch itself is an extra. AllenNLP's LSTM has our
order of gates and its biases whole; its highway gates the *old* value, so the gate's sign is turned.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.archives import open_zip
from elmokit.checkpoints.mapping import Rule, negate_block
from elmokit.config import ElmoConfig
from elmokit.errors import CheckpointError, MissingExtra, MissingFile
from elmokit.reading import printable, reading

_MAX_PICKLE_BYTES = 16 << 20


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict, as float32."""
    value = _load(path)
    tensors = {name: x for name, x in value.items() if hasattr(x, "untyped_storage")} if isinstance(value, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path}: holds no named tensors; expected the state dict of an ELMo.")
    if sum(x.numel() * x.element_size() for x in tensors.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors claim more numbers than the file holds; this is not believed.")
    return {str(name): _array(path, str(name), tensor) for name, tensor in tensors.items()}


def read_matrix(path: Path) -> NDArray[Any]:
    """One matrix, as cross-lingual mappings are kept (`*_best_mapping.pth`): aligned = vectors @ matrix.T."""
    value = _load(path)
    if isinstance(value, np.ndarray):
        matrix = np.asarray(value, dtype=np.float32)
    elif hasattr(value, "untyped_storage"):
        matrix = _array(path, "the matrix", value)
    else:
        raise CheckpointError(f"{path}: holds a {type(value).__name__}; expected one matrix.")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise CheckpointError(f"{path}: holds an array of shape {matrix.shape}; expected a square matrix.")
    return matrix


def _load(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", f"reading {path.name}") from None
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; it should hold the model's weights.")
    _check_records(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes on damaged files
        reason = printable((str(error).splitlines() or [type(error).__name__])[0])[:200]
        raise CheckpointError(
            f"{path}: not a whole file of tensors that torch wrote ({reason}). Files that would run code are refused."
        ) from None


def _check_records(path: Path) -> None:
    """Refuse zips that torch would inflate: its own files are stored as they are."""
    if not zipfile.is_zipfile(path):
        return
    with reading(path, what="file of torch"), open_zip(path) as archive:
        members = archive.infolist()
        pickled = max((member.file_size for member in members if member.filename.endswith(".pkl")), default=0)
        if pickled > _MAX_PICKLE_BYTES or sum(member.file_size for member in members) > path.stat().st_size:
            raise CheckpointError(f"{path}: claims to hold more than the file does; this is not believed.")


def _array(path: Path, name: str, tensor: Any) -> NDArray[Any]:
    if tensor.numel() * tensor.element_size() > path.stat().st_size:
        raise CheckpointError(f"{path}: {name} claims more numbers than the file can hold; this is not believed.")
    try:
        return np.ascontiguousarray(tensor.detach().float().numpy())
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: {name} is no plain array of numbers ({error}).") from None


def lstm_rules(config: ElmoConfig, prefix: str = "") -> tuple[Rule, ...]:
    """The rules of AllenNLP's stacked LSTMs."""
    rules: list[Rule] = []
    for direction in ("forward", "backward"):
        for layer in range(config.bilstm.n_layers):
            theirs, ours = f"{prefix}{direction}_layer_{layer}.", f"{direction}_layers.{layer}."
            rules += [
                Rule(theirs + "input_linearity.weight", (ours + "weight_ih",)),
                Rule(theirs + "state_linearity.weight", (ours + "weight_hh",)),
                Rule(theirs + "state_linearity.bias", (ours + "bias",)),
            ]
            if config.bilstm.projection:
                rules.append(Rule(theirs + "state_projection.weight", (ours + "weight_hr",)))
    return tuple(rules)


def token_rules(config: ElmoConfig, *, convolution: str, highway: str, projection: str) -> tuple[Rule, ...]:
    """The rules of AllenNLP's convolutions, highway layers and projection."""
    cnn = config.char_cnn
    if cnn is None:
        return ()
    rules: list[Rule] = []
    for i in range(len(cnn.filters)):
        for part in ("weight", "bias"):
            rules.append(Rule(f"{convolution.format(i=i)}.{part}", (f"char_cnn.convolutions.{i}.{part}",)))
    for k in range(cnn.n_highway):
        for part in ("weight", "bias"):
            both = tuple(f"char_cnn.highways.{k}.{half}.{part}" for half in ("transform", "gate"))
            rules.append(Rule(f"{highway.format(k=k)}.{part}", both, (negate_block(1, 2),)))
    if cnn.projection:
        rules += [Rule(f"{projection}.{part}", (f"char_cnn.projection.{part}",)) for part in ("weight", "bias")]
    return tuple(rules)
