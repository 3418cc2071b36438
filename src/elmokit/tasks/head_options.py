"""How a head is trained, as plain values: known without PyTorch, which only training itself needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Over = Literal["attention", "max"]
"""How a BiLSTM's words become one vector."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """How a head that PyTorch learns is trained.

    Args:
        n_epochs: at most; more where the rows are so few that this makes fewer than `least_steps` steps.
        patience: part of the epochs without a better held-aside loss after which training ends; 1 for never.
        least_steps: see `n_epochs`.
        batch_size: rows that are learned from together.
        learning_rate: of AdamW at its highest, for the topmost part; it falls to a tenth in a straight line.
        weight_decay: of AdamW.
        warm_up: part of the steps during which the rate rises from 0 (ULMFiT's slanted triangle has 0.1).
        slow_down: how much more slowly each part learns than the one above it (ULMFiT: 2.6).
        seed: of weights, order, dropout and the rows set aside.

    Example:
        >>> HeadOptions(n_epochs=3).batch_size
        32
    """

    n_epochs: int = 30
    patience: float = 0.15
    least_steps: int = 600
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.0
    slow_down: float = 1.0
    seed: int = 0


OWN_OPTIONS = {
    "mlp": HeadOptions(),
    "bilstm": HeadOptions(n_epochs=15, learning_rate=3e-3),
    "finetune": HeadOptions(n_epochs=6, patience=1.0, least_steps=240, warm_up=0.1, slow_down=2.6),
}
"""How each head is trained, unless it is said otherwise."""
