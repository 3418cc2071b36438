"""Logistic regression: the head that features are judged by, in NumPy.

scikit-learn's would do, but it brings SciPy, and together they weigh 195 MB: more than everything else a
plain install needs. This one follows scikit-learn's conventions (C, class_weight, coef_, intercept_, an
intercept without penalty, softmax over more than two classes), its coefficients agree to 1e-3 and its
predictions are equal (tested). `C="cv"` chooses the strength by cross-validation inside the data given,
all folds solved side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.csr import CSR
from elmokit.tasks.lbfgs import Array, Problems, minimise, probabilities
from elmokit.tasks.split import stratified_folds

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-8, 7))
"""The values of C that `C="cv"` tries, from the strongest penalty to the weakest."""

ClassWeight = Literal["balanced"] | Mapping[Any, float] | None


class LogisticRegression:
    """L2-penalised logistic regression for two classes or more.

    Args:
        C: inverse of the penalty's strength, or "cv" to choose it among `STRENGTHS` by the held-out log loss.
        class_weight: "balanced" weighs classes by the inverse of their frequency; or a weight per class.
        standardize: whether features are first brought to mean 0 and standard deviation 1. Dense features
            only; what is learned (`coef_`, `intercept_`) applies to the features as they are.
        n_folds: folds of the cross-validation.
        seed: of the folds.
        tolerance: the fit ends when no partial derivative of the mean loss is larger.

    Attributes:
        classes_: the classes, sorted.
        coef_: Shape (1, d) for two classes, else (n_classes, d).
        intercept_: Shape (1,) or (n_classes,).
        C_: the strength that was used.

    Example:
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> LogisticRegression(C=10.0).fit(X, ["a", "a", "b", "b"]).predict(X).tolist()
        ['a', 'a', 'b', 'b']
    """

    def __init__(
        self,
        *,
        C: float | Literal["cv"] = 1.0,
        class_weight: ClassWeight = None,
        standardize: bool = False,
        n_folds: int = 5,
        seed: int = 0,
        tolerance: float = 1e-4,
    ) -> None:
        if C != "cv" and not (isinstance(C, int | float) and C > 0):
            raise ConfigError(f"C is {C!r}; expected a positive number or 'cv'.")
        self.C: float | Literal["cv"] = C
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_folds = n_folds
        self.seed = seed
        self.tolerance = tolerance

    def fit(
        self,
        X: NDArray[np.floating] | CSR,
        y: ArrayLike,
        *,
        on_step: Callable[[int, int], None] | None = None,
    ) -> LogisticRegression:
        """Learn from features and their classes.

        Args:
            X: features, dense or sparse. Shape (n, d).
            y: a class per row. Shape (n,).
            on_step: called with (strengths tried, strengths in all) during the cross-validation.

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes, another number of classes than rows, a number that is not
                finite.
        """
        features = _features(X, standardize=self.standardize)
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        if len(numbers) != features.shape[0]:
            raise InputError(f"{features.shape[0]} rows of features but {len(numbers)} labels.")
        if len(self.classes_) < 2:
            raise InputError(
                f"all {len(numbers)} labels are {self.classes_.tolist()}; it takes two classes to learn from."
            )
        targets = _targets(numbers, len(self.classes_))
        weights = self._row_weights(numbers)
        self.C_ = float(self.C) if self.C != "cv" else self._choose(features, targets, weights, numbers, on_step)
        problem = Problems(
            features, targets, (weights / weights.sum())[:, None], 1 / (self.C_ * weights.sum(keepdims=True))
        )
        learned = minimise(problem, problem.zeros(), tolerance=self.tolerance)[:, 0]
        self.coef_, self.intercept_ = features.in_own_scale(learned)
        return self

    def _row_weights(self, numbers: NDArray[np.integer]) -> Array:
        if self.class_weight is None:
            return np.ones(len(numbers))
        if self.class_weight == "balanced":
            counts = np.bincount(numbers)
            return np.asarray((len(numbers) / (len(counts) * counts))[numbers])
        missing = [c for c in self.classes_.tolist() if c not in self.class_weight]
        if missing:
            raise ConfigError(f"class_weight gives no weight for {missing}.")
        by_class = [float(self.class_weight[c]) for c in self.classes_.tolist()]
        return np.asarray(np.array(by_class)[numbers])

    def _choose(
        self,
        features: _Dense | _Sparse,
        targets: Array,
        weights: Array,
        numbers: NDArray[np.integer],
        on_step: Callable[[int, int], None] | None,
    ) -> float:
        """The strength with the least held-out loss: from strong to weak until it has got worse twice."""
        n_folds = min(self.n_folds, int(np.bincount(numbers).min()))
        if n_folds < 2:
            return 1.0
        held_out = stratified_folds(numbers, n_folds, seed=self.seed)[:, None] == np.arange(n_folds)
        inside = np.where(held_out, 0, weights[:, None])
        outside = np.where(held_out, weights[:, None], 0)
        losses: list[float] = []
        parameters: Array | None = None
        for i, C in enumerate(STRENGTHS):
            problems = Problems(features, targets, inside / inside.sum(0), 1 / (C * inside.sum(0)))
            start = problems.zeros() if parameters is None else parameters
            parameters = minimise(problems, start, tolerance=10 * self.tolerance)
            losses.append(float(problems.losses(problems.scores(parameters), outside).sum()))
            if on_step is not None:
                on_step(i + 1, len(STRENGTHS))
            if len(losses) > 2 and losses[-1] > losses[-2] > losses[-3]:
                break
        return float(STRENGTHS[int(np.argmin(losses))])

    def decision_function(self, X: NDArray[np.floating] | CSR) -> Array:
        """Scores before they become probabilities. Shape (n,) for two classes, else (n, n_classes)."""
        scores = np.asarray(X @ self.coef_.T.astype(X.dtype), dtype=np.float64) + self.intercept_
        return np.asarray(scores[:, 0] if len(self.classes_) == 2 else scores)

    def predict_proba(self, X: NDArray[np.floating] | CSR) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        scores = self.decision_function(X)
        if len(self.classes_) > 2:
            return np.asarray(probabilities(scores))
        second = probabilities(scores[:, None])
        return np.concatenate([1 - second, second], axis=1)

    def predict(self, X: NDArray[np.floating] | CSR) -> NDArray[Any]:
        """The most probable class of each row. Shape (n,)."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if len(self.classes_) == 2 else scores.argmax(1)
        return np.asarray(self.classes_[best])


def _targets(numbers: NDArray[np.integer], n_classes: int) -> Array:
    if n_classes == 2:
        return numbers[:, None].astype(np.float64)
    return np.asarray(np.eye(n_classes)[numbers])


def _features(X: NDArray[np.floating] | CSR, *, standardize: bool) -> _Dense | _Sparse:
    values = X.data if isinstance(X, CSR) else X
    if not np.isfinite(values).all():
        raise InputError("the features hold NaN or infinite numbers; leave out or mend those rows.")
    if not isinstance(X, CSR):
        return _Dense(X, standardize=standardize)
    if standardize:
        raise ConfigError("sparse features can't be standardised without making them dense; use standardize=False.")
    return _Sparse(X)


class _Dense:
    """Dense features, standardised on the way through each product instead of in a copy."""

    def __init__(self, X: NDArray[np.floating], *, standardize: bool) -> None:
        self.X = X
        self.shape = X.shape
        self.mean = X.mean(0, dtype=np.float64) if standardize else np.zeros(X.shape[1])
        scale = X.std(0, dtype=np.float64) if standardize else np.ones(X.shape[1])
        self.scale = np.where(scale > 1e-12, scale, 1.0)

    def times(self, weights: Array) -> Array:
        scaled = weights / self.scale[:, None]
        return np.asarray((self.X @ scaled.astype(self.X.dtype)).astype(np.float64) - self.mean @ scaled)

    def transposed_times(self, values: Array) -> Array:
        products = (self.X.T @ values.astype(self.X.dtype)).astype(np.float64)
        return np.asarray((products - np.outer(self.mean, values.sum(0))) / self.scale[:, None])

    def in_own_scale(self, parameters: Array) -> tuple[Array, Array]:
        scaled = parameters[:-1] / self.scale[:, None]
        return scaled.T, parameters[-1] - self.mean @ scaled


class _Sparse:
    """Sparse features, as they are."""

    def __init__(self, X: CSR) -> None:
        self.X = X
        self.shape = X.shape

    def times(self, weights: Array) -> Array:
        return np.asarray(self.X @ weights)

    def transposed_times(self, values: Array) -> Array:
        return np.asarray(self.X.transposed_product(values))

    def in_own_scale(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[:-1].T, parameters[-1]
