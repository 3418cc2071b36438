"""A folder of sentence-transformers as a teacher (extra `compare`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.errors import CheckpointError, MissingExtra


def sentence_encoder(folder: Path, device: str) -> Callable[[Sequence[str]], np.ndarray[Any, Any]]:
    """A function that encodes texts with the model in a folder; CheckpointError if the folder holds none."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtra("sentence-transformers", "compare", "teachers in its format") from None
    try:
        model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    except Exception as error:
        raise CheckpointError(f"{folder}: not a sentence-transformers model ({error}).") from error

    def encode(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.asarray(model.encode(list(texts), batch_size=64, show_progress_bar=False), dtype=np.float32)

    return encode
