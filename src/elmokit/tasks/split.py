"""Which rows are learned from and which are held out, the same for everybody who names the same seed.

The held-out part equals `sklearn.model_selection.train_test_split(test_size=…, random_state=seed)`, so
figures can be compared with tutorials that used it; folds equal `StratifiedKFold(n, shuffle=True,
random_state=seed)`. Both are a few lines over NumPy's legacy `RandomState`, whose stream is frozen for
ever.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError


def held_out_split(
    n_rows: int, *, test_size: float = 0.2, seed: int = 42
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Rows to learn from and rows to hold out, at random, without regard to their classes.

    Args:
        n_rows: rows in all.
        test_size: the share held out, above 0 and below 1.
        seed: of the shuffling.

    Returns:
        row numbers of the training part and of the held-out part, in shuffled order.

    Raises:
        ConfigError: a share that leaves one of the parts empty.

    Example:
        >>> train, test = held_out_split(10)
        >>> len(train), test.tolist()
        (8, [8, 1])
    """
    n_test = math.ceil(n_rows * test_size)
    if not 0 < test_size < 1 or n_test >= n_rows:
        raise ConfigError(f"test_size is {test_size}: it must leave rows on both sides, of the {n_rows} there are.")
    order = np.random.RandomState(seed).permutation(n_rows)
    return order[n_test:], order[:n_test]


def stratified_folds(labels: ArrayLike, n_folds: int, *, seed: int | None = 0) -> NDArray[np.integer]:
    """The fold that each row is held out in, classes spread evenly.

    Args:
        labels: a class per row. Shape (n,).
        n_folds: folds, at least 2.
        seed: of the shuffling; None for rows in their order.

    Returns:
        fold numbers from 0. Shape (n,).

    Raises:
        ConfigError: fewer than two folds, or fewer rows than folds in every class.

    Example:
        >>> stratified_folds(["a", "a", "b", "b"], 2, seed=None).tolist()
        [0, 1, 0, 1]
    """
    _, first, numbers = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    order_of_appearance: NDArray[Any] = np.argsort(np.argsort(first))
    numbers = order_of_appearance[numbers]
    counts = np.bincount(numbers)
    if n_folds < 2 or (counts < n_folds).all():
        raise ConfigError(f"{n_folds} folds: expected at least 2, and no more than the rows of the largest class.")
    in_order = np.sort(numbers)
    random = None if seed is None else np.random.RandomState(seed)
    folds = np.empty(len(numbers), dtype=np.int64)
    n_in_fold = np.array([np.bincount(in_order[i::n_folds], minlength=len(counts)) for i in range(n_folds)])
    for number in range(len(counts)):
        of_class = np.arange(n_folds).repeat(n_in_fold[:, number])
        if random is not None:
            random.shuffle(of_class)
        folds[numbers == number] = of_class
    return folds
