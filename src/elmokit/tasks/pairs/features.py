"""Features of pairs, and checks of pairs and similarity scores where they enter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError, TextError
from elmokit.tasks.checks import text_list

Part = Literal["difference", "product", "both"]
Pair = Sequence[str]
Vectors = NDArray[np.float32]


def pair_features(first: Vectors, second: Vectors, parts: Sequence[Part] = ("difference", "product")) -> Vectors:
    """Features of how texts relate: "difference" |u − v|, "product" u · v, and "both" u and v, concatenated.

    Vectors have the shape (n, d); the result has d columns per part, 2d for "both".

    Raises:
        ConfigError: no part, or an unknown one.

    Example:
        >>> pair_features(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]])).tolist()
        [[2.0, 0.0, 3.0, 4.0]]
    """
    known = get_args(Part)
    if not isinstance(parts, list | tuple) or not parts or any(part not in known for part in parts):
        raise ConfigError(f"parts is {parts!r}; expected one or more of {', '.join(map(repr, known))}.")
    made = {"difference": [np.abs(first - second)], "product": [first * second], "both": [first, second]}
    return np.concatenate([array for part in parts for array in made[part]], axis=1)


def check_pairs(pairs: Iterable[Any]) -> tuple[list[str], list[str]]:
    """The first and the second texts of pairs: tuples, lists, rows of an array or of a table with two columns.

    Raises:
        InputError: something that is not a pair, or a missing text, with its row.
        TextError: a text that is not a string.

    Example:
        >>> check_pairs([("a", "b"), ["c", "d"]])
        (['a', 'c'], ['b', 'd'])
    """
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TextError(f"pairs is a {type(pairs).__name__}; expected a list of pairs of texts.")
    if hasattr(pairs, "columns"):  # iterating over a data frame gives its column names
        pairs = np.asarray(pairs).tolist()
    first, second = [], []
    for row, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple | np.ndarray) or len(pair) != 2:
            raise InputError(f"pairs[{row}] is {pair!r:.80}; expected two texts.")
        first.append(_checked(row, pair[0]))
        second.append(_checked(row, pair[1]))
    return first, second


def _checked(row: int, text: Any) -> str:
    if isinstance(text, str):
        return str(text)
    try:
        return text_list([text])[0]
    except (InputError, TextError) as error:
        raise type(error)(f"pairs[{row}]: {str(error).removeprefix('texts[0] ')}") from None


def check_scores(scores: Iterable[Any], n_pairs: int) -> list[float]:
    """Similarity scores (numbers, or strings that are numbers) as floats, one for each pair.

    Raises:
        InputError: a different number of them, or one that is not a finite number, with its row.

    Example:
        >>> check_scores(["4.5", 3], 2)
        [4.5, 3.0]
    """
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
