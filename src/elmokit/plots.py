"""Vectors → points in a plane by PCA (extra `tasks`); pictures of words and senses by matplotlib (extra `plots`)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, needing
from elmokit.features import WordVectors
from elmokit.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elmokit.index.results import WordMap

_LONGEST_NAME = 40
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7d00", "#6b6b6b")
"""Okabe and Ito's colours for colour-blind readers; the yellow and the black are changed to show on any background."""
MARKERS = "osD^v"


def principal_plane(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Project vectors (n, d) onto their first two principal components, with the signs of the axes fixed.

    Returns points (n, 2) and the share of the variance that they keep, from 0 to 1; 1 for vectors that do not vary.
    """
    with needing("scikit-learn", "tasks", "maps"):
        from sklearn.decomposition import PCA
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
    with needing("matplotlib", "plots", what):
        import matplotlib  # noqa: F401


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
    figure.savefig(picture := io.BytesIO(), format="png", dpi=72)
    return picture.getvalue()


def plot_words(texts: Iterable[WordVectors], *, words: Iterable[str] | None = None) -> Figure:
    """Draw words in the plane of their first two principal components, each labelled, a colour and mark per text.

    `texts` are what `Elmo.encode_words` gives, one layer; `words` None draws all, upper and lower case alike.
    ConfigError for no such words, or vectors of several layers; MissingExtra without matplotlib.

    Example:
        ``plot_words(elmo.encode_words(["I read the book.", "Can you read it?"]), words=["read"])``
    """
    texts = list(texts)
    chosen = None if words is None else {word.lower() for word in words}
    places = [(i, place) for i, text in enumerate(texts) for place in range(len(text.words))]
    shown = [(i, place) for i, place in places if chosen is None or texts[i].words[place].lower() in chosen]
    if not shown:
        raise ConfigError("plot_words: none of the words is in the texts; there is nothing to draw.")
    points, explained = principal_plane(_units(np.stack([_one_layer(texts[i])[place] for i, place in shown])))
    figure, axes = new_figure("")
    for i, text in enumerate(texts):
        rows = [row for row, (of, _) in enumerate(shown) if of == i]
        axes.scatter(*points[rows].T, label=_short(" ".join(text.words)), **_style(i))
        for row in rows:
            axes.annotate(text.words[shown[row][1]], points[row], xytext=(4, 4), textcoords="offset points")
    return _finished(figure, axes, explained)


def plot_similarity(a: WordVectors, b: WordVectors) -> Figure:
    """Draw a heat map of the cosines of the words of a text (down) and of another (across).

    ConfigError for a text without words, vectors of several layers or of two widths; MissingExtra without matplotlib.

    Example:
        ``plot_similarity(*elmo.encode_words(["We sat on the bank.", "The bank lends money."]))``
    """
    down, across = _units(_one_layer(a)), _units(_one_layer(b))
    if not len(down) or not len(across) or down.shape[1] != across.shape[1]:
        raise ConfigError(f"plot_similarity: vectors of shape {down.shape} and {across.shape}; expected (T, d) each.")
    cosines = down @ across.T
    figure, axes = new_figure("", size=(2 + 0.55 * len(across), 1.5 + 0.45 * len(down)))
    picture = axes.imshow(cosines, vmin=-1, vmax=1, cmap="PuOr_r", aspect="auto")
    axes.set_xticks(range(len(across)), b.words, rotation=45, ha="right")
    axes.set_yticks(range(len(down)), a.words)
    for (row, column), cosine in np.ndenumerate(cosines):
        color = "white" if abs(cosine) > 0.6 else "black"
        axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(picture, label="cosine")
    return figure


def plot_senses(word_map: WordMap) -> Figure:
    """Draw a word's occurrences in the plane, coloured by sense, with some sentences beside their points.

    `word_map` is what `WordIndex.word_map` gives. MissingExtra without matplotlib.

    Example:
        ``plot_senses(index.word_map("bank")).savefig("bank.png")``
    """
    figure, axes = new_figure(word_map.word)
    for sense in word_map.senses:
        points = [point for point in word_map.points if point.occurrence.sense == sense.number]
        label = _short(f"{sense.number} {sense.name} ({sense.share:.0%})")
        xs, ys = [point.x for point in points], [point.y for point in points]
        axes.scatter(xs, ys, label=label, alpha=0.7, **_style(sense.number - 1))
        for at in [point for point in points if point.occurrence in sense.examples[:1]][:1]:
            one = at.occurrence
            before, after = one.text[: one.start].split(" "), one.text[one.end :].split(" ")
            text = _short(" ".join(before[-4:]) + one.text[one.start : one.end] + " ".join(after[:4]))
            axes.annotate(text, (at.x, at.y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    return _finished(figure, axes, word_map.explained)


def _finished(figure: Figure, axes: Any, explained: float) -> Figure:
    axes.set(xlabel=f"the two axes show {explained:.0%} of the variance", xticks=[], yticks=[])
    axes.margins(0.15)
    axes.legend(loc="best", fontsize=8)
    return figure


def _style(i: int) -> dict[str, str]:
    return {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}


def _one_layer(text: WordVectors) -> NDArray[Any]:
    if text.vectors.ndim != 2:
        raise ConfigError(f"vectors of {len(text.vectors)} layers; draw one: encode_words(…, layers=2) or 'mix'.")
    return text.vectors


def _units(vectors: NDArray[Any]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _short(text: str) -> str:
    text = text.replace("$", r"\$")
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def draw_curve(log: str | Path, picture: str | Path) -> None:
    """Draw the loss and the held-out perplexity over the words read, from a run's `log.jsonl`, as a PNG file."""
    reports = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    figure, left = new_figure("", size=(8, 4.5))
    left.plot([r["n_words"] for r in reports], [r["loss"] for r in reports], color="tab:blue", label="training loss")
    left.set(xlabel="words read", ylabel="sampled loss, nats")
    measured = [r for r in reports if r["heldout"]]
    if measured:
        right = left.twinx()
        mean = [r["heldout"]["mean"] for r in measured]
        right.plot([r["n_words"] for r in measured], mean, color="tab:orange", marker="o", label="held-out perplexity")
        right.set(ylabel="perplexity", yscale="log")
        figure.legend(loc="outside upper center", ncols=2)
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
