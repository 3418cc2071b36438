"""Our logistic regression is scikit-learn's: the same coefficients, the same predictions."""

import time

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.csr import CSR
from elmokit.tasks.lbfgs import Problems, minimise
from elmokit.tasks.logistic import STRENGTHS, LogisticRegression, _features, cross_validated
from elmokit.tasks.split import stratified_folds


def data(n=300, d=12, n_classes=2, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d)) * random.uniform(0.2, 5, size=d) + random.normal(size=d)
    scores = X @ random.normal(size=(d, n_classes)) + random.normal(size=(n, n_classes)) * 4
    return X, np.array([f"class {k}" for k in scores.argmax(1)])


def as_csr(X):
    matrix = scipy.sparse.csr_matrix(X)
    return CSR(matrix.data, matrix.indices, matrix.indptr, matrix.shape[1])


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("C", [0.01, 100.0])
@pytest.mark.parametrize("class_weight", [None, "balanced", "given"])
@pytest.mark.parametrize("sparse", [False, True])
def test_coefficients_equal_scikit_learns(n_classes, C, class_weight, sparse):
    X, y = data(n_classes=n_classes)
    if class_weight == "given":
        class_weight = {f"class {k}": k + 0.5 for k in range(n_classes)}
    theirs = Reference(C=C, class_weight=class_weight, tol=1e-8, max_iter=10_000).fit(X, y)
    ours = LogisticRegression(C=C, class_weight=class_weight, tolerance=1e-7).fit(as_csr(X) if sparse else X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(as_csr(X)), theirs.predict_proba(X), atol=1e-4)


def test_standardising_equals_scikit_learns_scaler():
    X, y = data()
    X[:, 3] = 7.0  # a constant feature
    scaler = StandardScaler().fit(X)
    theirs = Reference(C=0.1, tol=1e-8, max_iter=10_000).fit(scaler.transform(X), y)
    ours = LogisticRegression(C=0.1, standardize=True, tolerance=1e-7).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(scaler.transform(X)), atol=1e-5)


def test_single_precision_gives_the_same_predictions():
    X, y = data(n=500, d=40)
    double = LogisticRegression(C=1.0).fit(X, y)
    single = LogisticRegression(C=1.0).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=2e-3)


def test_the_strength_is_chosen_by_held_out_loss():
    random = np.random.default_rng(1)
    X = random.normal(size=(150, 200))
    y = (X[:, 0] + random.normal(size=150) > 0).astype(int)
    chosen = LogisticRegression(C="cv").fit(X, y)
    assert chosen.C_ in STRENGTHS
    assert chosen.C_ < 1, "200 features that say nothing ask for a strong penalty"
    clear = LogisticRegression(C="cv").fit(X[:, :1], X[:, 0] > 0)
    assert clear.C_ > chosen.C_


def test_cross_validation_is_honest():
    """Folds solved side by side find what separate fits on the training rows find."""
    X, y = data(n=120)
    numbers = (y == "class 1").astype(int)
    folds = stratified_folds(numbers, 3)
    inside = (folds[:, None] != np.arange(3)).astype(float)
    problems = Problems(
        _features(X, standardize=False), numbers[:, None] * 1.0, inside / inside.sum(0), 1 / inside.sum(0)
    )
    together = minimise(problems, problems.zeros(), tolerance=1e-8)
    for fold in range(3):
        alone = Reference(C=1.0, tol=1e-8, max_iter=1000).fit(X[folds != fold], numbers[folds != fold])
        np.testing.assert_allclose(together[:-1, fold, 0], alone.coef_[0], rtol=1e-3, atol=1e-4)


def test_progress_is_told():
    X, y = data()
    steps = []
    LogisticRegression(C="cv").fit(X, y, on_step=lambda done, total: steps.append((done, total)))
    assert steps[0] == (1, len(STRENGTHS))


def test_a_class_with_one_row_can_be_learned():
    X, y = data(n=60)
    y[0] = "rare"
    assert set(LogisticRegression(C="cv").fit(X, y).classes_) == {"class 0", "class 1", "rare"}


def test_what_can_not_be_learned_is_refused():
    X, y = data()
    with pytest.raises(InputError, match="two classes"):
        LogisticRegression().fit(X, np.zeros(len(X)))
    with pytest.raises(InputError, match="300 rows of features but 299 labels"):
        LogisticRegression().fit(X, y[1:])
    with pytest.raises(InputError, match="NaN"):
        LogisticRegression().fit(np.where(X > 3, np.nan, X), y)
    with pytest.raises(ConfigError, match="expected a positive number"):
        LogisticRegression(C=0)
    with pytest.raises(ConfigError, match="no weight for"):
        LogisticRegression(class_weight={"class 0": 2.0}).fit(X, y)
    with pytest.raises(ConfigError, match="sparse"):
        LogisticRegression(standardize=True).fit(as_csr(X), y)


@pytest.mark.slow
def test_real_sizes_take_seconds():
    random = np.random.default_rng(0)
    X = random.normal(size=(6336, 2304)).astype(np.float32)
    y = X[:, :50].sum(1) + random.normal(size=6336) * 7 > 3
    start = time.perf_counter()
    LogisticRegression(C="cv", class_weight="balanced", standardize=True).fit(X, y)
    assert time.perf_counter() - start < 30


class Counting:
    """Features that count how often they are read for a gradient."""

    def __init__(self, features):
        self.features, self.shape, self.times, self.n = features, features.shape, features.times, 0

    def transposed_times(self, values):
        self.n += 1
        return self.features.transposed_times(values)


def test_knowing_the_curvature_saves_steps_and_changes_no_minimum():
    random = np.random.default_rng(2)
    X = random.normal(size=(900, 150)) @ random.normal(size=(150, 150)) + 3
    y = (X[:, 0] - X[:, 1] + 10 * random.normal(size=900) > 0)[:, None] * 1.0
    features = _features(X, standardize=True)
    found, counted = {}, {}
    for name, undo in (("plain", None), ("curved", features.curvature(1).undo(1e-3))):
        counting = Counting(features)
        problems = Problems(counting, y, np.full((900, 1), 1 / 900), np.array([1e-3]))
        found[name], counted[name] = minimise(problems, problems.zeros(), tolerance=1e-5, undo=undo), counting.n
    np.testing.assert_allclose(found["curved"], found["plain"], atol=2e-3)
    assert counted["curved"] < counted["plain"] / 2, counted


@pytest.mark.parametrize("n_classes", [2, 3])
def test_nested_cross_validation_equals_a_loop_over_scikit_learn(n_classes):
    X, y = data(n=240, n_classes=n_classes)
    folds = stratified_folds(y, 4)
    expected = np.empty_like(y)
    for fold in range(4):
        validation, train = folds == (fold + 1) % 4, (folds != fold) & (folds != (fold + 1) % 4)
        losses = []
        for C in STRENGTHS:
            model = Reference(C=C, tol=1e-8, max_iter=10_000).fit(X[train], y[train])
            losses.append(log_loss(y[validation], model.predict_proba(X[validation]), labels=model.classes_))
        strength = STRENGTHS[int(np.argmin(losses))]
        model = Reference(C=strength, tol=1e-8, max_iter=10_000).fit(X[folds != fold], y[folds != fold])
        expected[folds == fold] = model.predict(X[folds == fold])
    for features in (X, as_csr(X)):
        ours = cross_validated(features, y, n_folds=4, tolerance=1e-7)
        assert (ours == expected).mean() > 0.99, "at most a tie between two strengths may differ"


def test_nested_cross_validation_needs_three_folds():
    with pytest.raises(ConfigError, match="three at least"):
        cross_validated(*data(), n_folds=2)


def test_validation_rows_choose_the_strength_and_are_not_learned_from():
    X, y = data(n=240)
    validation = np.arange(240) >= 160
    ours = LogisticRegression(C="cv", tolerance=1e-7).fit(X, y, validation=validation)
    losses = [
        log_loss(y[validation], Reference(C=C, tol=1e-8, max_iter=10_000).fit(X[:160], y[:160]).predict_proba(X[160:]))
        for C in STRENGTHS
    ]
    assert STRENGTHS[int(np.argmin(losses))] == ours.C_
    alone = LogisticRegression(C=ours.C_, tolerance=1e-7).fit(X[:160], y[:160])
    np.testing.assert_allclose(ours.coef_, alone.coef_, atol=1e-4)


def test_a_bad_start_does_not_end_the_search():
    """Under the strongest penalties nothing but a large, useless feature moves; the useful one comes later."""
    y = np.array([0, 1] * 30)
    X = np.stack([2.0 * y, np.random.default_rng(0).normal(size=60) * 30], axis=1)
    X[:, 1] += np.where(np.arange(60) < 40, 10.0, -10.0) * (2 * y - 1)  # turned round in the validation rows
    learned = LogisticRegression(C="cv").fit(X, y, validation=np.arange(60) >= 40)
    assert (learned.predict(X) == y).mean() > 0.9
