"""Logistic regression whose strength is chosen by cross-validation, for one label or several per text."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier

N_FOLDS = 5
_SEARCH_TOLERANCE = 1e-3
"""Of the fits that compare strengths: ten times the default chooses the same strength in a fifth of the time."""
JOINED_STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-1, 6))
"""Candidates for C for rows of about unit length. Standardised vectors are sqrt(d) long: their C is d times smaller."""


def strengths(width: int, *, joined: bool = False) -> list[float]:
    """Candidates for C, from the strongest penalty to the weakest.

    Args:
        width: number of standardised features.
        joined: whether rows have unit length instead (see `joined_features`).

    Returns:
        seven values.
    """
    return [C if joined else C / width for C in JOINED_STRENGTHS]


def fit_logistic(
    X: Any, y: NDArray[np.integer], *, C: float | None, candidates: list[float], class_weight: Any, seed: int
) -> LogisticRegression:
    """Fit logistic regression for one class per row.

    Args:
        X: features, dense or sparse. Shape (n, d).
        y: class numbers. Shape (n,).
        C: inverse of the penalty; None chooses the candidate with the least log loss in stratified folds.
        candidates: values of C to try.
        class_weight: see scikit-learn.
        seed: of the folds.

    Returns:
        the fitted classifier; its parameter `C` is the value used.
    """
    model = LogisticRegression(C=1.0 if C is None else C, class_weight=class_weight, max_iter=1000)
    n_folds = min(N_FOLDS, int(np.bincount(y).min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if C is None and n_folds > 1:
            folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
            rough = clone(model).set_params(tol=_SEARCH_TOLERANCE)
            search = GridSearchCV(rough, {"C": candidates}, scoring="neg_log_loss", cv=folds, refit=False).fit(X, y)
            model.set_params(**search.best_params_)
        return model.fit(X, y)


def fit_one_vs_rest(
    X: Any, Y: NDArray[np.integer], *, C: float | None, candidates: list[float], class_weight: Any, seed: int
) -> OneVsRestClassifier:
    """Fit one logistic regression per label, all with the same strength.

    Args:
        X: features. Shape (n, d).
        Y: whether each row has each label. Shape (n, K).
        C: inverse of the penalty; None chooses the candidate with the least mean log loss of the labels in folds.
        candidates: values of C to try.
        class_weight: of the two sides of each label.
        seed: of the folds.

    Returns:
        the fitted classifier. A label that all rows have, or none, is predicted for all or none.
    """
    one = LogisticRegression(C=1.0 if C is None else C, class_weight=class_weight, max_iter=1000)
    model = OneVsRestClassifier(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        if C is None and len(Y) >= 2 * N_FOLDS:
            loss = make_scorer(_label_loss, greater_is_better=False, response_method="predict_proba")
            folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
            rough = clone(model).set_params(estimator__tol=_SEARCH_TOLERANCE)
            search = GridSearchCV(rough, {"estimator__C": candidates}, scoring=loss, cv=folds, refit=False).fit(X, Y)
            model.set_params(**search.best_params_)
        return model.fit(X, Y)


def best_threshold(head: Any, X: Any, y: NDArray[np.integer], *, positive: int, seed: int) -> float:
    """The decision threshold with the best F1 of the positive class, by cross-validation.

    Args:
        head: a fitted classifier of two classes; it is cloned.
        X: features. Shape (n, d).
        y: class numbers, 0 or 1. Shape (n,).
        positive: number of the positive class.
        seed: of the folds.

    Returns:
        a probability; 0.5 if a class has fewer than two rows.
    """
    n_folds = min(N_FOLDS, int(np.bincount(y, minlength=2).min()))
    if n_folds < 2:
        return 0.5
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    tuned = TunedThresholdClassifierCV(
        head, scoring=make_scorer(f1_score, pos_label=positive), response_method="predict_proba", cv=folds, refit=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(np.clip(tuned.fit(X, y).best_threshold_, 1e-9, 1 - 1e-9))


def _label_loss(Y: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    pairs = zip(Y.T, np.clip(probabilities, 1e-7, 1 - 1e-7).T, strict=True)
    return float(np.mean([log_loss(y, p, labels=[0, 1]) for y, p in pairs]))
