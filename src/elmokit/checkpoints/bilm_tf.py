"""bilm-tf's training checkpoints: `model.ckpt-N.index` and `.data-…`, `checkpoint`, `options.json`, a vocabulary.

They hold the softmax too, so training and language-model scoring can go on from them. Optimiser slots
(`…/Adagrad`) are passed over. `checkpoint` may name the newest files by a path of the machine it was written on; only
its last part is used. Source: bilm-tf `training.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.checkpoints.allennlp import vocabulary_beside
from elmokit.checkpoints.checkpoint import Checkpoint, Softmax
from elmokit.checkpoints.options import config_from_options, training_metadata
from elmokit.checkpoints.source import CheckpointFiles, Format, check_finite, fitting, read_options
from elmokit.checkpoints.tensor_bundle import Bundle, open_bundle
from elmokit.checkpoints.tensorflow import convert, model_prefix, read_bilm, rules_for


def recognise(source: CheckpointFiles) -> bool:
    """Whether there is the index of a TensorFlow checkpoint (outside a SavedModel)."""
    return bool(source.files(".index")) and source.folder.name != "variables"


def read(source: CheckpointFiles) -> Checkpoint:
    """Read a folder of a training run, or one of its checkpoints by its .index file."""
    index_path = newest_index(source)
    options_path = source.folder / "options.json"
    options = read_options(options_path)
    bundle = open_bundle(index_path)
    arrays = read_bilm(bundle, index_path)
    softmax = _softmax(bundle, index_path, options, arrays) if source.with_softmax else None
    if "char_cnn" in options:
        arrays.pop("embedding", None)
    config = config_from_options(options, options_path, index_path, arrays)
    tensors = convert(rules_for(config), config, arrays, index_path, options_path)
    words, counts, problem = vocabulary_beside(options_path, needed=config.char_cnn is None)
    metadata = training_metadata(options) | ({"vocabulary": problem} if problem else {})
    with fitting(source.folder):
        if "global_step" in bundle.entries:
            metadata["global_step"] = int(bundle.read("global_step").item())
        checkpoint = Checkpoint(config, tensors, words=words, word_counts=counts, softmax=softmax, metadata=metadata)
    return check_finite(checkpoint, index_path)


def newest_index(source: CheckpointFiles) -> Path:
    """The .index file that `checkpoint` names, or that of the highest step."""
    if source.path.is_file():
        return source.path
    indexes = source.files(".index")
    if source.has("checkpoint"):
        text = (source.path / "checkpoint").read_bytes()[:65536].decode("utf-8", "replace")
        named = re.search(r'^model_checkpoint_path:\s*"([^"\n]+)"', text, re.MULTILINE)
        wanted = re.split(r"[/\\]", named[1])[-1] + ".index" if named else None
        if any(path.name == wanted for path in indexes):
            return source.path / str(wanted)
    return max(indexes, key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)[-1:]])


def _softmax(bundle: Bundle, place: Path, options: dict[str, Any], arrays: dict[str, Any]) -> Softmax | None:
    prefix = model_prefix(bundle.entries, place)
    if prefix + "softmax/b" not in bundle.entries:
        return None
    bias = bundle.read(prefix + "softmax/b").astype(np.float32, copy=False)
    if prefix + "softmax/W" in bundle.entries:
        return Softmax(bundle.read(prefix + "softmax/W").astype(np.float32, copy=False), bias)
    if options.get("share_embedding_softmax") and "embedding" in arrays:
        return Softmax(arrays["embedding"], bias)
    return None


FORMAT = Format("bilm-tf", "bilm-tf training checkpoint (model.ckpt-N.index, options.json)", recognise, read)
