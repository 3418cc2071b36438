"""Evaluate a multi-label classifier on held-out rows beside TF-IDF baselines, then fit it on all rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from elmokit.elmo import Elmo
from elmokit.progress import progress_bar
from elmokit.tasks.checks import check_label_sets, text_list
from elmokit.tasks.classify.evaluate import fit_on_all, run_baselines, split_rows
from elmokit.tasks.classify.features import EncodeOnce
from elmokit.tasks.classify.heads import encode_ahead
from elmokit.tasks.classify.multilabel import MultiLabelClassifier, label_matrix
from elmokit.tasks.classify.report import LabelEntry, LabelReport
from elmokit.tasks.classify.scores import precision_recall, score_labels


def fit_and_report_labels(
    classifier: MultiLabelClassifier,
    texts: Iterable[str],
    labels: Iterable[Iterable[str]],
    *,
    test_size: float = 0.2,
    seed: int = 42,
    baselines: bool = True,
) -> LabelReport:
    """Evaluate a multi-label classifier on held-out rows, then fit it on all rows.

    Args:
        classifier: what to evaluate; afterwards it is fitted on all rows, with the strength of the held-out split.
        texts: n texts.
        labels: the labels of each.
        test_size: share held out.
        seed: of the split (`train_test_split`).
        baselines: whether TF-IDF is evaluated beside it, one versus rest as well.

    Returns:
        the report.

    Raises:
        InputError: a missing text or label.
        ConfigError: a split that leaves nothing to learn from, or a wrong setting.
    """
    classifier.check()
    texts = text_list(texts)
    sets = check_label_sets(labels, n_texts=len(texts))
    names = sorted({label for of_row in sets for label in of_row})
    train, test = split_rows(len(texts), test_size, seed)
    truth = label_matrix(sets, names)
    elmo: Any = Elmo.load(classifier.elmo) if isinstance(classifier.elmo, str | Path) else classifier.elmo
    once, threshold = EncodeOnce(elmo), float(classifier.threshold)
    trial = clone(classifier).set_params(elmo=once)
    known, others = [texts[i] for i in train], [texts[i] for i in test]

    def run(name: str, one: Any) -> LabelEntry:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
            probabilities = one.fit(known, truth[train].astype(int)).predict_proba(others)
        held_out = score_labels(truth[test], probabilities >= threshold, names)
        advance(1)
        return LabelEntry(name=name, held_out=held_out, seconds=time.perf_counter() - start)

    with progress_bar("evaluating", total=2 + 2 * baselines, show=classifier.show_progress) as advance:
        start = time.perf_counter()
        encode_ahead(trial, texts)
        trial.fit_checked(known, [sets[i] for i in train])
        probabilities = np.zeros((len(test), len(names)))  # labels without training rows stay at 0
        probabilities[:, [names.index(label) for label in trial.classes_.tolist()]] = trial.predict_proba(others)
        held_out = score_labels(truth[test], probabilities >= threshold, names)
        ours = LabelEntry(name="elmokit", held_out=held_out, seconds=time.perf_counter() - start)
        advance(1)
        judged, skipped = run_baselines(run, classifier, baselines)
        fit_on_all(classifier, once, texts, sets, trial.C_)
    return LabelReport(
        model=elmo.name,
        encoding=classifier.encoding.to_dict(),
        cleaning=tuple(classifier.cleaning),
        labels=tuple(names),
        n_train=len(train),
        n_test=len(test),
        test_size=test_size,
        seed=seed,
        entries=(ours, *judged),
        precision_recall=tuple(
            precision_recall(name, truth[test][:, k], probabilities[:, k])
            for k, name in enumerate(names)
            if truth[test][:, k].any()
        ),
        skipped=skipped,
    )
