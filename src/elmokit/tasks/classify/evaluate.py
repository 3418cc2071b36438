"""Evaluate a classifier on held-out rows beside TF-IDF baselines, then fit it on all rows.

All scores come from classifiers that did not see the rows they are evaluated on; texts are encoded once. The baselines
are TF-IDF of words and of characters with logistic regression of scikit-learn's default strength.
"""

import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from elmokit.errors import ConfigError, InputError
from elmokit.progress import Advance, progress_bar
from elmokit.tasks.checks import text_list
from elmokit.tasks.classify.classifier import BaseTextClassifier
from elmokit.tasks.classify.features import EncodeOnce, tfidf
from elmokit.tasks.classify.report import (
    ClassifierReport,
    Figures,
    ReportEntry,
    Scores,
    calibration_bins,
    calibration_error,
    label_matrix,
    main_f1,
    precision_recall,
)
from elmokit.tasks.vectorizer import open_encoder

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
    learning_curve: bool = False,
) -> ClassifierReport:
    """Evaluate a classifier on held-out rows, then fit it on all rows, with the strength of the held-out split.

    Args:
        classifier, texts, labels: what to evaluate, and n rows as for its `fit`.
        test_size: share held out.
        seed: of the split (`train_test_split`) and of the folds.
        n_folds: folds of a cross-validation over all rows, stratified by class; 0 for none.
        baselines: whether TF-IDF is evaluated beside it.
        learning_curve: whether to fit on a tenth, a quarter and half of the training rows, too.

    InputError for a missing text or label, or fewer than two classes in the training rows; ConfigError for a split or
    folds that leave nothing to learn from, or a wrong setting.
    """
    classifier.check()
    texts = text_list(texts)
    labels = classifier.check_labels(labels, len(texts))
    trial = _Trial(classifier, texts, labels, split_rows(len(texts), test_size, seed), n_folds, seed)
    elmo = open_encoder(classifier.elmo)
    once = EncodeOnce(elmo)
    counted, others, skipped = ("words", "characters") if baselines else (), list[ReportEntry](), list[str]()
    n_steps = (1 + n_folds) * (1 + len(counted)) + 1
    with progress_bar("evaluating", total=n_steps, show=classifier.show_progress) as advance:
        own = clone(classifier).set_params(elmo=once)
        ours, held_out = trial.run("elmokit", own, advance)
        curve = trial.learning_curve(own, ours) if learning_curve else ()
        for what in counted:
            try:
                others.append(trial.run(f"TF-IDF of {what}", baseline(classifier, what, elmo), advance)[0])
            except ValueError as error:  # texts of single characters have no words for scikit-learn to count
                if "empty vocabulary" not in str(error) and "no terms" not in str(error):
                    raise
                skipped.append(f"TF-IDF of {what}: the texts have no {what} to count")
        given, classifier.elmo = classifier.elmo, once
        try:
            classifier.fit_checked(texts, labels, C=ours.C)
        finally:
            classifier.elmo = given
        features, classifier.elmo_ = classifier.pipeline_["features"], elmo
        features.set_params(**{name: elmo for name, value in features.get_params().items() if value is once})
        advance(1)
    bins, mistakes = ((), ()) if classifier.several else trial.confidence(held_out)
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
        entries=(ours, *others),
        mistakes=mistakes,
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
    settings: dict[str, Any] = {"elmo": elmo, "cleaning": (), "C": 1.0, "features": tfidf(analyzer), **single}
    made: BaseTextClassifier = clone(classifier).set_params(**settings)
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
        self.classes = tuple(sorted({*chain.from_iterable(labels)} if several else {*labels}))
        if not several and len(learned := {labels[i] for i in self.train}) < 2:
            raise InputError(
                f"the {len(self.train)} training rows of {len(labels)} are all {learned.pop()!r}; it takes two classes"
                " to learn from. Give more rows of another, or another seed."
            )
        two = len(self.classes) == 2 and not several
        self.positive = (self.classes[1] if classifier.positive is None else classifier.positive) if two else None
        numbers = np.zeros(len(labels), int) if several else np.array([self.classes.index(label) for label in labels])
        self.folds = []
        if n_folds:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The least populated class")
                try:
                    cv = (KFold if several else StratifiedKFold)(n_folds, shuffle=True, random_state=seed)
                    self.folds = list(cv.split(texts, numbers))
                except ValueError as error:
                    raise ConfigError(f"{n_folds} folds: {error}") from None

    def run(self, name: str, estimator: BaseTextClassifier, advance: Advance) -> tuple[ReportEntry, _HeldOut]:
        """Evaluate a classifier on the held-out rows and in the folds."""
        start = time.perf_counter()
        held_out = self.predict(estimator, self.train, self.test)
        seconds = time.perf_counter() - start
        advance(1)
        figures = []
        for train, test in self.folds:
            s = self.predict(estimator, train, test).scores
            figures.append((main_f1(s, self.positive), s.weighted_f1, s.accuracy))
            advance(1)
        spreads = [
            {"mean": round(float(np.mean(x)), 12), "sd": float(np.std(x, ddof=1))} for x in np.transpose(figures)
        ]
        names = ("f1", "weighted_f1", "accuracy")
        folds = {"n_folds": len(figures), **dict(zip(names, spreads, strict=True))} if figures else None
        return ReportEntry(name=name, held_out=held_out.scores, folds=folds, C=held_out.C, seconds=seconds), held_out

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

    def learning_curve(self, estimator: BaseTextClassifier, whole: ReportEntry) -> tuple[Figures, ...]:
        """F1 after fitting on growing parts of the training rows; parts of one class are left out."""
        points = [(len(self.train), whole.held_out)]
        for share in reversed(_SHARES):
            rows = self.train[: int(share * len(self.train))]
            labels = {self.labels[i] for i in rows}
            if len(labels) > 1 or (self.several and labels - {()}):
                points.insert(0, (len(rows), self.predict(estimator, rows, self.test, C=whole.C).scores))
        return tuple({"n_rows": n, "f1": main_f1(scores, self.positive)} for n, scores in points)

    def curves(self, held_out: _HeldOut) -> tuple[Figures, ...]:
        """Curves of the classes that were learned and are among the held-out rows; of two classes the positive one."""
        truth = label_matrix([self.labels[i] if self.several else (self.labels[i],) for i in self.test], self.classes)
        return tuple(
            precision_recall(str(label), truth[:, k], held_out.probabilities[:, k])
            for k, label in enumerate(self.classes)
            if k in held_out.learned and truth[:, k].any() and self.positive in (None, label)
        )

    def confidence(self, held_out: _HeldOut) -> tuple[tuple[Figures, ...], tuple[Figures, ...]]:
        """How often predictions of some confidence are right, and the most confident mistakes."""
        confidence, truth = held_out.probabilities.max(1), [self.labels[i] for i in self.test]
        right = np.array([label == decided for label, decided in zip(truth, held_out.predicted, strict=True)])
        wrong = sorted(np.flatnonzero(~right).tolist(), key=lambda i: -confidence[i])[:_N_MISTAKES]
        mistakes = (
            {
                "row": int(self.test[i]),
                "text": self.texts[self.test[i]],
                "label": truth[i],
                "predicted": held_out.predicted[i],
                "probability": float(confidence[i]),
            }
            for i in wrong
        )
        return calibration_bins(confidence, right), tuple(mistakes)
