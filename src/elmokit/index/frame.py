"""Where vectors are compared: moved so that the corpus's mean vector is the origin, then scaled to length 1.

The vectors of a biLM all point roughly the same way, so cosines of unrelated words are far from 0 and differences are
squeezed into a small range. Subtracting the mean of the first words indexed mends that (`benchmarks/quality_senses.py`
has the figures); removing principal components or dividing by standard deviations brought nothing beyond it, and
centring is the one of them that can be undone: the length that a vector had is stored beside it, so indexes of two
corpora can be compared in one frame.
Source: Mu & Viswanath 2018 (arXiv:1702.01417) for words, Ethayarajh 2019 (arXiv:1909.00512) for ELMo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Frame:
    """An origin for vectors.

    Args:
        centre: the vector that becomes zero. Shape (d,).

    Example:
        >>> frame = Frame(np.array([1.0, 0.0], np.float32))
        >>> units, lengths = frame.units(np.array([[1.0, 2.0], [1.0, 0.0]], np.float32))
        >>> units.tolist(), lengths.tolist()
        ([[0.0, 1.0], [0.0, 0.0]], [2.0, 0.0])
        >>> frame.raw(units, lengths).tolist()
        [[1.0, 2.0], [1.0, 0.0]]
    """

    centre: Vectors

    @classmethod
    def fitted(cls, vectors: Vectors) -> Frame:
        """The frame whose origin is the mean of these vectors.

        Args:
            vectors: Shape (n, d).

        Returns:
            the frame.
        """
        return cls(vectors.mean(axis=0, dtype=np.float64).astype(np.float32))

    def units(self, vectors: Vectors) -> tuple[Vectors, NDArray[np.float32]]:
        """Vectors of the model → vectors of length 1 in this frame, and the lengths they had.

        Args:
            vectors: Shape (n, d).

        Returns:
            unit vectors (n, d), zeros for a vector at the origin, and lengths (n,).
        """
        moved = vectors - self.centre
        lengths = np.linalg.norm(moved, axis=1)
        units = moved / np.where(lengths > 0, lengths, 1)[:, None]
        return units.astype(np.float32), lengths.astype(np.float32)

    def raw(self, units: Vectors, lengths: NDArray[np.float32]) -> Vectors:
        """What `units` was made from.

        Args:
            units: Shape (n, d).
            lengths: Shape (n,).

        Returns:
            vectors of the model. Shape (n, d).
        """
        return units * lengths[:, None] + self.centre


def unit(vector: Vectors) -> Vectors:
    """A vector scaled to length 1; zeros stay zeros.

    Args:
        vector: Shape (d,).

    Returns:
        the scaled vector. Shape (d,).

    Example:
        >>> unit(np.array([3.0, 4.0], np.float32)).tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 0 else vector).astype(np.float32)
