"""A report on any number of labels a text: held-out rows, and counted words beside our own figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.tasks.classify import text_list
from elmokit.tasks.curves import PrecisionRecall, precision_recall
from elmokit.tasks.multilabel import (
    LabelScores,
    MultiLabelClassifier,
    OneVsRest,
    as_matrix,
    check_label_lists,
    score_labels,
)
from elmokit.tasks.report import OnStage
from elmokit.tasks.split import held_out_split
from elmokit.tasks.tfidf import Analyzer, Tfidf


@dataclass(frozen=True, kw_only=True)
class LabelEntry:
    """One way to give labels, and how well it did.

    Args:
        name: for people.
        held_out: scores on the held-out rows.
        seconds: that learning and predicting took, encoding included.
    """

    name: str
    held_out: LabelScores
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """How a multi-label classifier does on rows that it did not see, beside baselines.

    Args:
        model, pooling, layers, cleaning: what the features were made with.
        labels: all labels, sorted.
        n_train: rows learned from.
        n_test: rows held out.
        test_size: the share held out.
        seed: of the split.
        entries: ours first, then the baselines.
        precision_recall: of ours, for each label that occurs in the held-out rows.
    """

    model: str
    pooling: str
    layers: Any
    cleaning: tuple[str, ...]
    labels: tuple[str, ...]
    n_train: int
    n_test: int
    test_size: float
    seed: int
    entries: tuple[LabelEntry, ...]
    precision_recall: tuple[PrecisionRecall, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return dataclasses.asdict(self)


def fit_and_report_labels(
    classifier: MultiLabelClassifier,
    texts: Iterable[str],
    labels: Iterable[Iterable[str]],
    *,
    test_size: float = 0.2,
    seed: int = 42,
    baselines: bool = True,
    on_stage: OnStage | None = None,
) -> LabelReport:
    """Judge a multi-label classifier on held-out rows, then let it learn from all rows.

    Args:
        classifier: what to judge; afterwards it has learned from all rows.
        texts: n texts.
        labels: the labels of each.
        test_size: the share held out.
        seed: of the split (scikit-learn's `train_test_split`).
        baselines: whether TF-IDF is judged beside it, one versus rest as well, with C = 1.
        on_stage: called with (what is being done, steps done, steps in all).

    Returns:
        the report.

    Raises:
        InputError: a missing text or label.
        ConfigError: a split that leaves nothing to learn from.
    """
    tell = on_stage or (lambda _stage, _done, _total: None)
    texts = text_list(texts)
    labels = check_label_lists(labels, n_texts=len(texts))
    names = tuple(sorted({label for of_row in labels for label in of_row}))
    train, test = held_out_split(len(texts), test_size=test_size, seed=seed)
    truth = as_matrix(labels, names)

    start = time.perf_counter()
    features = classifier.features(texts, on_progress=partial(tell, "encoding texts"))
    head = classifier.new_head().fit(features[train], truth[train], on_step=partial(tell, "learning labels"))
    chances = head.predict_proba(features[test])
    seconds = time.perf_counter() - start
    entries = [LabelEntry(name="elmokit", held_out=_judged(chances, truth[test], names, classifier), seconds=seconds)]
    for analyzer in ("words", "characters") if baselines else ():
        tell(f"judging TF-IDF of {analyzer}", 0, 1)
        start = time.perf_counter()
        counted = _counted(texts, truth, train, test, analyzer, classifier)
        held_out = _judged(counted, truth[test], names, classifier)
        seconds = time.perf_counter() - start
        entries.append(LabelEntry(name=f"TF-IDF of {analyzer}", held_out=held_out, seconds=seconds))
    classifier.fit_features(features, labels, C=head.C_, on_step=partial(tell, "learning from all rows"))
    return LabelReport(
        model=classifier.elmo.name,
        pooling=classifier.pooling,
        layers=classifier.layers,
        cleaning=classifier.cleaning,
        labels=names,
        n_train=len(train),
        n_test=len(test),
        test_size=test_size,
        seed=seed,
        entries=tuple(entries),
        precision_recall=tuple(
            precision_recall(name, truth[test][:, k], chances[:, k])
            for k, name in enumerate(names)
            if truth[test][:, k].any()
        ),
    )


def _judged(
    chances: NDArray[np.float64], truth: NDArray[np.bool_], names: Sequence[str], classifier: MultiLabelClassifier
) -> LabelScores:
    return score_labels(truth, chances >= classifier.threshold, names)


def _counted(
    texts: Sequence[str],
    truth: NDArray[np.bool_],
    train: NDArray[np.integer],
    test: NDArray[np.integer],
    analyzer: Analyzer,
    classifier: MultiLabelClassifier,
) -> NDArray[np.float64]:
    """Probabilities for the held-out rows by the baseline."""
    tfidf = Tfidf(analyzer=analyzer, sublinear=True).fit([texts[i] for i in train])
    head = OneVsRest(C=1.0, class_weight=classifier.class_weight)
    head.fit(tfidf.transform([texts[i] for i in train]), truth[train])
    return head.predict_proba(tfidf.transform([texts[i] for i in test]))
