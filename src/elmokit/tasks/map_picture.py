"""Texts on a plane → a PNG picture (extra `plots`): points, a colour per group, and which is which."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elmokit.errors import MissingExtra
from elmokit.files import atomic_path
from elmokit.tasks.maps import Plane

_MOST_NAMED = 10


def draw_map(path: str | Path, plane: Plane, groups: Sequence[str] | None = None, *, title: str = "") -> None:
    """Draw a map of texts.

    Args:
        path: the PNG file.
        plane: where the texts are. Shape (N, 2).
        groups: the name of each text's group; None for one colour. The ten largest are named.
        title: above the picture.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file can't be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots", "drawing maps") from None
    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = np.array(["" for _ in plane.places] if groups is None else list(groups), dtype=object)
    different, counts = np.unique(names.astype(str), return_counts=True)
    size = float(np.clip(4000 / max(len(names), 1), 4, 36))
    for place, name in enumerate(different[np.argsort(-counts, kind="stable")]):
        named = groups is not None and place < _MOST_NAMED
        of_group = plane.places[names.astype(str) == name]
        colour = f"C{place}" if place < _MOST_NAMED else "0.75"
        shown = f"{_shortened(name)} ({len(of_group)})" if named else "_"
        axes.scatter(of_group[:, 0], of_group[:, 1], s=size, color=colour, alpha=0.7, linewidths=0, label=shown)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, parse_math=False)
    if groups is not None:
        for text in axes.legend(loc="best", fontsize="small", framealpha=0.8).get_texts():
            text.set_parse_math(False)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is drawn as a box
        figure.savefig(temporary, format="png", dpi=120)


def _shortened(name: str) -> str:
    name = name if len(name) <= 40 else name[:39] + "…"
    return name if name and not name.startswith("_") else f" {name}"  # matplotlib hides what starts with "_"
