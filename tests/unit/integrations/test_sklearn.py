"""`ElmoVectorizer` against scikit-learn itself: cloned, searched, pickled, named, put into pipelines and columns."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_checks as checks

from elmokit import Elmo
from elmokit.errors import ElmoKitError, InputError, TextError
from elmokit.integrations.sklearn import ElmoVectorizer

TEXTS = ["so happy with it", "it broke", "love it", "awful, broken", "happy day", "it broke again", "love", "broken"]
LABELS = [0, 1, 0, 1, 0, 1, 0, 1]


def test_the_vectors_are_those_of_elmo(model):
    made = ElmoVectorizer(model, pooling="mean+max", layers="all", normalize=True).fit_transform(TEXTS)
    assert np.array_equal(made, Elmo.load(model).encode(TEXTS, pooling="mean+max", layers="all", normalize=True))


@pytest.mark.parametrize(
    "check",
    [
        checks.check_no_attributes_set_in_init,
        checks.check_parameters_default_constructible,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_estimator_cloneable,
        checks.check_estimator_repr,
        checks.check_estimator_tags_renamed,
        checks.check_valid_tag_types,
        checks.check_mixin_order,
        checks.check_do_not_raise_errors_in_init_or_set_params,
    ],
    ids=lambda check: check.__name__,
)
def test_what_scikit_learn_checks_of_any_estimator(check):
    """`parametrize_with_checks` itself passes over estimators of texts; these are its checks that need no matrix."""
    check("ElmoVectorizer", ElmoVectorizer())


@pytest.mark.parametrize("container", [list, tuple, np.array, pd.Series, lambda t: pd.DataFrame({"t": t}), iter])
def test_any_column_of_texts(model, container):
    fitted = ElmoVectorizer(model).fit(TEXTS)
    assert np.array_equal(fitted.transform(container(TEXTS)), fitted.transform(TEXTS))


def test_a_pipeline_is_searched_over_poolings_and_layers(model):
    pipeline = Pipeline([("elmo", ElmoVectorizer(model)), ("classifier", LogisticRegression())])
    grid = {"elmo__pooling": ["mean", "max"], "elmo__layers": ["mix", 0, "all"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=1).fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 6
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert search.predict(["it broke"]).shape == (1,)


def test_columns_of_a_table_are_named(model):
    table = pd.DataFrame({"tweet": TEXTS, "other": range(8)})
    columns = ColumnTransformer([("text", ElmoVectorizer(model), "tweet"), ("rest", "passthrough", ["other"])])
    found = columns.set_output(transform="pandas").fit_transform(table)
    assert list(found.columns[:2]) == ["text__elmo0", "text__elmo1"]
    assert found.columns[-1] == "rest__other"
    assert found.shape == (8, ElmoVectorizer(model).fit(TEXTS).n_features_out_ + 1)


def test_a_search_in_two_processes_opens_the_model_in_each(model):
    pipeline = Pipeline([("elmo", ElmoVectorizer(model)), ("classifier", LogisticRegression())])
    grid = {"elmo__pooling": ["mean", "max"], "elmo__layer_weights": [None, [0.2, 0.3, 0.5]]}
    together, alone = (GridSearchCV(pipeline, grid, cv=2, n_jobs=n).fit(TEXTS, LABELS) for n in (2, 1))
    assert together.best_params_ == alone.best_params_
    assert np.array_equal(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_output_as_a_table_keeps_the_rows_names(model):
    column = pd.Series(TEXTS, index=list("abcdefgh"), name="tweet")
    vectorizer = ElmoVectorizer(model, pooling="mean+max").set_output(transform="pandas")
    found = vectorizer.fit_transform(column)
    assert list(found.index) == list("abcdefgh")
    assert list(found.columns) == list(vectorizer.get_feature_names_out())
    assert set(found.dtypes) == {np.dtype("float32")}
    assert np.array_equal(found.to_numpy(), Elmo.load(model).encode(TEXTS, pooling="mean+max"))
    pipeline = Pipeline([("elmo", ElmoVectorizer(model))]).fit(TEXTS)
    assert list(pipeline.get_feature_names_out()) == [f"elmo{i}" for i in range(12)]


def test_a_pickle_holds_no_weights_and_gives_the_same_vectors(model):
    fitted = ElmoVectorizer(model, layers="all").fit(TEXTS)
    data = pickle.dumps(fitted)
    assert len(data) < 2_000
    assert np.array_equal(pickle.loads(data).transform(TEXTS), fitted.transform(TEXTS))
    assert not hasattr(clone(fitted), "n_features_out_")


def test_wrong_input_is_named(model):
    fitted = ElmoVectorizer(model).fit(TEXTS)
    with pytest.raises(InputError, match=r"texts\[1\] is missing"):
        fitted.transform(["a", float("nan")])
    with pytest.raises(InputError, match=r"shape is \(8, 2\); expected one column of texts"):
        fitted.transform(pd.DataFrame({"a": TEXTS, "b": TEXTS}))
    with pytest.raises(TextError, match="one str"):
        fitted.transform("a text")
    with pytest.raises(NotFittedError):
        ElmoVectorizer(model).transform(TEXTS)
    with pytest.raises(ElmoKitError):
        ElmoVectorizer("no such folder").fit(TEXTS)
