"""Words → UTF-8 byte ids, as in all published ELMo models (Jozefowicz et al. 2016, §3.2; bilm-tf).

A word becomes a row of `max_characters` ids (50): begin of word, its UTF-8 bytes, end of word, padding. Ids are bytes
plus one, so that 0 is "no word here". Unpaired surrogates are left out of the word, as bilm-tf leaves them out.
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
