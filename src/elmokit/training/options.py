"""How a biLM is trained, and what a run says of itself: plain values, no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elmokit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a biLM is trained; the sizes of the model are its `ElmoConfig`.

    Args:
        n_rows: B, texts read side by side.
        unroll: words of truncated backpropagation.
        segment: words that a row reads before its state is set to zero.
        n_words: words to train on in all, counted per direction.
        vocabulary_size: words of the softmax, the special ones included.
        n_negatives: words proposed per step by the sampled softmax.
        optimizer: "adamw", or "adagrad" as bilm-tf (initial accumulator 1, loss times `unroll`).
        learning_rate: after warm-up.
        warmup: steps until the learning rate is reached.
        decay: last part of the run in which the learning rate falls linearly to zero.
        weight_decay: on matrices.
        clip_norm: bound on the gradient's norm.
        frozen_words: words at the start in which only the softmax learns (a fresh one on a trained biLM).
        dropout: see `LanguageModel`.
        precision: "float32", "bfloat16", or "auto" (bfloat16 where the processor computes in it).
        accumulate: windows whose gradients are added up for one step.
        seed: of weights, order, negatives and dropout.
        save_minutes: time between snapshots.
        keep: newest snapshots kept.
        evaluate_words: words between two held-out evaluations.
        heldout_windows: windows of a held-out evaluation at most.
    """

    n_rows: int = 128
    unroll: int = 32
    segment: int = 128
    n_words: int = 10_000_000
    vocabulary_size: int = 30_000
    n_negatives: int = 2048
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    warmup: int = 200
    decay: float = 0.2
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    frozen_words: int = 0
    dropout: float = 0.1
    precision: str = "auto"
    accumulate: int = 1
    seed: int = 0
    save_minutes: float = 10.0
    keep: int = 2
    evaluate_words: int = 1_000_000
    heldout_windows: int = 40

    def __post_init__(self) -> None:
        if self.segment % self.unroll or self.segment < 1:
            raise ConfigError(f"segment is {self.segment}; expected a multiple of unroll ({self.unroll}).")
        if self.optimizer not in ("adamw", "adagrad"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; expected 'adamw' or 'adagrad'.")
        for name in (
            "n_rows",
            "n_words",
            "n_negatives",
            "accumulate",
            "keep",
            "evaluate_words",
            "vocabulary_size",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not self.learning_rate > 0 or not 0 <= self.dropout < 1 or not 0 <= self.decay <= 1:
            raise ConfigError(f"expected learning_rate > 0, 0 ≤ dropout < 1 and 0 ≤ decay ≤ 1; got {self}.")


@dataclass(frozen=True)
class Report:
    """What a run says of itself, every few seconds and at each evaluation.

    Args:
        step: steps taken.
        n_words: words read.
        loss: mean sampled loss since the last report, in nats.
        learning_rate: now.
        words_per_second: since the last report.
        gradient_norm: before clipping, of the last step.
        heldout: held-out perplexity by direction ("forward", "backward", "mean"), where just measured.
        minutes: since the start of the run, resumed parts included.
    """

    step: int
    n_words: int
    loss: float
    learning_rate: float
    words_per_second: float
    minutes: float
    gradient_norm: float = 0.0
    heldout: Mapping[str, float] | None = None
