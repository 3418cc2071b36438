"""The LSTM states of a biLM as a value: passed in, handed back, never kept.

The original implementation carried its state from batch to batch in hidden variables, so a text's vectors depended
on what had been encoded before it. Here nothing is remembered between calls. Who wants the carried state (to
reproduce published vectors, or to start every text from one warmed-up state) holds it as a `State`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError


@dataclass(frozen=True, eq=False)
class State:
    """Where the LSTMs of both directions stand; index 0 of the first axis is forward, 1 backward.

    Args:
        hidden: what each layer put out last, before any skip connection. Shape (2, LSTM layers, B, P).
        cell: each layer's cell. Shape (2, LSTM layers, B, cell width).

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=8, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=16))
        >>> State.zeros(config, 3).cell.shape
        (2, 2, 3, 16)
    """

    hidden: NDArray[Any]
    cell: NDArray[Any]

    @classmethod
    def zeros(cls, config: ElmoConfig, n_rows: int, *, dtype: DTypeLike = np.float32) -> State:
        """The state before anything was read.

        Args:
            config: the model.
            n_rows: B, sentences in a batch.
            dtype: of the arrays.

        Returns:
            zeros of the model's shapes.
        """
        n, P, C = config.bilstm.n_layers, config.projection_width, config.bilstm.cell_width
        return cls(np.zeros((2, n, n_rows, P), dtype), np.zeros((2, n, n_rows, C), dtype))

    @property
    def n_rows(self) -> int:
        """Rows of the batch (B)."""
        return int(self.hidden.shape[2])

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> State:
        """The states of some rows, copied.

        Args:
            rows: which rows, in which order; a row may stand twice.

        Returns:
            a state of as many rows.
        """
        return State(self.hidden[:, :, rows], self.cell[:, :, rows])

    def put(self, rows: Sequence[int] | NDArray[np.integer[Any]], other: State) -> State:
        """A copy of this state in which some rows are another's; it grows (by zeros) where it must.

        Args:
            rows: the rows to be replaced, from the start or anywhere.
            other: a state with one row for each of them.

        Returns:
            the new state.
        """
        n_rows = max(self.n_rows, int(max(rows, default=-1)) + 1)
        arrays = []
        for mine, theirs in ((self.hidden, other.hidden), (self.cell, other.cell)):
            grown = np.zeros((*mine.shape[:2], n_rows, mine.shape[3]), theirs.dtype)
            grown[:, :, : self.n_rows] = mine
            grown[:, :, rows] = theirs
            arrays.append(grown)
        return State(*arrays)

    def check(self, config: ElmoConfig) -> State:
        """The state itself, if it is one of this model.

        Args:
            config: the model.

        Returns:
            the state.

        Raises:
            ConfigError: it has the shapes of another model.
        """
        expected = State.zeros(config, self.n_rows)
        if self.hidden.shape != expected.hidden.shape or self.cell.shape != expected.cell.shape:
            raise ConfigError(
                f"the state has shapes {self.hidden.shape} and {self.cell.shape}; this model needs"
                f" {expected.hidden.shape} and {expected.cell.shape}: was it made by another model?"
            )
        return self
