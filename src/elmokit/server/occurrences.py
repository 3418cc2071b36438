"""Sentences → what the explorer shows of their words: nearest occurrences, a map, a table of similarities.

Everything is computed for all *views* at once, a view being a layer or, last, the layer mix: an answer then holds what
the page's layer slider needs, and moving it asks the server nothing. Vectors are scaled to length 1, so that a product
is a cosine. The maps of neighbouring views are turned onto each other (orthogonal Procrustes), so that a point's way
from one to the next means something.

Costs: L + 1 vectors per word are kept for sentences seen lately (10 kB a word in the embedded model), up to a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.features import WordVectors
from elmokit.index.clusters import choose_clusters
from elmokit.runtime.pooling import mix_layers

Array = NDArray[Any]

_SAME = 1e-6
"""Squared distances below this are rounding: such vectors are one."""

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
class Neighbour:
    """An occurrence and its cosine to the one that was asked about."""

    place: Place
    score: float


class Reader:
    """Reads sentences, and remembers those read lately: a page asks about the same ones again and again.

    Args:
        elmo: the model.
        n_words: words whose vectors are kept at most.

    Example:
        ``Reader(Elmo.load()).read(["I read it.", "Can you read it?"])``
    """

    def __init__(self, elmo: Elmo, *, n_words: int = 10_000) -> None:
        self.elmo = elmo
        self._n_words = n_words
        self._kept: dict[str, Reading] = {}  # least recently read first
        self._lock = Lock()

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Readings of sentences, in their order.

        Args:
            texts: sentences.

        Returns:
            one reading per sentence; equal sentences share one.
        """
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._kept]
            found = self.elmo.encode_words(new, layers="each", show_progress=False)
            read = {text: _reading(self.elmo, text, vectors) for text, vectors in zip(new, found, strict=True)}
            for text in dict.fromkeys(texts):
                self._kept[text] = read[text] = read.get(text) or self._kept.pop(text)
            self._forget()
            return [read[text] for text in texts]

    def _forget(self) -> None:
        room = self._n_words - sum(len(reading.words) for reading in self._kept.values())
        for text in list(self._kept):
            if room >= 0:
                break
            room += len(self._kept.pop(text).words)


def _reading(elmo: Elmo, text: str, found: WordVectors) -> Reading:
    assert found.offsets is not None, "a text was given, not its words"
    mixed = mix_layers(found.vectors, elmo.layer_mix)
    views = np.concatenate([found.vectors, mixed[None]])
    lengths = np.linalg.norm(views, axis=-1, keepdims=True)
    return Reading(text, found.words, found.offsets, views / np.maximum(lengths, 1e-12))


def places_of(word: str, readings: Sequence[Reading]) -> list[Place]:
    """Where a word occurs, capitals or not.

    Args:
        word: the word.
        readings: sentences.

    Returns:
        its places, in reading order.
    """
    wanted = word.casefold()
    return [place for place, other in _all_words(readings) if other.casefold() == wanted]


def vectors_of(places: Sequence[Place], readings: Sequence[Reading]) -> Array:
    """The vectors at N places.

    Args:
        places: N of them, one or more.
        readings: the sentences they are in.

    Returns:
        vectors by view. Shape (L + 1, N, 2P).
    """
    return np.stack([readings[place.sentence].views[:, place.word] for place in places], axis=1)


def nearest(
    place: Place, readings: Sequence[Reading], *, k: int = 10, same_word: bool = False
) -> list[list[Neighbour]]:
    """The occurrences whose vectors are nearest to that of one, by cosine, in every view.

    Args:
        place: the occurrence.
        readings: the sentences to look in.
        k: how many at most.
        same_word: only occurrences of the same word; else of any word, marks (without a letter or digit) left out.

    Returns:
        for each view its neighbours, the nearest first; equally near ones in reading order.
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
        [Neighbour(others[i], float(view_scores[i])) for i in best.tolist()]
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
        points around (0, 0), Shape (N, 2), and the shares of the variance that x and y hold, Shape (2,); all zeros
        where the vectors are one and the same.

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
    values, directions = np.linalg.eigh(centred @ centred.T)  # N × N: fewer words than dimensions
    found = min(2, len(vectors))
    top = np.maximum(values[::-1][:found], 0.0)
    points[:, :found] = directions[:, ::-1][:, :found] * np.sqrt(top)
    shares[:found] = top / total
    return points, shares


def planes(vectors: Array) -> tuple[Array, Array]:
    """The map of every view, each turned or mirrored to lie as the next one's does; the last lies as it comes.

    Args:
        vectors: Shape (V, N, D).

    Returns:
        points, Shape (V, N, 2), and shares of the variance, Shape (V, 2).
    """
    found = [plane(view) for view in vectors]
    points = [of for of, _ in found]
    for i in reversed(range(len(points) - 1)):
        left, _, right = np.linalg.svd(points[i].T @ points[i + 1])
        points[i] = points[i] @ left @ right
    return np.stack(points), np.stack([shares for _, shares in found])


def sense_numbers(vectors: Array) -> NDArray[np.intp]:
    """Group occurrences of a word by their vectors, as the index groups its own (`elmokit.index.clusters`).

    What all of them share is taken away first: it says nothing of their senses.

    Args:
        vectors: of length 1. Shape (N, D).

    Returns:
        a number per occurrence, from 0, in the order in which they first appear; all 0 where no grouping is clear.
        Shape (N,).

    Example:
        >>> sense_numbers(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0]])).tolist()
        [0, 0, 1, 1, 0]
    """
    moved = (vectors - vectors.mean(axis=0)).astype(np.float32)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    units = moved / np.maximum(lengths, 1e-12)
    if float(np.square(lengths).max()) < _SAME:
        return np.zeros(len(vectors), np.intp)
    most = min(MAX_SENSES, max(2, len(units) // 5))  # few occurrences show few senses
    labels, _ = choose_clusters(units, most=most, least_silhouette=_CONVINCING, smallest=2)
    return _numbered(labels)


def _numbered(labels: Array) -> NDArray[np.intp]:
    """Labels → 0, 1, … in the order of their first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbered: NDArray[np.intp] = np.argsort(np.argsort(first))[inverse]
    return numbered


def _all_words(readings: Sequence[Reading]) -> Iterator[tuple[Place, str]]:
    return ((Place(i, j), word) for i, reading in enumerate(readings) for j, word in enumerate(reading.words))


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
