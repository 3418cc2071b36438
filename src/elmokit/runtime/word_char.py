"""Words → token vectors as ELMoForManyLangs makes them: a word's own vector beside its characters'.

Characters are Unicode characters by their place in a dictionary. The original takes its marks for begin and end of
word apart in swapped order, in training too, so a word's row *starts* with `<eow>` and ends with `<bow>`; that is kept.
A word is cut to what fits its row before it is looked up in the table, as there. The projection of the joined vector is
the sum of two products, so the character CNN does its half as for any other model.
Source: HIT-SCIR/ELMoForManyLangs, `create_one_batch` and `ConvTokenEmbedder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.char_cnn import CharCNN, Parts
from elmokit.runtime.rows import Buffers, least_rows, padded

Array = NDArray[Any]


class WordCharEncoder:
    """The token encoder of a model with a dictionary of characters, and maybe one of words.

    Args:
        config: the model's configuration.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        words: the dictionary of words, with `<S>`, `</S>` and `<UNK>`; empty for a model of characters alone.
        dtype: float32 or float64.
        parts: what the character CNN is computed with.

    Raises:
        ConfigError: a dictionary lacks its special entries.
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        words: Sequence[str],
        dtype: DTypeLike,
        parts: Parts | None = None,
    ) -> None:
        cnn = config.char_cnn
        assert cnn is not None
        self.dtype, self.max_characters, self.word_width = dtype, cnn.max_characters, config.word_width
        self.character_rows = {character: row for row, character in enumerate(cnn.characters or (), start=1)}
        self.word_rows = {word: row for row, word in enumerate(words, start=1)} if config.word_width else {}
        self._check()
        projection = np.asarray(tensors["char_cnn.projection.weight"], dtype=dtype)
        self.word_projection = np.ascontiguousarray(projection[:, : self.word_width].T)
        if self.word_width:
            self.word_table = np.asarray(tensors["word_embedding.weight"], dtype=dtype)
        own = {**tensors, "char_cnn.projection.weight": projection[:, self.word_width :]}
        self.cnn = CharCNN(cnn, own, dtype, parts, padding_id=self.character_rows["<pad>"])

    def _check(self) -> None:
        for rows, what, marks in (
            (self.character_rows, "characters", ("<bow>", "<eow>", "<bos>", "<eos>", "<oov>", "<pad>")),
            (self.word_rows, "words", ("<S>", "</S>", "<UNK>") if self.word_width else ()),
        ):
            missing = [mark for mark in marks if mark not in rows]
            if missing:
                raise ConfigError(f"the model's dictionary of {what} lacks {', '.join(missing)}.")

    def boundaries(self) -> Array:
        """Token vectors of begin and end of sentence. Shape (2, P)."""
        rows = [self._row((mark,), word) for mark, word in (("<bos>", "<S>"), ("<eos>", "</S>"))]
        return self.encode_ids(np.array(rows, dtype=np.int32), Buffers(self.dtype))

    def char_ids(self, words: Sequence[str]) -> tuple[NDArray[np.integer], NDArray[np.intp]]:
        """Rows of words, shortest word first, and the order that sorts them so.

        Args:
            words: D words.

        Returns:
            rows of character ids with the word's row of the table at the end, (D, C + 1); the words' places, (D,).
        """
        cut = [word[: self.max_characters - 2] for word in words]
        order = np.argsort([len(word) for word in cut], kind="stable")
        rows = np.array([self._row(cut[i], cut[i]) for i in order], dtype=np.int32)
        return rows.reshape(-1, self.max_characters + 1), order

    def _row(self, characters: Sequence[str], word: str) -> list[int]:
        rows = self.character_rows
        unknown = rows["<oov>"]
        ids = [rows["<eow>"], *(rows.get(character, unknown) for character in characters), rows["<bow>"]]
        padding = [rows["<pad>"]] * (self.max_characters - len(ids))
        return [*ids, *padding, self.word_rows.get(word, self.word_rows.get("<UNK>", 0))]

    def encode_ids(self, ids: NDArray[np.integer], buffers: Buffers) -> Array:
        """Token vectors.

        Args:
            ids: rows as `char_ids` makes them. Shape (D, C + 1).
            buffers: memory to compute in.

        Returns:
            vectors. Shape (D, P).
        """
        vectors = self.cnn.encode_ids(ids[:, :-1], buffers)
        if self.word_width:
            rows = np.zeros((padded(len(ids), least_rows(self.word_projection)), self.word_width), vectors.dtype)
            rows[: len(ids)] = self.word_table[ids[:, -1]]
            vectors += np.matmul(rows, self.word_projection)[: len(ids)]
        return vectors
