"""`TextClassifier` and `MultiLabelClassifier`: scikit-learn classifiers on ELMo vectors that can be saved (`tasks`).

The default head is logistic regression on one frozen vector per text, which takes seconds and is hard to beat. The
heads "bilstm" and "finetune" need PyTorch. Saved classifiers are JSON and safetensors (`saved.py`), without pickle.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags

from elmokit.encoding import Encoder, Encoding
from elmokit.errors import ConfigError, InputError
from elmokit.tasks.checks import Label, check_known, check_label_sets, check_labels, check_strength, text_list
from elmokit.tasks.classify.features import make_features, make_torch_head
from elmokit.tasks.classify.logistic import fit_logistic, fit_one_vs_rest
from elmokit.tasks.classify.report import Scores, label_matrix, score
from elmokit.tasks.classify.saved import load_classifier, save_classifier
from elmokit.tasks.vectorizer import ElmoEstimator, open_encoder, text_tags
from elmokit.text.cleaning import check_recipe, clean

HEADS = ("logistic", "bilstm", "finetune")


@dataclass(eq=False, repr=False)
class BaseTextClassifier(ClassifierMixin, ElmoEstimator):  # type: ignore[misc]
    """What `TextClassifier` and `MultiLabelClassifier` share; with one label per text, unless a subclass differs."""

    elmo: Encoder | str | Path = "default"
    _: KW_ONLY
    encoding: Encoding = Encoding(pooling="mean+max")
    cleaning: Sequence[str] = ()
    C: float | Literal["cv"] = "cv"
    class_weight: Any = "balanced"
    threshold: float = 0.5
    seed: int = 0
    show_progress: bool | None = None
    features: Any = None

    several: ClassVar[bool]  # whether a text may have several labels
    head: ClassVar[Any] = "logistic"
    join: ClassVar[Any] = None
    positive: ClassVar[Any] = None

    @property
    def head_name(self) -> str:
        """Name of the head: one of `HEADS`."""
        if isinstance(self.head, str):
            return self.head
        return {"BiLSTMHead": "bilstm", "FinetuneHead": "finetune"}.get(type(self.head).__name__, repr(self.head))

    def check(self) -> None:
        """Check the settings without fitting; a wrong one is a ConfigError."""
        check_recipe(self.cleaning)
        check_strength(self.C)
        number = isinstance(self.threshold, int | float | np.number) and not isinstance(self.threshold, bool)
        if not (number and 0 < self.threshold < 1):
            raise ConfigError(f"threshold is {self.threshold!r}; expected a probability between 0 and 1.")

    def fit(self, texts: Iterable[str], labels: Iterable[Any]) -> Any:
        """Fit the classifier on texts (a list, a column of a data frame) and their labels; returns itself.

        `labels` are the class of each (string, number or boolean); for `MultiLabelClassifier` the labels of each: a
        list, tuple or set of strings, which may be empty. InputError for a missing text or label, fewer than two
        classes, or different numbers of texts and labels; ConfigError for a setting out of range.
        """
        texts = text_list(texts)
        return self.fit_checked(texts, self.check_labels(labels, len(texts)))

    def fit_checked(self, texts: list[str], labels: list[Any], C: Any = None) -> Any:
        """Fit on texts and labels that are known to be valid, with this strength instead of the parameter's."""
        self.check()
        y = self._read_labels(labels)
        self.elmo_: Any = open_encoder(self.elmo)
        features = make_features(self)
        X = features.fit_transform([clean(text, self.cleaning) for text in texts])
        head = self._fit_head(X, y, float(self.C) if C is None and self.C != "cv" else C)
        self.pipeline_ = Pipeline([("features", features), ("head", head)])
        return self

    def check_labels(self, labels: Iterable[Any], n_texts: int) -> list[Any]:
        """The labels of each text as plain values; see `elmokit.tasks.checks`."""
        return check_label_sets(labels, n_texts=n_texts) if self.several else check_labels(labels, n_texts=n_texts)

    def _read_labels(self, labels: list[Any]) -> NDArray[np.integer]:
        """Set `classes_`, and return each row's class number (n,), or for several labels which it has (n, K)."""
        classes = sorted(set(labels))
        if len(classes) < 2:
            raise InputError(f"all {len(labels)} labels are {classes}; it takes two classes to learn from.")
        self._set_classes(classes)
        number = {label: k for k, label in enumerate(classes)}
        if self.positive is not None and self.positive not in number:
            raise ConfigError(f"positive is {self.positive!r}, which is not among the classes {classes}.")
        return np.array([number[label] for label in labels])

    def _fit_head(self, X: Any, y: NDArray[np.integer], C: Any) -> Any:
        weights = self.numbered_weights()
        if self.head_name != "logistic":
            return make_torch_head(self, weights).fit(X, y)
        return fit_logistic(X, y, C=C, class_weight=weights, seed=self.seed, joined=self.join is not None)

    def numbered_weights(self) -> Any:
        """Class weights by number of the class, as the heads take them."""
        given, classes = self.class_weight, self.classes_.tolist()
        if not isinstance(given, Mapping):
            return given
        if missing := {*classes} - {*given}:
            raise ConfigError(f"class_weight has no weight for {missing}.")
        return {k: float(given[label]) for k, label in enumerate(classes)}

    def _set_classes(self, classes: list[Any]) -> None:
        as_array = np.array(classes)
        same = as_array.tolist() == classes  # NumPy's strings drop trailing NULs
        self.classes_: NDArray[Any] = as_array if same else np.array(classes, dtype=object)

    @property
    def C_(self) -> Any:  # noqa: N802  # scikit-learn's name
        """The strength in use: a number, for several labels one per label, None for the heads of PyTorch."""
        return getattr(self.pipeline_["head"], "C", None)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities of the classes, or of labels that are independent, in the order of `classes_`. Shape (n, K).

        InputError before `fit` and for a missing text, TextError for something that is not a text.
        """
        self._check_fitted()
        checked = text_list(texts)
        if not checked:
            return np.zeros((0, len(self.classes_)))
        probabilities = self.pipeline_.predict_proba([clean(text, self.cleaning) for text in checked])
        return np.asarray(probabilities[:, -len(self.classes_) :], dtype=np.float64)  # one label has two columns

    def decide(self, probabilities: NDArray[np.floating]) -> Any:
        """The most probable classes, or of two the one that the threshold says. Shape (n,)."""
        chosen = probabilities.argmax(1)
        if len(self.classes_) == 2 and self.threshold != 0.5:
            positive = 1 if self.positive is None else self.classes_.tolist().index(self.positive)
            chosen = np.where(probabilities[:, positive] >= self.threshold, positive, 1 - positive)
        return self.classes_[chosen]

    def predict(self, texts: Iterable[str]) -> Any:
        """The class of each of n texts, an array of shape (n,); of two classes the `threshold` decides.

        `MultiLabelClassifier` gives n tuples of labels, the most probable first, empty if none reaches the threshold.
        """
        return self.decide(self.predict_proba(texts))

    def evaluate(self, texts: Iterable[str], labels: Iterable[Any]) -> Scores:
        """Accuracy, F1 per class and confusion matrix on texts and labels as in `fit`; `print` shows a table.

        InputError before `fit`, and for a missing text or label, or a class that was not in the training rows.
        """
        self._check_fitted()
        texts = text_list(texts)
        checked = self.check_labels(labels, len(texts))
        classes = self.classes_.tolist()
        check_known(chain.from_iterable(checked) if self.several else checked, classes)
        return self.compare(checked, self.predict_proba(texts), classes)

    def compare(self, labels: list[Any], probabilities: NDArray[np.floating], classes: Sequence[Any]) -> Scores:
        """Scores of the decisions for some probabilities; `classes` are those of the report."""
        decided = self.decide(probabilities)
        if self.several:
            return score(label_matrix(labels, classes), label_matrix(decided, classes), classes)
        return score(labels, decided.tolist(), classes)

    def save(self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write `classifier.json` and `classifier.safetensors`, and a fine-tuned biLM to the folder `bilm`; no pickle.

        The folder is created. `metadata` are JSON values to keep with it, such as names of columns and the report.
        InputError before `fit`, OutputError if the folder can't be written.
        """
        self._check_fitted()
        save_classifier(self, folder, metadata=dict(metadata or {}))

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder | None = None) -> Any:
        """Read a classifier that `save` wrote, with the model that it was trained with.

        `elmo` None loads the recorded one, if it is the embedded model, lies at a local path or is in the catalogue.
        MissingFile without a classifier, CheckpointError for damaged files, another model or kind of classifier.
        """
        return load_classifier(cls, folder, elmo)

    def __sklearn_tags__(self) -> Tags:
        """Texts go in, one to a row."""
        return text_tags(super().__sklearn_tags__())


@dataclass(eq=False, repr=False, kw_only=True)
class TextClassifier(BaseTextClassifier):
    """Classify texts by ELMo vectors and a head; a scikit-learn classifier.

    Args:
        elmo: a loaded model, or what `Elmo.load` takes: "default", a folder …
        encoding: which vector a text gets, for the logistic head.
        cleaning: cleaning steps applied first, by name (see `elmokit.text.cleaning`).
        C: inverse of the penalty of the logistic head; "cv" chooses it by cross-validation.
        class_weight: "balanced" gives rare classes more weight; or a weight per class; None treats rows alike.
        threshold: probability from which the positive one of two classes is predicted.
        seed: of folds, weights, shuffling and dropout.
        show_progress: see `Elmo.encode`.
        features: a transformer of texts that replaces ELMo's vectors; such a classifier can't be saved.
        head: "logistic" (logistic regression); with PyTorch "bilstm" (a BiLSTM over the word vectors of all layers) or
            "finetune" (the biLM is trained further); or a `BiLSTMHead` or `FinetuneHead` with options of its own.
        join: "tfidf" puts TF-IDF of character n-grams beside the vectors, for the logistic head.
        positive: the positive one of two classes; None for the last in sorted order.

    Attributes:
        classes_: the classes, sorted. Shape (n_classes,).
        pipeline_: fitted scikit-learn pipeline with the steps "features" and "head"; its classes are numbers.
        elmo_: the loaded model.

    Wrong settings are a ConfigError in `fit`; MissingExtra for a head that needs PyTorch, without PyTorch.

    Example (`elmo` is any loaded model):
        ``TextClassifier(elmo).fit(["so happy", "it broke"], ["good", "bad"]).predict(["broken again"])``
    """

    head: Any = "logistic"  # type: ignore[misc]  # a setting here, fixed in the other classifier
    join: Literal["tfidf"] | None = None  # type: ignore[misc]
    positive: Label | None = None  # type: ignore[misc]
    several: ClassVar[bool] = False

    def check(self) -> None:
        """Check the settings without fitting; a wrong one is a ConfigError."""
        super().check()
        if self.head_name not in HEADS:
            raise ConfigError(f"head is {self.head!r}; expected one of {', '.join(map(repr, HEADS))}.")
        if self.join not in (None, "tfidf"):
            raise ConfigError(f'join is {self.join!r}; expected "tfidf" or None.')
        if self.join and self.head_name != "logistic":
            raise ConfigError(f"join={self.join!r} goes with the logistic head only, not {self.head_name!r}.")


@dataclass(eq=False, repr=False)
class MultiLabelClassifier(BaseTextClassifier):
    """Give texts any number of labels each (one versus rest); a scikit-learn estimator.

    Args:
        elmo, encoding, cleaning, seed, show_progress, features: see `TextClassifier`.
        C: inverse of the penalty; "cv" chooses it for each label by cross-validation.
        class_weight: "balanced" gives the rarer side of each label more weight; None treats rows alike.
        threshold: probability from which a label is given.

    Attributes:
        classes_: the labels, sorted.

    Example (`elmo` is any loaded model):
        ``MultiLabelClassifier(elmo).fit(["so happy", "it broke"], [["joy"], ["anger", "phone"]]).predict(["broken"])``
    """

    several: ClassVar[bool] = True

    def _read_labels(self, labels: list[Any]) -> NDArray[np.integer]:
        self._set_classes(sorted({label for of_row in labels for label in of_row}))
        return label_matrix(labels, self.classes_.tolist()).astype(int)

    def _fit_head(self, X: Any, y: NDArray[np.integer], C: Any) -> Any:
        by_label = C if isinstance(C, dict) else dict.fromkeys(self.classes_.tolist(), C)
        given = [by_label.get(label) for label in self.classes_.tolist()]
        return fit_one_vs_rest(X, y, C=given, class_weight=self.class_weight, seed=self.seed)

    @property
    def C_(self) -> dict[str, float]:  # noqa: N802  # scikit-learn's name
        """The strength in use, by label."""
        heads = self.pipeline_["head"].estimators_
        return {label: float(head.C) for label, head in zip(self.classes_.tolist(), heads, strict=True)}

    def decide(self, probabilities: NDArray[np.floating]) -> Any:
        """The labels that reach the threshold, the most probable first: n tuples."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(str(self.classes_[k]) for k in of_row if p[k] >= self.threshold)
            for p, of_row in zip(probabilities, order, strict=True)
        ]

    def score(self, texts: Iterable[str], labels: Iterable[Iterable[str]]) -> float:
        """Micro-averaged F1 of `texts` and `labels` as in `fit`, for scikit-learn's searches."""
        texts = text_list(texts)
        true = self.check_labels(labels, len(texts))
        names = sorted({*self.classes_.tolist(), *(label for of_text in true for label in of_text)})
        return self.compare(true, self.predict_proba(texts), names).micro_f1
