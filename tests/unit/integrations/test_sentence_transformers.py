"""`ElmoSentenceEncoder`: sentence-transformers' interface, and, where that library is installed, its tools on it."""

import warnings

import numpy as np
import pytest
import torch

from elmokit.checkpoints import save
from elmokit.errors import ConfigError, TextError
from elmokit.integrations.sentence_transformers import ElmoSentenceEncoder
from unit.tiny_models import tiny_checkpoint, tiny_elmo

TEXTS = ["the cat sat", "", "a dog ran away", "it broke again"]


@pytest.fixture(scope="module")
def elmo():
    return tiny_elmo()


@pytest.fixture(scope="module")
def model(elmo):
    return ElmoSentenceEncoder(elmo, pooling="mean+max", layers="all")


def test_the_vectors_are_those_of_elmo(model, elmo, tmp_path):
    expected = elmo.encode(TEXTS, pooling="mean+max", layers="all")
    for made in (model.encode(TEXTS), model.encode_query(TEXTS, batch_size=1), model.encode_document(tuple(TEXTS))):
        assert np.array_equal(made, expected)
    assert np.array_equal(model.encode(TEXTS[0]), elmo.encode(TEXTS[:1], pooling="mean+max", layers="all")[0])
    assert model.encode([]).shape == (0, 72)
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension() == 72
    save(tiny_checkpoint(), tmp_path)
    assert np.array_equal(ElmoSentenceEncoder(tmp_path).encode(TEXTS), elmo.encode(TEXTS))


def test_lengths_kinds_and_prompts(model, elmo):
    lengths = np.linalg.norm(model.encode(TEXTS, normalize_embeddings=True), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 1], atol=1e-6)
    tensor = model.encode(TEXTS, convert_to_tensor=True)
    assert torch.equal(tensor, torch.from_numpy(model.encode(TEXTS)))
    rows = model.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(rows, list)
    assert torch.equal(torch.stack(rows), tensor)
    assert torch.equal(
        model.encode(TEXTS[0], convert_to_tensor=True), model.encode([TEXTS[0]], convert_to_tensor=True)[0]
    )
    assert np.array_equal(model.encode(["cat sat"], prompt="the "), model.encode(["the cat sat"]))


def test_word_vectors(elmo):
    model = ElmoSentenceEncoder(elmo)
    words = model.encode(TEXTS, output_value="token_embeddings")
    assert [len(vectors) for vectors in words] == [3, 0, 4, 3]
    assert np.array_equal(words[0], elmo.encode_words(TEXTS)[0].vectors)
    assert isinstance(model.encode(TEXTS[0], output_value="token_embeddings", convert_to_tensor=True), torch.Tensor)


def test_similarities_are_cosines_of_the_kind_that_was_given(model):
    one, two = model.encode(TEXTS), model.encode(TEXTS[:2])
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num((one @ two.T) / np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1)))
    np.testing.assert_allclose(model.similarity(one, two), expected, atol=1e-6)
    np.testing.assert_allclose(model.similarity_pairwise(one[:2], two), np.diag(expected), atol=1e-6)
    assert model.similarity(one[0], two[0]).shape == (1, 1)
    tensors = model.similarity(torch.from_numpy(one), two)
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_allclose(tensors.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        ("prompt_name", "query", "expected None"),
        ("truncate_dim", 4, "expected None"),
        ("precision", "int8", "expected 'float32' or None"),
        ("output_value", "both", "expected 'sentence_embedding'"),
    ],
)
def test_what_it_cannot_do_is_refused(model, argument, value, says):
    with pytest.raises(ConfigError, match=says):
        model.encode(TEXTS, **{argument: value})


def test_what_is_no_text_is_named(model):
    with pytest.raises(TextError, match=r"texts\[1\]"):
        model.encode(["a", None])
    with pytest.raises(TextError, match=r"texts\[1\]"):
        model.encode(["a", None], prompt="b ")


@pytest.fixture(scope="module")
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed (compare)")


@pytest.mark.filterwarnings("ignore")
def test_the_librarys_own_tools_take_it(library, model):
    from sentence_transformers import util

    try:
        from sentence_transformers.sentence_transformer.evaluation import (
            EmbeddingSimilarityEvaluator,
            InformationRetrievalEvaluator,
        )
    except ImportError:  # before version 6
        from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator, InformationRetrievalEvaluator
    vectors = model.encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(model.similarity(vectors, vectors), util.cos_sim(vectors, vectors), atol=1e-5, rtol=0)
    assert util.semantic_search(vectors[:1], vectors, top_k=1)[0][0]["corpus_id"] == 0
    (score, *pair), *_ = util.paraphrase_mining(model, [*TEXTS, "the cat sat"])
    assert sorted(pair) == [0, 4]
    assert score == pytest.approx(1, abs=1e-4)
    judge = EmbeddingSimilarityEvaluator(TEXTS[2:], ["a dog ran away", "the cat"], [1.0, 0.0], write_csv=False)
    assert judge(model)["spearman_cosine"] == pytest.approx(1)
    corpus = {str(i): text for i, text in enumerate(TEXTS)}
    found = InformationRetrievalEvaluator({"q": "a dog ran away"}, corpus, {"q": {"2"}}, write_csv=False)(model)
    assert found["cosine_accuracy@1"] == 1.0
