"""Texts cut into words, as rows that can be taken like those of a matrix: what a head learns from that reads itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class WordRows:
    """Texts as words.

    Args:
        texts: the words of each of n texts.

    Example:
        >>> WordRows([("a", "cat"), ("sat",)])[np.array([1])].texts
        [('sat',)]
    """

    texts: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: NDArray[np.integer]) -> WordRows:
        return WordRows([self.texts[int(row)] for row in rows])
