"""Draw the pictures of docs/how-elmo-works.md: a word's characters, the biLM, the layers of a word, their mix.

    python dev/draw_pictures.py [FOLDER]     # docs/pictures by default; needs the extra `plots`

SVG with text as text: small, sharp at any size, and the same bytes for the same matplotlib. The numbers in the vectors
are drawn at random: they stand for numbers, not for a model.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREEN, INK, PALE = "#2f6db5", "#c8641e", "#3c8457", "#222222", "#f2f2f2"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "elmokit", "font.family": "sans-serif", "font.size": 11}
WORDS = ("We", "sat", "on", "the", "bank")


def sheet(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of that many units, and its axes without any frame."""
    figure = Figure(figsize=(width * 0.8, height * 0.8), facecolor="white")
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return figure, axes


def box(
    axes: Any, x: float, y: float, text: str, *, width: float = 1.3, height: float = 0.55, colour: str = INK
) -> None:
    """A box with a text, centred at a place."""
    shape = "round,pad=0,rounding_size=0.1"
    place = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(place, width, height, boxstyle=shape, facecolor=PALE, edgecolor=colour, linewidth=1.4)
    )
    axes.text(x, y, text, ha="center", va="center", color=colour)


def arrow(axes: Any, begin: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    """A thin arrow."""
    axes.add_patch(FancyArrowPatch(begin, end, arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.1))


def strip(axes: Any, x: float, y: float, numbers: Any, *, cell: float = 0.28, colours: str = "RdBu") -> float:
    """A vector as a row of coloured cells; returns where it ends."""
    for i, number in enumerate(numbers):
        colour = mpl.colormaps[colours](0.5 + 0.35 * float(np.clip(number, -1, 1)))
        axes.add_patch(
            mpl.patches.Rectangle((x + i * cell, y - cell / 2), cell, cell, facecolor=colour, edgecolor=INK, lw=0.5)
        )
    return x + len(numbers) * cell


def characters() -> Figure:
    """A word's bytes → convolutions → maximum → highway → projection."""
    figure, axes = sheet(12.2, 5.2)
    for i, character in enumerate(("begin", "b", "a", "n", "k", "end")):
        box(axes, 1.2 + 1.05 * i, 0.5, character, width=0.95)
    axes.text(7.4, 0.5, "the word's UTF-8 bytes, each with a learned vector", va="center", fontsize=10)
    for i, (width, colour) in enumerate(((1, BLUE), (2, GREEN), (3, ORANGE))):
        left = 1.2 + 1.05 * (1 + i * 0.9) - 0.45
        y = 1.35 + 0.45 * i
        axes.plot([left, left + 1.05 * width - 0.15], [y, y], color=colour, linewidth=6, solid_capstyle="butt")
        axes.text(
            7.4,
            y,
            f"filters that see {width} byte{'s' * (width > 1)} at a time",
            va="center",
            fontsize=10,
            color=colour,
        )
    box(axes, 3.8, 2.95, "the largest answer of each filter, wherever it was", width=6.6)
    arrow(axes, (3.8, 2.45), (3.8, 2.65))
    box(axes, 3.8, 3.8, "highway layers", width=2.6)
    arrow(axes, (3.8, 3.23), (3.8, 3.5))
    box(axes, 3.8, 4.65, "layer 0: one vector for the word", width=4.2, colour=BLUE)
    arrow(axes, (3.8, 4.08), (3.8, 4.36))
    axes.text(7.4, 3.8, "no list of words anywhere:\nevery spelling has a vector", va="center", fontsize=10)
    return figure


def bilm() -> Figure:
    """Two stacks of LSTMs over a sentence, one for each direction."""
    figure, axes = sheet(12.5, 6.4)
    names = ("<S>", *WORDS, "</S>")
    places = [2.3 + 1.55 * i for i in range(len(names))]
    for x, name in zip(places, names, strict=True):
        axes.text(x, 0.35, name, ha="center", va="center", style="italic" if "<" in name else "normal")
        box(axes, x, 1.1, "char CNN", width=1.2)
        arrow(axes, (x, 0.52), (x, 0.8))
    rows = (
        (2.2, "forward 1", BLUE),
        (3.1, "forward 2", BLUE),
        (4.2, "backward 1", ORANGE),
        (5.1, "backward 2", ORANGE),
    )
    for y, name, colour in rows:
        axes.text(0.15, y, name, va="center", color=colour)
        for i, x in enumerate(places):
            box(axes, x, y, "LSTM", width=0.95, height=0.5, colour=colour)
            if i and colour == BLUE:
                arrow(axes, (places[i - 1] + 0.5, y), (x - 0.5, y), colour)
            if i and colour == ORANGE:
                arrow(axes, (x - 0.5, y), (places[i - 1] + 0.5, y), colour)
            arrow(axes, (x, y - 0.55 if name.endswith("2") else y - 0.6), (x, y - 0.27), colour)
    axes.text(0.15, 1.1, "layer 0", va="center")
    axes.text(2.3, 5.95, "forward is trained to say the next word, backward the one before;", va="center", fontsize=10)
    axes.text(2.3, 5.62, "both read layer 0, neither sees the other", va="center", fontsize=10)
    return figure


def layers() -> Figure:
    """The three layers of one word, and which neighbours each has seen."""
    figure, axes = sheet(12, 3.6)
    rng = np.random.default_rng(3)
    rows = (
        (2.6, "layer 2", "more of meaning, in tendency"),
        (1.75, "layer 1", "more of syntax, in tendency"),
        (0.9, "layer 0", "spelling alone"),
    )
    for y, name, what in rows:
        axes.text(0.15, y, name, va="center")
        token = rng.uniform(-1, 1, 9)
        forward = token if name == "layer 0" else rng.uniform(-1, 1, 9)
        backward = token if name == "layer 0" else rng.uniform(-1, 1, 9)
        middle = strip(axes, 1.3, y, forward)
        end = strip(axes, middle + 0.15, y, backward)
        axes.text(end + 0.3, y, what, va="center", fontsize=10)
    axes.text(1.3, 3.15, "“We sat on the bank”", fontsize=10, color=BLUE)
    axes.text(3.98, 3.15, "“bank” and what follows", fontsize=10, color=ORANGE)
    axes.text(
        1.3,
        0.3,
        "the word “bank” here; layer 0 holds the same vector twice, so that all layers are equally wide",
        fontsize=10,
    )
    return figure


def mix() -> Figure:
    """Layers times shares, summed and scaled."""
    figure, axes = sheet(12, 3.6)
    rng = np.random.default_rng(5)
    shares, total = (0.2, 0.3, 0.5), np.zeros(12)
    for i, (y, share) in enumerate(zip((0.7, 1.5, 2.3), shares, strict=True)):
        numbers = rng.uniform(-1, 1, 12)
        total += share * numbers
        axes.text(0.15, y, f"layer {i}", va="center")
        end = strip(axes, 1.2, y, numbers)
        axes.text(end + 0.2, y, f"× {share}", va="center", color=GREEN)
        arrow(axes, (end + 1.0, y), (6.6, 1.5))
    box(axes, 7.1, 1.5, "γ · Σ", width=0.9, colour=GREEN)
    arrow(axes, (7.6, 1.5), (8.0, 1.5))
    strip(axes, 8.1, 1.5, 2 * total)
    axes.text(
        0.15,
        3.2,
        "shares are a softmax of one number per layer, so they sum to 1; a task can learn them, and γ",
        fontsize=10,
    )
    axes.text(8.1, 0.95, "the word's vector", fontsize=10)
    return figure


PICTURES = {"elmo-characters": characters, "elmo-bilm": bilm, "elmo-layers": layers, "elmo-mix": mix}


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    with mpl.rc_context(STYLE):
        for name, draw in PICTURES.items():
            draw().savefig(folder / f"{name}.svg", format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "docs" / "pictures")
