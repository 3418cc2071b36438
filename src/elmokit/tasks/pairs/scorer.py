"""`PairScorer`: how similar the texts of a pair are, without labels; and how well scores agree with true ones.

Alignment matches words greedily (BERTScore, Zhang et al. 2020). Vectors of a biLM share a large common part, so plain
cosines are all high. `center` subtracts the mean word vector and `idf` gives rare words more weight; both are counted
once, in `fit`, so the score of a pair depends on that pair alone.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.encoding import Encoder, Layers
from elmokit.errors import ConfigError, InputError, needing
from elmokit.features import WordVectors
from elmokit.tasks.checks import Pair, check_pairs, text_list
from elmokit.tasks.similar import directions

Method = Literal["cosine", "alignment"]
Vectors = NDArray[np.floating]
Weighted = tuple[Vectors, NDArray[np.float64] | None]


@dataclass(eq=False, repr=False)
class PairScorer:
    """Scores the similarity of pairs without training labels.

    Args:
        elmo: the model.
        method: "alignment" (F1 of greedily matched words) or "cosine" (of the mean word vectors).
        layers, show_progress: see `Elmo.encode_words`; all layers but "each".
        idf: whether words are weighted by their inverse document frequency in the texts given to `fit`.
        center: whether the mean vector of the words given to `fit` is subtracted.

    Example (`elmo` is any loaded model):
        ``PairScorer(elmo, center=True).fit(texts).scores([("a cat", "one dog")])``
    """

    elmo: Encoder
    _: KW_ONLY
    method: Method = "alignment"
    layers: Layers = "mix"
    idf: bool = False
    center: bool = False
    show_progress: bool | None = None

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(f"method is {self.method!r}; expected 'cosine' or 'alignment'.")
        self._idf: dict[str, float] | None = None
        self._mean: NDArray[np.float64] | None = None

    def fit(self, texts: Iterable[str]) -> PairScorer:
        """Compute word frequencies and the mean word vector of texts; each distinct one counts once.

        InputError for texts without words, or a missing text.
        """
        distinct, total, words = list(dict.fromkeys(text_list(texts))), np.zeros(1), list[tuple[str, ...]]()
        for text in self.elmo.encode_words_stream(distinct, layers=self.layers, show_progress=self.show_progress):
            total = total + text.vectors.sum(0, dtype=np.float64)
            words.append(text.words)
        if not any(words):
            raise InputError("the texts to fit on have no words.")
        self._idf, self._mean = inverse_document_frequencies(words), total / sum(map(len, words))
        return self

    def scores(self, pairs: Iterable[Pair]) -> NDArray[np.float64]:
        """Scores of n pairs, from −1 to 1, larger for more similar texts. Shape (n,).

        InputError for a missing text, and for `idf` or `center` without `fit`.
        """
        if self.method == "alignment":
            return np.array([alignment.f1 for alignment in self.alignments(pairs)], dtype=np.float64)
        return np.array([_cosine(*pair) for pair in self._words(pairs)], dtype=np.float64)

    def alignments(self, pairs: Iterable[Pair]) -> list[Alignment]:
        """Precision, recall and F1 of the alignment of each pair, whatever the method; raises as `scores` does."""
        return [align(a, b, first_weights=x, second_weights=y) for (a, x), (b, y) in self._words(pairs)]

    def _words(self, pairs: Iterable[Pair]) -> Iterator[tuple[Weighted, Weighted]]:
        """The word vectors of both texts of each pair, and their weights."""
        mean, idf = self._mean, self._idf
        if (self.idf or self.center) and (mean is None or idf is None):
            raise InputError("idf and center are computed from texts of the kind to be scored: call fit(texts) first.")

        def weighted(text: WordVectors) -> Weighted:
            vectors = text.vectors - mean if self.center and mean is not None else text.vectors
            return vectors, weights_of(text.words, idf) if self.idf and idf is not None else None

        first, second = check_pairs(pairs)
        ahead = self.elmo.encode_words_stream(first, layers=self.layers, show_progress=self.show_progress)
        behind = self.elmo.encode_words_stream(second, layers=self.layers, show_progress=False)
        return zip(map(weighted, ahead), map(weighted, behind), strict=True)


def _cosine(first: Weighted, second: Weighted) -> float:
    """Cosine of the weighted means; 1 for two texts without words, 0 for one."""
    if not len(first[0]) or not len(second[0]):
        return float(len(first[0]) == len(second[0]))
    u, v = directions(np.array([weighted_mean(*first), weighted_mean(*second)]), dtype=np.float64)
    return float(u @ v)


@dataclass(frozen=True)
class Alignment:
    """How well the words of the first text match those of the second (precision) and back (recall), from −1 to 1.

    Both are means of the similarities to the best match; F1 is their harmonic mean, or 0.
    """

    precision: float
    recall: float
    f1: float


def align(
    first: Vectors, second: Vectors, *, first_weights: ArrayLike | None = None, second_weights: ArrayLike | None = None
) -> Alignment:
    """Match each word of two texts with the most similar word of the other.

    `first`, BERTScore's candidate, and `second`, its reference, are word vectors, (T1, d) and (T2, d), with weights of
    words, (T1,) and (T2,); None, or only zeros, weighs all alike. Two texts without words get 1, one without gets 0.
    """
    if not len(first) or not len(second):
        value = float(len(first) == len(second))
        return Alignment(value, value, value)
    ahead, behind = (directions(rows, dtype=np.float64) for rows in (first, second))
    cosines = np.clip(ahead @ behind.T, -1, 1)  # (T1, T2)
    precision = float(weighted_mean(cosines.max(1), first_weights))
    recall = float(weighted_mean(cosines.max(0), second_weights))
    total = precision + recall
    return Alignment(precision, recall, 2 * precision * recall / total if total > 1e-9 else 0.0)


def weighted_mean(values: Vectors, weights: ArrayLike | None) -> NDArray[np.float64]:
    """Mean over the first axis, weighted unless all weights are zero. Shape (T, …) → (…)."""
    shares = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares if shares.sum() > 0 else np.ones(len(values))
    return np.asarray(shares / shares.sum() @ values)


def inverse_document_frequencies(texts: Iterable[Sequence[str]]) -> dict[str, float]:
    """How rare words of n texts are: log((n + 1) / (texts with the word + 1)), as in BERTScore; "" for unseen ones."""
    sets = list(map(set, texts))
    counts, unseen = Counter(chain.from_iterable(sets)), float(np.log(len(sets) + 1))
    return {**{word: unseen - float(np.log(n + 1)) for word, n in counts.items()}, "": unseen}


def weights_of(words: Sequence[str], frequencies: Mapping[str, float]) -> NDArray[np.float64]:
    """Weights of words, from `inverse_document_frequencies`. Shape (T,)."""
    return np.array([frequencies.get(word, frequencies[""]) for word in words], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class SimilarityScores:
    """How well predicted similarity scores agree with the truth; a correlation is NaN where one side is constant."""

    pearson: float
    spearman: float
    mean_squared_error: float
    n_pairs: int

    def __str__(self) -> str:
        return (
            f"Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f}, mean squared error"
            f" {self.mean_squared_error:.3f} ({self.n_pairs:,} pairs)"
        )


def compare_scores(truth: ArrayLike, predicted: ArrayLike) -> SimilarityScores:
    """Correlations and mean squared error of predicted scores, both of shape (n,).

    InputError for fewer than two scores, or different lengths; MissingExtra without SciPy.
    """
    with needing("scipy", "tasks", "correlations"):
        from scipy.stats import pearsonr, spearmanr
    a, b = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"{len(a)} true and {len(b)} predicted scores; expected as many, and at least two.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, whose correlation is NaN
        pearson, spearman = float(pearsonr(a, b).statistic), float(spearmanr(a, b).statistic)
    squared = float(np.mean((a - b) ** 2))
    return SimilarityScores(pearson=pearson, spearman=spearman, mean_squared_error=squared, n_pairs=len(a))
