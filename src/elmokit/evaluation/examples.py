"""What every set becomes, whatever its files look like: three kinds of examples, one value each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Parts = NDArray[np.str_]
"""For each example "train", "dev" or "test". Shape (n,)."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts with a class each.

    Args:
        texts: n texts.
        targets: their classes, as strings. Shape (n,).
        parts: the set's own split; None where it has none and folds are made.
    """

    texts: Sequence[str]
    targets: NDArray[Any]
    parts: Parts | None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of texts with a class or a degree of similarity.

    Args:
        first: n texts.
        second: what each is compared with.
        targets: classes as strings, or numbers. Shape (n,).
        parts: the set's own split.
    """

    first: Sequence[str]
    second: Sequence[str]
    targets: NDArray[Any]
    parts: Parts


@dataclass(frozen=True, eq=False)
class WordPairs:
    """Pairs of words, each in its sentence.

    Args:
        sentences: 2n sentences, cut into words: those of the first words, then those of the second.
        places: which word of its sentence is meant. Shape (2n,).
        targets: True for the same meaning, or a number for how similar. Shape (n,).
        parts: the set's own split; None where it has none.
    """

    sentences: Sequence[Sequence[str]]
    places: NDArray[np.integer]
    targets: NDArray[Any]
    parts: Parts | None
