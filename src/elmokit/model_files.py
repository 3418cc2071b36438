"""Where a model came from and what identifies it: its checkpoint in memory, or the files to read it from again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.errors import CheckpointError


class ModelFiles:
    """The origin of one model.

    Args:
        checkpoint: the model, as it is in memory.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.digest = digest_of(checkpoint)
        self.source: str | None = None
        self.options: Mapping[str, Any] = {}
        self._checkpoint: Checkpoint | None = checkpoint

    def loaded_from(self, source: str | Path, weights: str | Path | None, **options: Any) -> None:
        """Remember the files instead of the checkpoint, whose arrays the engine has packed copies of."""
        self._checkpoint, self.source = None, _absolute(source)
        self.options = {"weights": None if weights is None else _absolute(weights), **options}

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, read again where it is not in memory."""
        if self._checkpoint is not None:
            return self._checkpoint
        checkpoint = checkpoints.load(str(self.source), weights=self.options["weights"], with_softmax=False)
        if digest_of(checkpoint) != self.digest:
            raise CheckpointError(f"{self.source}: the files have changed since the model was loaded; load it again.")
        return checkpoint


def digest_of(checkpoint: Checkpoint) -> str:
    """SHA-256 of the tensors by name, and of the words where the model reads whole words."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(checkpoint.tensors[name], dtype="<f4").data)
    if checkpoint.config.n_words or checkpoint.config.word_table:
        digest.update(json.dumps(checkpoint.words).encode())
    return digest.hexdigest()


def _absolute(place: str | Path) -> str:
    """The path as it is known in other working directories; names of published models stay as they are."""
    path = Path(place).expanduser()
    here = place != "default" and (path.exists() or path.with_name(path.name + ".index").exists())
    return str(path.absolute() if here else place)
