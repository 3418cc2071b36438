"""What the explorer shows of words in context: nearest occurrences, a map, a table of similarities.

Everything is computed for all *views* at once: the layers and, last, the layer mix. Vectors have length 1, so a product
is a cosine. The maps of neighbouring views are turned onto each other (orthogonal Procrustes), so that a point's way
from one to the next means something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.index.senses import group_occurrences
from elmokit.runtime.pooling import mix_layers

Array = NDArray[Any]

_SAME = 1e-6
"""Squared distances below this are rounding."""

MAX_SENSES = 6
_CONVINCING = 0.1
"""The silhouette below which there is one sense."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A sentence that has been read.

    Args:
        text: the sentence.
        words: its T words.
        offsets: where each stands in the text, in characters. Shape (T, 2).
        views: a vector of length 1 per view and word: the layers, then the layer mix. Shape (L + 1, T, 2P).
    """

    text: str
    words: tuple[str, ...]
    offsets: Array
    views: Array


@dataclass(frozen=True, order=True)
class Place:
    """A word's place: the sentence's number and the word's number in it, from 0."""

    sentence: int
    word: int


@dataclass(frozen=True)
class WordNeighbour:
    """An occurrence and its cosine to the one that was asked about."""

    place: Place
    score: float


class ReadingCache:
    """Readings of recent sentences, within a bound in bytes, texts included; long-unused ones go first."""

    def __init__(self, *, max_bytes: int = 128_000_000) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._kept: dict[str, Reading] = {}  # least recently used first

    def get(self, text: str) -> Reading | None:
        """The reading of a sentence; None if it is not kept."""
        reading = self._kept.pop(text, None)
        if reading is not None:
            self._kept[text] = reading
        return reading

    def put(self, reading: Reading) -> None:
        """Keep the reading of a sentence."""
        self._n_bytes -= _size(self._kept.pop(reading.text, None))
        self._kept[reading.text] = reading
        self._n_bytes += _size(reading)
        while self._n_bytes > self._max_bytes and self._kept:
            self._n_bytes -= _size(self._kept.pop(next(iter(self._kept))))


def _size(reading: Reading | None) -> int:
    """Bytes of a reading: arrays, its text and words at four bytes a character, and objects."""
    if reading is None:
        return 0
    return int(reading.views.nbytes + reading.offsets.nbytes + 8 * len(reading.text) + 100 * len(reading.words) + 500)


def make_reading(
    elmo: Elmo, text: str, words: Sequence[str], offsets: Sequence[tuple[int, int]], layers: Array
) -> Reading:
    """The reading of a sentence from the vectors of all its layers, (L, T, 2P)."""
    views = np.concatenate([layers, mix_layers(layers, elmo.layer_mix)[None]])  # (L + 1, T, 2P)
    lengths = np.linalg.norm(views, axis=-1, keepdims=True)
    places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    return Reading(text, tuple(words), places, views / np.maximum(lengths, 1e-12))


def places_of(word: str, readings: Sequence[Reading]) -> list[Place]:
    """Where a word occurs, capitals or not, in reading order."""
    wanted = word.casefold()
    return [place for place, other in _all_words(readings) if other.casefold() == wanted]


def vectors_of(places: Sequence[Place], readings: Sequence[Reading]) -> Array:
    """The vectors at N places by view. Shape (L + 1, N, 2P)."""
    return np.stack([readings[place.sentence].views[:, place.word] for place in places], axis=1)


def nearest(
    place: Place, readings: Sequence[Reading], *, k: int = 10, same_word: bool = False
) -> list[list[WordNeighbour]]:
    """The occurrences nearest to one by cosine, in every view; equally near ones in reading order.

    Args:
        place: the occurrence.
        readings: the sentences to look in.
        k: number of neighbours per view.
        same_word: only occurrences of the same word; else of any word that has a letter or digit.
    """
    word = readings[place.sentence].words[place.word]
    if same_word:
        others = [other for other in places_of(word, readings) if other != place]
    else:
        others = [other for other, text in _all_words(readings) if other != place and _is_word(text)]
    own = readings[place.sentence].views[:, place.word]
    if not others:
        return [[] for _ in own]
    scores = np.einsum("vnd,vd->vn", vectors_of(others, readings), own)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [
        [WordNeighbour(others[i], float(view_scores[i])) for i in best.tolist()]
        for view_scores, best in zip(scores, order, strict=True)
    ]


def similarities(first: Reading, second: Reading) -> Array:
    """Cosines of every word of one sentence with every word of another, in every view.

    Args:
        first: a sentence of T words.
        second: a sentence of S words.

    Returns:
        cosines. Shape (L + 1, T, S).

    Example:
        >>> one = Reading("a", ("a",), np.array([[0, 1]]), np.array([[[0.6, 0.8]]]))
        >>> similarities(one, one).round(6).tolist()
        [[[1.0]]]
    """
    return np.asarray(np.clip(first.views @ second.views.swapaxes(1, 2), -1.0, 1.0))


def plane(vectors: Array) -> tuple[Array, Array]:
    """N vectors → N points in the plane of their largest variance (principal components).

    Args:
        vectors: Shape (N, D).

    Returns:
        points around (0, 0), shape (N, 2), and the shares of the variance along x and y, shape (2,); zeros where all
        vectors are equal.

    Example:
        >>> points, shares = plane(np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0]]))
        >>> sorted(abs(points[:, 0]).round(6).tolist()), shares.round(6).tolist()
        ([0.0, 2.0, 2.0], [1.0, 0.0])
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    total = float(np.square(centred).sum())
    points, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    if total <= _SAME * len(vectors):
        return points, shares
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    n = min(2, len(sizes))
    points[:, :n] = left[:, :n] * sizes[:n]
    shares[:n] = np.square(sizes[:n]) / total
    return points, shares


def planes(vectors: Array) -> tuple[Array, Array]:
    """The map of every view, each turned or mirrored to lie as the next one does.

    Args:
        vectors: Shape (V, N, D).

    Returns:
        points, shape (V, N, 2), and shares of the variance, shape (V, 2).
    """
    maps = [plane(view) for view in vectors]
    points = [at for at, _ in maps]
    for i in reversed(range(len(points) - 1)):
        left, _, right = np.linalg.svd(points[i].T @ points[i + 1])
        points[i] = points[i] @ left @ right
    return np.stack(points), np.stack([shares for _, shares in maps])


def sense_numbers(vectors: Array) -> NDArray[np.intp]:
    """The sense of each occurrence of a word, from vectors of length 1, (N, D), grouped as in `elmokit.index.senses`.

    Numbers count from 0 in the order of first appearance; all are 0 where no grouping is clear. Shape (N,).

    Example:
        >>> sense_numbers(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0]])).tolist()
        [0, 0, 1, 1, 0]
    """
    if float(np.square(vectors - vectors.mean(axis=0)).sum(axis=1).max()) < _SAME:
        return np.zeros(len(vectors), np.intp)
    most = min(MAX_SENSES, max(2, len(vectors) // 5))
    units = vectors.astype(np.float32)
    labels, _ = group_occurrences(units, most=most, least_silhouette=_CONVINCING, smallest=2)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbered: NDArray[np.intp] = np.argsort(np.argsort(first))[inverse]
    return numbered


def _all_words(readings: Sequence[Reading]) -> Iterator[tuple[Place, str]]:
    return ((Place(i, j), word) for i, reading in enumerate(readings) for j, word in enumerate(reading.words))


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
