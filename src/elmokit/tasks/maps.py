"""Vectors → places on a plane, to look at: PCA by NumPy, or UMAP (extra `umap`).

PCA keeps the two directions along which texts differ most: fast, exact, the same for everybody, and honest about
distances; but most of the differences lie in the other directions, and `Plane.share` tells how much is kept. UMAP
(McInnes et al. 2018, arXiv:1802.03426) keeps neighbours together; distances between its islands mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError, MissingExtra

Method = Literal["pca", "umap"]


@dataclass(frozen=True, eq=False)
class Plane:
    """Texts on a plane.

    Args:
        places: Shape (N, 2).
        share: of the variance that is kept, for PCA; None for UMAP.
    """

    places: NDArray[np.float64]
    share: float | None = None


def plane_of(vectors: NDArray[Any], *, method: Method = "pca", seed: int = 0) -> Plane:
    """Lay vectors out on a plane.

    Args:
        vectors: a row per text. Shape (N, D).
        method: "pca" or "umap".
        seed: for UMAP.

    Returns:
        the plane; PCA's axes point to where the longest of a component's loadings is positive.

    Raises:
        ConfigError: a method that is not known.
        InputError: too few texts for a plane: fewer than two, for UMAP four.
        MissingExtra: UMAP is not installed.

    Example:
        >>> plane = plane_of(np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0], [4.0, 2.0, 1.0]]))
        >>> plane.places.round(1).tolist()
        [[-2.0, -1.0], [2.0, -1.0], [-2.0, 1.0], [2.0, 1.0]]
        >>> plane.share
        1.0
    """
    if method not in get_args(Method):
        raise ConfigError(f"method is {method!r}; expected 'pca' or 'umap'.")
    least = 2 if method == "pca" else 4
    if len(vectors) < least:
        raise InputError(f"{len(vectors)} texts: a map by {method} takes {least} at least.")
    return _pca(np.asarray(vectors, dtype=np.float64)) if method == "pca" else _umap(vectors, seed)


def _pca(vectors: NDArray[np.float64]) -> Plane:
    """By the eigenvectors of the D × D covariance, so that the cost grows with N only once."""
    centred = vectors - vectors.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)
    places = np.zeros((len(vectors), 2))
    places[:, : axes.shape[1]] = centred @ axes
    total = values.sum()
    return Plane(places, round(float(values[:2].sum() / total), 6) if total > 0 else 1.0)


def _umap(vectors: NDArray[Any], seed: int) -> Plane:
    try:
        import umap
    except ImportError:
        raise MissingExtra("umap-learn", "umap", "maps by UMAP") from None
    n_neighbors = min(15, len(vectors) - 1)
    few = {"init": "random"} if len(vectors) < 16 else {}  # its spectral start needs more texts
    made = umap.UMAP(n_neighbors=n_neighbors, metric="cosine", random_state=seed, n_jobs=1, **few)
    return Plane(np.asarray(made.fit_transform(vectors), dtype=np.float64))
