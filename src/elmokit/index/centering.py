"""Centering of word vectors: the mean of a corpus is subtracted, then vectors are scaled to length 1.

The vectors of a biLM point roughly the same way, so cosines of unrelated words are far from 0. Subtracting the mean of
the first words indexed mends that (figures: `benchmarks/quality_senses.py`). The length that a vector had is stored, so
that centering can be undone and indexes of two corpora can be compared around one mean.
Source: Mu & Viswanath 2018 (arXiv:1702.01417) for words, Ethayarajh 2019 (arXiv:1909.00512) for ELMo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Centering:
    """A mean (d,) to subtract from vectors.

    Example:
        >>> centering = Centering(np.array([1.0, 0.0], np.float32))
        >>> units, lengths = centering.units(np.array([[1.0, 2.0], [1.0, 0.0]], np.float32))
        >>> centering.raw(units, lengths).tolist()
        [[1.0, 2.0], [1.0, 0.0]]
    """

    mean: Vectors

    def units(self, vectors: Vectors) -> tuple[Vectors, NDArray[np.float32]]:
        """Center vectors (n, d) and scale them to length 1; returns also the lengths they had, (n,)."""
        centred = vectors - self.mean
        lengths = np.linalg.norm(centred, axis=1)
        units = centred / np.where(lengths > 0, lengths, 1)[:, None]
        return units.astype(np.float32), lengths.astype(np.float32)

    def raw(self, units: Vectors, lengths: NDArray[np.float32]) -> Vectors:
        """Undo `units`. (n, d) and (n,) → (n, d)."""
        return units * lengths[:, None] + self.mean


def unit(vector: Vectors) -> Vectors:
    """A vector scaled to length 1; zeros stay zeros. (d,) → (d,)."""
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 0 else vector).astype(np.float32)
