"""What only models of whole words and ELMoForManyLangs read: a dictionary of Unicode characters, a table of words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends.numpy import MatrixProduct, padded
from elmokit.text.char_ids import BOS, EOS, UNK

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]


class CharacterDictionary:
    """Words → rows of characters' places in a dictionary, as in ELMoForManyLangs (`create_one_batch`).

    The original swaps its marks: rows start with `<eow>` and end with `<bow>`.
    """

    def __init__(self, characters: Sequence[str], max_characters: int) -> None:
        self._rows = {character: row for row, character in enumerate(characters, start=1)}
        _check_entries("characters", self._rows, ("<bow>", "<eow>", "<bos>", "<eos>", "<oov>", "<pad>"))
        self.max_characters = max_characters

    def cut(self, word: str) -> str:
        """The part of a word that its ids hold."""
        return word[: self.max_characters - 2]

    def ids(self, words: Sequence[str]) -> Ids:
        """Character ids of words, (D, C)."""
        return self._ids([self.cut(word) for word in words])

    def boundary_ids(self) -> Ids:
        """Character ids of begin and end of sentence, (2, C)."""
        return self._ids([("<bos>",), ("<eos>",)])

    def _ids(self, words: Sequence[Sequence[str]]) -> Ids:
        ids = np.full((len(words), self.max_characters), self._rows["<pad>"], np.int32)
        for row, word in zip(ids, words, strict=True):
            inner = [self._rows.get(character, self._rows["<oov>"]) for character in word]
            row[: len(inner) + 2] = [self._rows["<eow>"], *inner, self._rows["<bow>"]]
        return ids


class VocabularyTable:
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

    def rows(self, words: Sequence[str]) -> Array:
        """Vectors of words, (D, P)."""
        unknown = self._ids[UNK]
        rows = self._table[np.array([self._ids.get(word[: self._cut], unknown) for word in words], dtype=np.intp)]
        if (product := self._projection) is None:
            return rows
        n = padded(len(rows), product.least_rows)
        inputs = np.concatenate([rows, np.zeros((n - len(rows), rows.shape[1]), rows.dtype)])
        return product(inputs, np.empty((n, product.n_outputs), rows.dtype))[: len(rows)]


def _check_entries(what: str, entries: Mapping[str, int], needed: Sequence[str]) -> None:
    missing = [entry for entry in needed if entry not in entries]
    if missing:
        raise ConfigError(
            f"the model's dictionary of {what} lacks {', '.join(missing)}. A model that reads whole words needs the"
            " vocabulary that it was trained with."
        )
