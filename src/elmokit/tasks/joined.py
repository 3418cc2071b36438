"""ELMo vectors and counted words side by side, for logistic regression.

The two know different things: vectors what words mean, counts of character n-grams which words and spellings were
there (hashtags, brands, emoticons). The blocks must be of like size for one penalty to be fair: rows of TF-IDF have
length 1, so the vectors are centred and divided by the root of their mean square length. Everything that is learned
(terms, their weights, mean, size) is learned in `fit`, so from the training part only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elmokit.tasks.csr import CSR
from elmokit.tasks.logistic import ClassWeight, LogisticRegression
from elmokit.tasks.tfidf import Tfidf

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Joined:
    """Texts with their vectors: rows that can be taken like those of a matrix.

    Args:
        vectors: Shape (n, d).
        texts: n texts, cleaned.

    Example:
        >>> Joined(np.eye(2), ["a", "b"])[np.array([1])].texts
        ['b']
    """

    vectors: NDArray[np.floating]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: NDArray[np.integer]) -> Joined:
        return Joined(self.vectors[rows], [self.texts[int(i)] for i in rows])


@dataclass(frozen=True, eq=False)
class Beside:
    """A dense and a sparse matrix side by side, as one matrix that is never made.

    Args:
        dense: Shape (n, d).
        sparse: Shape (n, m).

    Example:
        >>> sparse = CSR(np.array([2.0]), np.array([0]), np.array([0, 1]), 1)
        >>> (Beside(np.array([[1.0]]), sparse) @ np.array([[3.0], [4.0]])).tolist()
        [[11.0]]
    """

    dense: NDArray[np.floating]
    sparse: CSR

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of both together."""
        return len(self.dense), self.dense.shape[1] + self.sparse.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the sparse block, the more exact one."""
        return self.sparse.dtype

    @property
    def data(self) -> Array:
        """The numbers that are stored, in no order that means anything."""
        return np.concatenate([self.dense.ravel(), self.sparse.data])

    def __matmul__(self, weights: Array) -> Array:
        """The product with weights. Shape (d + m, K) → (n, K)."""
        width = self.dense.shape[1]
        return np.asarray(self.dense @ weights[:width].astype(self.dense.dtype) + self.sparse @ weights[width:])

    def transposed_product(self, values: Array) -> Array:
        """The transpose's product. Shape (n, K) → (d + m, K)."""
        dense = self.dense.T @ values.astype(self.dense.dtype)
        return np.concatenate([dense.astype(np.float64), self.sparse.transposed_product(values)])


class JoinedHead:
    """Logistic regression on vectors and on TF-IDF of character n-grams.

    Args:
        C: inverse of the penalty's strength, or "cv" to choose it by cross-validation.
        class_weight: as in `LogisticRegression`.
        seed: of the folds.

    Attributes:
        classes_: the classes, sorted.
        C_: the strength that was used.

    Example:
        >>> data = Joined(np.eye(4, dtype=np.float32), ["good", "good one", "bad", "bad one"])
        >>> JoinedHead(C=10.0).fit(data, [1, 1, 0, 0]).predict(data).tolist()
        [1, 1, 0, 0]
    """

    def __init__(
        self, *, C: float | Literal["cv"] = "cv", class_weight: ClassWeight = "balanced", seed: int = 0
    ) -> None:
        self._logistic = LogisticRegression(C=C, class_weight=class_weight, seed=seed, tolerance=3e-5)
        self._tfidf = Tfidf(analyzer="characters", sublinear=True)
        self._mean: Array = np.zeros(0, np.float32)
        self._size = 1.0

    @property
    def classes_(self) -> Array:
        """The classes, sorted."""
        return self._logistic.classes_

    @property
    def C_(self) -> float:  # noqa: N802  # scikit-learn's name
        """The strength that was used."""
        return self._logistic.C_

    def fit(self, X: Joined, y: ArrayLike, *, on_step: Callable[[int, int], None] | None = None) -> JoinedHead:
        """Learn terms, sizes and weights.

        Args:
            X: n texts with their vectors.
            y: a class for each. Shape (n,).
            on_step: called with (strengths tried, strengths in all).

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes, no text with a term in it.
        """
        self._tfidf.fit(X.texts)
        self._mean = X.vectors.mean(0)
        self._size = float(np.sqrt(np.square(X.vectors - self._mean).sum(1).mean())) or 1.0
        self._logistic.fit(self._beside(X), y, on_step=on_step)
        return self

    def _beside(self, X: Joined) -> Beside:
        dense = (X.vectors - self._mean) / np.float32(self._size)
        return Beside(dense, self._tfidf.transform(X.texts))

    def predict_proba(self, X: Joined) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        return self._logistic.predict_proba(self._beside(X))

    def predict(self, X: Joined) -> Array:
        """The most probable class of each row. Shape (n,)."""
        return self._logistic.predict(self._beside(X))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        terms, idf = self._tfidf.state()
        facts, arrays = self._logistic.state()
        return {**facts, "size": self._size, "terms": terms}, {**arrays, "idf": idf, "mean": self._mean}

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        self._logistic.restore(facts, arrays, classes)
        self._tfidf.restore(facts["terms"], arrays["idf"])
        self._size, self._mean = float(facts["size"]), arrays["mean"]
