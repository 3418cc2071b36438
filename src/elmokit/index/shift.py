"""How differently two corpora use words: average pairwise distance and prototype distance.

Both are computed from one sum of vectors per word and corpus: the mean cosine over all pairs is the dot product of the
two means of unit vectors. Each index is centred on its own corpus, so vectors are first centred again, on the point
between the two means.
Source: Giulianelli et al. 2020 (arXiv:2004.14118), Kutuzov & Giulianelli 2020 (arXiv:2005.00050).
"""

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.index.description import Centering
from elmokit.index.results import Shift
from elmokit.index.word_index import WordIndex


def shift(a: WordIndex, b: WordIndex, *, min_count: int = 10) -> list[Shift]:
    """Compare the words that occur `min_count` times, 2 or more, in two indexes of one model and the same layers.

    Returns the changes, the largest excess first. Raises ConfigError for other models or layers, or a smaller count.

    Example:
        ``shift(WordIndex.open("1900.index"), WordIndex.open("2000.index"))[:10]``
    """
    if min_count < 2:
        raise ConfigError(f"min_count is {min_count}; expected 2 or more.")
    ours, theirs = a.description, b.description
    if (ours.fingerprint, ours.layers) != (theirs.fingerprint, theirs.layers):
        raise ConfigError(
            f"{a.folder} was made with the model {ours.model!r} and layers {ours.layers!r}, {b.folder} with"
            f" {theirs.model!r} and {theirs.layers!r}; only indexes of one model and the same layers can be compared."
        )
    counts_a, counts_b = a.words(min_count=min_count), b.words(min_count=min_count)
    places = {word: i for i, word in enumerate(word for word in counts_a if word in counts_b)}
    middle = Centering(np.mean([ours.centering.mean, theirs.centering.mean], axis=0))
    sums_a, sums_b = a.word_sums(places, centering=middle), b.word_sums(places, centering=middle)
    changes = [_measured(word, counts_a[word], counts_b[word], sums_a[i], sums_b[i]) for word, i in places.items()]
    return sorted(changes, key=lambda change: (-change.excess, change.word))


def _measured(word: str, n_a: int, n_b: int, sum_a: NDArray[np.float64], sum_b: NDArray[np.float64]) -> Shift:
    lengths = float(np.linalg.norm(sum_a) * np.linalg.norm(sum_b))

    def within(total: NDArray[np.float64], n: int) -> float:
        """The mean cosine distance of two different vectors out of n of length 1, from their sum."""
        return 1 - (float(total @ total) - n) / (n * (n - 1))

    return Shift(
        word,
        n_a,
        n_b,
        apd=1 - float(sum_a @ sum_b) / (n_a * n_b),
        prt=1 - float(sum_a @ sum_b) / lengths if lengths > 0 else 1.0,
        within_a=within(sum_a, n_a),
        within_b=within(sum_b, n_b),
    )
