"""Word vectors of a frozen biLM in a memory-mapped temporary file, for as long as a tagger is trained on them.

Training reads every sentence many times, and the biLM costs far more than the tagger. The file holds float16 (4.6 kB a
word with 3 layers of 768) and is gone when nobody reads it any more.
"""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder
from elmokit.errors import OutputError

Words = Sequence[str]
Vectors = NDArray[np.float32]

_LARGEST = float(np.finfo(np.float16).max)
_BLOCK = 4096  # words that `mean_and_scale` reads at once


def encode_layers(
    elmo: Encoder, sentences: Sequence[Words], layers: Sequence[int], *, show_progress: bool | None = False
) -> Iterator[Vectors]:
    """Layers of the words of each sentence, in order. Shape (len(layers), T, 2P) each."""
    for text in elmo.encode_words_stream(sentences, layers="each", show_progress=show_progress):
        yield text.vectors[list(layers)]


def cached_layers(
    elmo: Encoder,
    sentences: Sequence[Words],
    layers: Sequence[int],
    *,
    folder: str | Path | None = None,
    show_progress: bool | None = False,
) -> NDArray[np.float16]:
    """Layers of all words of sentences, mapped from a temporary file. Shape (n_words, L, 2P).

    The file lies in `folder`, None for the system's. OutputError if the disk has not enough room.
    """
    shape = sum(map(len, sentences)), len(layers), elmo.config.dim
    n_bytes, place = 2 * math.prod(shape), folder or tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    try:
        if n_bytes > free:
            raise OSError(f"{free / 1e9:.1f} GB are free")
        with tempfile.TemporaryFile(dir=place, prefix="elmokit-tagger-") as file:
            for vectors in encode_layers(elmo, sentences, layers, show_progress=show_progress):
                words_first = vectors.transpose(1, 0, 2)  # (T, L, 2P)
                file.write(np.clip(words_first, -_LARGEST, _LARGEST).astype("<f2").tobytes())
            file.flush()
            return np.asarray(np.memmap(file, "<f2", "r", shape=shape))
    except OSError as error:
        raise OutputError(
            f"{place}: no room for the word vectors, {n_bytes / 1e9:.1f} GB during training ({error}). Free some space,"
            " train on fewer sentences, or use a single layer."
        ) from error


def by_sentence(vectors: NDArray[np.float16], sentences: Sequence[Words]) -> list[NDArray[np.float16]]:
    """The vectors of each sentence in a cache of all words. Shape (L, T, 2P) each."""
    return np.split(vectors.transpose(1, 0, 2), np.cumsum([len(words) for words in sentences])[:-1], axis=1)


def mean_and_scale(vectors: NDArray[np.float16]) -> tuple[Vectors, Vectors]:
    """Mean and standard deviation of each dimension over all words; 1 where it is constant. (n, L, 2P) → (L, 2P)."""
    total = squares = np.zeros(vectors.shape[1:])
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK].astype(np.float64)
        total, squares = total + part.sum(0), squares + (part**2).sum(0)
    mean = total / len(vectors)
    scale = np.sqrt(np.maximum(squares / len(vectors) - mean**2, 0))
    return mean.astype(np.float32), np.where(scale > 1e-4, scale, 1.0).astype(np.float32)
