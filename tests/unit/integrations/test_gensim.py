"""Vectors of a vocabulary, read back by gensim itself."""

import numpy as np
import pytest

gensim_models = pytest.importorskip("gensim.models")

from elmokit import Elmo  # noqa: E402
from elmokit.errors import InputError, MissingExtra  # noqa: E402
from elmokit.integrations.gensim import save_word2vec, to_keyed_vectors  # noqa: E402
from golden import make_tiny, reference  # noqa: E402

WORDS = ["cat", "naïve", "日本語", "🙂", "x" * 60]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    options, arrays = make_tiny.make("plain", folder)
    return Elmo.load(folder), [reference.layers([word], options, arrays)[:, 0] for word in WORDS]


@pytest.mark.parametrize("name", ["v.txt", "v.bin", "v.dat"])
@pytest.mark.parametrize("layers", [0, "all"])
def test_gensim_reads_what_we_write(model, tmp_path, name, layers):
    elmo, expected = model
    save_word2vec(elmo, WORDS, tmp_path / name, layers=layers)
    keyed = gensim_models.KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=name.endswith("bin"))
    assert keyed.index_to_key == WORDS
    for word, found in zip(WORDS, expected, strict=True):
        np.testing.assert_allclose(keyed[word], found[0] if layers == 0 else found.ravel(), atol=2e-6)


def test_keyed_vectors(model):
    keyed = to_keyed_vectors(model[0], WORDS)
    assert {word for word, _ in keyed.most_similar("cat", topn=10)} == set(WORDS[1:])
    np.testing.assert_allclose(keyed["cat"], model[1][0][0], atol=2e-6)


@pytest.mark.parametrize("words", [["a", ""], ["a b"], ["a\u00a0b"], ["a", "a"], [], ["a", 1], ["a", "\ud83d"]])
def test_what_the_format_can_not_hold(model, tmp_path, words):
    with pytest.raises(InputError, match=r"each once and without white space|no words"):
        save_word2vec(model[0], words, tmp_path / "v.txt")
    assert not list(tmp_path.iterdir())


def test_without_gensim(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gensim.models", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[gensim\]"):
        to_keyed_vectors(model[0], ["a"])
