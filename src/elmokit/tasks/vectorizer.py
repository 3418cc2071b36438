"""`ElmoVectorizer`: texts → ELMo vectors as a scikit-learn transformer (extra `tasks`).

The estimator holds settings only; a model given by name is opened when it is needed and left out of copies and
pickles, so a grid search or a pool of processes sends a few bytes around, not weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.encoding import Encoder, Encoding, Layers
from elmokit.errors import InputError, needing
from elmokit.tasks.checks import text_list

with needing("scikit-learn", "tasks", "ElmoVectorizer and the classifiers"):
    from sklearn.base import BaseEstimator, TransformerMixin, clone
    from sklearn.utils import Tags
    from sklearn.utils.validation import check_is_fitted


class ElmoEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn estimator whose copies share its loaded model."""

    def _check_fitted(self) -> None:
        if not hasattr(self, "pipeline_"):
            raise InputError(f"this {type(self).__name__} is not fitted yet: call fit first, or load one.")

    def __sklearn_clone__(self) -> Any:
        """An unfitted copy with the same settings that shares a model given as an object."""
        settings = self.get_params(deep=False)
        return type(self)(**{name: clone(x) if isinstance(x, BaseEstimator) else x for name, x in settings.items()})


@dataclass(eq=False, repr=False)
class ElmoVectorizer(TransformerMixin, ElmoEstimator):  # type: ignore[misc]
    """Texts → one ELMo vector each. Nothing is learned from the texts.

    Args:
        model: "default" for the embedded model, what `Elmo.load` takes, or a loaded `Elmo`.
        pooling, layers, normalize, layer_weights: see `Encoding`.
        precision: see `Elmo`; for a model that is not loaded yet.
        show_progress: see `Elmo.encode`.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> pipeline = make_pipeline(ElmoVectorizer(pooling="mean+max"), LogisticRegression())
        >>> pipeline.fit(["so happy", "it broke", "love it", "awful"], [0, 1, 0, 1]).predict(["it broke again"]).shape
        (1,)
    """

    model: str | Path | Encoder = "default"
    _: KW_ONLY
    pooling: str = "mean"
    layers: Layers = "mix"
    normalize: bool = False
    layer_weights: Sequence[float] | None = None
    precision: str = "float32"
    show_progress: bool | None = False

    def fit(self, X: Iterable[str], y: object = None) -> ElmoVectorizer:  # noqa: ARG002 - scikit-learn's signature
        """Open the model, check the texts `X` and the encoding, and return itself; `y` is ignored."""
        text_list(X)
        self.n_features_out_ = self._encoder().width(self._encoding())
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Encode texts: a list, an array, a column, or a table of one column. Shape (n, n_features_out_), float32.

        InputError for a missing text; TextError, with its row, for something that is not a text.
        """
        check_is_fitted(self, "n_features_out_")
        return np.asarray(self._encoder().encode(text_list(X), self._encoding(), show_progress=self.show_progress))

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Names of the columns: elmo0, elmo1 and so on. Shape (n_features_out_,)."""
        check_is_fitted(self, "n_features_out_")
        return np.array([f"elmo{i}" for i in range(self.n_features_out_)], dtype=object)

    def _encoding(self) -> Encoding:
        return Encoding(self.pooling, self.layers, self.normalize, self.layer_weights)

    def _encoder(self) -> Encoder:
        if not isinstance(self.model, str | Path):
            return self.model
        if not hasattr(self, "_opened"):
            self._opened = open_encoder(self.model, precision=self.precision)
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the opened model."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def __sklearn_tags__(self) -> Tags:
        """Texts go in, one to a row; nothing is learned from them."""
        return text_tags(super().__sklearn_tags__())


def open_encoder(model: Encoder | str | Path, **options: Any) -> Encoder:
    """A model given by name, opened by `Elmo.load` with these options; one that is loaded as it is."""
    return Elmo.load(model, **options) if isinstance(model, str | Path) else model


def text_tags(tags: Tags) -> Tags:
    """scikit-learn's tags of an estimator that takes texts, one to a row."""
    tags.input_tags.string = tags.input_tags.one_d_array = tags.requires_fit = True
    tags.input_tags.two_d_array = False
    return tags
