"""The models that stand beside elmokit in the table of quality; none of their packages is needed for the other rows.

| name | what it is | package |
|---|---|---|
| tfidf | weighted counts of words and pairs of words | scikit-learn |
| characters | weighted counts of runs of two to five characters | scikit-learn |
| random | a biLM of the embedded model's shape with random weights (Wieting & Kiela 2019) | torch |
| wordllama | static vectors of pieces of words, 16 MB, mean over the text | wordllama |
| model2vec:FOLDER | static vectors distilled from a sentence encoder, mean over the text | model2vec |
| sentence:FOLDER | a sentence encoder in the format of sentence-transformers | sentence-transformers |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from protocols import CharacterEncoder, TfidfEncoder, pair_features

from elmokit.elmo import Elmo


class FrozenEncoder:
    """One function from texts to vectors, and the size of its files in MB."""

    def __init__(self, name: str, encode: Callable[[Sequence[str]], np.ndarray], files: Path | None = None) -> None:
        self.name, self.encode = name, encode
        self.megabytes = 0.0
        if files is not None:
            sizes = [
                path.stat().st_size for path in files.rglob("*") if path.suffix in (".safetensors", ".json", ".txt")
            ]
            self.megabytes = round(sum(sizes) / 1e6, 1)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """A vector per text. Shape (n, d)."""
        return np.asarray(self.encode(list(texts)), dtype=np.float32)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Features of how two texts relate. Shape (n, 2d)."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, *_: object) -> None:
        """None: the row is about texts."""


def find_encoder(text: str) -> Any:
    """The encoder of a name in the table above."""
    name, _, folder = text.partition(":")
    makers = {
        "tfidf": TfidfEncoder,
        "characters": CharacterEncoder,
        "random": random_bilm,
        "wordllama": wordllama,
        "model2vec": lambda: model2vec(folder),
        "sentence": lambda: sentence_encoder(folder),
    }
    if name not in makers:
        raise SystemExit(f"there is no encoder {name!r}; choose from {', '.join(makers)}.")
    return makers[name]()


def random_bilm(seed: int = 0) -> FrozenEncoder:
    """The embedded model's shape and words with random weights; mean of all layers."""
    import torch

    from elmokit import checkpoints
    from elmokit.nn.bilm import BiLM

    trained = checkpoints.load("default")
    torch.manual_seed(seed)
    tensors = {k: v.numpy() for k, v in BiLM(trained.config, words=trained.words).state_dict().items()}
    elmo = Elmo(checkpoints.Checkpoint(trained.config, tensors, words=trained.words, name="random biLM"))
    return FrozenEncoder("random biLM", lambda texts: elmo.encode(texts, show_progress=False))


def wordllama() -> FrozenEncoder:
    """WordLlama's vectors of 256 numbers, as its wheel ships them."""
    import wordllama as package

    inside = Path(package.__file__).parent
    model = package.WordLlama.load(cache_dir=inside, disable_download=True)
    return FrozenEncoder("WordLlama", model.embed, inside)


def model2vec(folder: str) -> FrozenEncoder:
    """Static vectors saved by model2vec."""
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder)
    return FrozenEncoder(f"model2vec {Path(folder).name}", model.encode, Path(folder))


def sentence_encoder(folder: str) -> FrozenEncoder:
    """A sentence encoder, whole texts, its own pooling."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    encode = partial(model.encode, batch_size=64, show_progress_bar=False)
    return FrozenEncoder(Path(folder).name, encode, Path(folder))


def texts_per_second(encoders: Sequence[Any], texts: Sequence[str], n_rounds: int = 3) -> dict[str, float]:
    """Texts that each encoder reads in a second of processor time: the median of rounds taken in turns."""
    speeds: dict[str, list[float]] = {encoder.name: [] for encoder in encoders}
    size = len(texts) // n_rounds
    for start in range(0, n_rounds * size, size):  # other texts in every round, so that no cache helps
        for encoder in encoders:
            before = time.process_time()
            encoder.texts(texts[start : start + size])
            speeds[encoder.name].append(size / (time.process_time() - before))
    return {name: round(float(np.median(values))) for name, values in speeds.items()}
