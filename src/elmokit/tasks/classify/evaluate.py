"""Evaluate a classifier on held-out rows beside TF-IDF baselines, then fit it on all rows.

All scores come from classifiers that did not see the rows they are evaluated on; texts are encoded once. The baselines
are TF-IDF of words and of characters with logistic regression of scikit-learn's default strength.
"""

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError, InputError
from elmokit.progress import Advance, progress_bar
from elmokit.tasks.checks import text_list
from elmokit.tasks.classify.classifier import BaseTextClassifier
from elmokit.tasks.classify.features import EncodeOnce, tfidf
from elmokit.tasks.classify.report import (
    ClassifierReport,
    Folds,
    LearningPoint,
    Mistake,
    PrecisionRecall,
    ReportEntry,
    Scores,
    Spread,
    calibration_bins,
    calibration_error,
    label_matrix,
    main_f1,
    precision_recall,
)

Rows = NDArray[np.integer]
_N_MISTAKES = 10
_SHARES = (0.1, 0.25, 0.5)  # of the training rows, in the learning curve


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
    """Evaluate a classifier on held-out rows, then fit it on all rows, with the strength of the held-out split.

    Args:
        classifier, texts, labels: what to evaluate, and n rows as for its `fit`.
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
    labels = classifier.check_labels(labels, len(texts))
    trial = _Trial(classifier, texts, labels, split_rows(len(texts), test_size, seed), n_folds, seed)
    elmo: Any = Elmo.load(classifier.elmo) if isinstance(classifier.elmo, str | Path) else classifier.elmo
    once = EncodeOnce(elmo)
    compared = {name: clone(other).set_params(elmo=EncodeOnce(elmo)) for name, other in (beside or {}).items()}
    if baselines:
        compared |= {f"TF-IDF of {what}": baseline(classifier, what, elmo) for what in ("words", "characters")}
    n_steps = (1 + n_folds) * (1 + len(compared)) + 1
    with progress_bar("evaluating", total=n_steps, show=classifier.show_progress) as advance:
        own = clone(classifier).set_params(elmo=once)
        ours, held_out = trial.run("elmokit", own, advance)
        curve = trial.learning_curve(own, ours) if learning_curve else ()
        others, skipped = trial.run_others(compared, advance)
        given, classifier.elmo = classifier.elmo, once
        try:
            classifier.fit_checked(texts, labels, C=ours.C)
        finally:
            classifier.elmo = given
        classifier.attach(elmo)
        advance(1)
    several, confidence, right = classifier.several, held_out.probabilities.max(1), trial.right(held_out)
    bins = () if several else calibration_bins(confidence, right)
    return ClassifierReport(
        model=elmo.name,
        encoding=classifier.encoding.to_dict(),
        cleaning=tuple(classifier.cleaning),
        classes=trial.classes,
        several=several,
        positive=trial.positive,
        n_train=len(trial.train),
        n_test=len(trial.test),
        test_size=test_size,
        seed=seed,
        entries=(ours, *others),
        mistakes=() if several else trial.mistakes(held_out),
        calibration_error=calibration_error(bins) if bins else None,
        calibration=bins,
        precision_recall=trial.curves(held_out),
        learning_curve=curve,
        skipped=tuple(skipped),
    )


def split_rows(n_rows: int, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Numbers of the training and the held-out rows by `train_test_split`; a ConfigError if one part is empty."""
    try:
        train, test = train_test_split(np.arange(n_rows), test_size=float(test_size), random_state=seed)
    except ValueError:
        raise ConfigError(
            f"test_size is {test_size}: it must leave rows on both sides, of the {n_rows} there are."
        ) from None
    return train, test


def baseline(classifier: BaseTextClassifier, analyzer: Any, elmo: Any = "default") -> BaseTextClassifier:
    """A classifier of the same kind on TF-IDF ("words" or "characters"), with scikit-learn's default strength."""
    single = {} if classifier.several else {"head": "logistic", "join": None, "threshold": 0.5}
    made: BaseTextClassifier = clone(classifier).set_params(elmo=elmo, cleaning=(), C=1.0, **single)
    made.features = tfidf(analyzer)
    return made


class _HeldOut(NamedTuple):
    """Predictions for n held-out rows."""

    scores: Scores
    probabilities: NDArray[np.float64]  # (n, K) of all classes; 0 for those without training rows
    predicted: Sequence[Any]
    learned: Sequence[int]
    C: Any


class _Trial:
    """The rows on which all classifiers are evaluated."""

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
        self.several = several = classifier.several
        self.classes = tuple(sorted({label for row in labels for label in row} if several else set(labels)))
        self.positive = None
        if not several:
            learned = {labels[i] for i in self.train}
            if len(self.classes) < 2:
                raise InputError(
                    f"all {len(labels)} labels are {self.classes[0]!r}; it takes two classes to learn from."
                )
            if len(learned) < 2:
                raise InputError(
                    f"the {len(self.train)} training rows are all {learned.pop()!r}: of {len(labels)} rows, too few"
                    " have another label. Give more rows of it, or another seed."
                )
            if len(self.classes) == 2:
                self.positive = self.classes[1] if classifier.positive is None else classifier.positive
        numbers = np.zeros(len(labels), int) if several else np.array([self.classes.index(label) for label in labels])
        if n_folds and not 2 <= n_folds <= np.bincount(numbers).max():
            raise ConfigError(f"{n_folds} folds: expected at least 2, and at most the rows of the largest class.")
        cv = (KFold if several else StratifiedKFold)(max(n_folds, 2), shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            self.folds = list(cv.split(texts, numbers)) if n_folds else []

    def run(self, name: str, estimator: BaseTextClassifier, advance: Advance) -> tuple[ReportEntry, _HeldOut]:
        """Evaluate a classifier on the held-out rows and in the folds."""
        start = time.perf_counter()
        held_out = self.predict(estimator, self.train, self.test)
        seconds = time.perf_counter() - start
        advance(1)
        of_folds = []
        for train, test in self.folds:
            of_folds.append(self.predict(estimator, train, test).scores)
            advance(1)
        folds = None
        if of_folds:
            f1 = Spread.of([main_f1(s, self.positive) for s in of_folds])
            weighted, accuracy = Spread.of([s.weighted_f1 for s in of_folds]), Spread.of([s.accuracy for s in of_folds])
            folds = Folds(n_folds=len(of_folds), f1=f1, weighted_f1=weighted, accuracy=accuracy)
        return ReportEntry(name=name, held_out=held_out.scores, folds=folds, C=held_out.C, seconds=seconds), held_out

    def run_others(
        self, others: Mapping[str, BaseTextClassifier], advance: Advance
    ) -> tuple[list[ReportEntry], list[str]]:
        """Evaluate others; also tell which could not be fitted, and why."""
        entries, skipped = list[ReportEntry](), list[str]()
        for name, other in others.items():
            try:
                entries.append(self.run(name, other, advance)[0])
            except ValueError as error:  # texts of single characters have no words for scikit-learn to count
                if other.features is None or ("empty vocabulary" not in str(error) and "no terms" not in str(error)):
                    raise
                skipped.append(f"{name}: the texts have no {name.split()[-1]} to count")
        return entries, skipped

    def predict(self, estimator: BaseTextClassifier, train: Rows, test: Rows, *, C: Any = None) -> _HeldOut:
        """Fit a copy on some rows and predict others."""
        fitted: BaseTextClassifier = clone(estimator)
        fitted.fit_checked([self.texts[i] for i in train], [self.labels[i] for i in train], C=C)
        learned = [self.classes.index(label) for label in fitted.classes_.tolist()]
        shares = fitted.predict_proba([self.texts[i] for i in test])
        probabilities = np.zeros((len(test), len(self.classes)))
        probabilities[:, learned] = shares
        scores = fitted.compare([self.labels[i] for i in test], shares, self.classes)
        decided = fitted.decide(shares)
        return _HeldOut(scores, probabilities, decided if self.several else decided.tolist(), learned, fitted.C_)

    def learning_curve(self, estimator: BaseTextClassifier, whole: ReportEntry) -> tuple[LearningPoint, ...]:
        """F1 after fitting on growing parts of the training rows; parts of one class are left out."""
        points = []
        for share in _SHARES:
            rows = self.train[: int(share * len(self.train))]
            labels = {self.labels[i] for i in rows}
            if len(labels) > 1 or (self.several and labels - {()}):
                scores = self.predict(estimator, rows, self.test, C=whole.C).scores
                points.append(LearningPoint(n_rows=len(rows), f1=main_f1(scores, self.positive)))
        return (*points, LearningPoint(n_rows=len(self.train), f1=main_f1(whole.held_out, self.positive)))

    def curves(self, held_out: _HeldOut) -> tuple[PrecisionRecall, ...]:
        """Curves of the classes that were learned and are among the held-out rows; of two classes the positive one."""
        truth = label_matrix([self.labels[i] if self.several else (self.labels[i],) for i in self.test], self.classes)
        return tuple(
            precision_recall(str(label), truth[:, k], held_out.probabilities[:, k])
            for k, label in enumerate(self.classes)
            if k in held_out.learned and truth[:, k].any() and self.positive in (None, label)
        )

    def right(self, held_out: _HeldOut) -> NDArray[np.bool_]:
        """Which held-out rows got their class."""
        return np.array([self.labels[i] == decided for i, decided in zip(self.test, held_out.predicted, strict=True)])

    def mistakes(self, held_out: _HeldOut) -> tuple[Mistake, ...]:
        """The most confident mistakes."""
        confidence = held_out.probabilities.max(1)
        wrong = sorted(np.flatnonzero(~self.right(held_out)).tolist(), key=lambda i: -confidence[i])
        return tuple(
            Mistake(
                row=int(self.test[i]),
                text=self.texts[self.test[i]],
                label=self.labels[self.test[i]],
                predicted=held_out.predicted[i],
                probability=float(confidence[i]),
            )
            for i in wrong[:_N_MISTAKES]
        )
