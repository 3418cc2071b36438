"""The toy translator: its language, that a step learns something, and (slow) that it learns to translate."""

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from unit.tiny_models import tiny_elmo  # noqa: E402

PATH = Path(__file__).resolve().parents[3] / "examples" / "translate_toy.py"


@pytest.fixture(scope="module")
def toy():
    spec = importlib.util.spec_from_file_location("translate_toy", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_the_language_is_as_told(toy):
    pairs = toy.parallel_set(300, 0)
    assert len({tuple(english) for english, _ in pairs}) == 300
    for english, tok in pairs:
        verb = next(word for word in english if word in toy.VERBS)
        assert tok[-1] == toy.TOK[verb], "the verb comes last"
        assert (toy.TOK["not"] in tok) == ("never" in english)
        for adjective in set(english) & set(toy.ADJECTIVES):
            noun = english[english.index(adjective) + 1].removesuffix("s")
            assert tok.index(toy.TOK[adjective]) > tok.index(toy.TOK[noun]), "adjectives follow"
    assert toy.parallel_set(10, 3) == toy.parallel_set(10, 3)


def test_it_runs_and_its_loss_falls(toy):
    lines = []
    share, losses = toy.run(tiny_elmo(), n_train=100, n_test=5, n_epochs=3, say=lines.append)
    assert 0 <= share <= 1
    assert losses[-1] < losses[0] - 0.1
    assert sum("→" in line for line in lines) == 5


@pytest.mark.slow
def test_it_learns_to_translate_sentences_it_never_saw(toy):
    from elmokit import Elmo

    share, _ = toy.run(Elmo.load(), say=lambda _: None)
    assert share > 0.8
