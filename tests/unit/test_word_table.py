"""A word table: rows of frequent words, tied to the softmax, added to the character CNN's vectors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit import Elmo, checkpoints
from elmokit.checkpoints import Checkpoint, Softmax
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import CheckpointError, ConfigError
from elmokit.text.char_ids import lower_ascii, table_rows, words_to_char_ids

WORDS = ("<S>", "</S>", "<UNK>", "the", "Cat", "cat", "sat", "naïve", "Drupal", "DruPal")
CONFIG = ElmoConfig(
    projection_width=8,
    char_cnn=CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 8)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=16),
    tokenizer="default",
    word_table=len(WORDS),
)
SPELT = replace(CONFIG, spelling_projection=True)  # words that the table lacks have a projection of their own
BOTH = pytest.mark.parametrize("config", [CONFIG, SPELT], ids=["one projection", "two projections"])


def make_checkpoint(seed=0, config=CONFIG, words=WORDS):
    random = np.random.default_rng(seed)
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in config.tensor_shapes().items()}
    softmax = Softmax(tensors["word_table.weight"], np.zeros(len(words), np.float32))
    return Checkpoint(config, tensors, words=words, softmax=softmax, name="tiny table")


def without_table(checkpoint, part=slice(None)):
    """The model of the characters alone, by a part of the projection."""
    config = replace(checkpoint.config, word_table=0, spelling_projection=False)
    tensors = {name: checkpoint.tensors[name] for name in config.tensor_shapes()}
    tensors |= {name: array[part] for name, array in tensors.items() if name.startswith("char_cnn.projection")}
    return Checkpoint(config, tensors, name="no table")


def token_vectors(checkpoint, words):
    return Elmo(checkpoint).encode_words([words], layers=0)[0].vectors[:, : checkpoint.config.projection_width]


def added_rows(checkpoint, words):
    return token_vectors(checkpoint, words) - token_vectors(without_table(checkpoint), words)


def rows_of(checkpoint, numbers):
    """Rows of the word table, zeros for 0."""
    table = checkpoint.tensors["word_table.weight"] * checkpoint.tensors["word_table.gain"]
    return table[numbers] * (np.array(numbers) > 0)[:, None]


def test_rows_of_the_table_are_added_to_known_words_alone():
    checkpoint = make_checkpoint()
    words = ["the", "cat", "cats", "naïve", "<UNK>", "<S>", "<unk>", "naÏve"]
    np.testing.assert_allclose(added_rows(checkpoint, words), rows_of(checkpoint, [3, 5, 0, 7, 0, 0, 0, 0]), atol=1e-6)


def test_a_word_that_the_table_lacks_takes_the_row_of_one_that_differs_in_case_only():
    checkpoint = make_checkpoint()
    words = ["THE", "CAT", "Cat", "drupal", "DRUPAL", "DruPal", "NAïVE"]
    np.testing.assert_allclose(added_rows(checkpoint, words), rows_of(checkpoint, [3, 5, 4, 8, 8, 9, 7]), atol=1e-6)


def test_words_that_the_table_lacks_have_their_own_projection():
    checkpoint, words = make_checkpoint(config=SPELT), ["the", "cats", "CAT", "<S>"]
    known, unknown = (token_vectors(without_table(checkpoint, part), words) for part in (slice(8), slice(8, None)))
    vectors = token_vectors(checkpoint, words)
    np.testing.assert_allclose(vectors[[0, 2]], (known + rows_of(checkpoint, [3, 0, 5, 0]))[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(vectors[[1, 3]], unknown[[1, 3]], atol=1e-6)
    with pytest.raises(ConfigError, match="spelling_projection"):
        replace(SPELT, word_table=0)


@given(st.text(st.sampled_from("aAbB<>sSzZéÉ"), max_size=4))
def test_strings_and_character_ids_find_the_same_row(word):
    torch = pytest.importorskip("torch")
    from elmokit.nn.token_encoder import WordTable

    vocabulary = (*WORDS[:3], "a", "Ab", "aB", "ABÉ", "<s>", "Z")
    table = WordTable(vocabulary, 4, max_characters=50)
    rows = table_rows(vocabulary)
    row = rows.get(word, rows.get(lower_ascii(word)))
    expected = torch.zeros(4) if row is None else table.weight[row] * table.gain
    with torch.no_grad():
        ids = torch.from_numpy(words_to_char_ids([word]))
        assert torch.equal(table(ids, torch.zeros(1, 4)).squeeze(0), expected)


@BOTH
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_the_native_format_stores_the_table_once(tmp_path, storage, config):
    from safetensors.numpy import load_file

    checkpoint = make_checkpoint(config=config)
    checkpoints.save(checkpoint, tmp_path, storage=storage)
    assert "softmax.weight" not in load_file(tmp_path / "model.safetensors")
    read = checkpoints.load(tmp_path)
    assert read.config == config
    assert read.softmax is not None
    assert read.softmax.weight is read.tensors["word_table.weight"]
    tolerance = {"float32": 0, "float16": 1e-3, "int8": 1e-2}[storage]
    np.testing.assert_allclose(read.softmax.weight, checkpoint.softmax.weight, atol=tolerance)
    assert checkpoints.load(tmp_path, with_softmax=False).softmax is None


def test_a_table_without_its_vocabulary_or_with_another_softmax_is_refused():
    checkpoint = make_checkpoint()
    with pytest.raises(CheckpointError, match="vocabulary"):
        replace(checkpoint, words=None)
    with pytest.raises(CheckpointError, match="word table"):
        replace(checkpoint, softmax=Softmax(checkpoint.softmax.weight + 1, checkpoint.softmax.bias))
    with pytest.raises(CheckpointError, match="word table has 10 rows"):
        replace(checkpoint, softmax=None, words=WORDS[:-1])
    with pytest.raises(ConfigError, match="word_table"):
        replace(CONFIG, word_table=-1)
    with pytest.raises(ConfigError, match="word_table"):
        ElmoConfig(char_cnn=None, n_words=5, word_table=5)


def test_the_fingerprint_knows_the_vocabulary_of_the_table():
    renamed = replace(make_checkpoint(), words=(*WORDS[:-1], "other"))
    assert Elmo(make_checkpoint()).fingerprint != Elmo(renamed).fingerprint


@BOTH
def test_torch_and_onnx_compute_the_same(tmp_path, config):
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    from elmokit.compat.allennlp import batch_to_ids
    from elmokit.integrations.onnx import export_onnx
    from elmokit.nn.bilm import BiLM

    checkpoint = make_checkpoint(config=config)
    sentences = [["the", "cat", "SAT"], ["drupal", "naïve", "catt"], ["Cat"]]
    expected = [vectors.vectors for vectors in Elmo(checkpoint).encode_words(sentences, layers="all")]
    export_onnx(checkpoint, tmp_path / "m.onnx")
    ids = batch_to_ids(sentences)
    layers = onnxruntime.InferenceSession(str(tmp_path / "m.onnx")).run(["layers"], {"char_ids": ids.numpy()})[0]
    for row, vectors in enumerate(expected):
        actual = layers[:, row, : len(vectors)].transpose(1, 0, 2).reshape(len(vectors), -1)
        np.testing.assert_allclose(actual, vectors, atol=1e-5)
    bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors).eval()
    words = torch.from_numpy(token_vectors(checkpoint, sentences[1]))
    with torch.no_grad():
        torch.testing.assert_close(bilm.embed(ids[1, :3]), words, atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="vocabulary"):
        BiLM(checkpoint.config)


def test_allennlps_format_refuses_it(tmp_path):
    with pytest.raises(CheckpointError, match="native"):
        checkpoints.save(make_checkpoint(), tmp_path, format="allennlp-hdf5")


@BOTH
def test_training_keeps_table_and_softmax_one(tmp_path, config):
    pytest.importorskip("torch")
    from elmokit.training import Corpus, TrainingOptions, train, tune

    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat here\nthe dog sat there\n" * 200, encoding="utf-8")
    options = TrainingOptions(batch_size=4, bptt=4, segment=16, n_words=600, vocabulary_size=8, n_negatives=4, warmup=2)
    config = replace(config, word_table=8, bilstm=BiLSTMConfig(cell_width=8, projection=False))
    train(Corpus(files=[corpus], heldout_every=50), tmp_path / "a", config=config, options=options, name="t")
    first = checkpoints.load(tmp_path / "a")
    assert first.config.spelling_projection == config.spelling_projection
    assert first.config.word_table == len(first.words)
    assert first.softmax.weight is first.tensors["word_table.weight"]

    other = tmp_path / "other.txt"
    other.write_text("a new dog ran here\n" * 300, encoding="utf-8")
    tune(first, Corpus(files=[other], heldout_every=50), tmp_path / "b", options=options)
    second = checkpoints.load(tmp_path / "b")
    assert set(first.words) | {"ran", "new"} <= set(second.words)  # known words keep their rows
    assert second.config.word_table == len(second.words)
