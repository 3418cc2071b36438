"""`MultiLabelClassifier`: texts with any number of labels each, by one logistic regression per label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError
from elmokit.tasks.checks import text_list
from elmokit.tasks.classify.classifier import BaseTextClassifier
from elmokit.tasks.classify.logistic import fit_one_vs_rest, strengths
from elmokit.tasks.classify.scores import label_matrix


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

    def _read_labels(self, labels: list[Any]) -> NDArray[np.integer]:
        self._set_classes(sorted({label for of_row in labels for label in of_row}))
        return label_matrix(labels, self.classes_.tolist()).astype(int)

    def _fit_head(self, X: Any, y: NDArray[np.integer], C: Any) -> Any:
        by_label = C if isinstance(C, dict) else dict.fromkeys(self.classes_.tolist(), C)
        given, candidates = [by_label.get(label) for label in self.classes_.tolist()], strengths(X.shape[1])
        return fit_one_vs_rest(X, y, C=given, candidates=candidates, class_weight=self.class_weight, seed=self.seed)

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

    def score(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> float:
        """Micro-averaged F1, for scikit-learn's searches.

        Args:
            texts, labels: see `fit`.

        Returns:
            a number from 0 to 1.
        """
        texts = text_list(texts)
        true = self.check_labels(labels, len(texts))
        names = sorted({*self.classes_.tolist(), *(label for of_text in true for label in of_text)})
        return self.compare(true, self.predict_proba(texts), names).micro_f1
