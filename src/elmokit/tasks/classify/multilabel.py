"""`MultiLabelClassifier`: texts with any number of labels each, by one logistic regression per label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder, Encoding
from elmokit.errors import ConfigError, InputError
from elmokit.tasks.checks import LabelSet, check_label_sets, text_list
from elmokit.tasks.classify.classifier import Strength, TextClassifier
from elmokit.tasks.classify.logistic import fit_one_vs_rest, strengths
from elmokit.tasks.classify.scores import LabelScores, score_labels


class MultiLabelClassifier(TextClassifier):
    """Give texts any number of labels each (one versus rest); a scikit-learn estimator.

    Args:
        elmo: see `TextClassifier`.
        encoding: see `TextClassifier`.
        cleaning: see `TextClassifier`.
        C: inverse of the penalty, the same for all labels; "cv" chooses it by cross-validation.
        class_weight: "balanced" gives the rarer side of each label more weight; None treats rows alike.
        threshold: probability from which a label is given.
        seed: of the folds.
        show_progress: see `Elmo.encode`.

    Attributes:
        classes_: the labels, sorted.

    Raises:
        ConfigError: in `fit`, a setting out of range.

    Example (`elmo` is any loaded model):
        ``MultiLabelClassifier(elmo).fit(["so happy", "it broke"], [["joy"], ["anger", "phone"]]).predict(["broken"])``
    """

    several = True
    head: Any = "logistic"
    join: None = None
    positive: None = None
    epochs: None = None

    def __init__(
        self,
        elmo: Encoder | str | Path = "default",
        *,
        encoding: Encoding = Encoding(pooling="mean+max"),  # noqa: B008  # frozen
        cleaning: Sequence[str] = (),
        C: Strength = "cv",
        class_weight: Literal["balanced"] | None = "balanced",
        threshold: float = 0.5,
        seed: int = 0,
        show_progress: bool | None = None,
    ) -> None:
        self.elmo = elmo
        self.encoding = encoding
        self.cleaning = cleaning
        self.C = C
        self.class_weight = class_weight
        self.threshold = threshold
        self.seed = seed
        self.show_progress = show_progress

    def check(self) -> None:
        """Check the settings without fitting.

        Raises:
            ConfigError: an unknown name or a value out of range.
        """
        super().check()
        if self.threshold == "f1":
            raise ConfigError("threshold is 'f1'; with several labels per text, expected a probability.")

    def fit(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> MultiLabelClassifier:
        """Fit the classifier.

        Args:
            texts: n texts.
            labels: the labels of each: a list, tuple or set of strings, which may be empty.

        Returns:
            itself.

        Raises:
            InputError: a missing text or label, no labels at all, different numbers of texts and label sets.
        """
        texts = text_list(texts)
        self.fit_checked(texts, check_label_sets(labels, n_texts=len(texts)))
        return self

    def _read_labels(self, labels: list[Any]) -> NDArray[np.integer]:
        self._set_classes(sorted({label for of_row in labels for label in of_row}))
        return label_matrix(labels, self.classes_.tolist()).astype(int)

    def _fit_head(self, X: Any, y: NDArray[np.integer], C: float | None) -> Any:
        candidates = strengths(X.shape[1])
        return fit_one_vs_rest(X, y, C=C, candidates=candidates, class_weight=self.class_weight, seed=self.seed)

    @property
    def C_(self) -> float | None:  # noqa: N802  # scikit-learn's name
        """The strength in use."""
        return float(self.pipeline_["head"].estimator.C)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probability of each label; rows do not sum to 1.

        Args:
            texts: n texts.

        Returns:
            a column per label, in the order of `classes_`. Shape (n, n_labels).

        Raises:
            InputError: not fitted yet, or a missing text.
        """
        return super().predict_proba(texts)

    def decide(self, probabilities: NDArray[np.floating]) -> Any:
        """Turn probabilities into labels.

        Args:
            probabilities: Shape (n, n_labels).

        Returns:
            n tuples of labels, the most probable first; empty where none reaches the threshold.
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(str(self.classes_[k]) for k in of_row if p[k] >= self.threshold_)
            for p, of_row in zip(probabilities, order, strict=True)
        ]

    def predict(self, texts: Iterable[str]) -> Any:
        """The labels of each text, the most probable first.

        Args:
            texts: n texts.

        Returns:
            n tuples of labels, which may be empty.

        Raises:
            InputError: not fitted yet, or a missing text.
        """
        return self.decide(self.predict_proba(texts))

    def evaluate(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> Any:
        """Scores on texts whose labels are known.

        Args:
            texts: n texts.
            labels: the labels of each.

        Returns:
            `LabelScores`: F1 micro, macro, weighted and per label; share of rows that are exactly right.

        Raises:
            InputError: not fitted yet, a missing text or label, or a label that was not in the training rows.
        """
        self._check_fitted()
        texts = text_list(texts)
        sets = check_label_sets(labels, n_texts=len(texts))
        unknown = sorted({label for of_row in sets for label in of_row} - set(self.classes_.tolist()))
        if unknown:
            raise InputError(f"the labels {unknown} were not learned; known are {self.classes_.tolist()}.")
        return self.scores(label_matrix(sets, self.classes_.tolist()), self.predict_proba(texts))

    def scores(self, truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> LabelScores:
        """Scores of probabilities at this classifier's threshold.

        Args:
            truth: whether each row has each label. Shape (n, n_labels).
            probabilities: of each label. Shape (n, n_labels).

        Returns:
            the scores.
        """
        return score_labels(truth, probabilities >= self.threshold_, self.classes_.tolist())

    def score(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> float:
        """Micro-averaged F1, for scikit-learn's searches.

        Args:
            texts: n texts.
            labels: the labels of each.

        Returns:
            from 0 to 1.
        """
        texts = text_list(texts)
        sets = check_label_sets(labels, n_texts=len(texts))
        names = sorted({*self.classes_.tolist(), *(label for of_row in sets for label in of_row)})
        return score_labels(label_matrix(sets, names), label_matrix(self.predict(texts), names), names).micro_f1


def label_matrix(labels: Sequence[LabelSet], names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row has each label.

    Args:
        labels: the labels of n rows.
        names: K labels; others are left out.

    Returns:
        Shape (n, K).

    Example:
        >>> label_matrix([("b",), ()], ["a", "b"]).tolist()
        [[False, True], [False, False]]
    """
    place, matrix = {name: k for k, name in enumerate(names)}, np.zeros((len(labels), len(names)), np.bool_)
    for row, of_row in zip(matrix, labels, strict=True):
        row[[place[label] for label in of_row if label in place]] = True
    return matrix
