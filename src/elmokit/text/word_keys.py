"""Words ↔ the rows of a word table by their character ids alone, for modules and ONNX graphs, which read no strings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elmokit.text.char_ids import BOS, EOS, UNK, lower_ascii, words_to_char_ids


def char_id_multipliers(max_characters: int) -> NDArray[np.int64]:
    """Numbers below 2³⁸; a row's ids times these, summed, is a key below 2⁵³ that two words hardly ever share. (C,)."""
    state, numbers = 0x9E3779B97F4A7C15, []
    for _ in range(max_characters):  # xorshift64: the same on every system and version
        for shift in (13, -7, 17):
            state ^= (state << shift if shift > 0 else state >> -shift) & (2**64 - 1)
        numbers.append(state >> 26)
    return np.array(numbers, dtype=np.int64)


def table_rows(words: Sequence[str]) -> dict[str, int]:
    """The row of each word in a word table, and of each word in lower case; look a word up as it is, then lowered.

    `words` is the vocabulary in the order of the rows, the most frequent first; `<S>`, `</S>` and `<UNK>` are no words.
    """
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        rows.setdefault(word, row)
    for word, row in list(rows.items()):
        rows.setdefault(lower_ascii(word), row)
    for word in (BOS, EOS, UNK):
        rows.pop(word, None)
        rows.pop(lower_ascii(word), None)
    return rows


def table_keys(words: Sequence[str], max_characters: int = 50) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`table_rows` by the ids of words: keys in rising order, and the row of each. Shapes (n,)."""
    rows = table_rows(words)
    ids = words_to_char_ids(list(rows), max_characters).astype(np.int64)
    keys = (ids * char_id_multipliers(max_characters)).sum(axis=1)
    keys, first = np.unique(keys, return_index=True)  # of spellings cut to the same ids, the most frequent one
    return keys, np.array(list(rows.values()), dtype=np.int64)[first]
