"""Logistic regression whose strength is chosen by cross-validation, for one label or several per text."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer

N_FOLDS = 5
_MANY_ROWS, _FOLDS_OF_MANY = 2000, 3
"""From so many rows on, three folds compare strengths as well as five, in 60 % of the time."""
_SEARCH_TOLERANCE = 1e-3
"""Of the fits that compare strengths: ten times the default chooses the same strength in a fifth of the time."""
STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-1, 6))
"""Candidates for C for rows of about unit length. Standardised vectors are sqrt(d) long: their C is d times smaller."""
_CERTAIN = 15.0  # log-odds of a label that all training rows have, or none


def fit_logistic(
    X: Any, y: NDArray[np.integer], *, C: float | None, class_weight: Any, seed: int, joined: bool = False
) -> LogisticRegression:
    """Fit logistic regression of standardised features (n, d) for one class number per row.

    C None chooses one of `STRENGTHS` by log loss in stratified folds; the result's parameter `C` is the value used.
    `joined` rows, of vectors beside TF-IDF, are sparse and of about unit length.
    """
    n_folds = min(_FOLDS_OF_MANY if len(y) >= _MANY_ROWS else N_FOLDS, int(np.bincount(y).min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if C is None and n_folds > 1:
            folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
            candidates = [C if joined else C / X.shape[1] for C in STRENGTHS]
            C = _choose_strength(X, y, list(folds.split(X, y)), candidates, class_weight)
        return LogisticRegression(C=1.0 if C is None else C, class_weight=class_weight, max_iter=1000).fit(X, y)


def _choose_strength(X: Any, y: NDArray[Any], folds: list[Any], candidates: list[float], class_weight: Any) -> float:
    """The candidate with the least log loss, from the strongest penalty up to the first that makes the loss worse.

    Each fit starts from the coefficients of the one before; the fits that are left out are the slow ones, and the loss
    has one minimum along the path but for noise.
    """
    options = {"class_weight": class_weight, "max_iter": 1000, "tol": _SEARCH_TOLERANCE, "warm_start": True}
    models, best, least = [LogisticRegression(**options) for _ in folds], candidates[0], np.inf
    labels = np.unique(y)
    for C in candidates:
        losses = []
        for model, (train, test) in zip(models, folds, strict=True):
            probabilities = model.set_params(C=C).fit(X[train], y[train]).predict_proba(X[test])
            losses.append(log_loss(y[test], probabilities, labels=labels))
        if np.mean(losses) > least:
            break
        best, least = C, float(np.mean(losses))
    return best


def fit_one_vs_rest(
    X: Any, Y: NDArray[np.integer], *, C: list[float | None], class_weight: Any, seed: int
) -> OneVsRestClassifier:
    """Fit one logistic regression per label of a matrix (n, K); a label that all rows have, or none, is always so."""
    heads = []
    for own, y in zip(C, Y.T, strict=True):
        if y.min() == y.max():
            certain = np.array([_CERTAIN if y[0] else -_CERTAIN])
            heads.append(linear(np.zeros((1, X.shape[1])), certain, 2, STRENGTHS[0] / X.shape[1]))
        else:
            heads.append(fit_logistic(X, y, C=own, class_weight=class_weight, seed=seed))
    return one_vs_rest(heads)


def one_vs_rest(heads: list[LogisticRegression]) -> OneVsRestClassifier:
    """Put fitted classifiers of one label each together."""
    K = len(heads)
    model = OneVsRestClassifier(heads[0])
    model.estimators_ = heads
    model.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(np.ones((2, K), int) if K > 1 else [[0, 1], [1, 0]])
    return model


def linear(coef: NDArray[Any], intercept: NDArray[Any], n_classes: int, C: float) -> LogisticRegression:
    """A logistic regression with these coefficients, as if it was fitted."""
    head = LogisticRegression(C=C)
    head.coef_, head.intercept_, head.classes_ = coef, intercept, np.arange(n_classes)
    head.n_features_in_ = coef.shape[1]
    return head
