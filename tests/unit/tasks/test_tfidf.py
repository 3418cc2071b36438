"""The baseline is scikit-learn's: the same terms, the same weights."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from elmokit.errors import InputError
from elmokit.tasks.csr import CSR
from elmokit.tasks.tfidf import Tfidf

TEXTS = [
    "So HAPPY with my  new\tphone!",
    "so sad :( a phone",
    "Ünïcödé ß नमस्ते 😀",
    "",
    "the the the a",
    "it's x-y_z 42",
]


def dense(matrix):
    return scipy.sparse.csr_matrix((matrix.data, matrix.columns, matrix.row_starts), shape=matrix.shape).toarray()


@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("min_texts", [1, 2])
@pytest.mark.parametrize(
    ("analyzer", "lengths", "theirs"),
    [
        ("words", None, {"ngram_range": (1, 1)}),
        ("words", (1, 3), {"ngram_range": (1, 3)}),
        ("characters", None, {"analyzer": "char_wb", "ngram_range": (1, 5)}),
        ("characters", (2, 4), {"analyzer": "char_wb", "ngram_range": (2, 4)}),
    ],
)
def test_equals_scikit_learn(analyzer, lengths, theirs, min_texts, sublinear):
    ours = Tfidf(analyzer=analyzer, lengths=lengths, min_texts=min_texts, sublinear=sublinear).fit(TEXTS)
    reference = TfidfVectorizer(min_df=min_texts, sublinear_tf=sublinear, **theirs).fit(TEXTS)
    assert ours.terms == reference.get_feature_names_out().tolist()
    for texts in (TEXTS, ["a new unseen phone", "nothing known here"]):
        np.testing.assert_allclose(dense(ours.transform(texts)), reference.transform(texts).toarray(), atol=1e-12)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_any_texts_have_rows_of_length_one_or_zero(texts):
    tfidf = Tfidf(analyzer="characters")
    if not any(text.split() for text in texts):
        with pytest.raises(InputError, match="no term"):
            tfidf.fit(texts)
        return
    norms = np.linalg.norm(dense(tfidf.fit(texts).transform(texts)), axis=1)
    np.testing.assert_allclose(norms, [1.0 if text.split() else 0.0 for text in texts], atol=1e-9)


def test_products_and_rows_of_the_sparse_matrix():
    random = np.random.default_rng(0)
    X = random.normal(size=(9, 7)) * (random.random((9, 7)) < 0.4)
    X[4] = 0
    other = scipy.sparse.csr_matrix(X)
    matrix = CSR(other.data, other.indices, other.indptr, 7)
    W, R = random.normal(size=(7, 3)), random.normal(size=(9, 3))
    np.testing.assert_allclose(matrix @ W, X @ W)
    np.testing.assert_allclose(matrix @ W[:, 0], X @ W[:, 0])
    np.testing.assert_allclose(matrix.transposed_product(R), X.T @ R)
    rows = np.array([8, 4, 0, 0])
    np.testing.assert_allclose(dense(matrix.take(rows)), X[rows])
    assert matrix.take(np.array([], int)).shape == (0, 7)
