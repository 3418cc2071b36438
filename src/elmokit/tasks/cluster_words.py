"""What a cluster is about: the words that its texts use more than others do, by class-based TF-IDF.

A word's share among a cluster's words, times log(1 + A / f): A is the mean number of words of a cluster, f how often
the word stands in all of them (Grootendorst 2022, BERTopic, arXiv:2203.05794). No list of stop words is needed: what
all clusters use has a weight near zero; for few short texts some come through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from elmokit.tasks.bm25 import terms_of


def cluster_words(texts: Sequence[str], numbers: ArrayLike, *, n: int = 5) -> list[list[str]]:
    """Words that tell each cluster from the others.

    Args:
        texts: N texts.
        numbers: the cluster of each, from 0. Shape (N,).
        n: words for each; words of one letter are left out.

    Returns:
        of each cluster its words, the most telling first.

    Example:
        >>> cluster_words(["the cat and the cat", "the fast car", "the car"], [0, 1, 1], n=1)
        [['cat'], ['car']]
    """
    places = np.asarray(numbers, dtype=np.int64)
    counts: list[Counter[str]] = [Counter() for _ in range(int(places.max(initial=-1)) + 1)]
    for text, place in zip(texts, places.tolist(), strict=True):
        counts[place].update(term for term in terms_of(text) if len(term) > 1)
    in_all = sum(counts, Counter())
    mean = in_all.total() / max(len(counts), 1)
    found = []
    for of_one in counts:
        weights = {term: count * np.log1p(mean / in_all[term]) for term, count in of_one.items()}
        found.append(sorted(weights, key=lambda term: (-weights[term], term))[:n])
    return found
