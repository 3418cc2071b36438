"""`MultiLabelClassifier`: texts with any number of labels each, by one logistic regression per label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.tasks.checks import check_label_sets, text_list
from elmokit.tasks.classify.classifier import BaseTextClassifier
from elmokit.tasks.classify.logistic import fit_one_vs_rest, strengths
from elmokit.tasks.classify.scores import Scores, label_matrix, score


@dataclass(eq=False, repr=False)
class MultiLabelClassifier(BaseTextClassifier):
    """Give texts any number of labels each (one versus rest); a scikit-learn estimator.

    Args:
        elmo, encoding, cleaning, seed, show_progress: see `TextClassifier`.
        C: inverse of the penalty; "cv" chooses it for each label by cross-validation.
        class_weight: "balanced" gives the rarer side of each label more weight; None treats rows alike.
        threshold: probability from which a label is given.

    Attributes:
        classes_: the labels, sorted.

    Raises:
        ConfigError: in `fit`, a setting out of range.

    Example (`elmo` is any loaded model):
        ``MultiLabelClassifier(elmo).fit(["so happy", "it broke"], [["joy"], ["anger", "phone"]]).predict(["broken"])``
    """

    several: ClassVar[bool] = True

    def check(self) -> None:
        """Check the settings without fitting; a wrong one is a ConfigError."""
        super().check()
        if self.threshold == "f1":
            raise ConfigError("threshold is 'f1'; with several labels per text, expected a probability.")

    def check_labels(self, labels: Iterable[Any], n_texts: int) -> list[Any]:
        """The labels of each text as a sorted tuple.

        Args:
            labels, n_texts: lists, tuples or sets of strings, and their number.

        Returns:
            n tuples.
        """
        return check_label_sets(labels, n_texts=n_texts)

    def _read_labels(self, labels: list[Any]) -> NDArray[np.integer]:
        self._set_classes(sorted({label for of_row in labels for label in of_row}))
        return label_matrix(labels, self.classes_.tolist()).astype(int)

    def _fit_head(self, X: Any, y: NDArray[np.integer], C: Any) -> Any:
        given = {k: C.get(label) for k, label in enumerate(self.classes_.tolist())} if isinstance(C, dict) else C
        options: dict[str, Any] = {"candidates": strengths(X.shape[1]), "class_weight": self.class_weight}
        return fit_one_vs_rest(X, y, C=given, seed=self.seed, **options)

    @property
    def C_(self) -> dict[str, float]:  # noqa: N802  # scikit-learn's name
        """The strength in use, by label."""
        heads = self.pipeline_["head"].estimators_
        return {label: float(head.C) for label, head in zip(self.classes_.tolist(), heads, strict=True)}

    def decide(self, probabilities: NDArray[np.floating]) -> Any:
        """The labels that reach the threshold, the most probable first: n tuples."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(str(self.classes_[k]) for k in of_row if p[k] >= self.threshold_)
            for p, of_row in zip(probabilities, order, strict=True)
        ]

    def compare(self, labels: list[Any], probabilities: NDArray[np.floating], classes: Sequence[Any]) -> Scores:
        """Scores of the decisions for some probabilities.

        Args:
            labels, probabilities: the true labels of n texts, and probabilities of those learned, (n, n_labels).
            classes: labels of the report.

        Returns:
            the scores.
        """
        return score(label_matrix(labels, classes), label_matrix(self.decide(probabilities), classes), classes)

    def score(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> float:
        """Micro-averaged F1, for scikit-learn's searches.

        Args:
            texts, labels: see `fit`.

        Returns:
            from 0 to 1.
        """
        texts = text_list(texts)
        sets = self.check_labels(labels, len(texts))
        names = sorted({*self.classes_.tolist(), *(label for of_row in sets for label in of_row)})
        return self.compare(sets, self.predict_proba(texts), names).micro_f1
