"""Beginning with static word vectors: read, spelled, put into the softmax, and of use."""

import gzip

import numpy as np
import pytest
import torch

from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.text.vocab import Vocabulary
from elmokit.training import Corpus, train
from elmokit.training.objective import PretrainingModel
from elmokit.training.word_vectors import begin_with, read_word_vectors
from unit.training.runs import NOUNS, VERBS, tiny_config, tiny_options

WORDS = ("the", *NOUNS, *VERBS, ".")


def vectors(width=24, seed=0):
    return WORDS, np.random.default_rng(seed).normal(3.0, 1.0, (len(WORDS), width)).astype("f4")


def model(n_words=40):
    torch.manual_seed(0)
    return PretrainingModel(tiny_config(), [str(i) for i in range(n_words)], tiny_options(dropout=0.0))


def vocabulary():
    return Vocabulary.from_counts({word: 100 - i for i, word in enumerate(WORDS)})


def write(path, static, lines=None):
    rows = [f"{word} {' '.join(str(x) for x in row)}" for word, row in zip(*static, strict=True)]
    text = "\n".join([f"{len(rows)} {static[1].shape[1]}", *(lines or rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["v.vec", "v.txt.gz"])
def test_a_file_is_read_as_written(name, tmp_path):
    static = vectors(5)
    words, array = read_word_vectors(write(tmp_path / name, static))
    assert words == static[0]
    np.testing.assert_allclose(array, static[1], rtol=1e-6)
    assert read_word_vectors(tmp_path / name, max_words=3)[0] == static[0][:3]


@pytest.mark.parametrize("line", ["the 1 2", "the 1 2 x", "the", "the 1 2 nan", "the 1 2 3 4"])
def test_a_bad_line_is_named(line, tmp_path):
    path = write(tmp_path / "v.vec", vectors(3), ["a 1 2 3", line])
    with pytest.raises(InputError, match="line 3"):
        read_word_vectors(path)


def test_a_file_without_its_first_line_or_missing_or_empty(tmp_path):
    (tmp_path / "v.vec").write_text("the 1 2 3\n")
    with pytest.raises(InputError, match="line 1"):
        read_word_vectors(tmp_path / "v.vec")
    (tmp_path / "v.vec").write_text("0 3\n")
    with pytest.raises(InputError, match="no word vectors"):
        read_word_vectors(tmp_path / "v.vec")
    with pytest.raises(MissingFile):
        read_word_vectors(tmp_path / "none.vec")


def test_the_char_cnn_learns_to_spell_them_and_the_softmax_begins_with_them():
    language_model, static, words = model(len(WORDS) + 3), vectors(), vocabulary()
    assert begin_with(language_model, *static, words, n_words=150_000) > 0.9
    centred = static[1] - static[1].mean(axis=0)
    row = language_model.softmax.weight[words.id_of("king")].detach().numpy()
    wanted = centred[WORDS.index("king")]
    assert np.dot(row, wanted) / np.linalg.norm(row) / np.linalg.norm(wanted) > 0.9999
    chances = language_model.softmax.bias.detach().exp()
    assert float(chances.sum()) == pytest.approx(1.0, abs=1e-4)
    assert chances[words.id_of("the")] > chances[words.id_of(".")]


def test_narrow_vectors_leave_room_and_wide_ones_are_refused():
    assert begin_with(model(len(WORDS) + 3), *vectors(8), vocabulary(), n_words=150_000) > 0.8
    with pytest.raises(ConfigError, match="25 wide, the model's 24"):
        begin_with(model(len(WORDS) + 3), *vectors(25), vocabulary(), n_words=512)


def test_the_same_seed_gives_the_same_start():
    first, second = model(len(WORDS) + 3), model(len(WORDS) + 3)
    for one in (first, second):
        begin_with(one, *vectors(), vocabulary(), n_words=2_000, seed=3)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_begins_with_a_file(corpus_file, tmp_path):
    path = write(tmp_path / "v.vec", vectors())
    settings = {"config": tiny_config(), "options": tiny_options(n_words=64, evaluate_words=64)}
    corpus = Corpus(files=[corpus_file], heldout_every=20, n_processes=1)
    with_vectors = train(corpus, tmp_path / "a", word_vectors=path, **settings)
    without = train(corpus, tmp_path / "b", **settings)
    assert with_vectors.heldout["mean"] < without.heldout["mean"]
