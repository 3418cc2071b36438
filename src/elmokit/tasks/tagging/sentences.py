"""Sentences with a tag for each word: checked, and split into a training and a dev part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from elmokit.errors import InputError
from elmokit.tasks.tagging.bioes import Scheme, Tags, check_tags
from elmokit.text.inputs import checked_texts, checked_words

Words = Sequence[str]


@dataclass(frozen=True)
class TaggedSentences:
    """Words of sentences and a valid tag of one scheme for each word; None for tags that mark no spans."""

    words: list[list[str]]
    tags: list[list[str]]
    scheme: Scheme | None

    @classmethod
    def checked(
        cls, sentences: Sequence[Words], tags: Tags, scheme: Scheme | Literal["auto"] | None
    ) -> TaggedSentences:
        """Check and convert sentences that have words; a warning says what was converted or repaired."""
        words = word_lists(sentences, tags)
        checked = check_tags(tags, scheme)
        if checked.remark:
            warnings.warn(checked.remark, stacklevel=3)
        return cls(words, checked.tags, checked.scheme).take([i for i, one in enumerate(words) if one])

    def take(self, rows: Sequence[int]) -> TaggedSentences:
        """Some of the sentences, by number."""
        return TaggedSentences([self.words[i] for i in rows], [self.tags[i] for i in rows], self.scheme)

    def split(self, seed: int) -> tuple[TaggedSentences, TaggedSentences]:
        """Nine tenths to train on, and a tenth that chooses the best epoch."""
        n = len(self.words)
        if n < 2:
            raise InputError(f"{n} sentences with words; at least two are needed, one to choose the best epoch by.")
        order = np.random.RandomState(seed).permutation(n).tolist()
        n_dev = -(-n // 10)
        return self.take(order[n_dev:]), self.take(order[:n_dev])


def word_lists(sentences: Sequence[Words], tags: Tags | None = None) -> list[list[str]]:
    """Sentences as lists of words; TextError for other things, InputError unless there is a tag for each word."""
    words = [checked_words(sentence, i) for i, sentence in enumerate(checked_texts(sentences))]
    if tags is not None and len(words) != len(tags):
        raise InputError(f"{len(words)} sentences but tags of {len(tags)}; expected as many.")
    for i, (of_words, of_tags) in enumerate(zip(words, words if tags is None else tags, strict=True)):
        if len(of_words) != len(of_tags):
            raise InputError(f"sentence {i} has {len(of_words)} words but {len(of_tags)} tags.")
    return words
