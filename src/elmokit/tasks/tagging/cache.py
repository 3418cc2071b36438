"""Word vectors of a frozen biLM in a memory-mapped file, for as long as a tagger is trained on them.

Training reads every sentence many times, and the biLM costs far more than the tagger. The file holds float16 (4.6 kB a
word with 3 layers of 768). It is complete or absent, and an interrupted training finds it again.
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder
from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path, make_folder
from elmokit.reading import reading

Words = Sequence[str]
Vectors = NDArray[np.float32]

SNAPSHOT = "snapshot.safetensors"
_CACHE = "vectors-{}.npy"
_LARGEST = float(np.finfo(np.float16).max)
_BLOCK = 4096  # words that `mean_and_scale` reads at once


def encode_layers(
    elmo: Encoder, sentences: Sequence[Words], layers: Sequence[int], *, show_progress: bool | None = False
) -> Iterator[Vectors]:
    """Layers of the words of each sentence, in order. Shape (len(layers), T, 2P) each."""
    for text in elmo.encode_words_stream(sentences, layers="each", show_progress=show_progress):
        yield text.vectors[list(layers)]


def cached_layers(
    folder: Path,
    elmo: Encoder,
    sentences: Sequence[Words],
    layers: Sequence[int],
    *,
    show_progress: bool | None = False,
) -> NDArray[np.float16]:
    """Layers of all words of sentences, mapped from a file that is written unless it exists. Shape (n_words, L, 2P).

    The name of the file is a hash of model, layers and sentences. OutputError if the disk has not enough room.
    """
    contents = json.dumps([elmo.fingerprint, list(layers), list(map(list, sentences))])
    path = folder / _CACHE.format(hashlib.sha256(contents.encode()).hexdigest())
    if not path.exists():
        shape = sum(map(len, sentences)), len(layers), elmo.config.dim
        n_bytes, free = 2 * math.prod(shape), shutil.disk_usage(folder).free
        if n_bytes > free:
            raise OutputError(
                f"{folder}: the word vectors take {n_bytes / 1e9:.1f} GB during training, and {free / 1e9:.1f} GB are"
                " free. Free some space, train on fewer sentences, or use a single layer."
            )
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for vectors in encode_layers(elmo, sentences, layers, show_progress=show_progress):
                words_first = vectors.transpose(1, 0, 2)  # (T, L, 2P)
                file.write(np.clip(words_first, -_LARGEST, _LARGEST).astype("<f2").tobytes())
    with reading(path, what="cache of word vectors", error=TrainingError):
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


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


@contextmanager
def run_folder(folder: str | Path | None, *, resume: bool) -> Iterator[Path]:
    """The folder of vectors and snapshot of a training; both are removed when it has ended well.

    None makes a temporary folder. TrainingError if a snapshot is there and `resume` is False.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="elmokit-tagger-") as temporary:
            yield Path(temporary)
        return
    run = Path(folder)
    if (run / SNAPSHOT).is_file() and not resume:
        raise TrainingError(
            f"{run}: a training was interrupted here. Continue it (resume=True, --resume), or delete the folder."
        )
    yield make_folder(run)
    for path in (run / SNAPSHOT, *run.glob(_CACHE.format("*"))):
        path.unlink(missing_ok=True)
    if not any(run.iterdir()):
        run.rmdir()
