"""Votes: counted characters, counted words and ELMo vectors each decide, and their shares are chosen inside.

Each member is a logistic regression. In five folds of the rows that are learned from, each says how likely the classes
of the fold are that it has not seen; its logarithms, centred and divided by their spread, are its votes. The strength
of those on counted words, and then the shares of all (in tenths), are those with the best F1 of such votes; the scale
that makes probabilities of votes is the one with the least log loss. No row outside takes part in any choice. Then
every member learns from all rows.

A vote is steadier than its members where they are wrong about different texts; on short texts full of spellings
counted characters get most of it. Cost: counted words are learned sixteen times, vectors six times and their strength.
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
_STRENGTHS = (1.0, 3.0, 10.0)
"""Of the members on counted words."""


class VotesHead:
    """TF-IDF of characters, TF-IDF of words and vectors, voting.

    Args:
        C: of the member on vectors: inverse of the penalty's strength, or "cv"; those on counted words choose.
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
        self._members: tuple[CountedHead | _Vectors, ...] = (
            CountedHead("characters", class_weight, C=_STRENGTHS[1]),
            CountedHead("words", class_weight, C=_STRENGTHS[1]),
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
        """Learn members, strengths, shares and scale.

        Args:
            X: n texts with their vectors.
            y: a class for each. Shape (n,).
            on_step: called with (folds done, folds in all).

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes, no text with a term in it.
        """
        labels = np.asarray(y)
        self.classes_, numbers = number_classes(labels, n_rows=len(X))
        self._members[-1].fit(X, labels)  # first of all: it chooses the strength that the folds take
        n_folds = min(_N_FOLDS, int(np.bincount(numbers).min()))
        if n_folds > 1:
            folds = stratified_folds(numbers, n_folds, seed=self.seed)
            candidates = self._out_of_fold(X, labels, folds, on_step)
            votes = [
                member.choose(of_member, numbers, folds)
                for member, of_member in zip(self._members, candidates, strict=True)
            ]
            self._choose(np.stack(votes), numbers, folds)
        for member in self._members[:-1]:
            member.fit(X, labels)
        return self

    def _out_of_fold(
        self, X: Joined, labels: Array, folds: Array, on_step: Callable[[int, int], None] | None
    ) -> list[Array]:
        """By member, votes for each row by heads that have not seen it. Shape (candidates, n, n_classes)."""
        n_folds = int(folds.max()) + 1
        found = [np.zeros((member.n_candidates, len(labels), len(self.classes_))) for member in self._members]
        for fold in range(n_folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            for member, votes in zip(self._members, found, strict=True):
                votes[:, outside] = member.candidates(X[inside], labels[inside], X[outside])
            if on_step is not None:
                on_step(fold + 1, n_folds)
        return found

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
        votes = np.stack([_votes(member.predict_proba(X)) for member in self._members]) / self._spreads[:, None, None]
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


class CountedHead:
    """Logistic regression on TF-IDF: a member, and by itself the baseline of the reports.

    Args:
        analyzer: what is counted: "words" or "characters".
        class_weight: as in `LogisticRegression`.
        C: inverse of the penalty's strength.

    Example:
        >>> rows = Joined(np.zeros((4, 0)), ["so good", "so bad", "good", "bad"])
        >>> CountedHead("words").fit(rows, np.array([1, 0, 1, 0])).predict_proba(rows).argmax(1).tolist()
        [1, 0, 1, 0]
    """

    n_candidates = len(_STRENGTHS)

    def __init__(self, analyzer: Analyzer, class_weight: ClassWeight = "balanced", *, C: float = 1.0) -> None:
        self.class_weight = class_weight
        self.tfidf = Tfidf(analyzer=analyzer, sublinear=True)
        self.head = LogisticRegression(C=C, class_weight=class_weight)

    def fit(self, X: Joined, labels: Array) -> CountedHead:
        """Learn terms and weights."""
        self.tfidf.fit(X.texts)
        self.head.fit(self.tfidf.transform(X.texts), labels)
        return self

    def candidates(self, X: Joined, labels: Array, judged: Joined) -> Array:
        """What heads of each strength say. Shape (candidates, n, n_classes)."""
        tfidf = Tfidf(analyzer=self.tfidf.analyzer, sublinear=True).fit(X.texts)
        rows, others = tfidf.transform(X.texts), tfidf.transform(judged.texts)
        heads = (LogisticRegression(C=C, class_weight=self.class_weight).fit(rows, labels) for C in _STRENGTHS)
        return np.stack([_votes(head.predict_proba(others)) for head in heads])

    def choose(self, candidates: Array, numbers: Array, folds: Array) -> Array:
        """Take the strength with the best F1; its votes. Shape (n, n_classes)."""
        f1 = [np.mean(_f1_by_fold(votes.argmax(1), numbers, folds)) for votes in candidates]
        best = int(np.argmax(f1))
        self.head.C = _STRENGTHS[best]
        return np.asarray(candidates[best])

    def predict_proba(self, X: Joined) -> Array:
        """Probabilities of the classes. Shape (n, n_classes)."""
        return self.head.predict_proba(self.tfidf.transform(X.texts))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        terms, idf = self.tfidf.state()
        facts, arrays = self.head.state()
        return {**facts, "terms": terms}, {**arrays, "idf": idf}

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        self.head.restore(facts, arrays, classes)
        self.tfidf.restore(facts["terms"], arrays["idf"])


class _Vectors:
    """The member on vectors; in the folds it keeps the strength that was chosen on all rows to learn from."""

    n_candidates = 1

    def __init__(self, C: float | Literal["cv"], class_weight: ClassWeight, seed: int) -> None:
        self.class_weight, self.seed = class_weight, seed
        self.head = LogisticRegression(C=C, class_weight=class_weight, standardize=True, seed=seed)

    def fit(self, X: Joined, labels: Array) -> _Vectors:
        self.head.fit(X.vectors, labels)
        return self

    def candidates(self, X: Joined, labels: Array, judged: Joined) -> Array:
        twin = _Vectors(self.head.C_, self.class_weight, self.seed).fit(X, labels)
        return _votes(twin.predict_proba(judged))[None]

    def choose(self, candidates: Array, numbers: Array, folds: Array) -> Array:
        del numbers, folds  # there is one candidate
        return np.asarray(candidates[0])

    def predict_proba(self, X: Joined) -> Array:
        return self.head.predict_proba(X.vectors)

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
