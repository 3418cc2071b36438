"""The language model's own numbers: against PyTorch's, by hand, and what people are told."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.checkpoints import Softmax
from elmokit.errors import CheckpointError, ConfigError, InputError, TextError
from elmokit.perplexity import PerplexityMeter
from elmokit.tasks.language_model import LanguageModel
from unit.tiny_models import CONFIG, VOCABULARY, tiny_checkpoint

COUNTS = (0, 0, 7, 50, 20, 10)


def checkpoint(config=CONFIG, *, scale=1.0, **parts):
    random = np.random.default_rng(1)
    softmax = Softmax(
        random.normal(scale=scale, size=(len(VOCABULARY), config.projection_width)).astype(np.float32),
        random.normal(scale=scale, size=len(VOCABULARY)).astype(np.float32),
    )
    return tiny_checkpoint(config, words=VOCABULARY, softmax=softmax, **parts)


@pytest.fixture(scope="module")
def model():
    return LanguageModel(checkpoint(word_counts=COUNTS), n_threads=1)


TEXTS = ["the cat sat", "", "a dog !", "cat", "the the the the cat sat on the mat , sat the"]


def test_perplexity_is_that_of_the_losses_of_training():
    """One text at a time through the module that is trained, with its full softmax."""
    torch = pytest.importorskip("torch")
    from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids
    from elmokit.training import TrainingOptions
    from elmokit.training.objective import PretrainingModel, WindowBatch

    for skip_connections in (True, False):
        made = checkpoint(replace(CONFIG, bilstm=replace(CONFIG.bilstm, skip_connections=skip_connections)))
        model, vocabulary = LanguageModel(made, n_threads=1), list(VOCABULARY)
        trained = PretrainingModel(made.config, VOCABULARY, TrainingOptions(dropout=0.0)).eval()
        trained.bilm.load_tensors(made.tensors)
        with torch.no_grad():
            trained.softmax.weight.copy_(torch.tensor(made.softmax.weight))
            trained.softmax.bias.copy_(torch.tensor(made.softmax.bias))
        meter, n = PerplexityMeter(), CONFIG.char_cnn.max_characters
        for words in map(str.split, TEXTS):
            ids = [vocabulary.index(word) if word in vocabulary else 2 for word in words]
            rows = list(range(2, 2 + len(words)))
            inputs = torch.tensor([[[0, *rows]], [[1, *rows[::-1]]]])
            targets = torch.tensor([[[*ids, 1]], [[*ids[::-1], 0]]])
            spelled = np.concatenate([sentence_boundary_ids(n), words_to_char_ids(words, n)]).astype(np.int64)
            with torch.no_grad():
                batch = WindowBatch(torch.from_numpy(spelled), inputs, targets)
                losses, counts, *_ = trained(batch, trained.initial_states(1), None)
            unknown = sum(word not in vocabulary for word in words)
            meter.add(losses.numpy(), counts.numpy(), n_words=len(words), n_unknown=unknown)
        assert vars(model.perplexity(TEXTS)) == pytest.approx(vars(meter.result), rel=1e-5)


def test_surprisals_are_those_of_the_layers(model):
    """By hand from the top layer: forward after a word tells the next, backward the one before."""
    words = ["the", "cat", "sat"]
    score = next(model.surprisal([words]))
    ahead, back = model.contexts([words])[0]
    forward, backward = model.log_probabilities(ahead), model.log_probabilities(back)
    assert np.exp(forward).sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    ids = [VOCABULARY.index(word) for word in words]
    assert score.forward == pytest.approx([-forward[i, word] for i, word in enumerate(ids)], abs=1e-5)
    assert score.backward == pytest.approx([-backward[i + 1, word] for i, word in enumerate(ids)], abs=1e-5)
    assert score.end == pytest.approx(-forward[3, 1], abs=1e-5)
    assert score.begin == pytest.approx(-backward[0, 0], abs=1e-5)


def test_a_model_that_knows_nothing_is_as_surprised_as_its_vocabulary_is_long():
    blank = LanguageModel(checkpoint(scale=0.0), n_threads=1)
    for score in blank.surprisal(TEXTS):
        assert score.mean == pytest.approx(np.full(len(score.words), math.log(len(VOCABULARY))))
        assert score.perplexity.mean == pytest.approx(len(VOCABULARY))


def test_unknown_words_are_marked(model):
    score = next(model.surprisal(["the dog sat"]))
    assert score.known.tolist() == [True, False, True]
    assert score.perplexity.unknown == pytest.approx(1 / 3)


words = st.lists(st.sampled_from(["the", "cat", "sat", "dog", "é"]), max_size=6)


@settings(max_examples=25)
@given(st.lists(words, min_size=1, max_size=6), words)
def test_a_score_hangs_on_its_text_alone(texts, other):
    model = LanguageModel(checkpoint(), n_threads=1)
    together = list(model.surprisal([*texts, other]))
    for text, found in zip(texts, together, strict=False):
        alone = next(model.surprisal([text]))
        assert found.words == alone.words == tuple(text)
        assert found.forward == pytest.approx(alone.forward, abs=1e-5)
        assert found.backward == pytest.approx(alone.backward, abs=1e-5)
        assert (found.end, found.begin) == pytest.approx((alone.end, alone.begin), abs=1e-5)


def test_texts_stream_in_blocks(model, monkeypatch):
    monkeypatch.setattr("elmokit.tasks.language_model._TEXTS", 2)
    taken = []

    def source():
        for text in TEXTS:
            taken.append(text)
            yield text

    scores = model.surprisal(source())
    assert next(scores).words == ("the", "cat", "sat")
    assert len(taken) == 2, "no more is read than a block"
    assert [len(score.words) for score in scores] == [0, 3, 1, 12]


def test_candidates_are_the_chances_of_both_directions(model):
    found = model.fill("the ___ sat", n=99, prior=1.0)
    assert {one.word for one in found} == {"the", "cat", "sat"}, "special words are no candidates"
    assert sum(one.probability for one in found) == pytest.approx(1)
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
    shares = dict(zip(VOCABULARY, np.maximum(COUNTS, 0.5) / np.maximum(COUNTS, 0.5).sum(), strict=True))
    expected = {one.word: math.exp(one.forward + one.backward) / shares[one.word] for one in found}
    for one in found:
        assert one.probability == pytest.approx(expected[one.word] / sum(expected.values()), rel=1e-4)
    score = next(model.surprisal(["the cat sat"]))
    cat = next(one for one in found if one.word == "cat")
    assert (cat.forward, cat.backward) == pytest.approx((-score.forward[1], -score.backward[1]), abs=1e-5)


def test_next_words_look_back_only(model):
    after = model.next_words("the cat", n=3)
    gap = sorted(model.fill("the cat ___ sat the", n=3), key=lambda one: -one.forward)
    assert [(one.word, one.forward) for one in after] == [(one.word, pytest.approx(one.forward)) for one in gap]
    assert sum(one.probability for one in after) == pytest.approx(1)


def test_gaps_in_lists_of_words(model):
    assert model.fill(["the", "___", "sat"]) == model.fill("the ___ sat")


def test_substitutes(model):
    found = model.substitutes("the cat sat", "cat", n=5)
    assert {one.word for one in found} == {"the", "sat"}, "neither the word itself nor special words"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.score == pytest.approx(one.probability * max(one.cosine, 0) ** 4)
    chances = [one.probability for one in model.substitutes("the cat sat", "cat", sharpness=0)]
    assert chances == sorted(chances, reverse=True)
    assert len(model.substitutes("the cat sat", "cat", n_candidates=1)) == 1


def test_what_can_not_be_done_is_named(model):
    with pytest.raises(CheckpointError, match="tiny has no softmax"):
        LanguageModel(tiny_checkpoint())
    with pytest.raises(InputError, match="0 gaps"):
        model.fill("the cat")
    with pytest.raises(InputError, match="2 gaps"):
        model.fill("___ ___")
    with pytest.raises(InputError, match="'dog' is not in the text; its words are 'the', 'cat'"):
        model.substitutes("the cat", "dog")
    with pytest.raises(ConfigError, match="sharpness"):
        model.substitutes("the cat", "cat", sharpness=-1)
    with pytest.raises(ConfigError, match="n is 0"):
        model.fill("the ___", n=0)
    with pytest.raises(TextError, match=r"texts\[1\]"):
        list(model.surprisal(["fine", None]))
    with pytest.raises(InputError, match="no text"):
        model.perplexity([])
