"""Features of pairs, checks of pairs and scores where they enter, and how well scores agree, as STS is evaluated."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError, InputError, MissingExtra, TextError
from elmokit.tasks.checks import text_list

Part = Literal["difference", "product", "both"]
Pair = Sequence[str]
Vectors = NDArray[np.float32]


def pair_features(first: Vectors, second: Vectors, parts: Sequence[Part] = ("difference", "product")) -> Vectors:
    """Features of how texts relate: "difference" |u − v|, "product" u · v, and "both" u and v, concatenated.

    Vectors have the shape (n, d); the result has d columns per part, 2d for "both". ConfigError for an unknown part.
    """
    known = get_args(Part)
    if not isinstance(parts, list | tuple) or not parts or any(part not in known for part in parts):
        raise ConfigError(f"parts is {parts!r}; expected one or more of {', '.join(map(repr, known))}.")
    made = {"difference": [np.abs(first - second)], "product": [first * second], "both": [first, second]}
    return np.concatenate([array for part in parts for array in made[part]], axis=1)


def check_pairs(pairs: Iterable[Any]) -> tuple[list[str], list[str]]:
    """The first and the second texts of pairs: tuples, lists, rows of an array or of a table with two columns.

    InputError for something that is not a pair, or a missing text; TextError for a text that is not a string.
    """
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TextError(f"pairs is a {type(pairs).__name__}; expected a list of pairs of texts.")
    if hasattr(pairs, "columns"):  # iterating over a data frame gives its column names
        pairs = np.asarray(pairs).tolist()
    first, second = [], []
    for row, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple | np.ndarray) or len(pair) != 2:
            raise InputError(f"pairs[{row}] is {pair!r:.80}; expected two texts.")
        try:
            one, other = text_list(pair)
        except (InputError, TextError) as error:
            place, _, problem = str(error).partition(" ")
            raise type(error)(f"pairs[{row}]{place.removeprefix('texts')} {problem}") from None
        first.append(one)
        second.append(other)
    return first, second


def check_scores(scores: Iterable[Any], n_pairs: int) -> list[float]:
    """Similarity scores, also those in strings, as finite floats, one for each pair; InputError for others."""
    given = list(scores)
    if len(given) != n_pairs:
        raise InputError(f"{n_pairs} pairs but {len(given)} scores; expected one for each.")
    numbers = []
    for row, value in enumerate(given):
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            raise InputError(f"scores[{row}] is {value!r}; expected a number.") from None
        if not np.isfinite(numbers[-1]):
            raise InputError(f"scores[{row}] is {value!r}; drop such rows.")
    return numbers


@dataclass(frozen=True, kw_only=True)
class SimilarityScores:
    """How well predicted similarity scores agree with the truth; a correlation is NaN where one side is constant."""

    pearson: float
    spearman: float
    mean_squared_error: float
    n_pairs: int

    def __str__(self) -> str:
        return (
            f"Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f}, mean squared error"
            f" {self.mean_squared_error:.3f} ({self.n_pairs:,} pairs)"
        )


def compare_scores(truth: ArrayLike, predicted: ArrayLike) -> SimilarityScores:
    """Correlations and mean squared error of predicted scores, both of shape (n,).

    InputError for fewer than two scores, or different lengths; MissingExtra without SciPy.
    """
    try:
        from scipy.stats import pearsonr, spearmanr
    except ImportError as error:
        raise MissingExtra("scipy", "tasks", "correlations") from error
    a, b = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"{len(a)} true and {len(b)} predicted scores; expected as many, and at least two.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, whose correlation is NaN
        pearson, spearman = float(pearsonr(a, b).statistic), float(spearmanr(a, b).statistic)
    squared = float(np.mean((a - b) ** 2))
    return SimilarityScores(pearson=pearson, spearman=spearman, mean_squared_error=squared, n_pairs=len(a))
