"""The calls of TF-Hub, simple_elmo, ELMoForManyLangs and bilm-tf: their shapes and vectors, not their defects."""

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elmokit.checkpoints import load  # noqa: E402
from elmokit.checkpoints.allennlp import write_hdf5  # noqa: E402
from elmokit.compat import bilm, manylangs, simple_elmo, tfhub  # noqa: E402
from elmokit.errors import CheckpointError, InputError  # noqa: E402
from golden import make_tiny, make_torch, reference  # noqa: E402
from golden.formats import SAMPLES  # noqa: E402
from golden.test_reference import golden_batches  # noqa: E402

TEXTS = [["The", "cat", "sat", "."], [], ["naïve", "x" * 60]]


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def skip(tmp_path_factory):
    """The folder of variant "skip", and the reference's layers of TEXTS."""
    folder = tmp_path_factory.mktemp("skip")
    options, arrays = make_tiny.make("skip", folder)
    return folder, [reference.layers(words, options, arrays) for words in TEXTS]


def of_batch(arrays, T):
    """Layers of sentences behind each other, zeros behind each; (N, L, T, D)."""
    return np.stack([np.pad(x, ((0, 0), (0, T - x.shape[1]), (0, 0))) for x in arrays])


# TF-Hub


def test_hub_outputs(skip, tmp_path):
    module, expected = tfhub.Module(SAMPLES["tfhub_tar"].make(tmp_path)), of_batch(skip[1], 4)
    weights = [0.3, -0.2, 0.5]
    found = module([" ".join(words) for words in TEXTS], as_dict=True)
    np.testing.assert_allclose(found["word_emb"], expected[:, 0, :, :4], atol=2e-6)
    np.testing.assert_allclose(found["lstm_outputs1"], expected[:, 1], atol=2e-6)
    np.testing.assert_allclose(found["lstm_outputs2"], expected[:, 2], atol=2e-6)
    mixed = [reference.mix(x, weights, 1.7) for x in skip[1]]
    for row, m in enumerate(mixed):
        np.testing.assert_allclose(found["elmo"][row, : len(m)], m, atol=4e-6)
        assert not found["elmo"][row, len(m) :].any()
    np.testing.assert_allclose(found["default"][0], mixed[0].mean(axis=0), atol=4e-6)  # γ is in it
    np.testing.assert_allclose(found["default"][2], mixed[2].mean(axis=0), atol=4e-6)  # over its own words
    assert not found["default"][1].any()
    assert found["sequence_len"].tolist() == [4, 0, 2]


def test_hub_signatures(skip):
    module = tfhub.Module(skip[0])
    tokens = {"tokens": [["The", "cat", "sat", "."], ["naïve", "x" * 60, "", ""]], "sequence_len": [4, 2]}
    by_tokens = module(tokens, signature="tokens")
    np.testing.assert_array_equal(by_tokens, module(["The cat sat .", "naïve " + "x" * 60]))
    np.testing.assert_array_equal(by_tokens[1:], module(["naïve  " + "x" * 60]))  # nor on neighbours
    for wrong, signature in ((["a"], "tokens"), (tokens, "default"), ("a text", "default"), (["a"], "other")):
        with pytest.raises(InputError, match=signature):
            module(wrong, signature=signature)
    with pytest.raises(InputError, match="sequence_len"):
        module(tokens | {"sequence_len": [5, 2]}, signature="tokens")


def test_the_modules_old_address(monkeypatch):
    asked = []
    monkeypatch.setattr(tfhub.Elmo, "load", asked.append)
    tfhub.Module("https://tfhub.dev/google/elmo/2", trainable=True)
    assert asked == ["tfhub"]


# simple_elmo


@pytest.fixture(scope="module")
def simple(skip):
    model = simple_elmo.ElmoModel()
    assert model.load(skip[0]) == "The model is now loaded."
    return model, skip[1]


def test_simple_vectors(simple):
    model, layers = simple
    expected = of_batch(layers, 4)
    np.testing.assert_allclose(model.get_elmo_vectors(TEXTS, warmup=False, layers="all"), expected, atol=2e-6)
    np.testing.assert_allclose(model.get_elmo_vectors(TEXTS, warmup=False, layers="top"), expected[:, 2], atol=2e-6)
    found = model.get_elmo_vectors(TEXTS, warmup=False)
    np.testing.assert_allclose(found, expected.mean(axis=1), atol=2e-6)
    warm = model.get_elmo_vectors(TEXTS)
    assert warm.shape == found.shape
    assert np.abs(warm - found).max() > 1e-6
    np.testing.assert_array_equal(warm, model.get_elmo_vectors(TEXTS))
    with pytest.raises(InputError, match="'average'"):
        model.get_elmo_vectors(TEXTS, layers="mean")


def test_simple_averages_are_over_a_texts_own_words_and_layers(simple):
    model, layers = simple
    for row in (0, 2):
        mean = layers[row].mean(axis=0).mean(axis=0)
        found = model.get_elmo_vector_average(TEXTS, warmup=False)[row]
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=3e-6)
        each = layers[row].mean(axis=1)
        found = model.get_elmo_vector_average(TEXTS, warmup=False, layers="all")[row]
        np.testing.assert_allclose(found, each / np.linalg.norm(each), atol=3e-6)
    assert not model.get_elmo_vector_average(TEXTS)[1].any()
    alone = model.get_elmo_vector_average(TEXTS[2:], warmup=False)
    np.testing.assert_array_equal(alone[0], model.get_elmo_vector_average(TEXTS, warmup=False)[2])


def test_substitutes_see_the_whole_context(tmp_path):
    source = SAMPLES["bilm_tf"].make(tmp_path / "in")
    options, arrays = make_tiny.make("skip", tmp_path / "same")
    model = simple_elmo.ElmoModel()
    model.load(source, full=True)
    checkpoint = load(source)
    W, b = checkpoint.softmax.weight.astype(np.float64), checkpoint.softmax.bias.astype(np.float64)
    text = "the cat sat ."
    (found,) = model.get_elmo_substitutes([text], topn=2)
    rows = np.stack([reference.token_vector(w, options, arrays) for w in (reference.BOS, *text.split(), reference.EOS)])
    state = reference.zero_state(options)
    ahead = reference.run_tower(rows, 0, options, arrays, state[0])[-1]
    behind = reference.run_tower(rows[::-1], 1, options, arrays, state[1])[-1][::-1]
    for place, word in enumerate(found):
        assert word["word"] == text.split()[place]
        for side, context in (("forward", ahead[place]), ("backward", behind[place + 2])):
            logits = context @ W.T + b
            logp = logits - np.log(np.exp(logits).sum())
            allowed = sorted(range(2, 7), key=lambda i: -logp[i])[:2]
            assert word[side]["candidates"] == allowed
            assert word[side]["candidate_words"] == [checkpoint.words[i] for i in allowed]
            np.testing.assert_allclose(word[side]["logp"], logp[allowed], atol=1e-4)
    assert model.get_elmo_substitutes([""]) == [[]]
    (all_words,) = model.get_elmo_substitutes(["cat"], topn=100, nodelimiters=False)
    assert sorted(all_words[0]["forward"]["candidates"]) == list(range(7))


def test_substitutes_need_a_softmax(simple, skip):
    with pytest.raises(CheckpointError, match="softmax"):
        simple_elmo.ElmoModel().load(skip[0], full=True)
    with pytest.raises(CheckpointError, match="softmax"):
        simple[0].get_elmo_substitutes(["a"])
    with pytest.raises(InputError, match="load"):
        simple_elmo.ElmoModel().get_elmo_vectors([["a"]])


# ELMoForManyLangs


def test_manylangs_layers(tmp_path):
    embedder = manylangs.Embedder(make_torch.make_manylangs(tmp_path / "m"))
    for i, layers in enumerate(make_torch.manylangs_vectors()):
        for output_layer, expected in ((-2, layers), (-1, layers.mean(axis=0)), (0, layers[0]), (2, layers[2])):
            found = embedder.sents2elmo(make_torch.SENTENCES, output_layer)[i]
            np.testing.assert_allclose(found, expected, atol=2e-6)
    with pytest.raises(InputError, match="output_layer is 3"):
        embedder.sents2elmo([["a"]], 3)


def test_manylangs_does_not_change_from_run_to_run(tmp_path):
    embedder = manylangs.Embedder(make_torch.make_manylangs(tmp_path / "m"), batch_size=1)
    first = embedder.sents2elmo(make_torch.SENTENCES)
    again = embedder.sents2elmo(make_torch.SENTENCES[::-1])[::-1]
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left, right)


# bilm-tf


def test_batchers_as_in_bilm_tfs_tests(tmp_path):
    ids = bilm.Batcher(None, 50).batch_sentences([["The", "first"], ["second"]])
    assert ids.shape == (2, 4, 50)
    assert ids[0, :, :4].tolist()[0] == [259, 257, 260, 261]
    assert ids[0, 1, :5].tolist() == [259, 85, 105, 102, 260]
    assert ids[1, 2, :4].tolist() == [259, 258, 260, 261]
    assert not ids[1, 3].any()
    (tmp_path / "vocab.txt").write_text("the\n<S>\n</S>\n!!!MAXTERMID\n<UNK>\n")
    assert bilm.TokenBatcher(tmp_path / "vocab.txt").batch_sentences([["the", "x"], []]).tolist() == [
        [2, 1, 4, 3],
        [2, 3, 0, 0],
    ]


def test_the_last_word_of_a_vocabulary_without_marks_is_not_overwritten(tmp_path):
    (tmp_path / "vocab.txt").write_text("the\nlast\n")
    ids = bilm.Batcher(tmp_path / "vocab.txt", 50).batch_sentences([["last"]])
    assert ids[0, 1, :6].tolist() == [259, *(b + 1 for b in b"last"), 260]
    with pytest.raises(InputError, match="lacks '<S>'"):
        bilm.TokenBatcher(tmp_path / "vocab.txt")


def test_language_model_equals_bilm_tf(shared):
    folder = shared / "golden" / "bilm_tf"
    model = bilm.BidirectionalLanguageModel(folder / "options.json", folder / "lm_weights.hdf5", stateful=True)
    batcher = bilm.Batcher(None, 50)
    for batch, expected in golden_batches(folder):
        found = model(batcher.batch_sentences(batch))
        assert found["lengths"].tolist() == [len(words) for words in batch]
        for row, top in enumerate(expected):
            np.testing.assert_allclose(found["lm_embeddings"][row, -1, : len(top)], top, atol=2e-6)
    with pytest.raises(InputError, match="one size"):
        model(batcher.batch_sentences([["a"]]))


def test_cached_token_embeddings_give_the_same_layers(skip, tmp_path):
    pair = skip[0] / "options.json", skip[0] / "weights.hdf5"
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nThe\ncat\nsat\n.\n", encoding="utf-8")
    bilm.dump_token_embeddings(tmp_path / "vocab.txt", *pair, tmp_path / "tokens.hdf5")
    with h5py.File(tmp_path / "tokens.hdf5") as file:
        assert file["embedding"].shape == (7, 4)
    words = bilm.BidirectionalLanguageModel(
        *pair, use_character_inputs=False, embedding_weight_file=tmp_path / "tokens.hdf5"
    )
    found = words(bilm.TokenBatcher(tmp_path / "vocab.txt").batch_sentences(TEXTS[:2]))
    np.testing.assert_allclose(found["lm_embeddings"][0], skip[1][0], atol=2e-6)
    assert found["token_embeddings"].shape == (2, 6, 4)
    with pytest.raises(CheckpointError, match="embedding_weight_file"):
        bilm.BidirectionalLanguageModel(*pair, use_character_inputs=False)
    write_hdf5(tmp_path / "wide.hdf5", {"embedding": np.zeros((7, 5))})
    with pytest.raises(CheckpointError, match=r"words, 4.*\(7, 5\)"):
        bilm.BidirectionalLanguageModel(*pair, use_character_inputs=False, embedding_weight_file=tmp_path / "wide.hdf5")
    with pytest.raises(CheckpointError, match="expected one dataset, embedding"):
        bilm.BidirectionalLanguageModel(*pair, use_character_inputs=False, embedding_weight_file=pair[1])


def test_dump_bilm_embeddings(skip, tmp_path):
    (tmp_path / "data.txt").write_text("The cat sat .\n\nnaïve " + "x" * 60 + "\n", encoding="utf-8")
    pair = skip[0] / "options.json", skip[0] / "weights.hdf5"
    bilm.dump_bilm_embeddings(None, tmp_path / "data.txt", *pair, tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert set(file) == {"0", "1", "2"}
        for i, expected in enumerate(skip[1]):
            np.testing.assert_allclose(file[str(i)][()], expected, atol=2e-6)


def test_weight_layers_as_in_bilm_tfs_tests(skip):
    vectors, mask = of_batch(skip[1], 4), np.array([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    ops = {"lm_embeddings": vectors, "mask": mask}
    for weights, gamma in (([0.1, 0.3, 0.5], 1.1), ([0.2, 0.4, 0.6], 0.88)):
        found = bilm.weight_layers("x", ops, l2_coef=0.001, weights=weights, gamma=gamma)
        for row, expected in enumerate(skip[1]):
            np.testing.assert_allclose(
                found["weighted_op"][row, : expected.shape[1]], reference.mix(expected, weights, gamma), atol=1e-6
            )
        assert found["regularization_op"] == pytest.approx(0.001 * np.square(weights).sum())
    top = bilm.weight_layers("x", ops, use_top_only=True)["weighted_op"]
    np.testing.assert_allclose(top, vectors[:, -1])
    normed = bilm.weight_layers("x", ops, do_layer_norm=True, weights=[0.0, 0.0, 0.0])["weighted_op"]
    real = [vectors[:, k][mask] for k in range(3)]
    expected = np.mean([(x - x.mean()) / np.sqrt(x.var() + 1e-12) for x in real], axis=0)
    np.testing.assert_allclose(normed[mask], expected, atol=1e-6)
