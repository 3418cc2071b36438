import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Reference
from sklearn.preprocessing import StandardScaler

from elmokit.errors import InputError
from elmokit.tasks.degrees import Ridge, cosines, pearson, ranks, spearman


@given(st.integers(0, 2**32 - 1), st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_correlations_equal_scipys_ties_included(seed, n):
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 6, size=n), random.normal(size=n)
    if len(set(x)) == 1:
        assert np.isnan(pearson(x, y))
        return
    np.testing.assert_allclose(pearson(x, y), scipy.stats.pearsonr(x, y).statistic, atol=1e-12)
    np.testing.assert_allclose(spearman(x, y), scipy.stats.spearmanr(x, y).statistic, atol=1e-12)
    np.testing.assert_array_equal(ranks(x), scipy.stats.rankdata(x))


def test_a_correlation_of_one_number_or_two_lengths_is_refused():
    with pytest.raises(InputError, match="two at least"):
        pearson([1], [1])
    with pytest.raises(InputError, match="2 and 3 numbers"):
        spearman([1, 2], [1, 2, 3])


@pytest.mark.parametrize("shape", [(60, 8), (20, 50)], ids=["primal", "dual"])
def test_ridge_equals_scikit_learns(shape):
    random = np.random.default_rng(0)
    X = random.normal(size=shape) * random.uniform(0.1, 9, size=shape[1]) + 5
    X[:, 2] = 4.0  # a constant feature
    y = X[:, 0] + random.normal(size=shape[0])
    new = random.normal(size=(5, shape[1])) + 5
    new[:, 2] = 4.0
    scaler = StandardScaler().fit(X)
    for strength, ours in zip((0.01, 1.0), Ridge.fit(X, y, (0.01, 1.0)), strict=True):
        theirs = Reference(alpha=strength * shape[0]).fit(scaler.transform(X), y)
        np.testing.assert_allclose(ours.predict(new), theirs.predict(scaler.transform(new)), rtol=1e-8)


def test_the_cosine_with_zeros_is_zero():
    assert cosines(np.zeros((1, 3)), np.ones((1, 3))).tolist() == [0.0]
    np.testing.assert_allclose(cosines(np.ones((2, 1, 3)), -np.ones((2, 1, 3))), -1)
