"""`SentencePairs`: pairs of texts → a class (paraphrase, entailment) or a similarity score, on frozen ELMo vectors.

A pair becomes |u − v| and u · v of its texts' vectors (SentEval, Conneau & Kiela 2018). Classes are learned by logistic
regression, scores by ridge regression; the penalty is chosen on the training pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.encoding import Encoder, Encoding
from elmokit.errors import ConfigError, InputError, needing
from elmokit.tasks.checks import Pair, check_known, check_labels, check_pairs, check_scores, check_strength
from elmokit.tasks.pairs.scorer import SimilarityScores, compare_scores
from elmokit.tasks.saved import SavedHead, loaded_head, save_head

with needing("scikit-learn", "tasks", "sentence pairs"):
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, ShuffleSplit
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import Tags

from elmokit.tasks.classify.evaluate import split_rows
from elmokit.tasks.classify.features import EncodeOnce, restore_scaler
from elmokit.tasks.classify.logistic import fit_logistic, linear
from elmokit.tasks.classify.report import Scores, score
from elmokit.tasks.vectorizer import ElmoEstimator, open_encoder

Kind = Literal["classes", "scores"]
Part = Literal["difference", "product", "both"]
Vectors = NDArray[np.float32]

FILES = "pairs"
_PENALTIES = 10.0 ** np.arange(-2, 2.5, 0.5)  # of ridge regression, per row


@dataclass(eq=False, repr=False)
class SentencePairs(ElmoEstimator):
    """Predicts a class or a similarity score for pairs of texts; a scikit-learn estimator.

    Args:
        elmo: a loaded model, or what `Elmo.load` takes: "default", a folder …
        kind: "classes" (paraphrase or not, entailment …) or "scores" (numbers, such as similarity from 0 to 5).
        parts: features of a pair, see `pair_features`. Without "both", a pair and its reverse get the same answer.
        encoding: which vector a text gets.
        C: inverse of the penalty of logistic regression; "cv" chooses it by cross-validation.
        class_weight: "balanced" gives rare classes more weight; None treats all pairs alike.
        seed: seed of folds and splits.
        show_progress: see `Elmo.encode`.

    Attributes:
        classes_: the classes, sorted; empty for scores.
        pipeline_: fitted scikit-learn pipeline with the steps "scale" and "head".
        elmo_: the loaded model.

    Wrong settings are a ConfigError in `fit`.

    Example (`elmo` is any loaded model):
        ``SentencePairs(elmo).fit([("a cat", "one cat"), ("a cat", "a war")], ["1", "0"]).predict([("a dog", "dogs")])``
    """

    elmo: Encoder | str | Path = "default"
    _: KW_ONLY
    kind: Kind = "classes"
    parts: Sequence[Part] = ("difference", "product")
    encoding: Encoding = Encoding(layers="all")
    C: float | Literal["cv"] = "cv"
    class_weight: Literal["balanced"] | None = None
    seed: int = 0
    show_progress: bool | None = None

    def _check(self, width: int = 1) -> int:
        """Check the settings; return the number of features of vectors of a width."""
        if self.kind not in get_args(Kind):
            raise ConfigError(f"kind is {self.kind!r}; expected 'classes' or 'scores'.")
        check_strength(self.C)
        none = np.zeros((0, width), np.float32)
        return int(pair_features(none, none, self.parts).shape[1])

    def features(self, pairs: Iterable[Pair]) -> Vectors:
        """Features of n pairs, shape (n, e); all distinct texts are encoded in one call."""
        self._check()
        if not hasattr(self, "elmo_"):
            self.elmo_: Any = open_encoder(self.elmo)
        first, second = check_pairs(pairs)
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(text, len(numbers)) for text in (*first, *second)]
        vectors = self.elmo_.encode(list(numbers), self.encoding, show_progress=self.show_progress)
        return pair_features(vectors[rows[: len(first)]], vectors[rows[len(first) :]], self.parts)

    def fit(self, pairs: Iterable[Pair], y: Iterable[Any]) -> SentencePairs:
        """Learn from n `pairs` of texts (a list of tuples, a table with two columns, `zip(first, second)` …).

        `y` are n classes (strings or numbers), or n numbers for scores. InputError for a missing text or label, and for
        fewer than two classes or different scores.
        """
        pairs, truth = self._labelled(pairs, y)
        scale, distinct = StandardScaler(), sorted(set(truth))
        X = scale.fit_transform(self.features(pairs))
        if len(distinct) < 2:
            raise InputError(f"all {len(truth)} labels are {distinct}; different ones are needed to learn from.")
        self.classes_ = np.array([] if self.kind == "scores" else distinct)
        if self.kind == "scores":
            head: Any = _fitted_ridge(X, np.array(truth), self.seed)
        else:
            C, numbers = None if self.C == "cv" else float(self.C), np.searchsorted(self.classes_, np.array(truth))
            head = fit_logistic(X, numbers, C=C, class_weight=self.class_weight, seed=self.seed)
        self.pipeline_ = Pipeline([("scale", scale), ("head", head)])
        return self

    def fit_and_evaluate(
        self, pairs: Iterable[Pair], y: Iterable[Any], *, test_size: float = 0.2
    ) -> Scores | SimilarityScores:
        """Learn from `pairs` and `y`, after an evaluation on a share of them (`test_size`) that is held out first."""
        pairs, truth = self._labelled(pairs, y)
        parts = [([pairs[i] for i in p], [truth[i] for i in p]) for p in split_rows(len(pairs), test_size, self.seed)]
        elmo = open_encoder(self.elmo)
        self.elmo_ = EncodeOnce(elmo)
        self.features(pairs)
        scores = self.fit(*parts[0]).evaluate(*parts[1])
        self.fit(pairs, truth).elmo_ = elmo
        return scores

    def _labelled(self, pairs: Iterable[Pair], y: Iterable[Any]) -> tuple[list[Pair], list[Any]]:
        """Pairs with their classes or scores, checked before anything is encoded."""
        self._check()
        checked: list[Pair] = list(zip(*check_pairs(pairs), strict=True))
        if isinstance(y, str) or not isinstance(y, Iterable):
            raise InputError(f"y is a {type(y).__name__}; expected a class or score for each pair.")
        classes = self.kind == "classes"
        return checked, check_labels(y, n_texts=len(checked)) if classes else check_scores(y, len(checked))

    def predict_proba(self, pairs: Iterable[Pair]) -> NDArray[np.float64]:
        """Probabilities of the classes of n pairs, in the order of `classes_`. Shape (n, n_classes)."""
        if self.kind == "scores":
            raise ConfigError("kind is 'scores', which has no classes: call predict.")
        self._check_fitted()
        features = self.features(pairs)
        if not len(features):
            return np.zeros((0, len(self.classes_)))
        return np.asarray(self.pipeline_.predict_proba(features), dtype=np.float64)

    def predict(self, pairs: Iterable[Pair]) -> NDArray[Any]:
        """The most probable class of n pairs, or their scores, which may lie outside those of training. Shape (n,)."""
        self._check_fitted()
        features = self.features(pairs)
        if not len(features):
            return np.array(self.classes_[:0])
        predicted = np.asarray(self.pipeline_.predict(features))
        return predicted if self.kind == "scores" else np.asarray(self.classes_[predicted])

    def evaluate(self, pairs: Iterable[Pair], y: Iterable[Any]) -> Scores | SimilarityScores:
        """`Scores` (accuracy, F1, confusion matrix) or `SimilarityScores` (correlations) of predictions for `pairs`.

        The truth `y` is as in `fit`; InputError for a class that was not in the training pairs.
        """
        self._check_fitted()
        pairs, truth = self._labelled(pairs, y)
        if self.kind == "scores":
            return compare_scores(truth, self.predict(pairs))
        check_known(truth, self.classes_.tolist())
        return score(truth, self.predict(pairs).tolist(), self.classes_.tolist())

    def score(self, pairs: Iterable[Pair], y: Iterable[Any]) -> float:
        """Accuracy for classes, Spearman correlation for scores, of `pairs` and their true `y`, as in `fit`."""
        scores = self.evaluate(pairs, y)
        return scores.spearman if isinstance(scores, SimilarityScores) else scores.accuracy

    def save(self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write `pairs.json` and `pairs.safetensors`, no pickle, and JSON values (`metadata`) to a new `folder`."""
        self._check_fitted()
        scale, head = self.pipeline_["scale"], self.pipeline_["head"]
        config = {name: getattr(self, name) for name in ("kind", "C", "class_weight", "seed")}
        config |= {"parts": list(self.parts), "encoding": self.encoding.to_dict(), "classes": self.classes_.tolist()}
        arrays = {"mean": scale.mean_, "scale": scale.scale_, "coef": np.atleast_2d(head.coef_)}
        arrays["intercept"] = np.atleast_1d(head.intercept_).astype(head.coef_.dtype)
        save_head(folder, FILES, model=self.elmo_, config={**config, "metadata": dict(metadata or {})}, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder | None = None) -> SentencePairs:
        """Read what `save` wrote to a `folder`; `elmo` None loads the recorded model, if the folder may name it.

        MissingFile without such a folder; CheckpointError for damaged files, or another model than in training.
        """
        with loaded_head(folder, FILES, elmo) as (head, model):
            return cls._restored(head, model)

    @classmethod
    def _restored(cls, head: SavedHead, elmo: Encoder) -> SentencePairs:
        config, classes = head.config, head.config["classes"]
        settings = {name: config[name] for name in ("kind", "parts", "C", "class_weight", "seed")}
        pairs = cls(elmo, encoding=Encoding.from_dict(config["encoding"]), **settings)
        width = pairs._check(elmo.width(pairs.encoding))
        regression = pairs.kind == "scores"
        if classes != sorted({*check_labels(classes, n_texts=len(classes))}) or (len(classes) < 2) != regression:
            raise ValueError("no sorted list of classes")
        n_rows = 1 if len(classes) <= 2 else len(classes)
        scale = restore_scaler(StandardScaler(), head, width)
        coef, intercept = head.array("coef", n_rows, width), head.array("intercept", n_rows)
        if regression:
            model: Any = Ridge()
            model.coef_, model.intercept_, model.n_features_in_ = coef[0], float(intercept[0]), width
        else:
            model = linear(coef, intercept, len(classes), 1.0)
        pairs.classes_, pairs.elmo_ = np.array(classes), elmo
        pairs.pipeline_ = Pipeline([("scale", scale), ("head", model)])
        return pairs

    def __sklearn_tags__(self) -> Tags:
        """Pairs of texts go in; a classifier or a regressor, by its kind."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.kind == "scores" else "classifier"
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def pair_features(first: Vectors, second: Vectors, parts: Sequence[Part] = ("difference", "product")) -> Vectors:
    """Features of how texts relate: "difference" |u − v|, "product" u · v, and "both" u and v, concatenated.

    Vectors have the shape (n, d); the result has d columns per part, 2d for "both". ConfigError for an unknown part.
    """
    known = get_args(Part)
    if not isinstance(parts, list | tuple) or not parts or any(part not in known for part in parts):
        raise ConfigError(f"parts is {parts!r}; expected one or more of {', '.join(map(repr, known))}.")
    made = {"difference": [np.abs(first - second)], "product": [first * second], "both": [first, second]}
    return np.concatenate([array for part in parts for array in made[part]], axis=1)


def _fitted_ridge(X: Vectors, y: NDArray[np.float64], seed: int) -> Ridge:
    """Ridge regression, its penalty chosen on a fifth of the rows (RidgeCV takes an SVD, ten times as long)."""
    if len(y) < 10:
        return Ridge(alpha=len(y)).fit(X, y)
    split, penalties = ShuffleSplit(1, test_size=0.2, random_state=seed), {"alpha": (_PENALTIES * len(y)).tolist()}
    return GridSearchCV(Ridge(), penalties, cv=split, scoring="neg_mean_squared_error").fit(X, y).best_estimator_
