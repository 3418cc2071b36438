"""Words → UTF-8 byte ids, as in all published ELMo models (Jozefowicz et al. 2016, §3.2; bilm-tf).

A word becomes a row of `max_characters` ids (50): begin of word, its UTF-8 bytes, end of word, padding. Ids are bytes
plus one, so that 0 is "no word here". Unpaired surrogates are left out of the word, as bilm-tf leaves them out. Modules
and ONNX graphs, which read no strings, find a word's row in a word table by a key of its ids.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BOS, EOS = "<S>", "</S>"  # the two words around every sentence, as published vocabularies write them

UNK = "<UNK>"  # the word for every out-of-vocabulary word

SENTENCE_BEGIN_ID, SENTENCE_END_ID, WORD_BEGIN_ID, WORD_END_ID, PADDING_ID = 257, 258, 259, 260, 261


def sentence_boundary_ids(max_characters: int = 50) -> NDArray[np.int16]:
    """Ids of the begin (row 0) and end (row 1) of a sentence. Shape (2, C)."""
    rows = np.full((2, max_characters), PADDING_ID, dtype=np.int16)
    rows[:, 0], rows[:, 2] = WORD_BEGIN_ID, WORD_END_ID
    rows[:, 1] = SENTENCE_BEGIN_ID, SENTENCE_END_ID
    return rows


def words_to_char_ids(words: Sequence[str], max_characters: int = 50) -> NDArray[np.int16]:
    """Character ids of T words, none of them 0. Shape (T, C), where C = `max_characters` is at least 3.

    Words that look like boundaries ("<S>") are ordinary words; `sentence_boundary_ids` makes boundaries.
    """
    ids = np.full((len(words), max_characters), PADDING_ID, dtype=np.int16)
    ids[:, 0] = WORD_BEGIN_ID
    for row, word in zip(ids, words, strict=True):
        data = word.encode("utf-8", "ignore")[: max_characters - 2]
        row[1 : 1 + len(data)] = np.frombuffer(data, dtype=np.uint8)
        row[1 : 1 + len(data)] += 1
        row[1 + len(data)] = WORD_END_ID
    return ids


def padded_char_ids(sentences: Sequence[Sequence[str]], max_characters: int = 50) -> NDArray[np.int64]:
    """Character ids of B sentences with their boundaries, zeros behind each. Shape (B, T + 2, C)."""
    ids = np.zeros((len(sentences), max(map(len, sentences), default=0) + 2, max_characters), np.int64)
    begin, end = sentence_boundary_ids(max_characters)
    for row, words in zip(ids, sentences, strict=True):
        row[: len(words) + 2] = [begin, *words_to_char_ids(words, max_characters), end]
    return ids


def lower_ascii(word: str) -> str:
    """The word with A to Z in lower case; other letters stay, so that ids of bytes can be lowered alike."""
    if word.isascii():
        return word.lower()
    return word.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


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
