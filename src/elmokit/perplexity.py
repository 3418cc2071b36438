"""Perplexity as bilm-tf defines it: exp of the mean negative log likelihood per predicted word with the full softmax.

`</S>` (backward: `<S>`) is predicted once per text and counts. Words outside the vocabulary count as `<UNK>`, so
figures compare only between models of one vocabulary.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import InputError

PER_NAT = {"nats": 1.0, "bits": 1 / math.log(2)}
"""Factors from nats to each unit of surprisal."""


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts texts; lower is better. `mean` is exp of the mean of both losses.

    `n_words` does not count the ends of texts; `unknown` is the share of the words outside the vocabulary.
    """

    forward: float
    backward: float
    mean: float
    n_words: int
    unknown: float


class PerplexityMeter:
    """Sums losses over batches or texts."""

    def __init__(self) -> None:
        self.losses, self.n_predicted = np.zeros(2), np.zeros(2)
        self.n_words = self.n_unknown = 0

    def add(self, losses: ArrayLike, n_predicted: ArrayLike, *, n_words: int = 0, n_unknown: int = 0) -> None:
        """Count summed negative log likelihoods, forward and backward, shape (2,), and the predictions behind them."""
        self.losses += np.asarray(losses, np.float64)
        self.n_predicted += np.asarray(n_predicted, np.float64)
        self.n_words += n_words
        self.n_unknown += n_unknown

    @property
    def result(self) -> Perplexity:
        """The perplexity of everything that was added; InputError if nothing was."""
        if not self.n_predicted.all():
            raise InputError("there is no text to compute a perplexity of.")
        forward, backward = (self.losses / self.n_predicted).tolist()
        unknown = self.n_unknown / max(self.n_words, 1)
        return Perplexity(_exp(forward), _exp(backward), _exp((forward + backward) / 2), self.n_words, unknown)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf  # exp(710) overflows a double


@dataclass(frozen=True, eq=False)
class Surprisal:
    """Surprisals of the T words of one text, in nats, given the words before and after each. Shapes (T,).

    `known` says which words are in the vocabulary (the others count as `<UNK>`); `end` is the forward surprisal of the
    end of the text, `begin` the backward surprisal of its beginning.
    """

    words: tuple[str, ...]
    known: NDArray[np.bool_]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]
    end: float
    begin: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean surprisal of both directions. Shape (T,)."""
        return (self.forward + self.backward) / 2

    @property
    def n_unknown(self) -> int:
        """Number of words outside the vocabulary."""
        return int((~self.known).sum())

    @property
    def perplexity(self) -> Perplexity:
        """Perplexity of this text alone; a text without words has only its end."""
        meter = PerplexityMeter()
        self.add_to(meter)
        return meter.result

    def add_to(self, meter: PerplexityMeter) -> None:
        """Count this text in a meter, for the perplexity of many texts together."""
        losses = self.forward.sum() + self.end, self.backward.sum() + self.begin
        meter.add(losses, len(self.words) + 1, n_words=len(self.words), n_unknown=self.n_unknown)
