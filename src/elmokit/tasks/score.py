"""How surprising a text is: surprisal of each word, perplexity of the whole, by the definition of bilm-tf.

A word's surprisal is its negative log chance, in nats: forward given all words before it, backward given all after
it. Perplexity is the exponential of the mean over a text's words and its end (`</S>`; backward its begin, `<S>`). A
word outside the vocabulary counts as `<UNK>` and is marked, since figures compare only between models of one
vocabulary. The same numbers as `elmokit.evaluation.perplexity`, without PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.tasks.language_model import LanguageModel
from elmokit.text.inputs import Text, checked_texts

PER_NAT = {"nats": 1.0, "bits": 1 / math.log(2)}
"""What a surprisal in nats is multiplied with to have it in a unit."""

_BLOCK_TEXTS, _BLOCK_WORDS = 512, 16_384


@dataclass(frozen=True)
class Perplexity:
    """How well a text is predicted.

    Args:
        forward: perplexity of the direction that reads forward.
        backward: of the other.
        mean: of the two losses.
        n_words: words read, ends of texts not counted.
        unknown: share of them outside the vocabulary.
    """

    forward: float
    backward: float
    mean: float
    n_words: int
    unknown: float


@dataclass(frozen=True, eq=False)
class TextScore:
    """One text's surprisals, in nats.

    Args:
        words: its T words.
        known: whether each is in the vocabulary. Shape (T,).
        forward: of each word, given those before it. Shape (T,).
        backward: of each word, given those after it. Shape (T,).
        end: forward, that the text ends after its last word.
        begin: backward, that it begins before its first.

    Example:
        >>> sure = TextScore(("a",), np.array([True]), np.zeros(1), np.log([4.0]), end=0.0, begin=0.0)
        >>> sure.perplexity.forward, sure.perplexity.backward, round(sure.perplexity.mean, 3)
        (1.0, 2.0, 1.414)
    """

    words: tuple[str, ...]
    known: NDArray[np.bool_]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]
    end: float
    begin: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of both directions, for each word. Shape (T,)."""
        return (self.forward + self.backward) / 2

    @property
    def perplexity(self) -> Perplexity:
        """Of this text alone; for one without words, of its end."""
        return Totals().add(self).perplexity


class Totals:
    """Sums over texts, for the perplexity of all of them together.

    Example:
        >>> Totals().n_words
        0
    """

    def __init__(self) -> None:
        self.losses = np.zeros(2)
        self.n_predicted = self.n_words = self.n_unknown = 0

    def add(self, score: TextScore) -> Totals:
        """Count a text.

        Args:
            score: its surprisals.

        Returns:
            itself.
        """
        self.losses += score.forward.sum() + score.end, score.backward.sum() + score.begin
        self.n_predicted += len(score.words) + 1
        self.n_words += len(score.words)
        self.n_unknown += int((~score.known).sum())
        return self

    @property
    def perplexity(self) -> Perplexity:
        """Of all texts together.

        Raises:
            InputError: no text was counted.
        """
        if not self.n_predicted:
            raise InputError("no text to tell the perplexity of.")
        forward, backward = (self.losses / self.n_predicted).tolist()
        unknown = self.n_unknown / max(self.n_words, 1)
        return Perplexity(_exp(forward), _exp(backward), _exp((forward + backward) / 2), self.n_words, unknown)


def score_texts(model: LanguageModel, texts: Iterable[Text]) -> Iterator[TextScore]:
    """Surprisals of texts, as they are read: any number of them in bounded memory.

    Args:
        model: the language model.
        texts: strings, which the model's tokenizer cuts, or lists of words.

    Yields:
        a score per text, in order. A text's score does not depend on the others.

    Raises:
        TextError: a text that is neither a string nor a list of words.

    Example (`model` is any loaded model):
        ``[score.perplexity.forward for score in score_texts(model, open("corpus.txt"))]``
    """
    sentences = (model.words_of(text, place) for place, text in enumerate(checked_texts(texts)))
    for block in _blocks(sentences):
        yield from _scored(model, block)


def _blocks(sentences: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for words in sentences:
        block.append(words)
        if len(block) == _BLOCK_TEXTS or sum(map(len, block)) >= _BLOCK_WORDS:
            yield block
            block = []
    if block:
        yield block


def _scored(model: LanguageModel, sentences: list[list[str]]) -> Iterator[TextScore]:
    vocabulary = model.vocabulary
    contexts = list(model.contexts(sentences))
    ids = [np.array([vocabulary.id_of(word) for word in words], dtype=np.int64) for words in sentences]
    forward = model.log_likelihoods(
        np.concatenate([context.forward for context in contexts]),
        np.concatenate([np.append(of, vocabulary.eos_id) for of in ids]),
    )
    backward = model.log_likelihoods(
        np.concatenate([context.backward for context in contexts]),
        np.concatenate([np.append(vocabulary.bos_id, of) for of in ids]),
    )
    start = 0
    for words in sentences:
        last = start + len(words)
        known = np.array([word in vocabulary for word in words], dtype=np.bool_)
        yield TextScore(
            tuple(words),
            known,
            -forward[start:last],
            -backward[start + 1 : last + 1],
            end=-float(forward[last]),
            begin=-float(backward[start]),
        )
        start = last + 1


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
