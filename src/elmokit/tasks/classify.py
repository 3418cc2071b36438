"""Texts + labels → a classifier on ELMo features, that can be saved, and says which model it belongs to.

The default head is logistic regression (`elmokit.tasks.logistic`) on one frozen vector per text, which is hard to beat
and takes seconds; joined with counted character n-grams (`join="tfidf"`) or voting with counted words (`votes`) it also
knows spellings. `mlp`, `bilstm` and `finetune`, which tunes the biLM itself, need PyTorch. A saved classifier is JSON
and safetensors (`elmokit.tasks.saved_head`), and reading it executes nothing; a tuned biLM lies in the folder `bilm`
beside, in our own format, and can be used like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.config import ElmoConfig
from elmokit.errors import CheckpointError, ConfigError, InputError, TextError
from elmokit.tasks.head_options import Over
from elmokit.tasks.heads import Head, HeadName, HeadSettings, Join, Rows, new_head
from elmokit.tasks.joined import Joined
from elmokit.tasks.logistic import ClassWeight
from elmokit.tasks.metrics import Scores, score
from elmokit.tasks.saved_head import PROBE, check_model, load_head, read_head_config, save_head
from elmokit.tasks.split import stratified_folds
from elmokit.tasks.threshold import best_threshold
from elmokit.tasks.word_rows import WordRows
from elmokit.text.cleaning import check_recipe, clean
from elmokit.text.inputs import checked_texts
from elmokit.text.tokens import get_tokenizer

Label = str | int | float | bool
Layers = str | int | Sequence[float]
OnProgress = Callable[[int, int], None]

_FILES, _BILM = "classifier", "bilm"
_BLOCK = 256


class Encoder(Protocol):
    """What a classifier needs of a model: `elmokit.Elmo` is one."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def config(self) -> ElmoConfig:
        """What the model is made of."""
        ...

    def encode(
        self, texts: Sequence[str], *, pooling: Any = ..., layers: Any = ..., show_progress: bool | None = ...
    ) -> NDArray[np.float32]:
        """A vector per text. Shape (n, d)."""
        ...


class TextClassifier:
    """A text classifier: ELMo features and a head.

    Args:
        elmo: the model that the features come from.
        pooling: how a text's word vectors become one (see `Elmo.encode`).
        layers: which layers (see `Elmo.encode`).
        cleaning: cleaning steps taken before, by name (see `elmokit.text.cleaning`); none by default.
        C: inverse of the penalty's strength, or "cv" to choose it by cross-validation.
        class_weight: "balanced" gives rare classes more weight; None treats all rows alike.
        seed: of all that is random: folds, and what PyTorch learns.
        head: "logistic"; "votes" (it votes with counted characters and words); or, with PyTorch, "mlp" (on the same
            vectors), "bilstm" (on the words' vectors of all layers, mixed as it learns) or "finetune" (tunes the biLM
            itself). `pooling` and `layers` mean nothing to the last two.
        join: "tfidf" puts counted character n-grams beside the vectors, for the logistic head.
        over: how the words of "bilstm" become one vector: "attention" or "max".
        epochs: of the heads that PyTorch learns, at most; None for each one's own number.
        snapshots: a folder where "finetune" keeps a snapshot after each epoch, and from which a training with the same
            texts, classes and settings goes on. It is the caller's to delete.
        threshold: from which probability on the second of two classes is said; "f1" finds the one that is best for its
            F1, by cross-validation among the rows that are learned from.

    Attributes:
        classes_: the classes, sorted; known after `fit`.
        threshold_: the threshold that is used.

    Raises:
        ConfigError: a cleaning step or a head that is not known, a C that is no strength.
        MissingExtra: a head that needs PyTorch, without PyTorch.

    Example (`elmo` is any loaded model):
        ``TextClassifier(elmo).fit(["so happy", "it broke"], ["0", "1"]).predict(["broken again"])``
    """

    def __init__(
        self,
        elmo: Encoder,
        *,
        pooling: str = "mean+max",
        layers: Layers = "mix",
        cleaning: Sequence[str] = (),
        C: float | Literal["cv"] = "cv",
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
        head: HeadName = "logistic",
        join: Join = None,
        over: Over = "attention",
        epochs: int | None = None,
        snapshots: str | Path | None = None,
        threshold: float | Literal["f1"] = 0.5,
    ) -> None:
        self.settings = HeadSettings(
            head=head,
            join=join,
            over=over,
            C=C,
            class_weight=class_weight,
            seed=seed,
            epochs=epochs,
            snapshots=None if snapshots is None else Path(snapshots),
        )
        if threshold != "f1" and not (isinstance(threshold, int | float) and 0 < threshold < 1):
            raise ConfigError(f'threshold is {threshold!r}; expected a probability between 0 and 1, or "f1".')
        self.threshold: float | Literal["f1"] = threshold
        self.threshold_ = 0.5 if threshold == "f1" else float(threshold)
        self.elmo = elmo
        self.pooling = pooling
        self.layers = layers
        self.cleaning = check_recipe(cleaning)
        self.classes_: tuple[Label, ...] = ()
        self.head_ = self.new_head()

    @property
    def head(self) -> HeadName:
        """The head's name."""
        return self.settings.head

    def new_head(self, *, C: float | None = None) -> Head:
        """A head with these settings that has learned nothing yet; with another strength, if it is given."""
        return new_head(self.settings if C is None else replace(self.settings, C=C), self._start)

    def _start(self) -> Checkpoint:
        """The biLM that "finetune" starts from."""
        give: Callable[[], Checkpoint] | None = getattr(self.elmo, "checkpoint", None)
        if give is None:
            raise ConfigError(
                f"the head 'finetune' needs the model's own arrays; {self.elmo.name!r} does not give them."
            )
        return give()

    def twin(self) -> TextClassifier:
        """A classifier with the same settings that has learned nothing yet."""
        made = copy(self)
        made.classes_, made.head_ = (), self.new_head()
        made.threshold_ = 0.5 if self.threshold == "f1" else float(self.threshold)
        return made

    def features(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> Any:
        """What the head sees.

        Args:
            texts: n texts.
            on_progress: called with (texts done, texts in all).

        Returns:
            a vector per text, shape (n, d); with counted words a `Joined`, for "bilstm" a `WordLayers`, for "finetune"
            a `WordRows`.

        Raises:
            InputError: a text that is missing (None, NaN).
            TextError: a lone string instead of texts, a text of another type.
        """
        cleaned = [clean(text, self.cleaning) for text in text_list(texts)]
        if self.head == "finetune":
            cut = get_tokenizer(self.elmo.config.tokenizer)
            return WordRows([tuple(token.word for token in cut(text)) for text in cleaned])
        if self.head == "bilstm":
            return self._word_layers(cleaned, on_progress)
        blocks = []
        for start in range(0, len(cleaned), _BLOCK):
            blocks.append(self._encoded(cleaned[start : start + _BLOCK]))
            if on_progress is not None:
                on_progress(start + len(blocks[-1]), len(cleaned))
        vectors = np.concatenate(blocks) if blocks else self._encoded([])
        return Joined(vectors, cleaned) if self.settings.join or self.head == "votes" else vectors

    def _word_layers(self, texts: list[str], on_progress: OnProgress | None) -> Rows:
        from elmokit.tasks.bilstm_head import WordLayers

        if not hasattr(self.elmo, "encode_words_stream"):
            raise ConfigError(f"the head 'bilstm' needs word vectors, which {self.elmo.name!r} does not give.")
        found = []
        for text in self.elmo.encode_words_stream(texts, layers="each", show_progress=False):
            found.append(text.vectors.astype(np.float16))
            if on_progress is not None:
                on_progress(len(found), len(texts))
        return WordLayers(found)

    def _encoded(self, texts: list[str]) -> NDArray[np.float32]:
        return self.elmo.encode(texts, pooling=self.pooling, layers=self.layers, show_progress=False)

    def fit(
        self, texts: Iterable[str], labels: Iterable[Any], *, on_progress: OnProgress | None = None
    ) -> TextClassifier:
        """Learn from texts and their labels.

        Args:
            texts: n texts: a list, a column of a data frame …
            labels: a class for each: strings or numbers.
            on_progress: called with (texts encoded, texts in all); for "finetune" with (steps done, steps at most).

        Returns:
            itself.

        Raises:
            InputError: a missing text or label, fewer than two classes, two lengths.
        """
        texts = text_list(texts)
        labels = check_labels(labels, n_texts=len(texts))
        features = self.features(texts, on_progress=on_progress)
        return self.fit_features(features, labels, on_step=on_progress if self.head == "finetune" else None)

    def fit_features(
        self, features: Rows, labels: Sequence[Label], *, C: float | None = None, on_step: OnProgress | None = None
    ) -> TextClassifier:
        """Learn from features that `features` gave, for whoever uses them more than once.

        Args:
            features: n rows.
            labels: a class per row.
            C: the strength to take instead of the classifier's own.
            on_step: called by the head with (steps done, steps in all).

        Returns:
            itself.

        Raises:
            ConfigError: a threshold to be found for more than two classes.
        """
        self.head_ = self.new_head(C=C).fit(features, labels, on_step=on_step)
        self.classes_ = tuple(self.head_.classes_.tolist())
        if self.threshold == "f1":
            self.threshold_ = self._found_threshold(features, np.asarray(labels))
        return self

    def _found_threshold(self, features: Rows, labels: NDArray[Any]) -> float:
        """By five folds, each judged by a head that has not seen it; the strength is the one already chosen."""
        if len(self.classes_) != 2:
            raise ConfigError(f'threshold="f1" is for two classes; there are {len(self.classes_)}.')
        positive = labels == self.classes_[1]
        n_folds = min(5, int(positive.sum()), int((~positive).sum()))
        if n_folds < 2:
            return 0.5
        folds = stratified_folds(positive, n_folds, seed=self.settings.seed)
        probabilities = np.zeros(len(labels))
        for fold in range(n_folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            head = self.new_head(C=self.head_.C_).fit(features[inside], labels[inside])
            probabilities[outside] = head.predict_proba(features[outside])[:, 1]
        return float(np.clip(best_threshold(positive, probabilities), 1e-9, 1 - 1e-9))

    def decide(self, probabilities: NDArray[np.float64]) -> list[Label]:
        """The class that probabilities stand for: the most probable, or by the threshold where there are two.

        Args:
            probabilities: Shape (n, n_classes).

        Returns:
            n classes.

        Raises:
            InputError: nothing learned yet.
        """
        self._check_fitted()
        if len(self.classes_) == 2 and self.threshold_ != 0.5:
            return [self.classes_[int(p >= self.threshold_)] for p in probabilities[:, 1]]
        return [self.classes_[i] for i in probabilities.argmax(1)]

    def predict_proba(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> NDArray[np.float64]:
        """Probabilities of the classes.

        Args:
            texts: n texts.
            on_progress: called with (texts done, texts in all).

        Returns:
            a column per class, in the order of `classes_`. Shape (n, n_classes).

        Raises:
            InputError: nothing learned yet, a missing text.
        """
        self._check_fitted()
        return self.head_.predict_proba(self.features(texts, on_progress=on_progress))

    def predict(self, texts: Iterable[str], *, on_progress: OnProgress | None = None) -> list[Label]:
        """The class of each text: the most probable one, or by the threshold where there are two.

        Args:
            texts: n texts.
            on_progress: called with (texts done, texts in all).

        Returns:
            n classes.

        Raises:
            InputError: nothing learned yet, a missing text.
        """
        return self.decide(self.predict_proba(texts, on_progress=on_progress))

    def evaluate(self, texts: Iterable[str], labels: Iterable[Any], *, on_progress: OnProgress | None = None) -> Scores:
        """Scores on texts whose classes are known.

        Args:
            texts: n texts.
            labels: their classes.
            on_progress: called with (texts done, texts in all).

        Returns:
            accuracy, F1 per class, confusion matrix.

        Raises:
            InputError: nothing learned yet, a missing text or label, a class that was not learned.
        """
        texts = text_list(texts)
        labels = check_labels(labels, n_texts=len(texts))
        unknown = sorted({str(label) for label in labels if label not in self.classes_})
        if unknown:
            raise InputError(f"the labels {unknown} were not learned; known are {list(self.classes_)}.")
        return score(labels, self.predict(texts, on_progress=on_progress), self.classes_)

    def _check_fitted(self) -> None:
        if not self.classes_:
            raise InputError("the classifier has learned nothing yet: call fit first, or load one.")

    def save(self, folder: str | Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the classifier: `classifier.json` and `classifier.safetensors`, no pickle; a tuned biLM in `bilm`.

        Args:
            folder: where to; made if it does not exist.
            facts: kept beside it, as JSON: the commands keep the columns' names and the report here.

        Raises:
            InputError: nothing learned yet.
            OutputError: the folder can't be written.
        """
        self._check_fitted()
        facts_of_head, arrays = self.head_.state()
        if self.head == "finetune":
            tuned: Any = self.head_
            checkpoints.save(tuned.checkpoint(), Path(folder) / _BILM)
            facts_of_head = {**facts_of_head, "bilm_sha256": _sha256(Path(folder) / _BILM / "model.safetensors")}
        s = self.settings
        config = {
            "pooling": self.pooling,
            "layers": self.layers if isinstance(self.layers, str | int) else [float(w) for w in self.layers],
            "cleaning": list(self.cleaning),
            "head": {"kind": s.head, "join": s.join, "class_weight": _as_json(s.class_weight), **facts_of_head},
            "threshold": self.threshold_,
            "classes": list(self.classes_),
            "facts": dict(facts or {}),
        }
        save_head(folder, _FILES, model=self.elmo, probe=self.probe(), config=config, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder) -> TextClassifier:
        """Read a classifier that `save` wrote.

        Args:
            folder: where it lies.
            elmo: the model it was made with.

        Returns:
            the classifier, ready to predict.

        Raises:
            MissingFile: no classifier there.
            CheckpointError: damaged files, or another model than it was made with.
        """
        saved = load_head(folder, _FILES)
        config, head = saved.config, saved.config["head"]
        if head["kind"] == "one-vs-rest":
            raise CheckpointError(f"{folder}: this classifier gives several labels; load it with MultiLabelClassifier.")
        made = cls(
            elmo,
            pooling=config["pooling"],
            layers=config["layers"],
            cleaning=config["cleaning"],
            C=head.get("C", 1.0),
            head=head["kind"],
            join=head.get("join"),
            over=head.get("over", "attention"),
            threshold=config.get("threshold", 0.5),
            class_weight=dict(head["class_weight"]) if isinstance(head["class_weight"], list) else head["class_weight"],
        )
        check_model(saved, elmo, made.probe())
        made.classes_ = tuple(config["classes"])
        if made.head == "finetune":
            made.head_ = new_head(made.settings, partial(_tuned, Path(folder) / _BILM, head["bilm_sha256"]))
        made.head_.restore(head, {k: array for k, array in saved.arrays.items() if k != "probe"}, config["classes"])
        return made

    def probe(self) -> NDArray[np.float32]:
        """What tells this model from others: its features of one sentence."""
        if self.head == "bilstm":
            return np.asarray(self.features([PROBE]).texts[0], np.float32).reshape(-1)
        return np.asarray(self._encoded([clean(PROBE, self.cleaning)])[0])


def _tuned(folder: Path, sha256: str) -> Checkpoint:
    """The biLM that lies beside a head, if it is the one that was learned with it."""
    if _sha256(folder / "model.safetensors") != sha256:
        raise CheckpointError(
            f"{folder}: this is not the biLM that the head beside it was learned with; save it again."
        )
    return checkpoints.load(folder, with_softmax=False)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def read_classifier_config(folder: str | Path) -> dict[str, Any]:
    """What a saved classifier says of itself: model, pooling, layers, cleaning, classes.

    Args:
        folder: where it lies.

    Returns:
        the JSON of its `classifier.json`.

    Raises:
        MissingFile: no classifier there.
        CheckpointError: a file that is none, or of a later format.
    """
    return read_head_config(folder, _FILES)


def text_list(texts: Iterable[Any]) -> list[str]:
    """The texts in a list, if all of them are strings.

    Args:
        texts: a list, a column of a data frame …

    Returns:
        the texts.

    Raises:
        InputError: a missing one (None, NaN).
        TextError: a lone string instead of texts, something that is no string.

    Example:
        >>> text_list(text for text in ("a", ""))
        ['a', '']
    """
    found = list(checked_texts(texts))
    for place, text in enumerate(found):
        if isinstance(text, str):
            continue
        if text is None or text != text:
            raise InputError(f"texts[{place}] is missing ({text}); leave such rows out, or give an empty string.")
        raise TextError(f"texts[{place}] is a {type(text).__name__}; expected a string.")
    return cast("list[str]", found)


def check_labels(labels: Iterable[Any], *, n_texts: int) -> list[Label]:
    """The labels as plain values, if there is one for each text.

    Args:
        labels: strings, numbers, or what NumPy and pandas make of them.
        n_texts: how many there must be.

    Returns:
        strings, integers, floats or booleans.

    Raises:
        InputError: another number, a missing one (None, NaN, empty), strings mixed with numbers.

    Example:
        >>> check_labels(np.array([0, 1]), n_texts=2)
        [0, 1]
    """
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if len(plain) != n_texts:
        raise InputError(f"{n_texts} texts but {len(plain)} labels; expected one for each.")
    for place, label in enumerate(plain):
        if label is None or label != label or label == "":
            raise InputError(f"labels[{place}] is missing ({label!r}); leave such rows out.")
    if len({isinstance(label, str) for label in plain}) > 1:
        raise InputError("some labels are strings and others numbers; make them all strings.")
    return plain


def _as_json(weight: ClassWeight) -> Any:
    """Class weights by class as pairs, since JSON's keys are strings only."""
    return weight if weight is None or isinstance(weight, str) else [list(pair) for pair in weight.items()]
