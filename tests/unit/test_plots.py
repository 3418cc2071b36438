"""Plots are drawn whatever the words are, and refuse what can't be drawn."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from elmokit.errors import ConfigError
from elmokit.features import WordVectors
from elmokit.index import MapPoint, Occurrence, Sense, Senses, WordMap
from elmokit.plots import plot_senses, plot_similarity, plot_words


def text(words, seed=0, layers=None):
    words = tuple(words.split())
    shape = (len(words), 8) if layers is None else (layers, len(words), 8)
    offsets = np.stack([np.arange(len(words)), np.arange(len(words)) + 1], axis=1)
    return WordVectors(words, offsets, np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def saved(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    return (tmp_path / "figure.png").stat().st_size


def test_words_are_drawn_and_labelled(tmp_path):
    figure = plot_words([text("I read $5 books"), text("Can you Read", seed=1)], words=["read"])
    labels = [found.get_text() for found in figure.axes[0].texts]
    assert labels == ["read", "Read"]
    assert saved(figure, tmp_path) > 1000
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot_words([text("a b")], words=["read"])
    with pytest.raises(ConfigError, match="3 layers"):
        plot_words([text("a b", layers=3)])


def test_similarities_are_cosines(tmp_path):
    a, b = text("we sat down"), text("you", seed=1)
    figure = plot_similarity(a, b)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    for row, vector in enumerate(a.vectors):
        cosine = vector @ b.vectors[0] / np.linalg.norm(vector) / np.linalg.norm(b.vectors[0])
        assert shown[row, 0] == pytest.approx(float(cosine), abs=1e-5)
    assert saved(figure, tmp_path) > 1000
    with pytest.raises(ConfigError):
        plot_similarity(a, text(""))


def test_senses_have_a_colour_and_an_example_each(tmp_path):
    found = [Occurrence("bank", f"The bank no {i}.", 4, 8, "d", i, i, sense=1 + i % 2) for i in range(6)]
    senses = tuple(
        Sense(n, name, 0.5, 3, (), (), (found[n - 1],), np.zeros(4, np.float32))
        for n, name in ((1, "shore"), (2, "loan"))
    )
    points = tuple(MapPoint(float(i), float(i % 3), occurrence) for i, occurrence in enumerate(found))
    figure = plot_senses(WordMap("bank", Senses("bank", senses, 6, 6, 0.3), points, 0.5))
    assert [label.get_text() for label in figure.axes[0].get_legend().get_texts()] == ["1 shore (50%)", "2 loan (50%)"]
    assert len(figure.axes[0].texts) == 2
    assert saved(figure, tmp_path) > 1000
