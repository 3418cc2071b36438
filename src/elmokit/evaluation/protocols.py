"""How a set's figure is found: SentEval's protocol for texts and pairs, a threshold on a cosine for words.

- Classes: logistic regression on frozen vectors, its strength chosen inside the training part: on the dev part where
  there is one, else by folds. Sets without a split: ten folds, each predicted by a model that has not seen it
  (SentEval searches with inner folds, six strengths; here the next fold validates, fifteen strengths).
- Degrees (SICK-R, STS-B): ridge regression on |u − v| and u · v, strength chosen on dev. SentEval fits a distribution
  over grades instead; on the same features the two come out close.
- Words in context: two words mean the same if the cosine of their vectors is above a threshold. The layer, and
  whether the mean vector of the words of train and dev is taken off first (vectors of a biLM share a large common
  part), are chosen on train; the threshold on train and dev. The figures of all choices are kept beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from elmokit.evaluation.encoders import Encoder
from elmokit.evaluation.examples import Pairs, Parts, Texts, WordPairs
from elmokit.tasks.csr import CSR
from elmokit.tasks.degrees import Ridge, cosines, pearson, spearman
from elmokit.tasks.logistic import ClassWeight, LogisticRegression, cross_validated
from elmokit.tasks.metrics import score


@dataclass(frozen=True)
class Figures:
    """What a protocol found.

    Args:
        values: by metric, in per cent.
        n_test: examples judged.
        chosen: what was chosen inside the training part (strength, layer, threshold).
    """

    values: Mapping[str, float]
    n_test: int
    chosen: Mapping[str, float | str] = field(default_factory=dict)


def judge_texts(encoder: Encoder, examples: Texts, *, n_folds: int, class_weight: ClassWeight, seed: int) -> Figures:
    """Accuracy and F1 of texts' classes.

    Args:
        encoder: whose vectors.
        examples: the texts.
        n_folds: folds, for a set without parts.
        class_weight: see `LogisticRegression`.
        seed: of the folds.

    Returns:
        the figures.
    """
    features = encoder.texts(examples.texts)
    if examples.parts is not None:
        return _judge_split(features, examples.targets, examples.parts, class_weight, seed)
    predicted = cross_validated(features, examples.targets, n_folds=n_folds, class_weight=class_weight, seed=seed)
    return Figures(_class_values(examples.targets, predicted), len(predicted))


def judge_pairs(encoder: Encoder, examples: Pairs, *, class_weight: ClassWeight, seed: int) -> Figures:
    """Accuracy of pairs' classes, or correlation with their degrees.

    Args:
        encoder: whose vectors.
        examples: the pairs.
        class_weight: see `LogisticRegression`.
        seed: of the folds.

    Returns:
        the figures.
    """
    features = encoder.pairs(examples.first, examples.second)
    if examples.targets.dtype.kind == "f":
        return _judge_degrees(features, examples.targets, examples.parts)
    return _judge_split(features, examples.targets, examples.parts, class_weight, seed)


def _judge_split(
    features: NDArray[np.float32] | CSR, targets: NDArray[np.str_], parts: Parts, class_weight: ClassWeight, seed: int
) -> Figures:
    learned, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    validation = parts[learned] == "dev" if (parts == "dev").any() else None
    head = LogisticRegression(C="cv", class_weight=class_weight, seed=seed)
    head.fit(_rows(features, learned), targets[learned], validation=validation)
    predicted = head.predict(_rows(features, test))
    return Figures(_class_values(targets[test], predicted), len(test), {"C": head.C_})


def _rows(features: NDArray[np.float32] | CSR, rows: NDArray[np.integer]) -> NDArray[np.float32] | CSR:
    return features.take(rows) if isinstance(features, CSR) else features[rows]


def _class_values(truth: NDArray[np.str_], predicted: NDArray[np.str_]) -> dict[str, float]:
    scores = score(truth.tolist(), predicted.tolist())
    values = {"accuracy": scores.accuracy, "macro F1": scores.macro_f1, "weighted F1": scores.weighted_f1}
    if len(scores.classes) == 2:
        values["F1 of 1"] = scores.classes[1].f1
    return {name: 100 * value for name, value in values.items()}


def _judge_degrees(features: NDArray[np.float32], targets: NDArray[np.float64], parts: Parts) -> Figures:
    train, dev, test = (parts == part for part in ("train", "dev", "test"))
    fitted = Ridge.fit(features[train], targets[train])
    on_dev = [pearson(ridge.predict(features[dev]), targets[dev]) for ridge in fitted]
    predicted = fitted[int(np.nanargmax(on_dev))].predict(features[test])
    values = {"Pearson": pearson(predicted, targets[test]), "Spearman": spearman(predicted, targets[test])}
    return Figures({name: 100 * value for name, value in values.items()}, int(test.sum()))


def judge_words(encoder: Encoder, examples: WordPairs) -> Figures | None:
    """Whether the cosine of two words' vectors tells how alike their meanings are.

    Args:
        encoder: whose vectors.
        examples: the pairs.

    Returns:
        the figures; None for an encoder without vectors of words in context.
    """
    vectors = encoder.words(examples.sentences, examples.places)
    if vectors is None:
        return None
    if examples.parts is None:
        by_layer = {name: 100 * spearman(c, examples.targets) for name, c in _cosines_by_layer(vectors, None).items()}
        values = {"Spearman": by_layer["mix"], **{f"Spearman, layer {name}": v for name, v in by_layer.items()}}
        return Figures(values, len(examples.targets))
    train, learned, test = examples.parts == "train", examples.parts != "test", examples.parts == "test"
    alike, truth = _cosines_by_layer(vectors, learned), examples.targets
    on_train = {name: best_threshold(values[train], truth[train])[0] for name, values in alike.items()}
    thresholds = {name: best_threshold(values[learned], truth[learned])[1] for name, values in alike.items()}
    by_layer = {
        name: 100 * float(((values[test] > thresholds[name]) == truth[test]).mean()) for name, values in alike.items()
    }
    layer = max(on_train, key=lambda name: on_train[name])
    values = {"accuracy": by_layer[layer], **{f"accuracy, layer {name}": v for name, v in by_layer.items()}}
    return Figures(values, int(test.sum()), {"layer": layer, "threshold": thresholds[layer]})


def _cosines_by_layer(
    vectors: NDArray[np.float32], learned: NDArray[np.bool_] | None
) -> dict[str, NDArray[np.float64]]:
    """By layer ("0", "1", …, and "mix" for their mean), and centred on the pairs `learned`. (L, 2n, D) → (n,) each."""
    n = vectors.shape[1] // 2
    layers = {str(i): layer for i, layer in enumerate(vectors)} | {"mix": vectors.mean(0)}
    if learned is not None:
        both = np.concatenate([learned, learned])
        layers |= {f"{name} centred": layer - layer[both].mean(0) for name, layer in layers.items()}
    return {name: cosines(layer[:n], layer[n:]) for name, layer in layers.items()}


def best_threshold(values: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """The threshold above which most answers are right.

    Args:
        values: Shape (n,).
        truth: which of them should be above. Shape (n,).

    Returns:
        share of right answers, and the threshold: halfway between two values.

    Example:
        >>> best_threshold(np.array([0.1, 0.9, 0.4, 0.8]), np.array([False, True, False, True]))
        (1.0, 0.6)
    """
    order = np.argsort(values)
    sorted_values, sorted_truth = values[order], truth[order]
    below = np.concatenate([[0], np.cumsum(~sorted_truth)])
    above = np.concatenate([[0], np.cumsum(sorted_truth)])
    right = below + above[-1] - above
    edges = np.concatenate([[-np.inf], (sorted_values[1:] + sorted_values[:-1]) / 2, [np.inf]])
    possible = np.concatenate([[True], sorted_values[1:] > sorted_values[:-1], [True]])
    at = int(np.argmax(np.where(possible, right, -1)))
    return float(right[at] / len(values)), round(float(edges[at]), 12)
