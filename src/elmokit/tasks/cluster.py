"""Clusters of texts by scikit-learn's k-means, and words that describe each cluster (extra `tasks`).

On vectors of length 1, k-means groups by cosine. The number of clusters is given, or chosen by the silhouette.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.errors import ConfigError, InputError, needing
from elmokit.progress import progress_bar

with needing("scikit-learn", "tasks", "clustering"):
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
    from sklearn.metrics import silhouette_score

_MOST_CLUSTERS = 12
_SILHOUETTE_TEXTS = 2000  # the silhouette compares all pairs
_ENGLISH_SHARE = 0.12  # English text has 0.25 to 0.5 of scikit-learn's stop words, German and Spanish below 0.1
_TERM = r"[^\W_]{2,}"
_STOP_WORDS = ENGLISH_STOP_WORDS | {"don", "didn", "doesn", "isn", "wasn", "ve", "ll", "re", "im"}
"""Contractions come apart at the apostrophe: "don't" leaves "don", "it's" leaves nothing of two letters."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each text (from 0, the largest first), and their silhouette if it chose how many there are."""

    numbers: NDArray[np.int64]
    silhouette: float | None = None


def cluster_texts(
    texts: NDArray[Any], n_clusters: int | None = None, *, seed: int = 0, show_progress: bool | None = None
) -> Clusters:
    """Cluster texts with k-means.

    `texts` are vectors of length 1, from `elmokit.tasks.similar.directions`, of shape (N, D). `n_clusters` None tries 2
    to 12 and keeps the number with the largest silhouette. InputError for fewer different texts than clusters, or fewer
    than three texts where the number is chosen.
    """
    if n_clusters is not None:
        return Clusters(_k_means(texts, n_clusters, seed))
    if len(texts) < 3:
        raise InputError(f"{len(texts)} texts: choosing the number of clusters needs at least three.")
    best, largest = np.zeros(0, np.int64), -np.inf
    sizes = range(2, min(_MOST_CLUSTERS, len(texts) - 1) + 1)
    with progress_bar("clustering", total=len(sizes), show=show_progress) as advance:
        for k in sizes:
            numbers = _k_means(texts, k, seed)
            if (silhouette := _silhouette(texts, numbers, seed)) > largest:
                best, largest = numbers, silhouette
            advance(1)
    return Clusters(best, largest)


def _k_means(texts: NDArray[Any], k: int, seed: int) -> NDArray[np.int64]:
    if k < 1:
        raise ConfigError(f"{k} clusters; expected 1 or more.")
    if (n_distinct := len(np.unique(texts, axis=0)) if len(texts) else 0) < k:
        raise InputError(f"{n_distinct} different texts; {k} clusters need at least as many.")
    fitted = KMeans(k, n_init=4, random_state=seed).fit(texts)
    order = np.argsort(-np.bincount(fitted.labels_, minlength=k), kind="stable")
    return np.asarray(np.argsort(order)[fitted.labels_], np.int64)


def _silhouette(texts: NDArray[Any], numbers: NDArray[np.int64], seed: int) -> float:
    rows = np.arange(len(texts))
    if len(rows) > _SILHOUETTE_TEXTS:
        rows = np.random.default_rng(seed).choice(rows, _SILHOUETTE_TEXTS, replace=False)
    if not 1 < len(np.unique(numbers[rows])) < len(rows):
        return -1.0
    return float(silhouette_score(texts[rows], numbers[rows], metric="cosine"))


def cluster_words(
    texts: Sequence[str], numbers: ArrayLike, *, n: int = 5, stop_words: str | Sequence[str] | None = "english"
) -> list[list[str]]:
    """The n words that each cluster of texts uses more than the others, best first (class-based TF-IDF).

    The weight of a word is its share of the cluster's words times log(1 + A / f), where A is the mean number of words
    per cluster and f the frequency of the word in all clusters (Grootendorst 2022, BERTopic, arXiv:2203.05794).
    `numbers` are the clusters of the texts, from 0. Left out are words of one letter and `stop_words`: "english"
    (scikit-learn's list), a list, or None.

    Example:
        >>> cluster_words(["the cat and the cat", "the fast car", "the car"], [0, 1, 1], n=2)
        [['cat'], ['car', 'fast']]
    """
    clusters = np.asarray(numbers, dtype=np.int64)
    n_clusters = int(clusters.max(initial=-1)) + 1
    left_out = _STOP_WORDS if isinstance(stop_words, str) else frozenset(stop_words or ())
    vectorizer = CountVectorizer(token_pattern=_TERM, stop_words=sorted(left_out) or None)
    try:
        counts = vectorizer.fit_transform(texts)
    except ValueError:  # no words, or stop words only
        return [[] for _ in range(n_clusters)]
    by_cluster = np.stack([np.asarray(counts[clusters == c].sum(0))[0] for c in range(n_clusters)])  # (k, V)
    totals = by_cluster.sum(0)
    weights = by_cluster * np.log1p(totals.sum() / n_clusters / totals)
    terms = vectorizer.get_feature_names_out()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :n]
    return [[str(terms[i]) for i in best if weights[c, i] > 0] for c, best in enumerate(order)]


def looks_english(texts: Sequence[str]) -> bool:
    """Whether enough words of the first 2,000 texts are scikit-learn's English stop words, its only list."""
    words = [word for text in texts[:2000] for word in re.findall(_TERM, text.lower())]
    return sum(word in _STOP_WORDS for word in words) >= _ENGLISH_SHARE * len(words)
