"""Word vectors of a frozen biLM in a memory-mapped file, for as long as a tagger is trained on them.

Training reads every sentence many times, and the biLM costs far more than the tagger. The file holds float16 (4.6 kB a
word with 3 layers of 768). It is complete or absent, and an interrupted training finds it again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder
from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path

Words = Sequence[str]
Vectors = NDArray[np.float32]

SNAPSHOT = "snapshot.safetensors"
_LARGEST = float(np.finfo(np.float16).max)


def encode_layers(
    elmo: Encoder, sentences: Sequence[Words], layers: Sequence[int], *, show_progress: bool | None = False
) -> Iterator[Vectors]:
    """Layers of the words of each sentence, in order. Shape (len(layers), T, 2P) each."""
    for text in elmo.encode_words_stream(sentences, layers="each", show_progress=show_progress):
        yield text.vectors[list(layers)]


class VectorCache:
    """Layers of sentences in a file: mapped vectors of shape (n_words, L, 2P), and the words of each sentence (n,)."""

    def __init__(self, vectors: NDArray[np.float16], lengths: NDArray[np.int64]) -> None:
        self.vectors, self.lengths = vectors, lengths
        self._ends = np.cumsum(lengths)

    @classmethod
    def open(
        cls,
        path: Path,
        elmo: Encoder,
        sentences: Sequence[Words],
        *,
        layers: Sequence[int],
        show_progress: bool | None = False,
    ) -> VectorCache:
        """Open the cache at a path; write it first unless it holds these sentences of this model.

        A file beside it, with the suffix .json, says what it holds. OutputError if the disk has not enough room.
        """
        lengths = np.array([len(words) for words in sentences], dtype=np.int64)
        shape = (int(lengths.sum()), len(layers), elmo.config.dim)
        n_bytes = 2 * int(np.prod(shape))
        digest = hashlib.sha256(json.dumps([elmo.fingerprint, list(layers), list(map(list, sentences))]).encode())
        beside, about = path.with_suffix(".json"), json.dumps({"sha256": digest.hexdigest()})
        complete = path.is_file() and beside.is_file() and path.stat().st_size == n_bytes
        if not complete or beside.read_text(encoding="utf-8", errors="replace") != about:
            if n_bytes > (free := shutil.disk_usage(path.parent).free):
                raise OutputError(
                    f"{path.parent}: the word vectors take {n_bytes / 1e9:.1f} GB during training, and {free / 1e9:.1f}"
                    " GB are free. Free some space, train on fewer sentences, or use a single layer."
                )
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                for vectors in encode_layers(elmo, sentences, layers, show_progress=show_progress):
                    words_first = vectors.transpose(1, 0, 2)  # (T, L, 2P)
                    file.write(np.clip(words_first, -_LARGEST, _LARGEST).astype(np.float16).tobytes())
            with atomic_path(beside) as temporary:
                temporary.write_text(about, encoding="utf-8")
        return cls(np.memmap(path, np.float16, "r", shape=shape) if n_bytes else np.zeros(shape, np.float16), lengths)

    def __getitem__(self, i: int) -> NDArray[np.float16]:
        """Vectors of one sentence. Shape (L, T, 2P)."""
        end = int(self._ends[i])
        return np.asarray(self.vectors[end - int(self.lengths[i]) : end].transpose(1, 0, 2))

    def mean_and_scale(self, block: int = 4096) -> tuple[Vectors, Vectors]:
        """Mean and standard deviation of each dimension over all words; 1 where it is constant. Shape (L, 2P)."""
        total = squares = np.zeros(self.vectors.shape[1:])
        for start in range(0, len(self.vectors), block):
            part = self.vectors[start : start + block].astype(np.float64)
            total, squares = total + part.sum(0), squares + (part**2).sum(0)
        n_words = max(len(self.vectors), 1)
        mean = total / n_words
        scale = np.sqrt(np.maximum(squares / n_words - mean**2, 0))
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
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: the folder can't be created ({error.strerror}).") from error
    yield run
    for name in (SNAPSHOT, "train.f16", "train.json", "dev.f16", "dev.json"):
        (run / name).unlink(missing_ok=True)
    if not any(run.iterdir()):
        run.rmdir()
