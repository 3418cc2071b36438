"""Vectors → points in a plane by scikit-learn's PCA (extra `tasks`), and the figure for them (extra `plots`)."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7d00", "#6b6b6b")
"""Okabe and Ito's colours for colour-blind readers; the yellow and the black are changed to show on any background."""
MARKERS = "osD^v"


def principal_plane(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Project vectors (n, d) onto their first two principal components, with the signs of the axes fixed.

    Returns points (n, 2) and the share of the variance that they keep, from 0 to 1; 1 for vectors that do not vary.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError:
        raise MissingExtra("scikit-learn", "tasks", "maps") from None
    points = np.zeros((len(vectors), 2))
    centered = np.asarray(vectors, dtype=np.float64)
    centered = centered - centered.mean(0) if len(centered) else centered
    if not np.abs(centered).max(initial=0.0) > 1e-12:
        return points, 1.0
    n = min(2, *centered.shape)
    pca = PCA(n, svd_solver="full" if len(centered) < centered.shape[1] else "covariance_eigh").fit(centered)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.where(pca.components_[np.arange(n), largest] < 0, -1, 1)
    points[:, :n] = pca.transform(centered) * signs
    return points + 0.0, float(min(pca.explained_variance_ratio_.sum(), 1.0))


def check_plots(what: str = "plots") -> None:
    """Check that matplotlib is installed, before work starts; a MissingExtra if not."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtra("matplotlib", "plots", what) from None


def new_figure(title: str, *, size: tuple[float, float] = (8, 6)) -> tuple[Figure, Any]:
    """A figure that belongs to nobody, and its axes; a MissingExtra without matplotlib."""
    check_plots()
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    vars(figure)["_repr_png_"] = partial(_png, figure)  # notebooks show only the figures of pyplot by themselves
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=72)
    return picture.getvalue()
