"""Which words fit a gap, or come next: the candidates of the language model with their chances.

The forward direction tells the chance of each word after what stands left of the gap, the backward direction before
what stands right of it. If left and right are independent once the word is known, then

    p(w | left, right)  ∝  p(w | left) · p(w | right) / p(w),

with p(w) the word's share in training: the prior is in both directions and counts once. `prior` tells how much of it
is taken off (1 as in the formula; 0 for the plain product of both directions, which favours frequent words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.language_model import LanguageModel
from elmokit.text.inputs import Text

GAP = "___"
"""What marks a gap in a text."""

Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True)
class Candidate:
    """A word for a gap.

    Args:
        word: the word.
        probability: its chance among all words of the vocabulary, special ones left out.
        forward: log chance given the words before, in nats.
        backward: log chance given the words after, in nats.
    """

    word: str
    probability: float
    forward: float
    backward: float


def fill_in(
    model: LanguageModel,
    text: Text,
    *,
    n: int = 10,
    gap: str = GAP,
    direction: Direction = "both",
    prior: float = 0.5,
) -> list[Candidate]:
    """The likeliest words for a gap.

    Args:
        model: the language model.
        text: a string or a list of words with one gap in it.
        n: candidates.
        gap: what marks the gap.
        direction: which direction is asked; "forward" for the next word after what stands before the gap.
        prior: how much of the word's own log share is taken off where both directions are asked; nothing for models
            that came without their words' counts.

    Returns:
        the candidates, likeliest first.

    Raises:
        InputError: not exactly one gap.
        ConfigError: a direction that is not known.

    Example (`model` is any loaded model):
        ``fill_in(model, "The cat sat on the ___ and slept.")[0].word``
    """
    left, right = split_at_gap(model, text, gap)
    return candidates(model, left, right, n=n, direction=direction, prior=prior)


def next_words(model: LanguageModel, text: Text, *, n: int = 10) -> list[Candidate]:
    """The likeliest words after a text.

    Args:
        model: the language model.
        text: a string or a list of words.
        n: candidates.

    Returns:
        the candidates, likeliest first; `backward` is their chance before the end of the text, and not asked.

    Example (`model` is any loaded model):
        ``next_words(model, "Thank you very")[0].word``
    """
    return candidates(model, model.words_of(text), [], n=n, direction="forward")


def candidates(
    model: LanguageModel,
    left: Sequence[str],
    right: Sequence[str],
    *,
    n: int = 10,
    direction: Direction = "both",
    prior: float = 0.5,
) -> list[Candidate]:
    """The likeliest words between words.

    Args:
        model: the language model.
        left: the words before the gap.
        right: the words after it.
        n: candidates.
        direction: see `fill_in`.
        prior: see `fill_in`.

    Returns:
        the candidates, likeliest first.

    Raises:
        ConfigError: a direction that is not known.
    """
    if direction not in get_args(Direction):
        raise ConfigError(f"direction is {direction!r}; expected 'both', 'forward' or 'backward'.")
    before, after = model.contexts([list(left), list(right)])
    forward = model.log_probabilities(before.forward[-1:])[0]
    backward = model.log_probabilities(after.backward[:1])[0]
    scores = {"forward": forward, "backward": backward, "both": forward + backward}[direction].astype(np.float64)
    if direction == "both":
        scores -= prior * _log_shares(model)
    vocabulary = model.vocabulary
    scores[[vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id]] = -np.inf
    scores -= np.logaddexp.reduce(scores)
    best = np.argsort(-scores, kind="stable")[: min(n, len(scores) - 3)]
    return [
        Candidate(vocabulary.words[i], float(np.exp(scores[i])), float(forward[i]), float(backward[i])) for i in best
    ]


def split_at_gap(model: LanguageModel, text: Text, gap: str = GAP) -> tuple[list[str], list[str]]:
    """The words before and after a gap.

    Args:
        model: whose tokenizer cuts strings.
        text: a string or a list of words.
        gap: what marks the gap.

    Returns:
        both lists of words.

    Raises:
        InputError: not exactly one gap.
    """
    parts: list[Any] = text.split(gap) if isinstance(text, str) else _split_words(model.words_of(text), gap)
    if len(parts) != 2:
        raise InputError(f"the text has {len(parts) - 1} gaps; expected one, marked by {gap!r}: {text!r}.")
    return model.words_of(parts[0]), model.words_of(parts[1])


def _split_words(words: Sequence[str], gap: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == gap:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _log_shares(model: LanguageModel) -> NDArray[np.float64]:
    """Log share of each word in training, unseen ones counted half; zeros where counts are not known. Shape (V,)."""
    if model.vocabulary.counts is None:
        return np.zeros(len(model.vocabulary))
    counts = np.maximum(np.array(model.vocabulary.counts, dtype=np.float64), 0.5)
    return np.asarray(np.log(counts / counts.sum()))
