"""scikit-learn: ELMo vectors as a step of a pipeline (`Pipeline`, `GridSearchCV`, `ColumnTransformer`, `set_output`).

The estimator holds names and settings only; the model is opened when it is needed and left out of copies and pickles,
so a grid search over poolings or a pool of processes sends a few bytes around, not weights. `fit` learns nothing
from the texts: their vectors do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.errors import InputError, MissingExtra

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils import Tags
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:  # pragma: no cover - exercised in a virtual environment without scikit-learn
    raise MissingExtra("scikit-learn", "sklearn", "ElmoVectorizer") from error


class ElmoVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Texts → one ELMo vector each.

    Args:
        model: "default" for the model in the package, or a checkpoint's folder.
        pooling: as in `Elmo.encode`.
        layers: as in `Elmo.encode`.
        normalize: scale vectors to length 1.
        precision: as in `Elmo`.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> pipeline = make_pipeline(ElmoVectorizer(pooling="mean+max"), LogisticRegression())
        >>> pipeline.fit(["so happy", "it broke", "love it", "awful"], [0, 1, 0, 1]).predict(["it broke again"]).shape
        (1,)
    """

    def __init__(
        self,
        model: str | Path = "default",
        *,
        pooling: str = "mean",
        layers: Layers = "mix",
        normalize: bool = False,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.layers = layers
        self.normalize = normalize
        self.precision = precision

    def fit(self, X: Iterable[str], y: object = None) -> ElmoVectorizer:  # noqa: ARG002 - scikit-learn's signature
        """Open the model and see how wide its vectors are. Nothing is learned from the texts.

        Args:
            X: texts.
            y: not looked at.

        Returns:
            itself.
        """
        _texts(X)
        self._opened = Elmo.load(self.model, precision=self.precision)
        self.n_features_out_ = self._encode([""]).shape[1]
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Vectors of texts.

        Args:
            X: texts: a list, an array or a column; or a table of one column.

        Returns:
            Shape (n, n_features_out_), float32.

        Raises:
            InputError: something that is not a text, by its number.
        """
        check_is_fitted(self, "n_features_out_")
        return self._encode(_texts(X))

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Names of the columns: elmo0, elmo1 and so on.

        Args:
            input_features: not looked at.

        Returns:
            Shape (n_features_out_,).
        """
        check_is_fitted(self, "n_features_out_")
        return np.array([f"elmo{i}" for i in range(self.n_features_out_)], dtype=object)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        if not hasattr(self, "_opened"):
            self._opened = Elmo.load(self.model, precision=self.precision)
        return self._opened.encode(
            texts, pooling=self.pooling, layers=self.layers, normalize=self.normalize, show_progress=False
        )

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the opened model."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def __sklearn_tags__(self) -> Tags:
        """Texts go in, one to a row; nothing is learned from them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.requires_fit = True
        return tags


def _texts(X: Iterable[Any]) -> list[str]:
    """One text per row, of a list, an array, a column or a table with one column."""
    if isinstance(X, str):
        raise InputError(f"ElmoVectorizer takes a list of texts, got one text: {X[:40]!r}. Put it into a list.")
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) == 2:
        if shape[1] != 1:
            raise InputError(
                f"ElmoVectorizer takes one column of texts, got {shape[1]}. Name the column, for instance with"
                " ColumnTransformer([('text', ElmoVectorizer(), 'tweet')])."
            )
        X = np.asarray(X)[:, 0]
    texts = list(X)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"text {number} is {type(text).__name__} ({text!r:.40}), not a string. Fill in missing texts first,"
                ' for instance with column.fillna("").'
            )
    return [str(text) for text in texts]
