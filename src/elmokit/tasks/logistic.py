"""Logistic regression: the head that features are judged by, in NumPy.

scikit-learn's would do, but it brings SciPy, and together they weigh 195 MB: more than everything else a
plain install needs. This one follows scikit-learn's conventions (C, class_weight, coef_, intercept_, an
intercept without penalty, softmax over more than two classes), its coefficients agree to 1e-3 and its
predictions are equal (tested). `C="cv"` chooses the strength by cross-validation inside the data given,
all folds solved side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError, InputError
from elmokit.runtime.threads import single_threaded_blas
from elmokit.tasks.csr import Products
from elmokit.tasks.lbfgs import Array, Curvature, Inverse, Problems, minimise, probabilities
from elmokit.tasks.split import stratified_folds

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-8, 7))
"""The values of C that `C="cv"` tries, from the strongest penalty to the weakest."""

_WIDEST_CURVATURE = 6_000
"""Features up to which the products of all pairs are worth their memory (4 bytes each, thrice)."""

ClassWeight = Literal["balanced"] | Mapping[Any, float] | None

_BLOCK = 2_048
"""Rows whose products are summed at a time."""


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
        X: NDArray[np.floating] | Products,
        y: ArrayLike,
        *,
        validation: NDArray[np.bool_] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> LogisticRegression:
        """Learn from features and their classes.

        Args:
            X: features, dense or sparse. Shape (n, d).
            y: a class per row. Shape (n,).
            validation: rows that are not learned from, on which `C="cv"` chooses the strength; None for folds of
                all rows. Shape (n,).
            on_step: called with (strengths tried, strengths in all) during the cross-validation.

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes, another number of classes than rows, a number that is not
                finite.
        """
        with single_threaded_blas():
            return self._fit(_features(X, standardize=self.standardize), y, validation, on_step)

    def _fit(
        self,
        features: _Dense | _Sparse,
        y: ArrayLike,
        validation: NDArray[np.bool_] | None,
        on_step: Callable[[int, int], None] | None,
    ) -> LogisticRegression:
        numbers = self._read_classes(features, y)
        targets = _targets(numbers, len(self.classes_))
        weights = self._row_weights(numbers)
        held_out = self._held_out(numbers) if validation is None else np.asarray(validation, dtype=bool)[:, None]
        curvature = features.curvature(held_out.shape[1] * targets.shape[1]) if self.C == "cv" else None
        self.C_ = self._choose(features, targets, weights, held_out, curvature, on_step)
        if validation is not None:
            weights = np.where(validation, 0, weights)
        problem = _problems(features, targets, weights[:, None], self.C_)
        learned = minimise(problem, problem.zeros(), tolerance=self.tolerance, undo=_undo(curvature, problem))[:, 0]
        self.coef_, self.intercept_ = features.in_own_scale(learned)
        return self

    def _read_classes(self, features: _Dense | _Sparse, y: ArrayLike) -> NDArray[np.integer]:
        self.classes_, numbers = number_classes(y, n_rows=features.shape[0])
        return numbers

    def _row_weights(self, numbers: NDArray[np.integer]) -> Array:
        return weigh_rows(numbers, self.classes_, self.class_weight)

    def _held_out(self, numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which rows each fold holds out; no folds where a class has a single row. Shape (n, F)."""
        n_folds = min(self.n_folds, int(np.bincount(numbers).min()))
        if self.C != "cv" or n_folds < 2:
            return np.zeros((len(numbers), 0), dtype=bool)
        return np.asarray(stratified_folds(numbers, n_folds, seed=self.seed)[:, None] == np.arange(n_folds))

    def _choose(
        self,
        features: _Dense | _Sparse,
        targets: Array,
        weights: Array,
        held_out: NDArray[np.bool_],
        curvature: Curvature | None,
        on_step: Callable[[int, int], None] | None,
    ) -> float:
        """The strength that was asked for, or the one with the least held-out loss."""
        if self.C != "cv":
            return float(self.C)
        if not held_out.any():
            return 1.0
        inside, outside = np.where(held_out, 0, weights[:, None]), np.where(held_out, weights[:, None], 0)
        losses = _held_out_losses(features, targets, inside, outside, curvature, 10 * self.tolerance, on_step)
        return float(STRENGTHS[int(np.argmin(losses.sum(1)))])

    def decision_function(self, X: NDArray[np.floating] | Products) -> Array:
        """Scores before they become probabilities. Shape (n,) for two classes, else (n, n_classes)."""
        scores = np.asarray(X @ self.coef_.T.astype(X.dtype), dtype=np.float64) + self.intercept_
        return np.asarray(scores[:, 0] if len(self.classes_) == 2 else scores)

    def predict_proba(self, X: NDArray[np.floating] | Products) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        scores = self.decision_function(X)
        if len(self.classes_) > 2:
            return np.asarray(probabilities(scores))
        second = probabilities(scores[:, None])
        return np.concatenate([1 - second, second], axis=1)

    def predict(self, X: NDArray[np.floating] | Products) -> NDArray[Any]:
        """The most probable class of each row. Shape (n,)."""
        scores = self.decision_function(X)
        return np.asarray(self.classes_[_best(scores.reshape(len(scores), -1))])

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        return {"C": self.C_}, {"coef": self.coef_, "intercept": self.intercept_}

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        self.classes_, self.C_ = np.array(classes), facts["C"]
        self.coef_, self.intercept_ = arrays["coef"], arrays["intercept"]


def number_classes(y: ArrayLike, *, n_rows: int) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """The classes, sorted, and each row's place among them.

    Args:
        y: a class per row. Shape (n,).
        n_rows: rows that there must be.

    Returns:
        classes and numbers. Shapes (n_classes,), (n,).

    Raises:
        InputError: fewer than two classes, another number of labels than rows.

    Example:
        >>> number_classes(["b", "a", "b"], n_rows=3)[1].tolist()
        [1, 0, 1]
    """
    classes, numbers = np.unique(np.asarray(y), return_inverse=True)
    if len(numbers) != n_rows:
        raise InputError(f"{n_rows} rows of features but {len(numbers)} labels.")
    if len(classes) < 2:
        raise InputError(f"all {len(numbers)} labels are {classes.tolist()}; it takes two classes to learn from.")
    return classes, numbers


def weigh_rows(numbers: NDArray[np.integer], classes: NDArray[Any], class_weight: ClassWeight) -> Array:
    """Each row's weight in the loss.

    Args:
        numbers: each row's class. Shape (n,).
        classes: their names.
        class_weight: "balanced" (the inverse of a class's share), a weight per class, or None for 1.

    Returns:
        weights. Shape (n,).

    Raises:
        ConfigError: a class without a weight.

    Example:
        >>> weigh_rows(np.array([0, 0, 0, 1]), np.array(["a", "b"]), "balanced").round(2).tolist()
        [0.67, 0.67, 0.67, 2.0]
    """
    if class_weight is None:
        return np.ones(len(numbers))
    if class_weight == "balanced":
        counts = np.bincount(numbers)
        return np.asarray((len(numbers) / (len(counts) * counts))[numbers])
    missing = [c for c in classes.tolist() if c not in class_weight]
    if missing:
        raise ConfigError(f"class_weight gives no weight for {missing}.")
    return np.asarray(np.array([float(class_weight[c]) for c in classes.tolist()])[numbers])


def cross_validated(
    X: NDArray[np.floating] | Products,
    y: ArrayLike,
    *,
    n_folds: int = 10,
    class_weight: ClassWeight = None,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> NDArray[Any]:
    """Each row's class as predicted by a model that has not seen it, its strength chosen inside its own rows.

    The strength of the model that predicts fold k is the one with the least loss on fold k + 1 when the other folds
    are learned from; the model then learns from all folds but k. All folds are solved side by side, so ten folds of
    10,662 rows of 1,920 features take seconds. Features are taken as they are: standardising would look at all rows.

    Args:
        X: features, dense or sparse. Shape (n, d).
        y: a class per row. Shape (n,).
        n_folds: folds, at least 3.
        class_weight: as in `LogisticRegression`, the balance being that of all rows.
        seed: of the folds (scikit-learn's StratifiedKFold with shuffling).
        tolerance: as in `LogisticRegression`.

    Returns:
        a class per row. Shape (n,).

    Raises:
        ConfigError: fewer than three folds.
        InputError: as `LogisticRegression.fit`.

    Example:
        >>> X = np.array([[-3.0], [-2.0], [-1.0], [1.0], [2.0], [3.0]])
        >>> cross_validated(X, list("aaabbb"), n_folds=3).tolist()
        ['a', 'a', 'a', 'b', 'b', 'b']
    """
    if n_folds < 3:
        raise ConfigError(f"{n_folds} folds; nested cross-validation needs three at least.")
    with single_threaded_blas():
        head = LogisticRegression(class_weight=class_weight)
        features = _features(X, standardize=False)
        numbers = head._read_classes(features, y)
        targets, weights = _targets(numbers, len(head.classes_)), head._row_weights(numbers)[:, None]
        fold = stratified_folds(numbers, n_folds, seed=seed)[:, None]
        own, after = fold == np.arange(n_folds), fold == (np.arange(n_folds) + 1) % n_folds
        curvature = features.curvature(n_folds * targets.shape[1])
        inside, outside = np.where(own | after, 0, weights), np.where(after, weights, 0)
        losses = _held_out_losses(features, targets, inside, outside, curvature, 10 * tolerance, None)
        problems = _problems(features, targets, np.where(own, 0, weights), np.array(STRENGTHS)[losses.argmin(0)])
        learned = minimise(problems, problems.zeros(), tolerance=tolerance, undo=_undo(curvature, problems))
        scores = (problems.scores(learned) * own[:, :, None]).sum(1)
        return np.asarray(head.classes_[_best(scores)])


def _held_out_losses(
    features: _Dense | _Sparse,
    targets: Array,
    inside: Array,
    outside: Array,
    curvature: Curvature | None,
    tolerance: float,
    on_step: Callable[[int, int], None] | None,
) -> Array:
    """By strength and problem, from strong to weak until the sum has got better, then worse twice. Shape (tried, F)."""
    losses: list[Array] = []
    parameters: Array | None = None
    for i, C in enumerate(STRENGTHS):
        problems = _problems(features, targets, inside, C)
        start = problems.zeros() if parameters is None else parameters
        parameters = minimise(problems, start, tolerance=tolerance, undo=_undo(curvature, problems))
        losses.append(problems.losses(problems.scores(parameters), outside))
        if on_step is not None:
            on_step(i + 1, len(STRENGTHS))
        sums = [float(loss.sum()) for loss in losses]
        if np.argmin(sums) > 0 and sums[-1] > sums[-2] > sums[-3]:
            break
    return np.array(losses)


def _problems(features: _Dense | _Sparse, targets: Array, weights: Array, C: float | Array) -> Problems:
    return Problems(features, targets, weights / weights.sum(0), 1 / (C * weights.sum(0)))


def _undo(curvature: Curvature | None, problems: Problems) -> Inverse | None:
    return None if curvature is None else curvature.undo(float(np.exp(np.log(problems.penalty).mean())))


def _best(scores: Array) -> NDArray[np.integer]:
    return np.asarray((scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(1))


def _targets(numbers: NDArray[np.integer], n_classes: int) -> Array:
    if n_classes == 2:
        return numbers[:, None].astype(np.float64)
    return np.asarray(np.eye(n_classes)[numbers])


def _features(X: NDArray[np.floating] | Products, *, standardize: bool) -> _Dense | _Sparse:
    if not np.isfinite(X if isinstance(X, np.ndarray) else X.data).all():
        raise InputError("the features hold NaN or infinite numbers; leave out or mend those rows.")
    if isinstance(X, np.ndarray):
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

    def curvature(self, n_columns: int) -> Curvature | None:
        """What `minimise` needs for few steps; None where it would cost more than it saves.

        The cost is X'X and a dozen inverses; what it saves are some hundred products with `n_columns` columns
        (folds times classes), bound by reading the features. The numbers are of one measurement on one core.
        """
        n, d = self.shape
        if d > _WIDEST_CURVATURE or n * d + 14 * d * d > n * (24_000 + 6_000 * n_columns):
            return None
        products = np.zeros((d + 1, d + 1), dtype=np.float32)
        for start in range(0, n, _BLOCK):
            block = np.ones((min(_BLOCK, n - start), d + 1), dtype=np.float32)
            block[:, :-1] = (self.X[start : start + _BLOCK] - self.mean) / self.scale
            products += block.T @ block / n
        return Curvature(products)

    def in_own_scale(self, parameters: Array) -> tuple[Array, Array]:
        scaled = parameters[:-1] / self.scale[:, None]
        return scaled.T, parameters[-1] - self.mean @ scaled


class _Sparse:
    """Features that offer products only, as they are."""

    def __init__(self, X: Products) -> None:
        self.X = X
        self.shape = X.shape

    def times(self, weights: Array) -> Array:
        return np.asarray(self.X @ weights)

    def transposed_times(self, values: Array) -> Array:
        return np.asarray(self.X.transposed_product(values))

    def curvature(self, n_columns: int) -> None:
        """None: the products of all pairs of terms would not fit into memory."""

    def in_own_scale(self, parameters: Array) -> tuple[Array, Array]:
        return parameters[:-1].T, parameters[-1]
