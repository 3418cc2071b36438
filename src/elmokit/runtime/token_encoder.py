"""Words → token vectors, the layer below the LSTMs: computed once per distinct word and cached.

A token vector is what the character CNN makes of a word's characters, plus the word's row of a word table where the
model has one. A model without characters has the table alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends import Backend
from elmokit.runtime.backends.numpy import MatrixProduct, padded
from elmokit.text.char_ids import BOS, EOS, UNK, lower_ascii, sentence_boundary_ids, table_rows, words_to_char_ids

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

CACHE_WORDS = 20_000  # 26 MB for the embedded model, 41 MB for the published one
CNN_WORDS = 128  # words that one thread takes through the character CNN at a time


class TokenEncoder:
    """Token vectors of one model; `words` is the vocabulary of its word table, and `run` runs independent tasks."""

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        words: Sequence[str] | None,
        backend: Backend,
        run: Callable[[Sequence[Callable[[], Any]]], Any],
        cache_words: int = CACHE_WORDS,
    ) -> None:
        self.width, self._char_width = config.projection_width, config.char_width
        self.dtype, self._embed, self._run = backend.dtype, backend.embed, run
        self._characters: _Bytes | _Characters | None = None
        self._table: _TiedTable | _VocabularyTable | None = None
        if (cnn := config.char_cnn) is not None:
            self._padding_id, n = cnn.padding_id, cnn.max_characters
            self._characters = _Bytes(n) if cnn.characters is None else _Characters(cnn.characters, n)
        if config.word_table:
            assert self._characters is not None
            gain = np.asarray(tensors["word_table.gain"], self.dtype)
            keys = [self._characters.cut(word) for word in words or ()]  # as they are looked up
            self._table = _TiedTable(tensors["word_table.weight"], gain, keys)
        elif config.n_words:
            self._table = _VocabularyTable(config, tensors, words or (), self.dtype)
        self._cache: OrderedDict[str, Array] = OrderedDict()  # least recently used first
        self._cache_words = cache_words if self._characters else 0
        boundary_ids = None if self._characters is None else self._characters.boundary_ids()
        self._boundaries = self._compute((BOS, EOS), boundary_ids)  # (2, P)

    def vectors(self, words: Sequence[str]) -> Array:
        """Token vectors of begin and end of sentence, and of D distinct words. Shape (2 + D, P)."""
        if self._characters is not None:  # what does not fit a word's ids changes nothing and makes keys long
            words = [self._characters.cut(word) for word in words]
        out = np.empty((2 + len(words), self.width), self.dtype)
        out[:2] = self._boundaries
        missing = []
        for row, word in enumerate(words, start=2):
            if (vector := self._cache.pop(word, None)) is None:
                missing.append(row)
            else:
                self._cache[word] = out[row] = vector
        if missing:
            out[missing] = self._compute([words[row - 2] for row in missing])
            for row in missing:  # threads share the cache without a lock: they may compute a word twice, which is rare
                self._cache[words[row - 2]] = out[row].copy()
            with suppress(KeyError):  # another thread took it
                while len(self._cache) > self._cache_words:
                    self._cache.popitem(last=False)
        return out

    def _compute(self, words: Sequence[str], ids: Ids | None = None) -> Array:
        """Token vectors of words, (D, P), by character CNN (of `ids`, if they are no ordinary words) and word table."""
        vectors = np.zeros((len(words), self._char_width), self.dtype)
        if self._characters is not None:  # in blocks of words of similar length: neighbours of one length are fastest
            char_ids = self._characters.ids(words) if ids is None else ids
            order = np.argsort((char_ids != self._padding_id).sum(axis=1), kind="stable")

            def embed(start: int) -> None:
                block = order[start : start + CNN_WORDS]
                vectors[block] = self._embed(char_ids[block])

            starts = range(0, len(words), CNN_WORDS)
            self._run([partial(embed, start) for start in reversed(starts)])  # long words first: all end together
        return vectors if self._table is None else self._table.join(vectors, words)


@dataclass(frozen=True)
class _Bytes:
    """Words → rows of ids of UTF-8 bytes, (D, C)."""

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
    """Rows of the softmax, scaled by a gain per component, for frequent words in any case."""

    def __init__(self, weight: Array, gain: Array, words: Sequence[str]) -> None:
        if len(words) != len(weight):
            raise ConfigError(f"the word table has {len(weight)} rows, but the vocabulary has {len(words)} words.")
        self._rows, self._weight, self._gain = table_rows(words), weight, gain

    def join(self, vectors: Array, words: Sequence[str]) -> Array:
        """Token vectors from what the character CNN says, (D, P) or (D, 2P): its first P and a row, or its last P."""
        lowered = ((word, lower_ascii(word)) for word in words)
        rows = np.array([self._rows.get(word, self._rows.get(lower, -1)) for word, lower in lowered], dtype=np.intp)
        P = len(self._gain)
        return np.where(rows[:, None] >= 0, vectors[:, :P] + self._weight[rows] * self._gain, vectors[:, -P:])


class _Characters:
    """Words → rows of characters' places in a dictionary, (D, C), as in ELMoForManyLangs (`create_one_batch`).

    The original swaps its marks: rows start with `<eow>` and end with `<bow>`.
    """

    def __init__(self, characters: Sequence[str], max_characters: int) -> None:
        self._rows = {character: row for row, character in enumerate(characters, start=1)}
        _check_entries("characters", self._rows, ("<bow>", "<eow>", "<bos>", "<eos>", "<oov>", "<pad>"))
        self.max_characters = max_characters

    def cut(self, word: str) -> str:
        return word[: self.max_characters - 2]

    def ids(self, words: Sequence[str]) -> Ids:
        return self._ids([self.cut(word) for word in words])

    def boundary_ids(self) -> Ids:
        return self._ids([("<bos>",), ("<eos>",)])

    def _ids(self, words: Sequence[Sequence[str]]) -> Ids:
        ids = np.full((len(words), self.max_characters), self._rows["<pad>"], np.int32)
        for row, word in zip(ids, words, strict=True):
            inner = [self._rows.get(character, self._rows["<oov>"]) for character in word]
            row[: len(inner) + 2] = [self._rows["<eow>"], *inner, self._rows["<bow>"]]
        return ids


class _VocabularyTable:
    """A row per word of a vocabulary, projected where the table is narrower than P."""

    def __init__(self, config: ElmoConfig, tensors: Mapping[str, Array], words: Sequence[str], dtype: Any) -> None:
        self._ids = {word: row for row, word in enumerate(words, start=1)}
        _check_entries("words", self._ids, (BOS, EOS, UNK))
        self._projection: MatrixProduct | None = None
        self._cut: int | None = None
        self._table = np.asarray(tensors["word_embedding.weight"], dtype=dtype)
        if config.char_cnn is not None:  # its projection maps both side by side; the table's part stands in front
            weight = np.asarray(tensors["char_cnn.projection.weight"][:, : config.word_width], dtype=dtype)
            self._projection, self._cut = MatrixProduct(weight.T), config.char_cnn.max_characters - 2

    def join(self, vectors: Array, words: Sequence[str]) -> Array:
        """Add the rows of words to what the character CNN says, (D, P)."""
        unknown = self._ids[UNK]
        rows: Array = self._table[
            np.array([self._ids.get(word[: self._cut], unknown) for word in words], dtype=np.intp)
        ]
        if (product := self._projection) is None:
            return vectors + rows
        n = padded(len(rows), product.least_rows)
        inputs = np.concatenate([rows, np.zeros((n - len(rows), rows.shape[1]), rows.dtype)])
        projected: Array = product(inputs, np.empty((n, product.n_outputs), rows.dtype))
        return vectors + projected[: len(rows)]


def _check_entries(what: str, entries: Mapping[str, int], needed: Sequence[str]) -> None:
    missing = [entry for entry in needed if entry not in entries]
    if missing:
        raise ConfigError(
            f"the model's dictionary of {what} lacks {', '.join(missing)}. A model that reads whole words needs the"
            " vocabulary that it was trained with."
        )
