"""What a language model predicts: surprisals of a text's words, candidates for a gap, substitutes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elmokit.perplexity import Perplexity, PerplexityMeter

PER_NAT = {"nats": 1.0, "bits": 1 / math.log(2)}
"""Factors from nats to each unit of surprisal."""


@dataclass(frozen=True, eq=False)
class Surprisal:
    """Surprisals of one text, in nats.

    Args:
        words: the T words of the text.
        known: whether each word is in the vocabulary; the others count as `<UNK>`. Shape (T,).
        forward: surprisal of each word given the words before it. Shape (T,).
        backward: surprisal of each word given the words after it. Shape (T,).
        end: forward surprisal of the end of the text.
        begin: backward surprisal of its beginning.

    Example:
        >>> sure = Surprisal(("a",), np.array([True]), np.zeros(1), np.log([4.0]), end=0.0, begin=0.0)
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
        """Mean surprisal of both directions. Shape (T,)."""
        return (self.forward + self.backward) / 2

    @property
    def n_unknown(self) -> int:
        """Words outside the vocabulary."""
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


@dataclass(frozen=True)
class Candidate:
    """A word for a gap.

    Args:
        word: the word.
        probability: its probability among all words of the vocabulary, special ones left out.
        forward: log probability given the words before the gap, in nats.
        backward: log probability given the words after the gap, in nats.
    """

    word: str
    probability: float
    forward: float
    backward: float


@dataclass(frozen=True)
class Substitute:
    """A word that could replace another.

    Args:
        word: the word.
        score: probability · cosine ^ sharpness, by which substitutes are ranked.
        probability: its probability in that place.
        cosine: similarity of its vector there to that of the word it replaces; negative ones count as 0 in the score.
    """

    word: str
    score: float
    probability: float
    cosine: float
