"""Vectors of texts → points in a plane, by PCA (extra `tasks`) or UMAP, and the map as an HTML page or a PNG.

UMAP (McInnes et al. 2018, arXiv:1802.03426) keeps neighbours together; distances between its islands mean nothing. The
page is `map.html` with the texts as data in it: it loads nothing from elsewhere, and its own policy forbids it.
"""

import html
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError, needing
from elmokit.files import atomic_path
from elmokit.plots import MARKERS, PALETTE, check_plots, new_figure, principal_plane
from elmokit.tasks.pages import whole_page

Method = Literal["pca", "umap"]
_MOST_NAMED = 10


@dataclass(frozen=True, eq=False)
class Plane:
    """Texts in a plane, shape (N, 2), and the share of the variance that the plane keeps (None for UMAP)."""

    places: NDArray[np.float64]
    share: float | None = None


def plane_of(vectors: NDArray[Any], *, method: Method = "pca", seed: int = 0) -> Plane:
    """Project vectors (N, D), one row per text, onto a plane by "pca" (always the same result) or "umap".

    InputError for fewer than two texts, for UMAP fewer than four; MissingExtra without scikit-learn or UMAP.
    """
    if method not in get_args(Method):
        raise ConfigError(f"method is {method!r}; expected 'pca' or 'umap'.")
    least = 2 if method == "pca" else 4
    if len(vectors) < least:
        raise InputError(f"{len(vectors)} texts: a map by {method} needs at least {least}.")
    if method == "umap":
        return _umap(vectors, seed)
    places, share = principal_plane(vectors)
    return Plane(places, round(share, 6))


def _umap(vectors: NDArray[Any], seed: int) -> Plane:
    with needing("umap-learn", "umap", "maps by UMAP"):
        import umap
    few = {"init": "random"} if len(vectors) < 16 else {}  # the spectral start needs more texts
    n_neighbors = min(15, len(vectors) - 1)
    reducer = umap.UMAP(n_neighbors=n_neighbors, metric="cosine", random_state=seed, n_jobs=1, **few)
    return Plane(np.asarray(reducer.fit_transform(vectors), dtype=np.float64))


def map_page(
    plane: Plane,
    texts: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    title: str = "Map of texts",
    rows: Sequence[int] | None = None,
) -> str:
    """The HTML of a page that shows a map of texts.

    `groups` are the names of the texts' groups, for colour and shape; None for one colour. `rows` are their row numbers
    in a file; None counts from 1. ConfigError if the numbers of places, texts, groups and rows differ.
    """
    names = sorted(set(groups)) if groups is not None else [""]
    numbers = {name: number for number, name in enumerate(names)}
    group_of = [0] * len(texts) if groups is None else [numbers[name] for name in groups]
    row_of = list(range(1, len(texts) + 1) if rows is None else rows)
    numbers_of = f"{len(plane.places)} places, {len(texts)} texts, {len(group_of)} groups, {len(row_of)} rows"
    if not len(plane.places) == len(texts) == len(group_of) == len(row_of):
        raise ConfigError(f"{numbers_of}: expected the same number of each.")
    data = {
        "texts": list(texts),
        "rows": row_of,
        "places": [float(f"{value:.5g}") for value in plane.places.ravel()],
        "groups": group_of,
        "names": names,
        "colors": PALETTE,
    }
    # "<" is escaped so that no text can end the script element that holds it
    escaped = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    parts = resources.files("elmokit.tasks").joinpath("map.html").read_text(encoding="utf-8")
    style, body = parts.removeprefix("<style>\n").split("</style>\n")
    before, after = body.split("{{data}}")
    return whole_page(
        title, before.replace("{{title}}", html.escape(title)) + escaped + after, style=style, scripts=True
    )


def write_map_page(path: str | Path, plane: Plane, texts: Sequence[str], *args: Any, **options: Any) -> None:
    """Write the page of `map_page` (same arguments) to a file, whole or not at all; an OutputError if it can't be."""
    page = map_page(plane, texts, *args, **options)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def draw_map(path: str | Path, plane: Plane, groups: Sequence[str] | None = None, *, title: str = "") -> None:
    """Draw a map of texts as a PNG (extra `plots`), a colour per group; the ten largest are named."""
    check_plots("drawing maps")
    figure, axes = new_figure(title, size=(9, 7))
    names = np.array([""] * len(plane.places) if groups is None else list(groups), dtype=np.str_)
    different, counts = np.unique(names, return_counts=True)
    style: dict[str, Any] = {"s": float(np.clip(4000 / max(len(names), 1), 4, 36)), "alpha": 0.7, "linewidths": 0}
    for i, name in enumerate(different[np.argsort(-counts, kind="stable")].tolist()):
        points = plane.places[names == name]
        named = groups is not None and i < _MOST_NAMED
        color, marker = (PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE)]) if i < _MOST_NAMED else ("0.75", "o")
        short = name if len(name) <= 40 else f"{name[:39]}…"
        short = f" {short}" if short[:1] in ("", "_") else short  # matplotlib hides labels that start with "_"
        label = f"{short} ({len(points)})" if named else "_"
        axes.scatter(*points.T, color=color, marker=marker, label=label, **style)
    axes.set(xticks=[], yticks=[])
    if groups is not None:
        for text in axes.legend(loc="best", fontsize="small", framealpha=0.8).get_texts():
            text.set_parse_math(False)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is drawn as a box
        figure.savefig(temporary, format="png", dpi=120)
