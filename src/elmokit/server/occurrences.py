"""What the explorer shows of words in context: nearest occurrences and maps.

Everything is computed for all *views* at once: the layers and, last, the layer mix. Vectors have length 1, so a product
is a cosine. A word's place is the number of its sentence and its own number in it, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.index.description import scaled
from elmokit.runtime.pooling import mix_layers

Array = NDArray[Any]
Place = tuple[int, int]

_SAME = 1e-6  # squared distances below this are rounding


@dataclass(frozen=True, eq=False)
class Reading:
    """A sentence of T words, their places in characters, (T, 2), and their vectors by view, (L + 1, T, 2P)."""

    text: str
    words: tuple[str, ...]
    offsets: Array
    views: Array

    @classmethod
    def of(cls, elmo: Elmo, text: str, words: Sequence[str], offsets: Any, layers: Array) -> Reading:
        """The reading of a sentence from the vectors of all its layers, (L, T, 2P)."""
        views = np.concatenate([layers, mix_layers(layers, elmo.layer_mix)[None]])
        places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        return cls(text, tuple(words), places, scaled(views)[0])

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays, of the text and the words at four bytes a character, and of Python's objects."""
        return int(self.views.nbytes + self.offsets.nbytes + 8 * len(self.text) + 100 * len(self.words) + 500)


class ReadingCache:
    """Readings of recent sentences, within a bound in bytes, texts included; long-unused ones go first."""

    def __init__(self, *, max_bytes: int = 128_000_000) -> None:
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._kept: dict[str, Reading] = {}  # least recently used first

    def get(self, text: str) -> Reading | None:
        """The reading of a sentence; None if it is not kept."""
        reading = self._kept.pop(text, None)
        if reading is not None:
            self._kept[text] = reading
        return reading

    def put(self, reading: Reading) -> None:
        """Keep the reading of a sentence."""
        before = self._kept.pop(reading.text, None)
        self._kept[reading.text] = reading
        self._n_bytes += reading.n_bytes - (before.n_bytes if before else 0)
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= self._kept.pop(next(iter(self._kept))).n_bytes


def places_of(word: str, readings: Sequence[Reading]) -> list[Place]:
    """Where a word occurs, capitals or not, in reading order."""
    wanted = word.casefold()
    return [place for place, other in _all_words(readings) if other.casefold() == wanted]


def vectors_of(places: Sequence[Place], readings: Sequence[Reading]) -> Array:
    """The vectors at N places by view. Shape (L + 1, N, 2P)."""
    return np.stack([readings[sentence].views[:, word] for sentence, word in places], axis=1)


def nearest(
    place: Place, readings: Sequence[Reading], *, k: int = 10, same_word: bool = False
) -> list[list[tuple[Place, float]]]:
    """The k nearest occurrences by cosine, in every view: of the same word, or of any with a letter or digit.

    Equally near ones come in reading order.
    """
    sentence, number = place
    if same_word:
        others = places_of(readings[sentence].words[number], readings)
    else:
        others = [other for other, text in _all_words(readings) if any(map(str.isalnum, text))]
    others = [other for other in others if other != place]
    own = readings[sentence].views[:, number]
    if not others:
        return [[] for _ in own]
    scores = np.einsum("vnd,vd->vn", vectors_of(others, readings), own)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[(others[i], float(view[i])) for i in best.tolist()] for view, best in zip(scores, order, strict=True)]


def planes(vectors: Array) -> tuple[Array, Array]:
    """A map of every view, (V, N, D): the plane of its largest variance (principal components).

    Each map is turned or mirrored to lie as the next one does (orthogonal Procrustes), so that a point's way from one
    to the next means something. Returns points around (0, 0), (V, N, 2), and the shares of the variance along x and y,
    (V, 2); zeros where all vectors are equal.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=1, keepdims=True, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    total = np.square(sizes).sum(axis=1, keepdims=True)  # (V, 1)
    sizes = np.where(total > _SAME * vectors.shape[1], sizes, 0)[:, :2]
    points, shares = np.zeros((*vectors.shape[:2], 2)), np.zeros((len(vectors), 2))
    points[..., : sizes.shape[1]] = left[..., :2] * sizes[:, None]
    shares[:, : sizes.shape[1]] = np.square(sizes) / np.maximum(total, 1e-300)
    for i in reversed(range(len(points) - 1)):
        left, _, right = np.linalg.svd(points[i].T @ points[i + 1])
        points[i] = points[i] @ left @ right
    return points, shares


def _all_words(readings: Sequence[Reading]) -> Iterator[tuple[Place, str]]:
    return (((i, j), word) for i, reading in enumerate(readings) for j, word in enumerate(reading.words))
