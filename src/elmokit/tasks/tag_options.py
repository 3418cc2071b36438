"""How a tagger is trained, and what its training says of itself: plain values, no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from elmokit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TagOptions:
    """How a tagger is trained. The defaults do for a few thousand sentences.

    Args:
        hidden_width: of the LSTM in each direction.
        n_lstm_layers: of the BiLSTM.
        dropout: on the way into the BiLSTM and out of it.
        learning_rate: Adam's at first; it falls in a straight line to a tenth of it in the last epoch.
        batch_size: sentences that are learned from together.
        n_epochs: times that each sentence is seen, at most.
        patience: epochs without a better figure on the dev part until training stops.
        clip_norm: bound on the gradient's norm.
        seed: of weights, order and dropout, and of the dev part if none is given.

    Raises:
        ConfigError: a number that makes no sense.

    Example:
        >>> TagOptions(n_epochs=3).hidden_width
        200
    """

    hidden_width: int = 200
    n_lstm_layers: int = 1
    dropout: float = 0.5
    learning_rate: float = 3e-3
    batch_size: int = 32
    n_epochs: int = 20
    patience: int = 4
    clip_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden_width", "n_lstm_layers", "batch_size", "n_epochs", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not self.learning_rate > 0 or not self.clip_norm > 0 or not 0 <= self.dropout < 1:
            raise ConfigError(f"expected learning_rate > 0, clip_norm > 0 and 0 ≤ dropout < 1; got {self}.")


@dataclass(frozen=True, kw_only=True)
class TagReport:
    """What training says after each epoch.

    Args:
        epoch: the one that has just ended, from 1.
        loss: mean over its sentences, in nats.
        figure: on the dev part now: F1 of spans, or accuracy.
        best: figure of the best epoch so far, whose weights are kept.
        best_epoch: that epoch.
        seconds: of the epoch.
        stopped: whether training has ended with it.
    """

    epoch: int
    loss: float
    figure: float
    best: float
    best_epoch: int
    seconds: float
    stopped: bool = False
