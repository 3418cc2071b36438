"""Texts that have any number of labels each: one logistic regression per label, on the same vectors.

Every label is learned against all rows without it (one versus rest), with a strength of its own; that costs a
cross-validation per label. A text gets the labels that are at least as probable as the threshold, which may be none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.tasks.classify import Encoder, Layers, OnProgress, TextClassifier, text_list
from elmokit.tasks.csr import Products
from elmokit.tasks.logistic import ClassWeight, LogisticRegression
from elmokit.tasks.metrics import ClassScore, score
from elmokit.tasks.saved_head import check_model, load_head, save_head

Labels = tuple[str, ...]
_FILES, _KIND = "classifier", "one-vs-rest"
_CERTAIN = 15.0
"""Log-odds of a label that all rows have, or none."""


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """How well labels are found.

    Args:
        micro_f1: F1 over all pairs of row and label.
        macro_f1: mean of the labels' F1.
        weighted_f1: mean of the labels' F1, weighted by their rows.
        accuracy: share of the rows whose labels are all right, and no other given.
        classes: each label's scores.
    """

    micro_f1: float
    macro_f1: float
    weighted_f1: float
    accuracy: float
    classes: tuple[ClassScore, ...]


def score_labels(truth: NDArray[np.bool_], said: NDArray[np.bool_], names: Sequence[str]) -> LabelScores:
    """Compare labels with the truth.

    Args:
        truth: whether each row has each label. Shape (n, K).
        said: whether it was given. Shape (n, K).
        names: of the K labels.

    Returns:
        the scores, as scikit-learn defines them, 0 where there is nothing to divide by.

    Raises:
        InputError: no rows.

    Example:
        >>> score_labels(np.array([[True, False]]), np.array([[True, True]]), ["a", "b"]).micro_f1
        0.6666666666666666
    """
    if not len(truth):
        raise InputError("no rows to judge.")
    each = [score(list(t), list(s), [False, True]).classes[1] for t, s in zip(truth.T, said.T, strict=True)]
    classes = tuple(
        ClassScore(label=name, precision=c.precision, recall=c.recall, f1=c.f1, support=c.support)
        for name, c in zip(names, each, strict=True)
    )
    f1, support = [c.f1 for c in classes], [c.support for c in classes]
    return LabelScores(
        micro_f1=float(2 * (truth & said).sum() / max(truth.sum() + said.sum(), 1)),
        macro_f1=float(np.mean(f1)),
        weighted_f1=float(np.dot(f1, support) / max(sum(support), 1)),
        accuracy=float((truth == said).all(1).mean()),
        classes=classes,
    )


class OneVsRest:
    """A logistic regression per label.

    Args:
        C: of each; see `LogisticRegression`.
        class_weight: of each label's two sides: "balanced" or None.
        standardize: see `LogisticRegression`.
        seed: of the folds.

    Attributes:
        C_: the strengths. Shape (K,).

    Example:
        >>> X, truth = np.array([[0.0], [1.0], [2.0]]), np.array([[True, True], [False, True], [False, True]])
        >>> (OneVsRest(C=100.0).fit(X, truth).predict_proba(X) > 0.5).tolist()
        [[True, True], [False, True], [False, True]]
    """

    def __init__(
        self,
        *,
        C: float | Literal["cv"] = "cv",
        class_weight: ClassWeight = None,
        standardize: bool = False,
        seed: int = 0,
    ) -> None:
        self.settings: dict[str, Any] = {"class_weight": class_weight, "standardize": standardize, "seed": seed}
        self.C = C

    def fit(
        self,
        X: NDArray[np.floating] | Products,
        truth: NDArray[np.bool_],
        *,
        C: NDArray[np.floating] | None = None,
        on_step: OnProgress | None = None,
    ) -> OneVsRest:
        """Learn.

        Args:
            X: features. Shape (n, d).
            truth: whether each row has each label. Shape (n, K).
            C: a strength per label instead of its own. Shape (K,).
            on_step: called with (labels learned, labels in all).

        Returns:
            itself.
        """
        K = truth.shape[1]
        self.coef_, self.intercept_, self.C_ = np.zeros((K, X.shape[1])), np.zeros(K), np.ones(K)
        for k, has in enumerate(truth.T):
            if has.all() or not has.any():
                self.intercept_[k] = _CERTAIN if has.all() else -_CERTAIN
            else:
                head = LogisticRegression(C=self.C if C is None else float(C[k]), **self.settings).fit(X, has)
                self.coef_[k], self.intercept_[k], self.C_[k] = head.coef_[0], head.intercept_[0], head.C_
            if on_step is not None:
                on_step(k + 1, K)
        return self

    def predict_proba(self, X: NDArray[np.floating] | Products) -> NDArray[np.float64]:
        """How probable each label is. Shape (n, K)."""
        scores = np.asarray(X @ self.coef_.T.astype(X.dtype), dtype=np.float64) + self.intercept_
        return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))


class MultiLabelClassifier:
    """A classifier of texts with any number of labels each.

    Args:
        elmo: the model that the features come from.
        pooling: see `TextClassifier`.
        layers: see `TextClassifier`.
        cleaning: see `TextClassifier`.
        C: inverse of the penalty's strength, or "cv" to choose it for each label by cross-validation.
        class_weight: "balanced" gives the rarer side of each label more weight; None treats all rows alike.
        seed: of the folds.
        threshold: from which probability on a label is given.

    Attributes:
        classes_: the labels, sorted; known after `fit`.

    Raises:
        ConfigError: a cleaning step that is not known, a C that is no strength, a threshold that is no probability.

    Example (`elmo` is any loaded model):
        ``MultiLabelClassifier(elmo).fit(["so happy", "it broke"], [["joy"], ["anger", "phone"]]).predict(["broken"])``
    """

    def __init__(
        self,
        elmo: Encoder,
        *,
        pooling: str = "mean+max",
        layers: Layers = "mix",
        cleaning: Sequence[str] = (),
        C: float | Literal["cv"] = "cv",
        class_weight: Literal["balanced"] | None = "balanced",
        seed: int = 0,
        threshold: float = 0.5,
    ) -> None:
        if not (isinstance(threshold, int | float) and 0 < threshold < 1):
            raise ConfigError(f"threshold is {threshold!r}; expected a probability between 0 and 1.")
        self.elmo, self.threshold = elmo, float(threshold)
        self._one = TextClassifier(
            elmo, pooling=pooling, layers=layers, cleaning=cleaning, C=C, class_weight=class_weight, seed=seed
        )
        self.pooling, self.layers, self.cleaning = pooling, layers, self._one.cleaning
        self.C, self.class_weight, self.seed = C, class_weight, seed
        self.classes_: Labels = ()
        self.head_ = self.new_head()

    def new_head(self) -> OneVsRest:
        """A head with these settings that has learned nothing yet."""
        return OneVsRest(C=self.C, class_weight=self.class_weight, standardize=True, seed=self.seed)

    def twin(self) -> MultiLabelClassifier:
        """A classifier with the same settings that has learned nothing yet."""
        made = copy(self)
        made.classes_, made.head_ = (), self.new_head()
        return made

    def features(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> NDArray[np.float32]:
        """What the head sees: a vector per text. Shape (n, d)."""
        return np.asarray(self._one.features(texts, on_progress=on_progress))

    def fit(
        self, texts: Iterable[str], labels: Iterable[Iterable[str]], *, on_progress: OnProgress | None = None
    ) -> MultiLabelClassifier:
        """Learn from texts and their labels.

        Args:
            texts: n texts.
            labels: the labels of each: a list, tuple or set of strings, which may be empty.
            on_progress: called with (texts encoded, texts in all).

        Returns:
            itself.

        Raises:
            InputError: a missing text or label, no labels at all, two lengths.
        """
        texts = text_list(texts)
        labels = check_label_lists(labels, n_texts=len(texts))
        return self.fit_features(self.features(texts, on_progress=on_progress), labels)

    def fit_features(
        self,
        features: NDArray[np.floating],
        labels: Sequence[Labels],
        *,
        C: NDArray[np.floating] | None = None,
        on_step: OnProgress | None = None,
    ) -> MultiLabelClassifier:
        """Learn from features that `features` gave, for whoever uses them more than once.

        Args:
            features: Shape (n, d).
            labels: the labels of each row.
            C: a strength per label instead of the classifier's own. Shape (K,).
            on_step: called with (labels learned, labels in all).

        Returns:
            itself.
        """
        self.classes_ = tuple(sorted({label for of_row in labels for label in of_row}))
        truth = as_matrix(labels, self.classes_)
        self.head_ = self.new_head().fit(features, truth, C=C, on_step=on_step)
        return self

    def predict_proba(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> NDArray[np.float64]:
        """How probable each label is.

        Args:
            texts: n texts.
            on_progress: called with (texts done, texts in all).

        Returns:
            a column per label, in the order of `classes_`; rows do not sum to 1. Shape (n, n_labels).

        Raises:
            InputError: nothing learned yet, a missing text.
        """
        self._check_fitted()
        return self.head_.predict_proba(self.features(texts, on_progress=on_progress))

    def decide(self, probabilities: NDArray[np.float64]) -> list[Labels]:
        """The labels that probabilities stand for.

        Args:
            probabilities: Shape (n, n_labels).

        Returns:
            n tuples of labels, the most probable first.
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(self.classes_[k] for k in of_row if p[k] >= self.threshold)
            for p, of_row in zip(probabilities, order, strict=True)
        ]

    def predict(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> list[Labels]:
        """The labels of each text, the most probable first; none where none reaches the threshold.

        Args:
            texts: n texts.
            on_progress: called with (texts done, texts in all).

        Returns:
            n tuples of labels.

        Raises:
            InputError: nothing learned yet, a missing text.
        """
        return self.decide(self.predict_proba(texts, on_progress=on_progress))

    def evaluate(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> LabelScores:
        """Scores on texts whose labels are known.

        Args:
            texts: n texts.
            labels: the labels of each.

        Returns:
            F1 micro, macro, weighted, per label; share of rows that are all right.

        Raises:
            InputError: nothing learned yet, a missing text or label, a label that was not learned.
        """
        texts = text_list(texts)
        labels = check_label_lists(labels, n_texts=len(texts))
        unknown = sorted({label for of_row in labels for label in of_row if label not in self.classes_})
        if unknown:
            raise InputError(f"the labels {unknown} were not learned; known are {list(self.classes_)}.")
        said = self.predict_proba(texts) >= self.threshold
        return score_labels(as_matrix(labels, self.classes_), said, self.classes_)

    def _check_fitted(self) -> None:
        if not self.classes_:
            raise InputError("the classifier has learned nothing yet: call fit first, or load one.")

    def save(self, folder: str | Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the classifier: `classifier.json` and `classifier.safetensors`, no pickle.

        Args:
            folder: where to; made if it does not exist.
            facts: kept beside it, as JSON.

        Raises:
            InputError: nothing learned yet.
            OutputError: the folder can't be written.
        """
        self._check_fitted()
        config = {
            "pooling": self.pooling,
            "layers": self.layers if isinstance(self.layers, str | int) else [float(w) for w in self.layers],
            "cleaning": list(self.cleaning),
            "head": {"kind": _KIND, "class_weight": self.class_weight},
            "threshold": self.threshold,
            "classes": list(self.classes_),
            "facts": dict(facts or {}),
        }
        arrays = {"coef": self.head_.coef_, "intercept": self.head_.intercept_, "C": self.head_.C_}
        save_head(folder, _FILES, model=self.elmo, probe=self._one.probe(), config=config, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder) -> MultiLabelClassifier:
        """Read a classifier that `save` wrote.

        Args:
            folder: where it lies.
            elmo: the model it was made with.

        Returns:
            the classifier, ready to predict.

        Raises:
            MissingFile: no classifier there.
            CheckpointError: damaged files, another model than it was made with, or a classifier of one label a text.
        """
        saved = load_head(folder, _FILES)
        config = saved.config
        if not is_multi_label(config):
            raise CheckpointError(f"{folder}: this classifier gives each text one label; load it with TextClassifier.")
        made = cls(
            elmo,
            pooling=config["pooling"],
            layers=config["layers"],
            cleaning=config["cleaning"],
            class_weight=config["head"]["class_weight"],
            threshold=config["threshold"],
        )
        check_model(saved, elmo, made._one.probe())
        made.classes_, head = tuple(config["classes"]), made.head_
        head.coef_, head.intercept_, head.C_ = (saved.arrays[name] for name in ("coef", "intercept", "C"))
        return made


def is_multi_label(config: Mapping[str, Any]) -> bool:
    """Whether a saved classifier gives any number of labels.

    Args:
        config: what `read_classifier_config` gives.

    Returns:
        true for `MultiLabelClassifier`, false for `TextClassifier`.
    """
    return bool(config["head"]["kind"] == _KIND)


def as_matrix(labels: Sequence[Labels], names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row has each label.

    Args:
        labels: the labels of n rows.
        names: K labels; others are left out.

    Returns:
        Shape (n, K).

    Example:
        >>> as_matrix([("b",), ()], ["a", "b"]).tolist()
        [[False, True], [False, False]]
    """
    place, found = {name: k for k, name in enumerate(names)}, np.zeros((len(labels), len(names)), np.bool_)
    for row, of_row in zip(found, labels, strict=True):
        row[[place[label] for label in of_row if label in place]] = True
    return found


def check_label_lists(labels: Iterable[Iterable[str]], *, n_texts: int) -> list[Labels]:
    """The labels as tuples, if there are some for each text.

    Args:
        labels: for each text a list, tuple or set of strings.
        n_texts: how many there must be.

    Returns:
        tuples without repetitions, sorted.

    Raises:
        InputError: another number, a lone string instead of several labels, something that is no string, no label.

    Example:
        >>> check_label_lists([["b", "a", "a"], []], n_texts=2)
        [('a', 'b'), ()]
    """
    found: list[Labels] = []
    for place, of_text in enumerate(labels):
        if isinstance(of_text, str) or not isinstance(of_text, Iterable):
            raise InputError(f"labels[{place}] is {of_text!r}; expected a list of labels, as in ['joy', 'phone'].")
        own = list(of_text)
        if any(not isinstance(label, str) or not label for label in own):
            raise InputError(f"labels[{place}] is {own!r}; expected strings that are not empty.")
        found.append(tuple(sorted(set(own))))
    if len(found) != n_texts:
        raise InputError(f"{n_texts} texts but {len(found)} lists of labels; expected one for each.")
    if not any(found):
        raise InputError("no text has any label; there is nothing to learn.")
    return found
