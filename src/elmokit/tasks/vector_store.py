"""The word vectors of a frozen biLM, computed once and kept in a file for as long as a head is trained on them.

Training looks at every sentence many times, and the biLM costs far more than the head. The file holds float16 (2 bytes
a number: 3.8 kB a word with 3 layers of 640) and is mapped, not read: the system keeps in memory what there is room
for. It is whole or not there, carries the hash of sentences, model and layers beside it, and an interrupted training
that goes on finds it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import OutputError
from elmokit.files import atomic_path
from elmokit.tasks.saved_head import PROBE

Words = Sequence[str]
OnProgress = Callable[[int, int], None]

_LARGEST = float(np.finfo(np.float16).max)


class WordEncoder(Protocol):
    """What is asked of a model: `elmokit.Elmo` is one."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def config(self) -> ElmoConfig:
        """What the model is made of."""
        ...

    def encode_words_stream(
        self, texts: Iterable[Words], *, layers: Any = ..., show_progress: bool | None = ...
    ) -> Iterable[Any]:
        """Words and vectors of each text."""
        ...


def encode_layers(
    elmo: WordEncoder, sentences: Iterable[Words], layers: Sequence[int]
) -> Iterable[NDArray[np.float32]]:
    """The layers of every word.

    Args:
        elmo: the model.
        sentences: cut into words.
        layers: which of the model's.

    Returns:
        an array per sentence, in order. Shape (len(layers), T, 2P).
    """
    return (
        text.vectors[list(layers)] for text in elmo.encode_words_stream(sentences, layers="each", show_progress=False)
    )


def probe_of(elmo: WordEncoder) -> NDArray[np.float32]:
    """What tells this model from others: the layers of one fixed sentence. Shape (d,)."""
    (found,) = encode_layers(elmo, [PROBE.split()], range(elmo.config.n_layers))
    return found.reshape(-1)


class VectorStore:
    """Vectors of sentences, on disk.

    Args:
        vectors: of all words behind each other, mapped. Shape (n_words, L, 2P).
        ends: where each sentence ends. Shape (n,).
    """

    def __init__(self, vectors: NDArray[np.float16], ends: NDArray[np.int64]) -> None:
        self.vectors = vectors
        self.ends = ends
        self.lengths = np.diff(ends, prepend=0)

    @classmethod
    def open(
        cls,
        path: Path,
        elmo: WordEncoder,
        sentences: Sequence[Words],
        *,
        layers: Sequence[int],
        on_progress: OnProgress | None = None,
    ) -> VectorStore:
        """The store at a path: the one that is there, if it is of these sentences and this model, or a new one.

        Args:
            path: of the file; what it belongs to is written beside it, with the suffix .json.
            elmo: the model.
            sentences: cut into words.
            layers: which of the model's.
            on_progress: called with (sentences done, sentences in all).

        Returns:
            the store.

        Raises:
            OutputError: not enough room on the disk (tells how much it takes), or the folder can't be written.
        """
        ends = np.cumsum([len(words) for words in sentences], dtype=np.int64)
        shape = (int(ends[-1]) if len(ends) else 0, len(layers), elmo.config.dim)
        about, beside = _about(elmo, sentences, layers), path.with_suffix(".json")
        known = json.loads(beside.read_text()) if beside.is_file() and path.is_file() else None
        if known != about:
            _check_room(path, 2 * int(np.prod(shape)))
            _write(path, encode_layers(elmo, sentences, layers), len(sentences), on_progress)
            with atomic_path(beside) as temporary:
                temporary.write_text(json.dumps(about))
        empty = not np.prod(shape)
        vectors = np.zeros(shape, np.float16) if empty else np.memmap(path, np.float16, "r", shape=shape)
        return cls(vectors, ends)

    def of(self, place: int) -> NDArray[np.float16]:
        """One sentence's vectors. Shape (L, T, 2P)."""
        end = int(self.ends[place])
        return np.asarray(self.vectors[end - int(self.lengths[place]) : end].transpose(1, 0, 2))

    def mean_and_scale(self, block: int = 4096) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each dimension over all words (1 where it does not vary). Shape (L, 2P)."""
        total = squares = np.zeros(self.vectors.shape[1:])
        for start in range(0, len(self.vectors), block):
            part = self.vectors[start : start + block].astype(np.float64)
            total, squares = total + part.sum(0), squares + (part**2).sum(0)
        n_words = max(len(self.vectors), 1)
        mean = total / n_words
        scale = np.sqrt(np.maximum(squares / n_words - mean**2, 0))
        return mean.astype(np.float32), np.where(scale > 1e-4, scale, 1.0).astype(np.float32)


def _about(elmo: WordEncoder, sentences: Sequence[Words], layers: Sequence[int]) -> dict[str, Any]:
    digest = hashlib.sha256(probe_of(elmo).tobytes())
    for words in sentences:
        digest.update(json.dumps(list(words)).encode())
    return {"format": 1, "layers": list(layers), "sha256": digest.hexdigest()}


def _check_room(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise OutputError(
            f"{path.parent}: the word vectors take {n_bytes / 1e9:.1f} GB while training, and {free / 1e9:.1f} GB are"
            " free; make room, learn from fewer sentences, or use a single layer."
        )


def _write(path: Path, texts: Iterable[NDArray[np.float32]], n_texts: int, on_progress: OnProgress | None) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for place, layers in enumerate(texts):
            file.write(np.clip(layers.transpose(1, 0, 2), -_LARGEST, _LARGEST).astype(np.float16).tobytes())
            if on_progress is not None:
                on_progress(place + 1, n_texts)
