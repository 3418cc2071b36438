"""Perplexity as bilm-tf defines it, for training, for tasks and for the command line.

exp of the mean negative log likelihood per predicted word with the full softmax. `</S>` (backward: `<S>`) is predicted
once per text and counts. Words outside the vocabulary count as `<UNK>`, so figures compare only between models of one
vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elmokit.errors import InputError


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts texts; lower is better.

    Args:
        forward: perplexity of each word given the words before it.
        backward: perplexity of each word given the words after it.
        mean: exp of the mean of both losses.
        n_words: words read, ends of texts not counted.
        unknown: share of the words that are outside the vocabulary.
    """

    forward: float
    backward: float
    mean: float
    n_words: int
    unknown: float


class PerplexityMeter:
    """Sums losses over batches or texts.

    Example:
        >>> meter = PerplexityMeter()
        >>> meter.add(np.log([8.0, 2.0]), 1, n_words=1)
        >>> round(meter.result.mean, 6)
        4.0
    """

    def __init__(self) -> None:
        self.losses, self.n_predicted = np.zeros(2), np.zeros(2)
        self.n_words = self.n_unknown = 0

    def add(self, losses: ArrayLike, n_predicted: ArrayLike, *, n_words: int = 0, n_unknown: int = 0) -> None:
        """Count a batch or a text.

        Args:
            losses: negative log likelihoods, forward and backward, summed. Shape (2,).
            n_predicted: predictions they are summed over. A number, or shape (2,).
            n_words: words read.
            n_unknown: words outside the vocabulary.
        """
        self.losses += np.asarray(losses, np.float64)
        self.n_predicted += np.asarray(n_predicted, np.float64)
        self.n_words += n_words
        self.n_unknown += n_unknown

    @property
    def result(self) -> Perplexity:
        """The perplexity of everything that was added.

        Raises:
            InputError: nothing was added.
        """
        if not self.n_predicted.all():
            raise InputError("there is no text to compute a perplexity of.")
        forward, backward = (self.losses / self.n_predicted).tolist()
        unknown = self.n_unknown / max(self.n_words, 1)
        return Perplexity(_exp(forward), _exp(backward), _exp((forward + backward) / 2), self.n_words, unknown)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf  # exp(710) overflows a double
