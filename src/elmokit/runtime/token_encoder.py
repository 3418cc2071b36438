"""Words → token vectors, the layer below the LSTMs: computed once per distinct word and cached.

A token vector is what the character CNN makes of a word's characters, plus the word's row of a word table where the
model has one. A model without characters has the table alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.manylangs import CharacterDictionary, VocabularyTable
from elmokit.text.char_ids import BOS, EOS, lower_ascii, sentence_boundary_ids, words_to_char_ids
from elmokit.text.word_keys import table_rows

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

CACHE_WORDS = 20_000  # 26 MB for the embedded model, 41 MB for the published one
CNN_WORDS = 128  # words that one thread takes through the character CNN at a time


class TokenEncoder:
    """Token vectors of one model.

    `words` is the vocabulary of the word table, `embed` the character CNN of a backend, (D, C) → (D, P), and `run` runs
    independent tasks. ConfigError if the vocabulary is missing or lacks its special entries.
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        words: Sequence[str] | None,
        embed: Callable[[Ids], Array],
        dtype: DTypeLike,
        run: Callable[[Sequence[Callable[[], Any]]], Any],
        cache_words: int = CACHE_WORDS,
    ) -> None:
        self.width, self.dtype, self._embed, self._run = config.projection_width, np.dtype(dtype), embed, run
        self._characters: _Bytes | CharacterDictionary | None = None
        self._table: _TiedTable | VocabularyTable | None = None
        if (cnn := config.char_cnn) is not None:
            self._padding_id, n = cnn.padding_id, cnn.max_characters
            self._characters = _Bytes(n) if cnn.characters is None else CharacterDictionary(cnn.characters, n)
        if config.word_table:
            assert self._characters is not None
            gain = np.asarray(tensors["word_table.gain"], self.dtype)
            self._table = _TiedTable(tensors["word_table.weight"], gain, words or (), self._characters)
        elif config.n_words:
            self._table = VocabularyTable(config, tensors, words or (), self.dtype)
        self._cache = _Cache(cache_words if self._characters else 0, self.width, self.dtype)
        self.boundaries = self._add_rows((BOS, EOS), np.zeros((2, self.width), self.dtype))  # (2, P)
        if self._characters is not None:
            self.boundaries += embed(self._characters.boundary_ids())

    def vectors(self, words: Sequence[str], *, first: int = 0) -> Array:
        """Token vectors of D distinct words behind `first` rows of zeros. Shape (first + D, P)."""
        if self._characters is not None:  # what does not fit a word's ids changes nothing and makes keys long
            words = [self._characters.cut(word) for word in words]
        out = np.zeros((first + len(words), self.width), self.dtype)
        missing = self._cache.look_up(words, out[first:])
        if missing:
            new = [words[i] for i in missing]
            vectors = self._compute(new)  # several threads may compute the same word; that is rare
            out[[first + i for i in missing]] = vectors
            self._cache.keep(new, vectors)
        return out

    def _compute(self, words: Sequence[str]) -> Array:
        """Token vectors of words, (D, P): character CNN and word table."""
        vectors = np.zeros((len(words), self.width), self.dtype)
        if self._characters is not None:  # in blocks of words of similar length: neighbours of one length are fastest
            ids = self._characters.ids(words)
            order = np.argsort((ids != self._padding_id).sum(axis=1), kind="stable")

            def embed(start: int) -> None:
                block = order[start : start + CNN_WORDS]
                vectors[block] = self._embed(ids[block])

            starts = range(0, len(ids), CNN_WORDS)
            self._run([partial(embed, start) for start in reversed(starts)])  # long words first: all end together
        return self._add_rows(words, vectors)

    def _add_rows(self, words: Sequence[str], vectors: Array) -> Array:
        if self._table is not None:
            vectors += self._table.rows(words)
        return vectors


class _Cache:
    """Vectors by word, the least recently used dropped first. Threads may share it."""

    def __init__(self, n_words: int, width: int, dtype: np.dtype[Any]) -> None:
        self.n_words = n_words
        self._slots: dict[str, int] = {}  # least recently used first
        try:
            self._vectors = np.zeros((n_words, width), dtype)  # the system gives its pages as they are used
        except (MemoryError, ValueError) as error:
            raise ConfigError(f"cache_words is {n_words:,}; {n_words * width:,} numbers do not fit memory.") from error
        self._lock = Lock()
        _CACHES.add(self)

    def look_up(self, words: Sequence[str], out: Array) -> list[int]:
        """Put the vectors of cached words into `out`; the places of the others come back."""
        with self._lock:
            slots = np.array([self._slots.get(word, -1) for word in words], dtype=np.intp)
            cached = np.flatnonzero(slots >= 0)
            out[cached] = self._vectors[slots[cached]]
            for word in dict.fromkeys(words[i] for i in cached.tolist()):
                self._slots[word] = self._slots.pop(word)
        return list(map(int, np.flatnonzero(slots < 0)))

    def keep(self, words: Sequence[str], vectors: Array) -> None:
        """Cache vectors of words."""
        slots = []
        with self._lock:
            for word in words if self.n_words else ():
                slot = self._slots.pop(word, None)  # another thread may have computed it too
                if slot is None:
                    full = len(self._slots) == self.n_words
                    slot = self._slots.pop(next(iter(self._slots))) if full else len(self._slots)
                self._slots[word] = slot
                slots.append(slot)
            self._vectors[slots] = vectors[: len(slots)]  # of equal slots, the last one counts


_CACHES: WeakSet[_Cache] = WeakSet()


def _after_fork() -> None:
    """Begin anew in a forked child: another thread may have held a lock, or half written a cache."""
    for cache in _CACHES:
        cache._lock, cache._slots = Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class _Bytes:
    """Words → rows of ids of UTF-8 bytes."""

    max_characters: int

    def cut(self, word: str) -> str:
        if len(word) <= self.max_characters:
            return word
        return word.encode("utf-8", "ignore")[: self.max_characters + 2].decode("utf-8", "ignore")

    def ids(self, words: Sequence[str]) -> Ids:
        return words_to_char_ids(words, self.max_characters)

    def boundary_ids(self) -> Ids:
        return sentence_boundary_ids(self.max_characters)


class _TiedTable:
    """Rows of the softmax, scaled by a gain per component, for frequent words in any case; zeros for all others."""

    def __init__(
        self, weight: Array, gain: Array, words: Sequence[str], characters: _Bytes | CharacterDictionary
    ) -> None:
        if len(words) != len(weight):
            raise ConfigError(f"the word table has {len(weight)} rows, but the vocabulary has {len(words)} words.")
        self._rows = table_rows(words)
        for word, row in [item for item in self._rows.items() if len(item[0]) > characters.max_characters - 2]:
            cut = characters.cut(word)  # as it is looked up
            self._rows[cut] = min(row, self._rows.get(cut, row))
        self._weight, self._gain = weight, gain

    def rows(self, words: Sequence[str]) -> Array:
        lowered = ((word, lower_ascii(word)) for word in words)
        rows = np.array([self._rows.get(word, self._rows.get(lower, -1)) for word, lower in lowered], dtype=np.intp)
        return np.where(rows[:, None] >= 0, self._weight[rows] * self._gain, self._gain.dtype.type(0))
