"""What every compatibility layer does with inputs of the wrong kind, and with empty ones."""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from elmokit.compat import allennlp, bilm, manylangs, simple_elmo, tfhub  # noqa: E402
from elmokit.compat.allennlp_embedder import write_allennlp_hdf5  # noqa: E402
from elmokit.errors import TextError  # noqa: E402
from golden import make_tiny  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skip")
    make_tiny.make("skip", folder)
    (folder / "words.txt").write_bytes("\ufeff<S>\r\n</S>\r\n<UNK>\r\na\r\n".encode())
    return folder


@pytest.fixture(scope="module")
def calls(folder):
    """Every call that takes a batch of sentences."""
    simple = simple_elmo.ElmoModel()
    simple.load(folder)
    embedder = allennlp.ElmoEmbedder(folder / "options.json", folder / "weights.hdf5")
    module = tfhub.Module(folder)
    return {
        "batch_to_ids": allennlp.batch_to_ids,
        "embed_batch": embedder.embed_batch,
        "embed_sentences": lambda batch: list(embedder.embed_sentences(batch)),
        "batch_to_embeddings": embedder.batch_to_embeddings,
        "Batcher": bilm.Batcher(None, 50).batch_sentences,
        "TokenBatcher": bilm.TokenBatcher(folder / "words.txt").batch_sentences,
        "sents2elmo": manylangs.Embedder(folder).sents2elmo,
        "get_elmo_vectors": simple.get_elmo_vectors,
        "get_elmo_vector_average": simple.get_elmo_vector_average,
        "hub tokens": lambda batch: module(
            {"tokens": batch, "sequence_len": [len(x) for x in batch]}, signature="tokens"
        ),
    }


WRONG = [["a cat"], ["开心", "吗"], "a cat", [["a", None]], [["a", b"b"]], [["a", 3]], [["a"], "b"], {"a": ["b"]}]


@pytest.mark.parametrize("batch", WRONG, ids=repr)
def test_what_is_no_list_of_words_is_refused(calls, batch):
    for call in calls.values():
        with pytest.raises(TextError):
            call(batch)


@pytest.mark.parametrize("batch", [[], [[]], [[], []]])
def test_empty_sentences_are_sentences(calls, batch):
    for name, call in calls.items():
        assert len(call(batch)) == (2 if name == "batch_to_embeddings" else len(batch)), name


def test_a_lone_sentence_is_refused(folder):
    embedder = allennlp.ElmoEmbedder(folder / "options.json", folder / "weights.hdf5")
    with pytest.raises(TextError, match="the string 'a cat'"):
        embedder.embed_sentence("a cat")
    with pytest.raises(TextError, match=r"texts\[1\] is None"):
        tfhub.Module(folder)(["a", None])
    with pytest.raises(TextError, match="Decode"):
        tfhub.Module(folder)([b"a"])


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("batch", [[["a", "b"], ["c"]], [[], []], [[]], []])
def test_ids_of_any_integer_type(folder, dtype, batch):
    elmo = allennlp.Elmo(folder / "options.json", folder / "weights.hdf5", 1, dropout=0)
    ids = allennlp.batch_to_ids(batch)
    vectors = elmo(ids.to(dtype))["elmo_representations"][0]
    assert vectors.shape == (*ids.shape[:2], elmo.get_output_dim())
    assert torch.equal(vectors, elmo(ids)["elmo_representations"][0])


def test_arguments_of_old_code(folder):
    model = simple_elmo.ElmoModel()
    model.load(folder, 16)
    assert (model.vector_size, model.n_layers, model.max_chars, model.batch_size) == (8, 3, 50, 16)
    assert model.get_elmo_vectors([["a"]], session=None).shape == (1, 1, 8)
    assert model.get_elmo_vector_average([["a"]], session=object()).shape == (1, 8)
    module = tfhub.Module(spec=str(folder), trainable=True, name="elmo_module", tags={"train"})
    assert module(["a"], signature=None, as_dict=None).shape == (1, 8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text("ab\u2028\x85\x0c\x1c ", min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_line_is_a_dataset_whatever_it_holds(folder, tmp_path_factory, words):
    place = tmp_path_factory.mktemp("lines")
    (place / "t.txt").write_bytes("".join(line + "\n" for line in words).encode())
    bilm.dump_bilm_embeddings(None, place / "t.txt", folder / "options.json", folder / "weights.hdf5", place / "o.h5")
    with h5py.File(place / "o.h5") as file:
        assert {key: file[key].shape[1] for key in file} == {str(i): len(x.split()) for i, x in enumerate(words)}


def test_keys_are_stripped_sentences(tmp_path):
    def embed(batch):
        return [np.zeros((3, len(words), 2), np.float32) for words in batch]

    write_allennlp_hdf5(["  The cat \n", "Dogs\trun \r\n"], tmp_path / "o.h5", embed)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["sentence_to_index"][0] == b'{"The cat": "0", "Dogs\\trun": "1"}'
    write_allennlp_hdf5([" The cat "], tmp_path / "k.h5", embed, use_sentence_keys=True)
    with h5py.File(tmp_path / "k.h5") as file:
        assert list(file) == ["The cat"]
