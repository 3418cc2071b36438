"""Votes: counted characters, counted words and ELMo vectors each decide, and their shares are chosen inside.

Each member is a logistic regression. In five folds of the rows that are learned from, each says how likely the classes
of the fold are that it has not seen; its logarithms, centred and divided by their spread, are its votes. The shares
(in tenths) are those with the best F1 of the votes together, so no row outside takes part in any choice; the scale
that makes probabilities of votes is the one with the least log loss. Then every member learns from all rows.

A vote is steadier than its members where they are wrong about different texts; on short texts full of spellings
counted characters get most of it. Cost: every member is learned six times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.tasks.joined import Joined
from elmokit.tasks.lbfgs import probabilities
from elmokit.tasks.logistic import ClassWeight, LogisticRegression, number_classes
from elmokit.tasks.split import stratified_folds
from elmokit.tasks.tfidf import Analyzer, Tfidf

Array = NDArray[Any]
MEMBERS = ("characters", "words", "elmo")
_N_FOLDS = 5
_SHARES = tuple((a / 10, b / 10, (10 - a - b) / 10) for a, b in product(range(11), repeat=2) if a + b <= 10)
_SCALES = np.geomspace(0.1, 30, 60)


class VotesHead:
    """TF-IDF of characters, TF-IDF of words and vectors, voting.

    Args:
        C: of the member on vectors: inverse of the penalty's strength, or "cv"; those on counted words take 1.
        class_weight: as in `LogisticRegression`.
        seed: of the folds.

    Attributes:
        classes_: the classes, sorted.
        C_: the strength of the member on vectors.
        shares_: of the members, in the order of `MEMBERS`.
        inside_: F1 of each fold (of the second of two classes, else macro) of votes with shares chosen on the other
            folds; empty where a class is too rare for folds.

    Example:
        >>> texts = ["good one", "good two", "bad one", "bad two"] * 3
        >>> data = Joined(np.eye(4, dtype=np.float32)[[0, 0, 1, 1] * 3], texts)
        >>> VotesHead(C=1.0).fit(data, [1, 1, 0, 0] * 3).predict(data)[:4].tolist()
        [1, 1, 0, 0]
    """

    def __init__(
        self, *, C: float | Literal["cv"] = "cv", class_weight: ClassWeight = "balanced", seed: int = 0
    ) -> None:
        self.seed = seed
        self._members: tuple[_Counted | _Vectors, ...] = (
            _Counted("characters", class_weight),
            _Counted("words", class_weight),
            _Vectors(C, class_weight, seed),
        )
        self.classes_: Array = np.zeros(0)
        self.shares_: tuple[float, ...] = (0.4, 0.3, 0.3)
        self.inside_: tuple[float, ...] = ()
        self._spreads, self._scale = np.ones(len(MEMBERS)), 1.0

    @property
    def C_(self) -> float:  # noqa: N802  # scikit-learn's name
        """The strength of the member on vectors."""
        return self._members[-1].head.C_

    def fit(self, X: Joined, y: ArrayLike, *, on_step: Callable[[int, int], None] | None = None) -> VotesHead:
        """Learn members, shares and scale.

        Args:
            X: n texts with their vectors.
            y: a class for each. Shape (n,).
            on_step: called with (members learned, members to be learned in all).

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes, no text with a term in it.
        """
        labels = np.asarray(y)
        self.classes_, numbers = number_classes(labels, n_rows=len(X))
        n_folds = min(_N_FOLDS, int(np.bincount(numbers).min()))
        for number, member in enumerate(self._members):  # first on all rows: it chooses the strength for the folds
            member.fit(X, labels)
            if on_step is not None:
                on_step(number + 1, len(MEMBERS) * (1 + n_folds))
        if n_folds > 1:
            folds = stratified_folds(numbers, n_folds, seed=self.seed)
            self._choose(self._out_of_fold(X, labels, folds, on_step), numbers, folds)
        return self

    def _out_of_fold(self, X: Joined, labels: Array, folds: Array, on_step: Callable[[int, int], None] | None) -> Array:
        """Votes for each row by members that have not seen it. Shape (members, n, n_classes)."""
        n_folds = int(folds.max()) + 1
        votes = np.zeros((len(MEMBERS), len(labels), len(self.classes_)))
        for fold in range(n_folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            for number, member in enumerate(self._members):
                judge = member.twin().fit(X[inside], labels[inside])
                votes[number, outside] = judge.votes(X[outside])
                if on_step is not None:
                    on_step(len(MEMBERS) * (1 + fold) + number + 1, len(MEMBERS) * (1 + n_folds))
        return votes

    def _choose(self, votes: Array, numbers: Array, folds: Array) -> None:
        self._spreads = np.maximum(votes.std(axis=(1, 2)), 1e-9)
        votes = votes / self._spreads[:, None, None]
        f1 = np.array([_f1_by_fold(_together(votes, shares).argmax(1), numbers, folds) for shares in _SHARES])
        self.shares_ = _SHARES[int(f1.mean(1).argmax())]
        n_folds = f1.shape[1]
        others = [[k for k in range(n_folds) if k != fold] for fold in range(n_folds)]
        self.inside_ = tuple(float(f1[f1[:, rest].mean(1).argmax(), fold]) for fold, rest in enumerate(others))
        together = _together(votes, self.shares_)
        losses = [_log_loss(scale * together, numbers) for scale in _SCALES]
        self._scale = float(_SCALES[int(np.argmin(losses))])

    def predict_proba(self, X: Joined) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        votes = np.stack([member.votes(X) for member in self._members]) / self._spreads[:, None, None]
        return np.asarray(probabilities(self._scale * _together(votes, self.shares_)))

    def predict(self, X: Joined) -> Array:
        """The most probable class of each row. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        facts: dict[str, Any] = {"shares": list(self.shares_), "scale": self._scale, "inside": list(self.inside_)}
        arrays: dict[str, Array] = {"spreads": self._spreads}
        for name, member in zip(MEMBERS, self._members, strict=True):
            facts[name], of_member = member.state()
            arrays |= {f"{name}.{key}": array for key, array in of_member.items()}
        return facts, arrays

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        self.classes_, self._spreads, self._scale = np.array(classes), arrays["spreads"], float(facts["scale"])
        self.shares_, self.inside_ = tuple(facts["shares"]), tuple(facts["inside"])
        for name, member in zip(MEMBERS, self._members, strict=True):
            prefix = f"{name}."
            own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            member.restore(facts[name], own, classes)


class _Counted:
    """A member on TF-IDF."""

    def __init__(self, analyzer: Analyzer, class_weight: ClassWeight) -> None:
        self.analyzer, self.class_weight = analyzer, class_weight
        self.tfidf = Tfidf(analyzer=analyzer, sublinear=True)
        self.head = LogisticRegression(C=1.0, class_weight=class_weight)

    def twin(self) -> _Counted:
        return _Counted(self.analyzer, self.class_weight)

    def fit(self, X: Joined, labels: Array) -> _Counted:
        self.tfidf.fit(X.texts)
        self.head.fit(self.tfidf.transform(X.texts), labels)
        return self

    def votes(self, X: Joined) -> Array:
        return _votes(self.head.predict_proba(self.tfidf.transform(X.texts)))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        terms, idf = self.tfidf.state()
        facts, arrays = self.head.state()
        return {**facts, "terms": terms}, {**arrays, "idf": idf}

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        self.head.restore(facts, arrays, classes)
        self.tfidf.restore(facts["terms"], arrays["idf"])


class _Vectors:
    """The member on vectors; a twin keeps the strength that was chosen."""

    def __init__(self, C: float | Literal["cv"], class_weight: ClassWeight, seed: int) -> None:
        self.head = LogisticRegression(C=C, class_weight=class_weight, standardize=True, seed=seed)
        self.class_weight, self.seed = class_weight, seed

    def twin(self) -> _Vectors:
        return _Vectors(self.head.C_, self.class_weight, self.seed)

    def fit(self, X: Joined, labels: Array) -> _Vectors:
        self.head.fit(X.vectors, labels)
        return self

    def votes(self, X: Joined) -> Array:
        return _votes(self.head.predict_proba(X.vectors))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return self.head.state()

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        self.head.restore(facts, arrays, classes)


def _votes(chances: Array) -> Array:
    """Logarithms of probabilities, centred by row: of two classes half the log-odds, once with each sign."""
    logs = np.log(np.clip(chances, 1e-9, 1.0))
    return np.asarray(logs - logs.mean(1, keepdims=True))


def _together(votes: Array, shares: Sequence[float]) -> Array:
    return np.asarray(np.tensordot(np.asarray(shares), votes, axes=1))


def _log_loss(scores: Array, numbers: Array) -> float:
    return float(-np.log(np.clip(probabilities(scores)[np.arange(len(numbers)), numbers], 1e-12, 1)).mean())


def _f1_by_fold(said: Array, numbers: Array, folds: Array) -> list[float]:
    """F1 of the second of two classes, else the mean of all, in each fold."""
    wanted = [1] if numbers.max() == 1 else range(int(numbers.max()) + 1)
    found = []
    for fold in range(int(folds.max()) + 1):
        s, t = said[folds == fold], numbers[folds == fold]
        f1 = [2 * ((s == k) & (t == k)).sum() / max((s == k).sum() + (t == k).sum(), 1) for k in wanted]
        found.append(float(np.mean(f1)))
    return found
