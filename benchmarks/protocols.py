"""How the evaluation sets are scored: frozen vectors, SentEval's protocol, scikit-learn's linear models.

- Classes: plain logistic regression (no class weights unless asked for). Its strength is chosen by the held-out log
  loss inside the training part: on the dev part where there is one, else by five folds. Sets without an official
  split: ten stratified folds; for the model that predicts fold k, the strength is chosen on fold k + 1.
- Similarity scores (SICK-R, STS-B): ridge regression on |u − v| and u · v, standardised; strength chosen on dev.
- Words in context: two words mean the same if the cosine of their vectors is above a threshold. The layer, and
  whether the mean vector of train and dev is subtracted first, or the mean and the three or ten largest principal
  components (Mu & Viswanath 2018, "All-but-the-Top"), are chosen on dev; the threshold on train and dev.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from evaluation_sets import EvaluationSet, Pairs, Texts, WordPairs
from scipy.stats import pearsonr, spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-8, 7))
"""Values of C tried, from the strongest penalty to the weakest."""
RIDGE_STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-6, 5))
"""Penalties tried, in units of the features' variance."""


class Encoder(Protocol):
    """What is evaluated: `words` returns None where a model has no vectors of words in context."""

    name: str

    def texts(self, texts: Sequence[str]) -> Any:
        """A vector per text. Shape (n, d)."""

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Features of how two texts relate. Shape (n, e)."""

    def words(self, sentences: Sequence[Sequence[str]], positions: np.ndarray) -> np.ndarray | None:
        """The vector of one word of each tokenised sentence in every layer. Shape (L, n, 2P)."""


class ElmoEncoder:
    """An `elmokit.Elmo` with a pooling and layers."""

    def __init__(self, elmo: Any, *, pooling: str = "mean", layers: Any = "all", name: str | None = None) -> None:
        self.elmo, self.pooling, self.layers = elmo, pooling, layers
        self.name = name or f"{elmo.name}, {pooling}, layers {layers}"

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """A vector per text. Shape (n, d)."""
        return self.elmo.encode(texts, pooling=self.pooling, layers=self.layers, show_progress=False)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Features of how two texts relate. Shape (n, e)."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences: Sequence[Sequence[str]], positions: np.ndarray) -> np.ndarray:
        """One word of each tokenised sentence in every layer. Shape (L, n, 2P)."""
        stream = self.elmo.encode_words_stream(sentences, layers="each", show_progress=False)
        return np.stack([text.vectors[:, at] for text, at in zip(stream, positions, strict=True)], axis=1)


class TfidfEncoder:
    """The baseline: weighted counts of words and bigrams, fitted on all texts of a set (it sees no labels).

    A pair is two numbers, the cosine and the summed difference: a few thousand pairs are too few to learn a weight for
    each of ten thousand terms.
    """

    name = "TF-IDF"

    def texts(self, texts: Sequence[str]) -> Any:
        """A vector per text. Shape (n, d)."""
        return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts)

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Features of how two texts relate. Shape (n, e)."""
        counts = TfidfVectorizer(sublinear_tf=True).fit([*first, *second])
        u, v = counts.transform(first), counts.transform(second)
        return np.column_stack([np.asarray(u.multiply(v).sum(1)), np.asarray(abs(u - v).sum(1))])

    def words(self, *_: object) -> None:
        """None: a counted word is the same in every sentence."""


class CharacterEncoder(TfidfEncoder):
    """The second baseline: weighted counts of runs of two to five characters within words."""

    name = "TF-IDF characters"

    def texts(self, texts: Sequence[str]) -> Any:
        """A vector per text. Shape (n, d)."""
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True).fit_transform(texts)


def pair_features(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|u − v| and u · v. Shape (n, 2d)."""
    return np.concatenate([np.abs(first - second), first * second], axis=1)


@dataclass(frozen=True)
class Figures:
    """Values by metric in per cent, the number of test examples, what was chosen inside the training part.

    `errors` are the values' standard errors: the standard deviation over 200 samples of the test examples with
    replacement (the fitted models are the same in every seed).
    """

    values: Mapping[str, float]
    n_test: int
    chosen: Mapping[str, float | str] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)


def evaluate(
    one: EvaluationSet, examples: Any, encoder: Encoder, *, class_weight: str | None = None, seed: int = 0
) -> Figures | None:
    """Score an encoder on a set; None where the encoder has no vectors of words in context."""
    if isinstance(examples, WordPairs):
        return score_words(encoder, examples)
    if isinstance(examples, Pairs):
        features = encoder.pairs(examples.first, examples.second)
        if examples.targets.dtype.kind == "f":
            return _score_regression(features, examples.targets, examples.parts)
        return _score_split(features, examples.targets, examples.parts, class_weight, seed)
    return score_texts(encoder, examples, n_folds=one.n_folds, class_weight=class_weight, seed=seed)


def score_texts(encoder: Encoder, examples: Texts, *, n_folds: int, class_weight: str | None, seed: int) -> Figures:
    """Accuracy and F1 of the classes of texts."""
    features = encoder.texts(examples.texts)
    if examples.parts is None:
        predicted = cross_validated(features, examples.targets, n_folds, class_weight, seed)
        return _figures(_class_values, examples.targets, predicted)
    return _score_split(features, examples.targets, examples.parts, class_weight, seed)


def _score_split(features: Any, y: np.ndarray, parts: np.ndarray, class_weight: str | None, seed: int) -> Figures:
    test, learned = np.flatnonzero(parts == "test"), np.flatnonzero(parts != "test")
    weights = compute_sample_weight(class_weight, y[learned])
    X, y_learned = features[learned], y[learned]
    dev = parts[learned] == "dev"
    if dev.any():
        splits, fit_rows = [(np.flatnonzero(~dev), np.flatnonzero(dev))], np.flatnonzero(~dev)
    else:
        splits = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(learned, y_learned))
        fit_rows = np.arange(len(learned))
    losses = held_out_losses(X, y_learned, weights, splits).sum(1)
    C = STRENGTHS[int(losses.argmin())]
    predicted = _model(C).fit(X[fit_rows], y_learned[fit_rows], weights[fit_rows]).predict(features[test])
    return _figures(_class_values, y[test], predicted, {"C": C})


def cross_validated(X: Any, y: np.ndarray, n_folds: int, class_weight: str | None, seed: int) -> np.ndarray:
    """The class of each row, predicted by a model that has not seen it; its strength is chosen on the next fold."""
    folds = [held for _, held in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y)]
    weights = compute_sample_weight(class_weight, y)
    rest = [np.setdiff1d(np.arange(len(y)), held) for held in folds]
    following = [*folds[1:], folds[0]]
    splits = [(np.setdiff1d(rows, held), held) for rows, held in zip(rest, following, strict=True)]
    best = held_out_losses(X, y, weights, splits).argmin(0)
    predicted = np.empty_like(y)
    for held, rows, strength in zip(folds, rest, best, strict=True):
        predicted[held] = _model(STRENGTHS[strength]).fit(X[rows], y[rows], weights[rows]).predict(X[held])
    return predicted


def held_out_losses(X: Any, y: np.ndarray, weights: np.ndarray, splits: list[tuple[Any, Any]]) -> np.ndarray:
    """Log loss by strength and split, from strong to weak until it has become worse twice. Shape (tried, n_splits)."""
    models = [_model(1.0, warm_start=True) for _ in splits]  # looser than 1e-4 changes which strength wins
    losses: list[list[float]] = []
    classes = np.unique(y)
    for C in STRENGTHS:
        row = []
        for model, (train, held) in zip(models, splits, strict=True):
            model.set_params(C=C).fit(X[train], y[train], weights[train])
            predicted = model.predict_proba(X[held])
            row.append(log_loss(y[held], predicted, sample_weight=weights[held], normalize=False, labels=classes))
        losses.append(row)
        sums = [sum(row) for row in losses]
        if np.argmin(sums) > 0 and len(sums) > 2 and sums[-1] > sums[-2] > sums[-3]:
            break
    return np.array(losses)


def _model(C: float, warm_start: bool = False) -> LogisticRegression:
    return LogisticRegression(C=C, tol=1e-4, max_iter=1_000, warm_start=warm_start)


def _class_values(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    values = {"accuracy": accuracy_score(truth, predicted)}
    values |= {f"{kind} F1": f1_score(truth, predicted, average=kind) for kind in ("macro", "weighted")}
    classes = np.unique([*truth, *predicted])
    if len(classes) == 2:
        values["F1 of 1"] = f1_score(truth, predicted, pos_label=classes[1])
    return {name: 100 * float(value) for name, value in values.items()}


def _score_regression(features: np.ndarray, y: np.ndarray, parts: np.ndarray) -> Figures:
    train, dev, test = (parts == part for part in ("train", "dev", "test"))
    mean, scale = features[train].mean(0, dtype=np.float64), features[train].std(0, dtype=np.float64)
    Z = (features - mean) / np.where(scale > 1e-12, scale, np.inf)
    # one decomposition serves all strengths, where Ridge would solve the system for each
    values, axes = np.linalg.eigh(Z[train].T @ Z[train] / train.sum())
    target = axes.T @ (Z[train].T @ (y[train] - y[train].mean())) / train.sum()
    weights = [axes @ (target / (values + strength)) for strength in RIDGE_STRENGTHS]
    best = max(weights, key=lambda w: pearsonr(Z[dev] @ w, y[dev])[0])
    return _figures(_correlations, y[test], Z[test] @ best)


def _correlations(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return {
        "Pearson": 100 * float(pearsonr(predicted, truth)[0]),
        "Spearman": 100 * float(spearmanr(predicted, truth)[0]),
    }


def _figures(
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    truth: np.ndarray,
    predicted: np.ndarray,
    chosen: Mapping[str, float | str] | None = None,
) -> Figures:
    draws = np.random.default_rng(0).integers(len(truth), size=(200, len(truth)))
    samples = [score(truth[rows], predicted[rows]) for rows in draws]
    values = score(truth, predicted)
    errors = {name: float(np.std([sample[name] for sample in samples if name in sample])) for name in values}
    return Figures(values, len(truth), chosen or {}, errors)


def score_words(encoder: Encoder, examples: WordPairs) -> Figures | None:
    """Whether the cosine of two word vectors tells how similar their meanings are."""
    vectors = encoder.words(examples.sentences, examples.positions)
    if vectors is None:
        return None
    truth = examples.targets
    if examples.parts is None:
        by_layer = {k: 100 * float(spearmanr(c, truth)[0]) for k, c in _cosines_by_layer(vectors, None).items()}
        values = {"Spearman": by_layer["mix"], **{f"Spearman, layer {name}": v for name, v in by_layer.items()}}
        return Figures(values, len(truth))
    train, learned, test = examples.parts == "train", examples.parts != "test", examples.parts == "test"
    cosines = _cosines_by_layer(vectors, learned)
    dev = examples.parts == "dev"
    of_train = {name: best_threshold(values[train], truth[train])[1] for name, values in cosines.items()}
    on_dev = {name: float(((c[dev] > of_train[name]) == truth[dev]).mean()) for name, c in cosines.items()}
    thresholds = {name: best_threshold(values[learned], truth[learned])[1] for name, values in cosines.items()}
    by_layer = {k: 100 * float(((c[test] > thresholds[k]) == truth[test]).mean()) for k, c in cosines.items()}
    layer = max(on_dev, key=lambda name: on_dev[name])
    values = {"accuracy": by_layer[layer], **{f"accuracy, layer {name}": v for name, v in by_layer.items()}}
    return Figures(values, int(test.sum()), {"layer": layer, "threshold": thresholds[layer]})


def _cosines_by_layer(vectors: np.ndarray, learned: np.ndarray | None) -> dict[str, np.ndarray]:
    """By layer ("0", …, "mix"; "top alone" is what the last LSTM adds), (L, 2n, D) → (n,).

    Plain, centred on the pairs `learned`, and without the three or ten main axes of those.
    """
    n = vectors.shape[1] // 2
    layers = {str(i): layer for i, layer in enumerate(vectors)} | {"mix": vectors.mean(0)}
    if len(vectors) > 1:
        layers["top alone"] = vectors[-1] - vectors[-2]
    if learned is not None:
        both = np.concatenate([learned, learned])
        centred = {name: layer - layer[both].mean(0) for name, layer in layers.items()}
        axes = {name: np.linalg.eigh(c[both].T @ c[both])[1] for name, c in centred.items()}  # (D, D), largest last
        layers |= {f"{name} centred": layer for name, layer in centred.items()}
        for n_axes in (3, 10):
            main = {name: vectors[:, -n_axes:] for name, vectors in axes.items()}
            layers |= {
                f"{name} without {n_axes} axes": c - c @ main[name] @ main[name].T for name, c in centred.items()
            }
    units = {k: v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-30) for k, v in layers.items()}
    return {name: np.einsum("nd,nd->n", v[:n], v[n:], dtype=np.float64) for name, v in units.items()}


def best_threshold(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The largest share of right answers of "value > threshold", and the threshold: halfway between two values."""
    order = np.argsort(values)
    sorted_values, sorted_truth = values[order], truth[order]
    below = np.concatenate([[0], np.cumsum(~sorted_truth)])
    above = np.concatenate([[0], np.cumsum(sorted_truth)])
    right = below + above[-1] - above
    edges = np.concatenate([[-np.inf], (sorted_values[1:] + sorted_values[:-1]) / 2, [np.inf]])
    possible = np.concatenate([[True], sorted_values[1:] > sorted_values[:-1], [True]])
    at = int(np.argmax(np.where(possible, right, -1)))
    return float(right[at] / len(values)), round(float(edges[at]), 12)
