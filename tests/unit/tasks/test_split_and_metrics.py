"""Splits and scores are scikit-learn's, number for number."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.model_selection import StratifiedKFold, train_test_split

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.metrics import score
from elmokit.tasks.split import held_out_split, stratified_folds


@given(st.integers(2, 300), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_split_equals_scikit_learns(n, test_size, seed):
    try:
        train, test = train_test_split(np.arange(n), test_size=test_size, random_state=seed)
    except ValueError:
        with pytest.raises(ConfigError, match="must leave rows on both sides"):
            held_out_split(n, test_size=test_size, seed=seed)
        return
    ours = held_out_split(n, test_size=test_size, seed=seed)
    np.testing.assert_array_equal(ours[0], train)
    np.testing.assert_array_equal(ours[1], test)


def test_the_tutorials_split():
    train, test = train_test_split(np.arange(7920), test_size=0.2, random_state=42)
    ours = held_out_split(7920)
    np.testing.assert_array_equal(ours[0], train)
    np.testing.assert_array_equal(ours[1], test)


@given(
    st.lists(st.sampled_from("abc"), min_size=20, max_size=60),
    st.integers(2, 5),
    st.integers(0, 99) | st.none(),
)
def test_folds_equal_scikit_learns(labels, n_folds, seed):
    if min(labels.count(label) for label in set(labels)) < n_folds:
        return
    theirs = StratifiedKFold(n_folds, shuffle=seed is not None, random_state=seed)
    folds = stratified_folds(labels, n_folds, seed=seed)
    for fold, (_, test) in enumerate(theirs.split(np.zeros(len(labels)), labels)):
        np.testing.assert_array_equal(np.flatnonzero(folds == fold), test)


def test_impossible_folds_are_refused():
    with pytest.raises(ConfigError, match="1 folds"):
        stratified_folds(["a", "b"], 1)
    with pytest.raises(ConfigError, match="3 folds"):
        stratified_folds(["a", "a", "b"], 3)


pairs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40)


@given(pairs)
def test_scores_equal_scikit_learns(rows):
    truth, predicted = [a for a, _ in rows], [b for _, b in rows]
    ours = score(truth, predicted)
    labels = sorted({*truth, *predicted})
    assume(len(labels) > 1)  # scikit-learn warns about a single one
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    for average, value in (("macro", ours.macro_f1), ("weighted", ours.weighted_f1)):
        assert value == pytest.approx(metrics.f1_score(truth, predicted, average=average, zero_division=0))
    theirs = metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    np.testing.assert_allclose([(c.precision, c.recall, c.f1, c.support) for c in ours.classes], np.transpose(theirs))
    np.testing.assert_array_equal(ours.confusion, metrics.confusion_matrix(truth, predicted, labels=labels))


def test_scores_that_can_not_be_had():
    with pytest.raises(InputError, match="1 labels and 2 predictions"):
        score(["a"], ["a", "b"])
    with pytest.raises(InputError, match="at least one"):
        score([], [])
    with pytest.raises(InputError, match="no class 'x'"):
        score(["a"], ["a"]).f1_of("x")
