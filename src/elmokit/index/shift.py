"""How differently two corpora use words: average pairwise distance and prototype distance."""

from __future__ import annotations

from collections.abc import Collection

from elmokit.index.results import Shift
from elmokit.index.word_index import WordIndex


def shift(
    a: WordIndex, b: WordIndex, *, words: Collection[str] | None = None, min_count: int = 10, by: str = "excess"
) -> list[Shift]:
    """Compare the use of words in two indexes of the same model and layers.

    Args:
        a: the first index.
        b: the second.
        words: the words to compare; None for all that occur often enough in both.
        min_count: occurrences that a word must have in each.
        by: what the list is sorted by, falling: "excess", "apd" or "prt".

    Returns:
        one `Shift` per word, those that changed most first.

    Raises:
        ConfigError: indexes of other models or layers; an unknown `by`.
        InputError: a word of `words` that does not occur often enough.
    """
    raise NotImplementedError
