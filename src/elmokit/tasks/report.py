"""A report that is honest: the same held-out rows, the same folds, and counted words beside our own figures.

The classifier that comes back has learned from all rows; the figures come from others that did not see
the rows they are judged on. The baselines are TF-IDF of words and of characters with the same kind of
head, scikit-learn's default strength and the same class weights.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.tasks.classify import Label, TextClassifier, check_labels, text_list
from elmokit.tasks.curves import CalibrationBin, PrecisionRecall, calibration_bins, precision_recall
from elmokit.tasks.heads import Rows as Features
from elmokit.tasks.joined import Joined
from elmokit.tasks.metrics import Scores, score
from elmokit.tasks.split import held_out_split, stratified_folds
from elmokit.tasks.tfidf import Analyzer
from elmokit.tasks.votes import CountedHead

Rows = NDArray[np.integer]
OnStage = Callable[[str, int, int], None]
_N_MISTAKES = 10
_SHARES = (0.1, 0.25, 0.5)
"""Of the rows to learn from, in the learning curve."""


@dataclass(frozen=True, eq=False)
class _Judgement:
    """What a head that learned from some rows says of others: a class each, probabilities, its strength."""

    predicted: list[Label]
    probabilities: NDArray[np.float64]
    C: float | None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and standard deviation (of a sample) over the folds.

    Example:
        >>> Spread.of([0.7, 0.8, 0.9]).mean
        0.8
    """

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of two values or more."""
        return cls(mean=round(float(np.mean(values)), 12), sd=float(np.std(values, ddof=1)))


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Scores over the folds of a cross-validation.

    Args:
        n_folds: how many.
        f1: of the positive class; of all classes' mean (macro) where there is none.
        weighted_f1: mean of the classes' F1, weighted by their rows.
        accuracy: share of the rows that are right.
    """

    n_folds: int
    f1: Spread
    weighted_f1: Spread
    accuracy: Spread


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One way to classify, and how well it did.

    Args:
        name: for people.
        held_out: scores on the held-out rows.
        folds: scores over the folds, if asked for.
        C: inverse of the strength that was used on the held-out split.
        seconds: that learning and predicting took, encoding included.
    """

    name: str
    held_out: Scores
    folds: Folds | None
    C: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A held-out text that was taken for another class.

    Args:
        row: its place among the texts, from 0.
        text: the text.
        label: its class.
        predicted: the class it was taken for.
        probability: of that class.
    """

    row: int
    text: str
    label: Label
    predicted: Label
    probability: float


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """How well ours does after learning from a part of the rows.

    Args:
        n_rows: learned from; smaller parts are inside larger ones.
        f1: on the held-out rows: of the positive class, else macro.
    """

    n_rows: int
    f1: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a classifier does on rows that it did not see, beside baselines.

    Args:
        model: name of the ELMo model.
        pooling, layers, cleaning: what the features were made with.
        classes: the classes, in the order of the confusion matrices.
        positive: the class whose F1 is reported first, where there are two; else None.
        n_train: rows learned from.
        n_test: rows held out.
        test_size: the share held out.
        seed: of the split and the folds.
        entries: ours first, then what was asked for beside it, then the baselines.
        calibration_error: of our probabilities on the held-out rows: how far on average the probability of the
            predicted class is from the share of such predictions that are right (10 bins of equal width).
        mistakes: our most confident ones on the held-out rows, ten at most.
        calibration: our predictions on the held-out rows by how sure they are.
        precision_recall: precision and recall of the positive class (of every class against the others where there are
            more than two) at each threshold, thinned to a hundred points.
        learning_curve: of ours, if asked for; the strength is the one chosen among all rows to learn from.
    """

    model: str
    pooling: str
    layers: Any
    cleaning: tuple[str, ...]
    classes: tuple[Label, ...]
    positive: Label | None
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[Entry, ...]
    calibration_error: float
    mistakes: tuple[Mistake, ...]
    calibration: tuple[CalibrationBin, ...] = ()
    precision_recall: tuple[PrecisionRecall, ...] = ()
    learning_curve: tuple[LearningPoint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return dataclasses.asdict(self)

    def f1(self, scores: Scores) -> float:
        """The F1 that the report is about: of the positive class, or macro over more than two."""
        return scores.macro_f1 if self.positive is None else scores.f1_of(str(self.positive))


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
    on_stage: OnStage | None = None,
) -> Report:
    """Judge a classifier on held-out rows, then let it learn from all rows.

    Args:
        classifier: what to judge; afterwards it has learned from all rows.
        texts: n texts.
        labels: their classes.
        test_size: the share held out.
        seed: of the split (scikit-learn's `train_test_split`) and of the folds.
        n_folds: folds of a cross-validation over all rows; 0 for none.
        baselines: whether TF-IDF is judged beside it.
        beside: other classifiers to judge on the same rows, by name; they learn nothing.
        learning_curve: whether ours also learns from a tenth, a quarter and half of the rows.
        on_stage: called with (what is being done, steps done, steps in all).

    Returns:
        the report.

    Raises:
        InputError: a missing text or label, fewer than two classes in the rows to learn from.
        ConfigError: a split or folds that leave nothing to learn from.
    """
    tell = on_stage or _silent
    texts = text_list(texts)
    labels = check_labels(labels, n_texts=len(texts))
    classes = tuple(sorted(set(labels)))
    train, test = held_out_split(len(texts), test_size=test_size, seed=seed)
    _check_classes(labels, train, classes)
    folds = stratified_folds(labels, n_folds, seed=seed) if n_folds else None
    trial = _Trial(labels, classes, train, test, folds, tell)

    start = time.perf_counter()
    features = classifier.features(texts, on_progress=lambda done, total: tell("encoding texts", done, total))
    way = _Dense(classifier, features, labels, tell)
    ours, judgement = trial.run("elmokit", way, start)
    curve = trial.learning_curve(way, ours) if learning_curve else ()
    entries = [ours, *(_judge_beside(name, other, texts, trial) for name, other in (beside or {}).items())]
    for analyzer in ("words", "characters") if baselines else ():
        start = time.perf_counter()
        entries.append(trial.run(f"TF-IDF of {analyzer}", _Counted(classifier, texts, labels, analyzer), start)[0])
    learning = partial(tell, "learning from all rows")
    classifier.fit_features(features, labels, C=ours.C, on_step=learning if classifier.head == "finetune" else None)
    return Report(
        model=classifier.elmo.name,
        pooling=classifier.pooling,
        layers=classifier.layers,
        cleaning=classifier.cleaning,
        classes=classes,
        positive=classes[1] if len(classes) == 2 else None,
        n_train=len(train),
        n_test=len(test),
        test_size=test_size,
        seed=seed,
        entries=tuple(entries),
        calibration_error=_calibration_error([labels[i] for i in test], judgement),
        mistakes=_mistakes(texts, labels, test, judgement),
        calibration=calibration_bins(judgement.probabilities.max(1), _right(labels, test, judgement)),
        precision_recall=_curves(labels, test, classes, judgement),
        learning_curve=curve,
    )


def _right(labels: Sequence[Label], test: Rows, judgement: _Judgement) -> NDArray[np.bool_]:
    return np.array([labels[i] == said for i, said in zip(test, judgement.predicted, strict=True)])


def _curves(
    labels: Sequence[Label], test: Rows, classes: tuple[Label, ...], judgement: _Judgement
) -> tuple[PrecisionRecall, ...]:
    """Of the classes that the head knows and that occur."""
    if judgement.probabilities.shape[1] != len(classes):
        return ()  # a class is in the held-out rows alone
    wanted = classes[1:] if len(classes) == 2 else classes
    truth = np.array([classes.index(labels[i]) for i in test])
    return tuple(
        precision_recall(str(label), truth == classes.index(label), judgement.probabilities[:, classes.index(label)])
        for label in wanted
        if (truth == classes.index(label)).any()
    )


def _calibration_error(truth: Sequence[Label], judgement: _Judgement) -> float:
    confidence = judgement.probabilities.max(1)
    right = np.array([a == b for a, b in zip(truth, judgement.predicted, strict=True)])
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = np.bincount(bins, weights=confidence - right, minlength=10)
    return float(np.abs(gaps).sum() / len(truth))


def _mistakes(texts: Sequence[str], labels: Sequence[Label], test: Rows, judgement: _Judgement) -> tuple[Mistake, ...]:
    confidence = judgement.probabilities.max(1)
    wrong = [i for i, row in enumerate(test) if labels[row] != judgement.predicted[i]]
    wrong.sort(key=lambda i: -confidence[i])
    return tuple(
        Mistake(
            row=int(test[i]),
            text=texts[test[i]],
            label=labels[test[i]],
            predicted=judgement.predicted[i],
            probability=float(confidence[i]),
        )
        for i in wrong[:_N_MISTAKES]
    )


def _judge_beside(name: str, other: TextClassifier, texts: Sequence[str], trial: _Trial) -> Entry:
    start = time.perf_counter()
    stage = f"encoding texts for {name}"
    features = other.features(texts, on_progress=lambda done, total: trial.tell(stage, done, total))
    return trial.run(name, _Dense(other, features, trial.labels, trial.tell), start)[0]


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def _check_classes(labels: Sequence[Label], train: Rows, classes: tuple[Label, ...]) -> None:
    if len(classes) < 2:
        raise InputError(f"all {len(labels)} labels are {classes[0]!r}; it takes two classes to learn from.")
    learned = {labels[i] for i in train}
    if len(learned) < 2:
        raise InputError(
            f"the {len(train)} rows to learn from are all {learned.pop()!r}: of {len(labels)} rows, too few have"
            f" another label. Give more rows of it, or another seed."
        )


class _Dense:
    """Ours: features made once, a head for each set of rows."""

    def __init__(self, classifier: TextClassifier, features: Features, labels: Sequence[Label], tell: OnStage) -> None:
        self.classifier, self.features, self.labels = classifier, features, np.asarray(labels)
        self.on_step = partial(tell, "learning") if classifier.head == "finetune" else None

    def __call__(self, train: Rows, test: Rows, *, C: float | None = None) -> _Judgement:
        learned = self.classifier.twin().fit_features(
            self.features[train], self.labels[train].tolist(), C=C, on_step=self.on_step
        )
        probabilities = learned.head_.predict_proba(self.features[test])
        return _Judgement(learned.decide(probabilities), probabilities, learned.head_.C_)


class _Counted:
    """The baseline: terms, their weights and a head, all learned from the same rows."""

    def __init__(
        self, classifier: TextClassifier, texts: Sequence[str], labels: Sequence[Label], analyzer: Analyzer
    ) -> None:
        self.rows, self.labels = Joined(np.zeros((len(texts), 0)), texts), np.asarray(labels)
        self.analyzer, self.class_weight = analyzer, classifier.settings.class_weight

    def __call__(self, train: Rows, test: Rows) -> _Judgement:
        counted = CountedHead(self.analyzer, self.class_weight).fit(self.rows[train], self.labels[train])
        probabilities = counted.predict_proba(self.rows[test])
        classes = counted.head.classes_
        return _Judgement(classes[probabilities.argmax(1)].tolist(), probabilities, counted.head.C_)


@dataclass(frozen=True)
class _Trial:
    """The rows on which all ways to classify are judged."""

    labels: Sequence[Label]
    classes: tuple[Label, ...]
    train: Rows
    test: Rows
    folds: Rows | None
    tell: OnStage

    def run(self, name: str, way: _Dense | _Counted, start: float) -> tuple[Entry, _Judgement]:
        """Judge one way to classify; also what it says of the held-out rows."""
        n_folds = 0 if self.folds is None else int(self.folds.max()) + 1
        self.tell(f"judging {name}", 0, 1 + n_folds)
        judgement = way(self.train, self.test)
        held_out = self._score(judgement, self.test)
        seconds = time.perf_counter() - start
        per_fold = []
        for fold in range(n_folds):
            self.tell(f"judging {name}", 1 + fold, 1 + n_folds)
            inside = np.flatnonzero(self.folds == fold)
            per_fold.append(self._score(way(np.flatnonzero(self.folds != fold), inside), inside))
        self.tell(f"judging {name}", 1 + n_folds, 1 + n_folds)
        folds = self._spread(per_fold) if n_folds else None
        return Entry(name=name, held_out=held_out, folds=folds, C=judgement.C, seconds=seconds), judgement

    def learning_curve(self, way: _Dense, whole: Entry) -> tuple[LearningPoint, ...]:
        """F1 on the held-out rows after learning from more and more rows; parts of one class are left out."""
        points = []
        for number, share in enumerate(_SHARES):
            self.tell("learning curve", number, len(_SHARES))
            rows = self.train[: int(share * len(self.train))]
            if len({self.labels[i] for i in rows}) > 1:
                scores = self._score(way(rows, self.test, C=whole.C), self.test)
                points.append(LearningPoint(n_rows=len(rows), f1=self._f1(scores)))
        self.tell("learning curve", len(_SHARES), len(_SHARES))
        return (*points, LearningPoint(n_rows=len(self.train), f1=self._f1(whole.held_out)))

    def _f1(self, scores: Scores) -> float:
        return scores.f1_of(str(self.classes[1])) if len(self.classes) == 2 else scores.macro_f1

    def _score(self, judgement: _Judgement, rows: Rows) -> Scores:
        return score([self.labels[i] for i in rows], judgement.predicted, self.classes)

    def _spread(self, scores: Sequence[Scores]) -> Folds:
        return Folds(
            n_folds=len(scores),
            f1=Spread.of([self._f1(s) for s in scores]),
            weighted_f1=Spread.of([s.weighted_f1 for s in scores]),
            accuracy=Spread.of([s.accuracy for s in scores]),
        )
