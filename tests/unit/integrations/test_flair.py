"""`ELMoEmbeddings` against Flair itself: sentences, stacks, a tagger that learns, is saved and comes back.

Flair pins too much to live in the environment of the other tests: run this in one of its own (docs/integrations.md).
"""

import warnings

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.errors import CheckpointError, ConfigError
from unit.tiny_models import tiny_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    flair = pytest.importorskip("flair", reason="Flair is not installed: it has an environment of its own")
    torch = pytest.importorskip("torch")
    from flair.data import Corpus, Sentence
    from flair.datasets import FlairDatapointDataset
    from flair.embeddings import DocumentPoolEmbeddings, StackedEmbeddings
    from flair.models import SequenceTagger
    from flair.trainers import ModelTrainer

    from elmokit.integrations.flair import ELMoEmbeddings

WORDS = [["the", "cat", "sat"], [], ["a", "dog", "ran", "away", "!"], ["the", "cat", "sat"]]


def vectors_of(sentence):
    return np.stack([token.embedding.cpu().numpy() for token in sentence])


@pytest.mark.parametrize(
    ("mode", "layers", "width"),
    [
        ("all", {"layers": "all"}, 36),
        ("top", {"layers": -1}, 12),
        ("average", {"layer_weights": [1 / 3] * 3}, 12),
        ("mix", {"layers": "mix"}, 12),
    ],
)
def test_tokens_have_the_vectors_of_elmo(model, mode, layers, width):
    embeddings = ELMoEmbeddings(model, embedding_mode=mode)
    sentences = [Sentence(words) for words in WORDS if words]
    embeddings.embed(sentences)
    expected = Elmo.load(model).encode_words([words for words in WORDS if words], **layers)
    assert embeddings.embedding_length == width
    for sentence, found in zip(sentences, expected, strict=True):
        np.testing.assert_allclose(vectors_of(sentence), found.vectors, rtol=1e-5, atol=1e-6)


def test_flairs_own_arguments_in_flairs_order(tmp_path):
    save(tiny_checkpoint(), tmp_path, format="allennlp")
    embeddings = ELMoEmbeddings("original", str(tmp_path / "options.json"), str(tmp_path / "weights.hdf5"), "top")
    sentence = Sentence(["the", "cat"])
    embeddings.embed(sentence)
    expected = Elmo.load(tmp_path).encode_words([["the", "cat"]], layers=-1)[0].vectors
    np.testing.assert_allclose(vectors_of(sentence), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="'all', 'top', 'average', 'mix'"):
        ELMoEmbeddings("original", embedding_mode="first", options_file=tmp_path / "options.json")


def test_stacked_and_pooled(model):
    stack = StackedEmbeddings([ELMoEmbeddings(model, embedding_mode="top"), ELMoEmbeddings(model)])
    sentence = Sentence(["the", "cat", "sat"])
    stack.embed(sentence)
    assert stack.embedding_length == 48
    assert vectors_of(sentence).shape == (3, 48)
    document = DocumentPoolEmbeddings([ELMoEmbeddings(model, embedding_mode="mix")], fine_tune_mode="none")
    sentence = Sentence(["the", "cat", "sat"])
    document.embed(sentence)
    expected = Elmo.load(model).encode([["the", "cat", "sat"]])[0]
    np.testing.assert_allclose(sentence.embedding.detach().cpu().numpy(), expected, rtol=1e-5, atol=1e-6)


def tagged(words, tags):
    sentence = Sentence(words)
    for token, tag in zip(sentence, tags, strict=True):
        token.add_label("pos", tag)
    return sentence


def test_a_tagger_learns_and_comes_back_and_refuses_another_model(model, tmp_path):
    flair.set_seed(0)
    rows = [
        tagged(["the", "cat", "sat"], ["D", "N", "V"]),
        tagged(["a", "dog", "ran", "away", "!"], ["D", "N", "V", "A", "P"]),
        tagged(["cats", "sat", "!"], ["N", "V", "P"]),
    ]
    data = FlairDatapointDataset(rows)
    corpus = Corpus(train=data, dev=data, test=data, sample_missing_splits=False)
    tagger = SequenceTagger(
        embeddings=StackedEmbeddings([ELMoEmbeddings(model)]),
        tag_dictionary=corpus.make_label_dictionary("pos", add_unk=False),
        tag_type="pos",
        hidden_size=16,
        use_crf=True,
        dropout=0.0,
        word_dropout=0.0,
        locked_dropout=0.0,
    )
    assert not [name for name, _ in tagger.named_parameters() if "bilm" in name or "elmo" in name]
    trainer = ModelTrainer(tagger, corpus)
    trainer.train(tmp_path / "run", learning_rate=0.5, mini_batch_size=2, max_epochs=20, shuffle=False)
    assert tagger.evaluate(data, gold_label_type="pos").main_score > 0.9
    tagger.save(tmp_path / "tagger.pt")
    assert (tmp_path / "tagger.pt").stat().st_size < 200_000
    again = SequenceTagger.load(tmp_path / "tagger.pt")
    expected, found = Sentence(["a", "cat", "ran"]), Sentence(["a", "cat", "ran"])
    tagger.predict(expected)
    again.predict(found)
    assert [label.value for label in found.get_labels()] == [label.value for label in expected.get_labels()]
    save(tiny_checkpoint(seed=1, name="other"), model)
    with pytest.raises(CheckpointError, match="trained with the model 'tiny'; the one given is 'other'"):
        SequenceTagger.load(tmp_path / "tagger.pt")
