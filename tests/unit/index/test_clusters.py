"""Clusters: truth from scikit-learn and from made data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from elmokit.index.senses import cluster, group_occurrences, silhouette
from elmokit.plots import principal_plane


def blobs(sizes, *, spread, seed=0, width=20):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.standard_normal((width, len(sizes))))[0].T
    labels = np.repeat(np.arange(len(sizes)), sizes)
    vectors = centres[labels] + spread * rng.standard_normal((len(labels), width)) / np.sqrt(width)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


@given(st.lists(st.sampled_from([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]), min_size=1, max_size=8), st.integers(1, 5))
def test_repeated_vectors_stay_together_and_no_number_of_groups_fails(vectors, n_clusters):
    units = np.array(vectors, np.float32)
    labels = cluster(units, n_clusters)
    assert len({(vector, label) for vector, label in zip(vectors, labels.tolist(), strict=True)}) == len(set(vectors))
    assert len(set(labels.tolist())) == min(n_clusters, len(set(vectors)))
    assert -1 <= silhouette(units, labels) <= 1


@pytest.mark.parametrize("sizes", [[30, 20], [40, 25, 15], [30, 30, 30, 10]])
def test_clear_groups_are_found_and_counted(sizes):
    units, truth = blobs(sizes, spread=0.5)
    labels, apart = group_occurrences(units)
    assert adjusted_rand_score(truth, labels) == 1.0
    assert apart > 0.4
    assert (np.diff(np.bincount(labels)) <= 0).all(), "the largest group comes first"
    assert np.array_equal(group_occurrences(units, len(sizes))[0], labels)


def test_one_blob_and_few_vectors_are_one_group():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 50)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert group_occurrences(noise) == (pytest.approx(np.zeros(200)), None)
    labels, apart = group_occurrences(noise[:1])
    assert (labels.tolist(), apart) == ([0], None)
    same = np.repeat(noise[:1], 5, axis=0)
    assert cluster(same, 2).max() <= 1


def test_the_plane_is_that_of_the_largest_variance():
    units, _ = blobs([20, 20], spread=0.7)
    points, explained = principal_plane(units)
    variances = np.linalg.svd(units - units.mean(axis=0), compute_uv=False) ** 2
    assert (points**2).sum() == pytest.approx(variances[:2].sum(), rel=1e-4)
    assert explained == pytest.approx(variances[:2].sum() / variances.sum(), rel=1e-4)
    assert principal_plane(units[:1])[0].tolist() == [[0.0, 0.0]]
