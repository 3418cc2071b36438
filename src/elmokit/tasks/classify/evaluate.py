"""Evaluate a classifier on held-out rows beside TF-IDF baselines, then fit it on all rows.

All scores come from classifiers that did not see the rows they are evaluated on; texts are encoded once. The baselines
are TF-IDF of words and of characters with logistic regression of scikit-learn's default strength.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError, InputError
from elmokit.progress import progress_bar
from elmokit.tasks.checks import text_list
from elmokit.tasks.classify.classifier import BaseTextClassifier
from elmokit.tasks.classify.features import EncodeOnce, tfidf
from elmokit.tasks.classify.heads import attach, encode_ahead
from elmokit.tasks.classify.report import (
    ClassifierReport,
    Folds,
    LearningPoint,
    Mistake,
    ReportEntry,
    Spread,
    main_f1,
)
from elmokit.tasks.classify.scores import (
    PrecisionRecall,
    Scores,
    calibration_bins,
    calibration_error,
    label_matrix,
    precision_recall,
    score,
)

Rows = NDArray[np.integer]
_N_MISTAKES = 10
_SHARES = (0.1, 0.25, 0.5)
"""Of the training rows, in the learning curve."""


def fit_and_report(
    classifier: BaseTextClassifier,
    texts: Iterable[str],
    labels: Iterable[Any],
    *,
    test_size: float = 0.2,
    seed: int = 42,
    n_folds: int = 0,
    baselines: bool = True,
    beside: Mapping[str, BaseTextClassifier] | None = None,
    learning_curve: bool = False,
) -> ClassifierReport:
    """Evaluate a classifier on held-out rows, then fit it on all rows.

    Args:
        classifier: what to evaluate; afterwards it is fitted on all rows, with the strength of the held-out split.
        texts: n texts.
        labels: their classes; for a `MultiLabelClassifier` the labels of each.
        test_size: share held out.
        seed: of the split (`train_test_split`) and of the folds.
        n_folds: folds of a cross-validation over all rows, stratified by class; 0 for none.
        baselines: whether TF-IDF is evaluated beside it.
        beside: other classifiers to evaluate on the same rows, by name; they stay unfitted.
        learning_curve: whether to fit on a tenth, a quarter and half of the training rows, too.

    Raises:
        InputError: a missing text or label, fewer than two classes in the training rows.
        ConfigError: a split or folds that leave nothing to learn from, or a wrong setting.
    """
    classifier.check()
    texts = text_list(texts)
    labels = classifier._check_labels(labels, len(texts))
    trial = _Trial(classifier, texts, labels, split_rows(len(texts), test_size, seed), n_folds, seed)
    elmo: Any = Elmo.load(classifier.elmo) if isinstance(classifier.elmo, str | Path) else classifier.elmo
    once, others = EncodeOnce(elmo), dict(beside or {})
    n_steps = (1 + n_folds) * (1 + len(others) + 2 * baselines) + 1
    with progress_bar("evaluating", total=n_steps, show=classifier.show_progress) as advance:
        ours, held_out = trial.run("elmokit", clone(classifier).set_params(elmo=once), advance)
        curve = trial.learning_curve(clone(classifier).set_params(elmo=once), ours) if learning_curve else ()
        entries = [ours]
        for name, other in others.items():
            entries.append(trial.run(name, clone(other).set_params(elmo=EncodeOnce(elmo)), advance)[0])
        skipped = trial.run_baselines(classifier, entries, advance) if baselines else ()
        given, classifier.elmo = classifier.elmo, once
        try:
            classifier.fit_checked(texts, labels, C=ours.C)
        finally:
            classifier.elmo = given
        attach(classifier, elmo)
        advance(1)
    bins = () if classifier.several else calibration_bins(held_out.probabilities.max(1), trial.right(held_out))
    return ClassifierReport(
        model=elmo.name,
        encoding=classifier.encoding.to_dict(),
        cleaning=tuple(classifier.cleaning),
        classes=trial.classes,
        several=classifier.several,
        positive=trial.positive,
        n_train=len(trial.train),
        n_test=len(trial.test),
        test_size=test_size,
        seed=seed,
        entries=tuple(entries),
        mistakes=() if classifier.several else trial.mistakes(held_out),
        calibration_error=calibration_error(bins) if bins else None,
        calibration=bins,
        precision_recall=trial.curves(held_out),
        learning_curve=curve,
        skipped=tuple(skipped),
    )


def split_rows(n_rows: int, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Numbers of the training and the held-out rows by `train_test_split`; a ConfigError if one part is empty.

    Example:
        >>> split_rows(10, 0.2, 42)[1].tolist()
        [8, 1]
    """
    try:
        train, test = train_test_split(np.arange(n_rows), test_size=float(test_size), random_state=seed)
    except ValueError:
        raise ConfigError(
            f"test_size is {test_size}: it must leave rows on both sides, of the {n_rows} there are."
        ) from None
    return train, test


def baseline(analyzer: Any, head: Any, *, several: bool) -> Any:
    """An unfitted pipeline of TF-IDF ("words" or "characters") and a classifier, one versus rest for several labels."""
    return make_pipeline(tfidf(analyzer), OneVsRestClassifier(head) if several else head)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Predictions for n held-out rows: class numbers (n,) or labels (n, K), probabilities (n, K), classes learned."""

    predicted: NDArray[Any]
    probabilities: NDArray[np.float64]
    learned: Sequence[int]
    C: Any


class _Trial:
    """The rows on which all classifiers are evaluated; classes by number, or as a matrix of labels."""

    def __init__(
        self,
        classifier: BaseTextClassifier,
        texts: list[str],
        labels: Sequence[Any],
        rows: tuple[Rows, Rows],
        n_folds: int,
        seed: int,
    ) -> None:
        self.texts, self.labels, (self.train, self.test) = texts, labels, rows
        self.several, self.threshold = classifier.several, classifier.threshold
        self.classes = tuple(sorted({label for row in labels for label in row} if self.several else set(labels)))
        if self.several:
            self.y = label_matrix(labels, self.classes).astype(int)
        else:
            self._check_classes()
            self.y = np.array([self.classes.index(label) for label in labels])
        self.positive = None
        if len(self.classes) == 2 and not self.several:
            self.positive = self.classes[1] if classifier.positive is None else classifier.positive
        most = len(texts) if self.several else int(np.bincount(self.y).max())
        if n_folds and not 2 <= n_folds <= most:
            raise ConfigError(f"{n_folds} folds: expected at least 2, and at most the rows of the largest class.")
        cv = (KFold if self.several else StratifiedKFold)(max(n_folds, 2), shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            self.folds = list(cv.split(texts, self.y)) if n_folds else []

    def _check_classes(self) -> None:
        if len(self.classes) < 2:
            raise InputError(
                f"all {len(self.labels)} labels are {self.classes[0]!r}; it takes two classes to learn from."
            )
        learned = {self.labels[i] for i in self.train}
        if len(learned) < 2:
            raise InputError(
                f"the {len(self.train)} training rows are all {learned.pop()!r}: of {len(self.labels)} rows, too few"
                " have another label. Give more rows of it, or another seed."
            )

    def run(self, name: str, estimator: Any, advance: Callable[[int], object]) -> tuple[ReportEntry, _HeldOut]:
        """Evaluate an estimator on the held-out rows and in the folds."""
        start = time.perf_counter()
        if isinstance(estimator, BaseTextClassifier):
            encode_ahead(estimator, self.texts)
        held_out = self.predict(estimator, self.train, self.test)
        seconds = time.perf_counter() - start
        advance(1)
        per_fold = []
        for train, test in self.folds:
            per_fold.append(self._score(self.predict(estimator, train, test), test))
            advance(1)
        folds = None
        if per_fold:
            folds = Folds(
                n_folds=len(per_fold),
                f1=Spread.of([main_f1(s, self.positive) for s in per_fold]),
                weighted_f1=Spread.of([s.weighted_f1 for s in per_fold]),
                accuracy=Spread.of([s.accuracy for s in per_fold]),
            )
        scores = self._score(held_out, self.test)
        return ReportEntry(name=name, held_out=scores, folds=folds, C=held_out.C, seconds=seconds), held_out

    def run_baselines(
        self, classifier: BaseTextClassifier, entries: list[ReportEntry], advance: Callable[[int], object]
    ) -> list[str]:
        """Add TF-IDF of words and of characters to the entries; return which could not be fitted, and why."""
        skipped = []
        for analyzer in ("words", "characters"):
            name = f"TF-IDF of {analyzer}"
            weights = classifier.class_weight
            if isinstance(weights, Mapping):
                weights = {self.classes.index(label): weight for label, weight in weights.items()}
            head = LogisticRegression(class_weight=weights, max_iter=1000)
            try:
                entries.append(self.run(name, baseline(analyzer, head, several=self.several), advance)[0])
            except ValueError as error:
                # texts of single characters have no words for scikit-learn to count
                if "empty vocabulary" not in str(error) and "no terms" not in str(error).lower():
                    raise
                skipped.append(f"{name}: the texts have no {analyzer} to count")
        return skipped

    def predict(self, estimator: Any, train: Rows, test: Rows, *, C: Any = None) -> _HeldOut:
        """Fit a copy on some rows and predict others."""
        fitted, known, others = clone(estimator), [self.texts[i] for i in train], [self.texts[i] for i in test]
        K = len(self.classes)
        if isinstance(fitted, BaseTextClassifier):
            fitted.fit_checked(known, [self.labels[i] for i in train], C=C)
            learned, strength = [self.classes.index(label) for label in fitted.classes_.tolist()], fitted.C_
            shares = fitted.predict_proba(others)
            chosen = fitted.choose(shares)
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
                shares = fitted.fit(known, self.y[train]).predict_proba(others)[:, -K:]
            learned = list(range(K)) if self.several else fitted.classes_.tolist()
            strength = getattr(fitted[-1], "C", None)
            chosen = shares >= self.threshold if self.several else shares.argmax(1)
        probabilities = np.zeros((len(test), K))  # classes without training rows stay at 0
        probabilities[:, learned] = shares
        if self.several:
            predicted = np.zeros((len(test), K), np.bool_)
            predicted[:, learned] = chosen
        else:
            predicted = np.array(learned)[chosen]
        return _HeldOut(predicted, probabilities, learned, strength)

    def learning_curve(self, estimator: BaseTextClassifier, whole: ReportEntry) -> tuple[LearningPoint, ...]:
        """F1 after fitting on growing parts of the training rows; parts of one class are left out."""
        points = []
        for share in _SHARES:
            rows = self.train[: int(share * len(self.train))]
            if self.y[rows].any() and (self.several or len(np.unique(self.y[rows])) > 1):
                scores = self._score(self.predict(estimator, rows, self.test, C=whole.C), self.test)
                points.append(LearningPoint(n_rows=len(rows), f1=main_f1(scores, self.positive)))
        return (*points, LearningPoint(n_rows=len(self.train), f1=main_f1(whole.held_out, self.positive)))

    def curves(self, held_out: _HeldOut) -> tuple[PrecisionRecall, ...]:
        """Curves of the classes that were learned and are among the held-out rows; of two classes the positive one."""
        y, curves = self.y[self.test], []
        for k, label in enumerate(self.classes):
            truth = y[:, k] if self.several else y == k
            if k in held_out.learned and truth.any() and self.positive in (None, label):
                curves.append(precision_recall(str(label), truth, held_out.probabilities[:, k]))
        return tuple(curves)

    def right(self, held_out: _HeldOut) -> NDArray[np.bool_]:
        """Which held-out rows got their class."""
        return np.asarray(held_out.predicted == self.y[self.test])

    def mistakes(self, held_out: _HeldOut) -> tuple[Mistake, ...]:
        """The most confident mistakes."""
        confidence = held_out.probabilities.max(1)
        wrong = sorted(np.flatnonzero(~self.right(held_out)).tolist(), key=lambda i: -confidence[i])
        return tuple(
            Mistake(
                row=int(self.test[i]),
                text=self.texts[self.test[i]],
                label=self.labels[self.test[i]],
                predicted=self.classes[held_out.predicted[i]],
                probability=float(confidence[i]),
            )
            for i in wrong[:_N_MISTAKES]
        )

    def _score(self, held_out: _HeldOut, rows: Rows) -> Scores:
        if self.several:
            return score(self.y[rows], held_out.predicted, self.classes)
        return score([self.labels[i] for i in rows], [self.classes[k] for k in held_out.predicted], self.classes)
