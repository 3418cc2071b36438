"""Pairs of texts → a class (paraphrase, entailment) or a degree (similarity), learned on frozen ELMo features.

Each text becomes one vector; a pair becomes |u − v| and u · v side by side (SentEval, Conneau & Kiela 2018), on request
also u and v themselves, for relations that have a direction. Classes are learned by logistic regression, degrees by
ridge regression straight to the number: SentEval learns a distribution over the grades instead, which on the same
features comes out close and needs the grades' range. The penalty of either is chosen inside the rows given. A text
that stands in many pairs is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo as Encoder
from elmokit.encoding import Layers
from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.tasks.checks import Label, check_labels, text_list
from elmokit.tasks.degrees import RIDGE_STRENGTHS, Ridge, pearson, spearman
from elmokit.tasks.logistic import ClassWeight, LogisticRegression
from elmokit.tasks.metrics import Scores, score
from elmokit.tasks.saved_head import PROBE, check_model, load_head, save_head
from elmokit.tasks.split import held_out_split

Kind = Literal["classes", "degrees"]
Part = Literal["difference", "product", "both"]
Vectors = NDArray[np.float32]
OnProgress = Callable[[int, int], None]

SENTEVAL: tuple[Part, ...] = ("difference", "product")
"""The features that SentEval judges vectors by."""

_BLOCK = 256
_FILES = "pairs"


@dataclass(frozen=True, kw_only=True)
class DegreeScores:
    """How well degrees are told.

    Args:
        pearson: correlation with the truth; NaN where one of the two does not vary.
        spearman: correlation of the ranks.
        mean_squared_error: in squares of the truth's unit.
        n_pairs: judged.
    """

    pearson: float
    spearman: float
    mean_squared_error: float
    n_pairs: int


def pair_features(first: Vectors, second: Vectors, parts: Sequence[Part] = SENTEVAL) -> Vectors:
    """Features of how two texts relate.

    Args:
        first: u. Shape (n, d).
        second: v. Shape (n, d).
        parts: what stands side by side: "difference" |u − v|, "product" u · v, "both" u and v themselves.

    Returns:
        Shape (n, d per part, 2d for "both").

    Raises:
        ConfigError: no part, or one that is not known.

    Example:
        >>> pair_features(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]])).tolist()
        [[2.0, 0.0, 3.0, 4.0]]
    """
    known = get_args(Part)
    if isinstance(parts, str) or not parts or any(part not in known for part in parts):
        raise ConfigError(f"parts is {parts!r}; expected one or more of {', '.join(map(repr, known))}.")
    arrays: list[Vectors] = []
    for part in parts:
        if part == "difference":
            arrays.append(np.abs(first - second))
        elif part == "product":
            arrays.append(first * second)
        else:
            arrays += [first, second]
    return np.concatenate(arrays, axis=1)


class SentencePairs:
    """A classifier or a scale for pairs of texts.

    Args:
        elmo: the model that the features come from.
        kind: "classes" (paraphrase or not, entailment …) or "degrees" (numbers, such as similarity from 0 to 5).
        parts: of the features; see `pair_features`. Without "both", a pair and its reverse are the same.
        pooling: how a text's word vectors become one (see `Elmo.encode`).
        layers: which layers (see `Elmo.encode`).
        C: of the classes: inverse of the penalty's strength, or "cv" to choose it by cross-validation.
        class_weight: "balanced" gives rare classes more weight; None treats all rows alike.
        seed: of the folds, and of the rows on which the penalty of degrees is chosen.

    Attributes:
        classes_: the classes, sorted; known after `fit`, empty for degrees.

    Raises:
        ConfigError: a kind or part that is not known, a C that is no strength.

    Example (`elmo` is any loaded model):
        ``SentencePairs(elmo).fit(["a cat", "a cat"], ["one cat", "a war"], ["1", "0"]).predict(["a dog"], ["dogs"])``
    """

    def __init__(
        self,
        elmo: Encoder,
        *,
        kind: Kind = "classes",
        parts: Sequence[Part] = SENTEVAL,
        pooling: str = "mean",
        layers: Layers = "all",
        C: float | Literal["cv"] = "cv",
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        if kind not in get_args(Kind):
            raise ConfigError(f"kind is {kind!r}; expected 'classes' or 'degrees'.")
        pair_features(np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32), parts)
        self.elmo = elmo
        self.kind: Kind = kind
        self.parts = tuple(parts)
        self.pooling = pooling
        self.layers = layers
        self.C: float | Literal["cv"] = C
        self.class_weight = class_weight
        self.seed = seed
        self.classes_: tuple[Label, ...] = ()
        self._logistic = self._new_logistic()
        self._ridge: Ridge | None = None

    def _new_logistic(self) -> LogisticRegression:
        return LogisticRegression(C=self.C, class_weight=self.class_weight, standardize=True, seed=self.seed)

    def features(
        self, first: Iterable[str], second: Iterable[str], *, on_progress: OnProgress | None = None
    ) -> Vectors:
        """What the head sees.

        Args:
            first: n texts.
            second: n texts, what each is compared with.
            on_progress: called with (distinct texts done, distinct texts in all).

        Returns:
            a row per pair. Shape (n, e).

        Raises:
            InputError: a text that is missing (None, NaN), two lengths.
            TextError: a lone string instead of texts, a text of another type.
        """
        left, right = check_pairs(first, second)
        places: dict[str, int] = {}
        numbers = [places.setdefault(text, len(places)) for text in (*left, *right)]
        vectors = self._encoded(list(places), on_progress)
        u, v = vectors[numbers[: len(left)]], vectors[numbers[len(left) :]]
        return pair_features(u, v, self.parts)

    def _encoded(self, texts: list[str], on_progress: OnProgress | None) -> Vectors:
        blocks = []
        for start in range(0, max(len(texts), 1), _BLOCK):
            block = texts[start : start + _BLOCK]
            blocks.append(self.elmo.encode(block, pooling=self.pooling, layers=self.layers, show_progress=False))
            if on_progress is not None:
                on_progress(start + len(block), len(texts))
        return np.concatenate(blocks)

    def fit(
        self,
        first: Iterable[str],
        second: Iterable[str],
        targets: Iterable[Any],
        *,
        on_progress: OnProgress | None = None,
    ) -> SentencePairs:
        """Learn from pairs and what is known of them.

        Args:
            first: n texts.
            second: n texts, what each is compared with.
            targets: n classes (strings or numbers), or n numbers for degrees.
            on_progress: called with (distinct texts encoded, distinct texts in all).

        Returns:
            itself.

        Raises:
            InputError: a missing text or target, fewer than two classes or different degrees, lengths that differ.
        """
        left, right = check_pairs(first, second)
        checked = self._check_targets(targets, len(left))
        return self.fit_features(self.features(left, right, on_progress=on_progress), checked)

    def fit_features(self, features: Vectors, targets: Sequence[Any]) -> SentencePairs:
        """Learn from features that `features` gave, for whoever uses them more than once.

        Args:
            features: Shape (n, e).
            targets: a class or degree per row.

        Returns:
            itself.

        Raises:
            InputError: as `fit`.
        """
        checked = self._check_targets(targets, len(features))
        if self.kind == "degrees":
            self._ridge = _fitted_ridge(features, np.array(checked, dtype=np.float64), self.seed)
        else:
            self._logistic = self._new_logistic().fit(features, checked)
            self.classes_ = tuple(self._logistic.classes_.tolist())
        return self

    def _check_targets(self, targets: Iterable[Any], n_pairs: int) -> list[Any]:
        return check_labels(targets, n_texts=n_pairs) if self.kind == "classes" else check_degrees(targets, n_pairs)

    def predict_proba(
        self, first: Iterable[str], second: Iterable[str], *, on_progress: OnProgress | None = None
    ) -> NDArray[np.float64]:
        """Probabilities of the classes.

        Args:
            first: n texts.
            second: n texts.
            on_progress: as in `features`.

        Returns:
            a column per class, in the order of `classes_`. Shape (n, n_classes).

        Raises:
            ConfigError: it tells degrees, which have no classes.
            InputError: nothing learned yet, a missing text.
        """
        if self.kind == "degrees":
            raise ConfigError("this tells degrees, not classes: call predict.")
        self._check_fitted()
        return self._logistic.predict_proba(self.features(first, second, on_progress=on_progress))

    def predict(
        self, first: Iterable[str], second: Iterable[str], *, on_progress: OnProgress | None = None
    ) -> list[Any]:
        """The most probable class, or the degree, of each pair.

        Args:
            first: n texts.
            second: n texts.
            on_progress: as in `features`.

        Returns:
            n classes, or n floats (which may lie somewhat outside the range that was learned).

        Raises:
            InputError: nothing learned yet, a missing text.
        """
        self._check_fitted()
        return self._predicted(self.features(first, second, on_progress=on_progress))

    def _predicted(self, features: Vectors) -> list[Any]:
        ridge = self._check_fitted()
        if ridge is not None:
            return list(ridge.predict(features).tolist())
        return [self.classes_[i] for i in self._logistic.predict_proba(features).argmax(1)]

    def evaluate(
        self,
        first: Iterable[str],
        second: Iterable[str],
        targets: Iterable[Any],
        *,
        on_progress: OnProgress | None = None,
    ) -> Scores | DegreeScores:
        """Scores on pairs of which the truth is known.

        Args:
            first: n texts.
            second: n texts.
            targets: their classes or degrees.
            on_progress: as in `features`.

        Returns:
            `Scores` (accuracy, F1, confusion) for classes, `DegreeScores` for degrees.

        Raises:
            InputError: nothing learned yet, a missing text or target, a class that was not learned.
        """
        self._check_fitted()
        left, right = check_pairs(first, second)
        truth = self._check_targets(targets, len(left))
        return self.evaluate_features(self.features(left, right, on_progress=on_progress), truth)

    def evaluate_features(self, features: Vectors, targets: Sequence[Any]) -> Scores | DegreeScores:
        """Scores on features that `features` gave.

        Args:
            features: Shape (n, e).
            targets: a class or degree per row.

        Returns:
            as `evaluate`.

        Raises:
            InputError: as `evaluate`.
        """
        self._check_fitted()
        truth = self._check_targets(targets, len(features))
        if self.kind == "degrees":
            return score_degrees(truth, self._predicted(features))
        unknown = sorted({str(label) for label in truth if label not in self.classes_})
        if unknown:
            raise InputError(f"the classes {unknown} were not learned; known are {list(self.classes_)}.")
        return score(truth, self._predicted(features), self.classes_)

    def _check_fitted(self) -> Ridge | None:
        if not self.classes_ and self._ridge is None:
            raise InputError("nothing has been learned yet: call fit first, or load what was saved.")
        return self._ridge

    def save(self, folder: str | Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write what was learned: `pairs.json` and `pairs.safetensors`, no pickle.

        Args:
            folder: where to; made if it does not exist.
            facts: kept beside it, as JSON: the commands keep the columns' names here.

        Raises:
            InputError: nothing learned yet.
            OutputError: the folder can't be written.
        """
        ridge = self._check_fitted()
        config = {
            "kind": self.kind,
            "parts": list(self.parts),
            "pooling": self.pooling,
            "layers": self.layers if isinstance(self.layers, str | int) else [float(w) for w in self.layers],
            "classes": list(self.classes_),
            "C": None if ridge is not None else self._logistic.C_,
            "facts": dict(facts or {}),
        }
        if ridge is not None:
            arrays = {"coef": ridge.weights[None], "intercept": np.array([ridge.intercept])}
        else:
            arrays = {"coef": self._logistic.coef_, "intercept": self._logistic.intercept_}
        save_head(folder, _FILES, model=self.elmo, probe=self._probe(), config=config, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder) -> SentencePairs:
        """Read what `save` wrote.

        Args:
            folder: where it lies.
            elmo: the model it was made with.

        Returns:
            itself, ready to predict.

        Raises:
            MissingFile: nothing of the kind there.
            CheckpointError: damaged files, or another model than it was made with.
        """
        head = load_head(folder, _FILES)
        config, coef, intercept = head.config, head.arrays["coef"], head.arrays["intercept"]
        try:
            made = cls(
                elmo,
                kind=config["kind"],
                parts=config["parts"],
                pooling=config["pooling"],
                layers=config["layers"],
                C=config["C"] or "cv",
            )
            check_model(head, elmo, made._probe())
        except ConfigError as error:  # layers that the model given does not have, for instance
            raise CheckpointError(f"{folder}: does not fit the model given: {error}") from None
        if made.kind == "degrees":
            made._ridge = Ridge(coef[0], float(intercept[0]))
        else:
            made.classes_ = tuple(config["classes"])
            made._logistic.classes_ = np.array(config["classes"])
            made._logistic.coef_, made._logistic.intercept_, made._logistic.C_ = coef, intercept, config["C"]
        return made

    def _probe(self) -> Vectors:
        return np.asarray(self._encoded([PROBE], None)[0])


def check_pairs(first: Iterable[Any], second: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Two columns of texts in lists, if they are as long as each other and all strings.

    Args:
        first: n texts.
        second: n texts.

    Returns:
        the texts.

    Raises:
        InputError: two lengths, a missing text.
        TextError: something that is no text.

    Example:
        >>> check_pairs(["a"], ("b",))
        (['a'], ['b'])
    """
    left, right = text_list(first), text_list(second)
    if len(left) != len(right):
        raise InputError(f"{len(left)} first texts but {len(right)} second ones; expected pairs.")
    return left, right


def check_degrees(targets: Iterable[Any], n_pairs: int) -> list[float]:
    """Degrees as floats, if there is a finite one for each pair.

    Args:
        targets: numbers, or strings that are numbers.
        n_pairs: how many there must be.

    Returns:
        floats.

    Raises:
        InputError: another number, something that is no finite number.

    Example:
        >>> check_degrees(["4.5", 3], 2)
        [4.5, 3.0]
    """
    given = list(targets)
    if len(given) != n_pairs:
        raise InputError(f"{n_pairs} pairs but {len(given)} degrees; expected one for each.")
    found = []
    for place, value in enumerate(given):
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            raise InputError(f"degrees[{place}] is {value!r}; expected a number.") from None
        if not np.isfinite(found[-1]):
            raise InputError(f"degrees[{place}] is {value!r}; leave such rows out.")
    return found


def score_degrees(truth: Sequence[float], predicted: Sequence[float]) -> DegreeScores:
    """Compare degrees with the truth.

    Args:
        truth: Shape (n,).
        predicted: Shape (n,).

    Returns:
        the scores.

    Raises:
        InputError: fewer than two numbers, or two lengths.

    Example:
        >>> found = score_degrees([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        >>> round(found.pearson, 3), found.spearman
        (0.982, 1.0)
    """
    return DegreeScores(
        pearson=pearson(truth, predicted),
        spearman=spearman(truth, predicted),
        mean_squared_error=float(np.mean((np.asarray(truth) - np.asarray(predicted)) ** 2)),
        n_pairs=len(truth),
    )


def _fitted_ridge(features: Vectors, degrees: NDArray[np.float64], seed: int) -> Ridge:
    """Ridge regression, its penalty chosen on a fifth of the rows, then learned from all."""
    if len(set(degrees.tolist())) < 2:
        raise InputError(f"all {len(degrees)} degrees are the same; it takes different ones to learn from.")
    strength = 1.0
    if len(degrees) >= 10:
        learned, held_out = held_out_split(len(degrees), seed=seed)
        tried = Ridge.fit(features[learned], degrees[learned])
        errors = [np.mean((ridge.predict(features[held_out]) - degrees[held_out]) ** 2) for ridge in tried]
        strength = RIDGE_STRENGTHS[int(np.argmin(errors))]
    return Ridge.fit(features, degrees, [strength])[0]
