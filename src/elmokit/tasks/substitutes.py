"""Words that could stand in a word's place: likely there, and with a like vector there.

The language model proposes what fits the gap (`elmokit.tasks.fill_in`), which knows the place but not what the word
meant: "The film was ___" takes "good" and "bad" alike. So every candidate is put into the text, its contextual vector
is compared with that of the word itself, and candidates are ranked by  probability · cosine ^ sharpness.
Source of the idea: Melamud et al. 2016 (context2vec); Zhou et al. 2019 rank by both as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.fill_in import candidates
from elmokit.tasks.language_model import LanguageModel
from elmokit.text.inputs import Text


@dataclass(frozen=True)
class Substitute:
    """A word in another's place.

    Args:
        word: the word.
        score: probability · cosine ^ sharpness, what the list is ordered by.
        probability: its chance to stand there.
        cosine: of its vector there with that of the word it replaces; negative ones count as 0 in the score.
    """

    word: str
    score: float
    probability: float
    cosine: float


def substitutes(
    model: LanguageModel,
    text: Text,
    word: str | int,
    *,
    n: int = 10,
    n_candidates: int = 100,
    sharpness: float = 4.0,
) -> list[Substitute]:
    """Words that could stand in a word's place.

    Args:
        model: the language model.
        text: a string or a list of words.
        word: the word to replace, at its first place in the text; or its index among the text's words.
        n: substitutes.
        n_candidates: words proposed by the language model and compared.
        sharpness: how much the vectors count against the chances; 0 for chances alone.

    Returns:
        the substitutes, best first; the word itself, in any case of its letters, is not among them.

    Raises:
        InputError: the word is not in the text.
        ConfigError: a negative sharpness.

    Example (`model` is any loaded model):
        ``substitutes(model, "The movie was great fun.", "movie")[0].word``
    """
    if not sharpness >= 0:
        raise ConfigError(f"sharpness is {sharpness}; expected 0 or more.")
    words = model.words_of(text)
    place = _place(words, word)
    proposed = [
        candidate
        for candidate in candidates(model, words[:place], words[place + 1 :], n=n_candidates + 3)
        if candidate.word.lower() != words[place].lower()
    ][:n_candidates]
    replaced = [[*words[:place], candidate.word, *words[place + 1 :]] for candidate in proposed]
    own, *others = (vectors[place] for vectors in model.word_vectors([words, *replaced]))
    cosines = [float(own @ other / (np.linalg.norm(own) * np.linalg.norm(other) + 1e-30)) for other in others]
    found = [
        Substitute(one.word, one.probability * max(cosine, 0.0) ** sharpness, one.probability, cosine)
        for one, cosine in zip(proposed, cosines, strict=True)
    ]
    return sorted(found, key=lambda one: -one.score)[:n]


def _place(words: Sequence[str], word: str | int) -> int:
    if isinstance(word, int):
        if not -len(words) <= word < len(words):
            raise InputError(f"the text has {len(words)} words, and none with the index {word}.")
        return word % len(words)
    if word not in words:
        raise InputError(f"the word {word!r} is not in the text; its words are {', '.join(map(repr, words))}.")
    return words.index(word)
