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
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError, InputError
from elmokit.progress import progress_bar
from elmokit.tasks.checks import Label, check_labels, text_list
from elmokit.tasks.classify.classifier import TextClassifier
from elmokit.tasks.classify.features import EncodeOnce, tfidf
from elmokit.tasks.classify.heads import attach, encode_ahead
from elmokit.tasks.classify.report import Entry, Folds, LearningPoint, Mistake, Report, Spread
from elmokit.tasks.classify.scores import (
    PrecisionRecall,
    Scores,
    calibration_bins,
    calibration_error,
    precision_recall,
    score,
)

Rows = NDArray[np.integer]
_N_MISTAKES = 10
_SHARES = (0.1, 0.25, 0.5)
"""Of the training rows, in the learning curve."""


def fit_and_report(
    classifier: TextClassifier,
    texts: Iterable[str],
    labels: Iterable[Any],
    *,
    test_size: float = 0.2,
    seed: int = 42,
    n_folds: int = 0,
    baselines: bool = True,
    beside: Mapping[str, TextClassifier] | None = None,
    learning_curve: bool = False,
) -> Report:
    """Evaluate a classifier on held-out rows, then fit it on all rows.

    Args:
        classifier: what to evaluate; afterwards it is fitted on all rows, with the strength of the held-out split.
        texts: n texts.
        labels: their classes.
        test_size: share held out.
        seed: of the split (`train_test_split`) and of the folds (`StratifiedKFold`).
        n_folds: folds of a cross-validation over all rows; 0 for none.
        baselines: whether TF-IDF is evaluated beside it.
        beside: other classifiers to evaluate on the same rows, by name; they stay unfitted.
        learning_curve: whether to fit on a tenth, a quarter and half of the training rows, too.

    Returns:
        the report.

    Raises:
        InputError: a missing text or label, fewer than two classes in the training rows.
        ConfigError: a split or folds that leave nothing to learn from, or a wrong setting.
    """
    classifier.check()
    texts = text_list(texts)
    labels = check_labels(labels, n_texts=len(texts))
    elmo: Any = Elmo.load(classifier.elmo) if isinstance(classifier.elmo, str | Path) else classifier.elmo
    once = EncodeOnce(elmo)
    trial = _Trial(texts, labels, classifier.positive, *split_rows(len(texts), test_size, seed), n_folds, seed)
    others = dict(beside or {})
    n_steps = (1 + n_folds) * (1 + len(others) + 2 * baselines) + 1
    with progress_bar("evaluating", total=n_steps, show=classifier.show_progress) as advance:
        ours, held_out = trial.run("elmokit", _with_model(classifier, once), advance)
        curve = trial.learning_curve(_with_model(classifier, once), ours) if learning_curve else ()
        entries = [ours, *(trial.run(name, _with_model(c, EncodeOnce(elmo)), advance)[0] for name, c in others.items())]
        judged, skipped = run_baselines(lambda name, one: trial.run(name, one, advance)[0], classifier, baselines)
        fit_on_all(classifier, once, texts, labels, ours.C)
        advance(1)
    bins = calibration_bins(held_out.probabilities.max(1), held_out.right)
    return Report(
        model=elmo.name,
        encoding=classifier.encoding.to_dict(),
        cleaning=tuple(classifier.cleaning),
        classes=trial.classes,
        positive=trial.positive,
        n_train=len(trial.train),
        n_test=len(trial.test),
        test_size=test_size,
        seed=seed,
        entries=(*entries, *judged),
        calibration_error=calibration_error(bins),
        mistakes=trial.mistakes(held_out),
        calibration=bins,
        precision_recall=trial.curves(held_out),
        learning_curve=curve,
        skipped=skipped,
    )


def split_rows(n_rows: int, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows into training and held-out ones, at random.

    Args:
        n_rows: number of rows.
        test_size: share held out, between 0 and 1.
        seed: of the split.

    Returns:
        row numbers of both parts, as `train_test_split` gives them.

    Raises:
        ConfigError: a share that leaves one of the parts empty.

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


def run_baselines(
    run: Callable[[str, Any], Any], classifier: TextClassifier, wanted: bool
) -> tuple[list[Any], tuple[str, ...]]:
    """Evaluate TF-IDF of words and of characters.

    Args:
        run: evaluates an estimator of a name.
        classifier: whose class weights they take.
        wanted: false for none.

    Returns:
        what `run` returned for each, and those that could not be fitted: texts of single characters have no words
        for scikit-learn to count.
    """
    judged, skipped = [], []
    for analyzer in ("words", "characters") if wanted else ():
        name = f"TF-IDF of {analyzer}"
        head = LogisticRegression(class_weight=classifier.class_weight, max_iter=1000)
        try:
            judged.append(run(name, baseline(analyzer, head, several=classifier.several)))
        except ValueError as error:
            if "empty vocabulary" not in str(error) and "no terms" not in str(error).lower():
                raise
            skipped.append(f"{name}: the texts have no {analyzer} to count")
    return judged, tuple(skipped)


def baseline(analyzer: Any, head: Any, *, several: bool) -> Any:
    """TF-IDF and logistic regression as a scikit-learn pipeline.

    Args:
        analyzer: "words" or "characters".
        head: the classifier.
        several: whether texts may have several labels.

    Returns:
        an unfitted pipeline.
    """
    return make_pipeline(tfidf(analyzer), OneVsRestClassifier(head) if several else head)


def fit_on_all(classifier: TextClassifier, once: EncodeOnce, texts: list[str], labels: list[Any], C: Any) -> None:
    """Fit a classifier on all rows, with the vectors that are there.

    Args:
        classifier: what to fit.
        once: remembers the vectors.
        texts: all texts.
        labels: all labels.
        C: strength; None for heads without.
    """
    given, classifier.elmo = classifier.elmo, once
    try:
        classifier.fit_checked(texts, labels, C=C)
    finally:
        classifier.elmo = given
    attach(classifier, once.elmo)


def _with_model(classifier: TextClassifier, elmo: EncodeOnce) -> TextClassifier:
    copy: TextClassifier = clone(classifier)
    return copy.set_params(elmo=elmo)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Predictions for held-out rows."""

    predicted: list[Label]
    probabilities: NDArray[np.float64]
    right: NDArray[np.bool_]
    classes: list[Label]
    C: float | None


class _Trial:
    """The rows on which all classifiers are evaluated."""

    def __init__(
        self,
        texts: list[str],
        labels: list[Label],
        positive: Label | None,
        train: Rows,
        test: Rows,
        n_folds: int,
        seed: int,
    ) -> None:
        self.texts, self.labels, self.train, self.test = texts, labels, train, test
        self.classes = tuple(sorted(set(labels)))
        self._check_classes()
        self.positive = (positive if positive is not None else self.classes[1]) if len(self.classes) == 2 else None
        counts = max(labels.count(label) for label in self.classes)
        if n_folds and not 2 <= n_folds <= counts:
            raise ConfigError(f"{n_folds} folds: expected at least 2, and at most the rows of the largest class.")
        cv = StratifiedKFold(n_folds, shuffle=True, random_state=seed) if n_folds else None
        self.folds = [] if cv is None else _split(cv, np.array([self.classes.index(label) for label in labels]))

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

    def run(self, name: str, estimator: Any, advance: Callable[[int], object]) -> tuple[Entry, _HeldOut]:
        """Evaluate an estimator on the held-out rows and in the folds."""
        start = time.perf_counter()
        held_out = self.predict(estimator, self.train, self.test, first=True)
        seconds = time.perf_counter() - start
        scores = self._score(held_out, self.test)
        advance(1)
        per_fold = []
        for train, test in self.folds:
            per_fold.append(self._score(self.predict(estimator, train, test), test))
            advance(1)
        folds = self._spread(per_fold) if per_fold else None
        return Entry(name=name, held_out=scores, folds=folds, C=held_out.C, seconds=seconds), held_out

    def predict(self, estimator: Any, train: Rows, test: Rows, *, C: Any = None, first: bool = False) -> _HeldOut:
        """Fit a copy on some rows and predict others."""
        fitted, texts = clone(estimator), [self.texts[i] for i in train]
        labels, others = [self.labels[i] for i in train], [self.texts[i] for i in test]
        ours = isinstance(fitted, TextClassifier)
        if ours and first:
            encode_ahead(fitted, self.texts)
        fitted = fitted.fit_checked(texts, labels, C=C) if ours else fitted.fit(texts, labels)
        probabilities, classes = fitted.predict_proba(others), fitted.classes_
        predicted = (fitted.decide(probabilities) if ours else classes[probabilities.argmax(1)]).tolist()
        right = np.array([self.labels[i] == said for i, said in zip(test, predicted, strict=True)])
        strength = fitted.C_ if ours else fitted[-1].C
        return _HeldOut(predicted, probabilities, right, classes.tolist(), strength)

    def learning_curve(self, estimator: TextClassifier, whole: Entry) -> tuple[LearningPoint, ...]:
        """F1 after fitting on growing parts of the training rows; parts of one class are left out."""
        points = []
        for share in _SHARES:
            rows = self.train[: int(share * len(self.train))]
            if len({self.labels[i] for i in rows}) > 1:
                scores = self._score(self.predict(estimator, rows, self.test, C=whole.C), self.test)
                points.append(LearningPoint(n_rows=len(rows), f1=self._f1(scores)))
        return (*points, LearningPoint(n_rows=len(self.train), f1=self._f1(whole.held_out)))

    def curves(self, held_out: _HeldOut) -> tuple[PrecisionRecall, ...]:
        """Curves of the classes that are both known to the classifier and among the held-out rows."""
        truth = [self.labels[i] for i in self.test]
        wanted = self.classes if self.positive is None else (self.positive,)
        return tuple(
            precision_recall(
                str(label), [t == label for t in truth], held_out.probabilities[:, held_out.classes.index(label)]
            )
            for label in wanted
            if label in held_out.classes and label in truth
        )

    def mistakes(self, held_out: _HeldOut) -> tuple[Mistake, ...]:
        """The most confident mistakes."""
        confidence = held_out.probabilities.max(1)
        wrong = sorted(np.flatnonzero(~held_out.right).tolist(), key=lambda i: -confidence[i])
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

    def _f1(self, scores: Scores) -> float:
        return scores.macro_f1 if self.positive is None else scores.f1_of(str(self.positive))

    def _score(self, held_out: _HeldOut, rows: Rows) -> Scores:
        return score([self.labels[i] for i in rows], held_out.predicted, self.classes)

    def _spread(self, scores: Sequence[Scores]) -> Folds:
        return Folds(
            n_folds=len(scores),
            f1=Spread.of([self._f1(s) for s in scores]),
            weighted_f1=Spread.of([s.weighted_f1 for s in scores]),
            accuracy=Spread.of([s.accuracy for s in scores]),
        )


def _split(cv: StratifiedKFold, numbers: Rows) -> list[tuple[Rows, Rows]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(cv.split(np.zeros(len(numbers)), numbers))
