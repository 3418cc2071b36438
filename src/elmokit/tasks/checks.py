"""Check texts and labels once, where they enter a task, and name the row that is wrong."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from elmokit.errors import ConfigError, InputError, TextError
from elmokit.text.inputs import checked_texts

Label = str | int | float | bool
LabelSet = tuple[str, ...]
Pair = Sequence[str]


def text_list(texts: Iterable[Any], name: str = "texts") -> list[str]:
    """Return the texts of a list, an array, a column or a table with one column, provided that all are strings.

    InputError for a missing text (None, NaN, pandas.NA) or a table with several columns; TextError for a single string
    instead of several texts, or something that is not a string. Errors call the texts by `name`.
    """
    checked = list(checked_texts(_one_column(texts, "texts; select it, as in frame['text']")))
    for row, text in enumerate(checked):
        if not isinstance(text, str) and is_missing(text):
            raise InputError(f"{name}[{row}] is missing ({text}); drop such rows, or give an empty string.")
        if not isinstance(text, str):
            raise TextError(f"{name}[{row}] is a {type(text).__name__}; expected a string.")
    return list(map(str, checked))


def _one_column(values: Any, what: str) -> Any:
    """Values as they are, or the only column of a table; an InputError for several columns."""
    shape: tuple[int, ...] = getattr(values, "shape", ())
    if len(shape) == 2 and shape[1] == 1:
        return np.asarray(values)[:, 0]
    if len(shape) > 1:
        raise InputError(f"the shape is {shape}; expected one column of {what}.")
    return values


def check_labels(labels: Iterable[Any], *, n_texts: int) -> list[Label]:
    """Return the labels (strings, numbers or booleans) as plain Python values, provided that there is one per text.

    InputError for another number, a missing label, one-hot rows, dates and the like, or strings mixed with numbers.
    """
    column = _one_column(
        labels, "labels. Turn one-hot rows into classes with argmax(axis=1); or use MultiLabelClassifier"
    )
    plain = [label.item() if isinstance(label, np.generic) else label for label in column]
    if len(plain) != n_texts:
        raise InputError(f"{n_texts} texts but {len(plain)} labels; expected one for each.")
    for row, label in enumerate(plain):
        if is_missing(label) or (isinstance(label, str) and not label):
            raise InputError(f"labels[{row}] is missing ({label!r}); drop such rows.")
        if not isinstance(label, str | int | float):
            raise InputError(f"labels[{row}] is {label!r:.40}; expected strings or numbers: convert labels with str().")
    if len({isinstance(label, str) for label in plain}) > 1:
        raise InputError("some labels are strings and others numbers; make them all strings.")
    return plain


def check_known(labels: Iterable[Any], classes: Sequence[Any]) -> None:
    """InputError for labels that are not among the learned classes."""
    if unknown := sorted(map(str, {*labels} - {*classes})):
        raise InputError(f"the labels {unknown} were not learned; known are {list(classes)}.")


def check_label_sets(labels: Iterable[Iterable[str]], *, n_texts: int) -> list[LabelSet]:
    """Return the labels of each text as a sorted tuple without duplicates; InputError for no lists of strings."""
    sets: list[LabelSet] = []
    for row, of_text in enumerate(labels):
        if isinstance(of_text, str) or not isinstance(of_text, Iterable):
            raise InputError(f"labels[{row}] is {of_text!r}; expected a list of labels, as in ['joy', 'phone'].")
        own = list(of_text)
        if any(not isinstance(label, str) or not label for label in own):
            raise InputError(f"labels[{row}] is {own!r}; expected strings that are not empty.")
        sets.append(tuple(sorted({str(label) for label in own})))
    if len(sets) != n_texts:
        raise InputError(f"{n_texts} texts but {len(sets)} lists of labels; expected one for each.")
    if not any(sets):
        raise InputError("no text has any label; there is nothing to learn.")
    return sets


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
        one, other = text_list(pair, f"pairs[{row}]")
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


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA (whose comparisons are neither true nor false)."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def check_strength(C: Any) -> None:
    """Refuse what is no strength of a penalty: a positive number or "cv"."""
    number = isinstance(C, int | float | np.number) and not isinstance(C, bool)
    if C != "cv" and not (number and C > 0):
        raise ConfigError(f"C is {C!r}; expected a positive number or 'cv'.")
