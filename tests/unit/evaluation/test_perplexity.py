import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elmokit.checkpoints import Checkpoint, Softmax  # noqa: E402
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig  # noqa: E402
from elmokit.errors import CheckpointError, InputError  # noqa: E402
from elmokit.evaluation.perplexity import perplexity  # noqa: E402

WORDS = ("<S>", "</S>", "<UNK>", "the", "cat", "sat")
CONFIG = ElmoConfig(
    projection_width=6,
    char_cnn=CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 6)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=8),
    tokenizer="whitespace",
)


def checkpoint(scale=0.5, softmax_scale=1.0):
    random = np.random.default_rng(0)
    tensors = {n: random.normal(scale=scale, size=s).astype(np.float32) for n, s in CONFIG.tensor_shapes().items()}
    tensors["char_cnn.embedding.weight"][0] = 0
    weight = random.normal(scale=softmax_scale, size=(len(WORDS), 6)).astype(np.float32)
    softmax = Softmax(weight, random.normal(scale=softmax_scale, size=len(WORDS)).astype(np.float32))
    return Checkpoint(CONFIG, tensors, words=WORDS, softmax=softmax, name="tiny")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary(tmp_path):
    found = perplexity(checkpoint(softmax_scale=0), write(tmp_path / "a.txt", "the cat sat", "", "a dog"))
    for value in (found.forward, found.backward, found.mean):
        assert value == pytest.approx(len(WORDS))
    assert found.n_words == 5
    assert found.unknown == pytest.approx(2 / 5)


def test_the_likelihood_is_that_of_the_layers(tmp_path):
    """One text by hand, from the vectors of the other runtime: forward at a word predicts the next."""
    from elmokit.elmo import Elmo

    model = checkpoint()
    top = Elmo(model).encode_words([["the", "cat", "sat"]], layers=-1)[0].vectors
    scores = top[:, :6] @ model.softmax.weight.T + model.softmax.bias
    after_first = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    one, longer = (perplexity(model, write(tmp_path / "a.txt", text)) for text in ("the cat", "the cat sat"))
    of_three = -math.log(longer.forward) * 4
    of_two = -math.log(one.forward) * 3
    sat_and_end, end = after_first[1, 5] + after_first[2, 1], after_first[1, 1]
    assert of_three - of_two == pytest.approx(sat_and_end - end, abs=1e-4)


def test_texts_do_not_change_each_other(tmp_path):
    model = checkpoint()
    texts = ["the cat sat", "cat", "the the the cat sat on the mat", "sat"]
    together = perplexity(model, write(tmp_path / "all.txt", *texts))
    alone = [perplexity(model, write(tmp_path / "one.txt", text)) for text in texts]
    counts = np.array([one.n_words + 1 for one in alone])
    expected = math.exp((np.log([one.backward for one in alone]) * counts).sum() / counts.sum())
    assert together.backward == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, tmp_path / "all.txt", max_texts=1).forward == pytest.approx(alone[0].forward)


def test_what_can_not_be_judged_is_named(tmp_path):
    model = checkpoint()
    bare = Checkpoint(CONFIG, model.tensors, name="published")
    with pytest.raises(CheckpointError, match="published has no softmax"):
        perplexity(bare, write(tmp_path / "a.txt", "the cat"))
    with pytest.raises(InputError, match="no text in it"):
        perplexity(model, write(tmp_path / "a.txt", ""))
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        perplexity(model, tmp_path / "bad.txt")
