import json

import h5py
import numpy as np
import pytest

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.batches import State
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids
from unit.runtime.models import CONFIGS, numpy_engine, tensors_of, words_of

SENTENCES = [
    ["the", "cat", "sat"],
    [],
    ["the"],
    ["", "a\0b", "\ud800", "🙂🙂", "नमस्ते", "x" * 500, "<S>"],
    ["the", "cat", "sat"],
    ["cat"] * 11,
]


def runtime_of(config, dtype="float64", **options):
    return numpy_engine(config, tensors_of(config), words=words_of(config), dtype=dtype, **options)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_layers_equal_the_torch_module(name, dtype, tolerance):
    torch = pytest.importorskip("torch")
    from elmokit.nn import BiLM

    config, words = CONFIGS[name], words_of(CONFIGS[name])
    bilm = BiLM(config).load_tensors(tensors_of(config)).double().eval()
    found = dict(runtime_of(config, dtype).layers(SENTENCES))
    assert sorted(found) == list(range(len(SENTENCES)))
    for i, sentence in enumerate(SENTENCES):
        if config.char_cnn is None:
            rows = {word: 1 + k for k, word in enumerate(words)}
            ids = np.array([rows.get(w, rows["<UNK>"]) for w in ("<S>", *sentence, "</S>")])
        else:
            C = config.char_cnn.max_characters
            begin, end = sentence_boundary_ids(C)
            ids = np.vstack([begin, words_to_char_ids(sentence, C), end]).astype(np.int64)
        with torch.no_grad():
            expected = bilm(torch.as_tensor(ids)[None]).vectors[:, 0].numpy()
        assert found[i].dtype == dtype
        assert found[i].shape == expected.shape
        np.testing.assert_allclose(found[i], expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bilm_tf_golden_with_carried_state(shared, dtype):
    folder = shared / "golden" / "bilm_tf"
    config, tensors = read_bilm_tf(folder)
    runtime, state = numpy_engine(config, tensors, dtype=dtype), None
    sentences = json.loads((folder / "lm_embeddings_sentences.json").read_text())
    files = [h5py.File(folder / f"lm_embeddings_{k}.hdf5", "r") for k in range(3)]
    for i in range(10):
        found, state = runtime.step([sentences[k][i].split() for k in range(3)], state)
        for file, layers in zip(files, found, strict=True):
            top = np.concatenate([file[str(i)][0], file[str(i)][1]], axis=1)
            np.testing.assert_allclose(layers[-1], top, atol=2e-6, rtol=0)
    for file in files:
        file.close()


def read_bilm_tf(folder):
    """Configuration and tensors of bilm-tf's fixture, by the layout of its `dump_weights`."""
    options = json.loads((folder / "options.json").read_text())
    lstm, cnn = options["lstm"], options["char_cnn"]
    config = ElmoConfig(
        projection_width=lstm["projection_dim"],
        char_cnn=CharCNNConfig(embedding_width=cnn["embedding"]["dim"], filters=cnn["filters"], n_highway=2),
        bilstm=BiLSTMConfig(cell_width=lstm["dim"], skip_connections=False),
    )
    with h5py.File(folder / "lm_weights.hdf5", "r") as file:
        table = file["char_embed"][()]
        tensors = {"char_cnn.embedding.weight": np.concatenate([np.zeros_like(table[:1]), table])}
        for i in range(len(cnn["filters"])):
            tensors[f"char_cnn.convolutions.{i}.weight"] = file[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)
            tensors[f"char_cnn.convolutions.{i}.bias"] = file[f"CNN/b_cnn_{i}"][()]
        for k in range(2):
            for ours, theirs in (("gate", "carry"), ("transform", "transform")):
                tensors[f"char_cnn.highways.{k}.{ours}.weight"] = file[f"CNN_high_{k}/W_{theirs}"][()].T
                tensors[f"char_cnn.highways.{k}.{ours}.bias"] = file[f"CNN_high_{k}/b_{theirs}"][()]
        tensors["char_cnn.projection.weight"] = file["CNN_proj/W_proj"][()].T
        tensors["char_cnn.projection.bias"] = file["CNN_proj/b_proj"][()]
        P = lstm["projection_dim"]
        for d, direction in enumerate(("forward", "backward")):
            for layer in range(2):
                cell, prefix = file[f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"], f"{direction}_layers.{layer}."
                i, j, f, o = np.split(cell["W_0"][()].T, 4)
                weight = np.concatenate([i, f, j, o])
                bi, bj, bf, bo = np.split(cell["B"][()], 4)
                tensors[prefix + "weight_ih"], tensors[prefix + "weight_hh"] = weight[:, :P], weight[:, P:]
                tensors[prefix + "bias"] = np.concatenate([bi, bf + 1, bj, bo])
                tensors[prefix + "weight_hr"] = cell["W_P_0"][()].T
    return config, tensors


def test_step_from_nothing_equals_layers():
    runtime = runtime_of(CONFIGS["published kind"])
    stepped, _ = runtime.step(SENTENCES, None)
    layers = dict(runtime.layers(SENTENCES))
    for i, found in enumerate(stepped):
        np.testing.assert_allclose(found, layers[i], atol=1e-13)


def test_step_leaves_rows_beyond_the_batch_alone_and_gives_missing_rows_zeros():
    runtime = runtime_of(CONFIGS["published kind"])
    _, state = runtime.step([["a"], ["b", "c"], ["d"]], None)
    _, after = runtime.step([["x", "y"]], state)
    assert after.n_rows == 3
    np.testing.assert_array_equal(after.hidden[:, :, 1:], state.hidden[:, :, 1:])
    np.testing.assert_array_equal(after.cell[:, :, 1:], state.cell[:, :, 1:])
    assert np.abs(after.cell[:, :, 0] - state.cell[:, :, 0]).max() > 1e-3
    (new, _), (fresh, _) = runtime.step([["x"], ["y"]], state.take([0])), runtime.step([["y"]], None)
    np.testing.assert_allclose(new[1], fresh[0], atol=1e-13)


def test_layers_from_a_state_equal_step_from_it():
    runtime = runtime_of(CONFIGS["published kind"])
    _, state = runtime.step([["warm", "up"]], None)
    layers = dict(runtime.layers([["a", "b"], ["c"]], state=state))
    for i, words in enumerate([["a", "b"], ["c"]]):
        expected, _ = runtime.step([words], state)
        np.testing.assert_allclose(layers[i], expected[0], atol=1e-13)
    cold = dict(runtime.layers([["a", "b"]]))[0]
    assert np.abs(layers[0][1:] - cold[1:]).max() > 1e-4


def test_result_of_a_repeated_sentence_is_not_shared():
    runtime = runtime_of(CONFIGS["published kind"])
    found = dict(runtime.layers([["a"], ["a"]]))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.shares_memory(found[0], found[1])


def test_no_sentences_give_nothing():
    runtime = runtime_of(CONFIGS["published kind"])
    assert list(runtime.layers([])) == []
    assert runtime.step([], None)[0] == []


def test_blas_gets_its_threads_back():
    from threadpoolctl import threadpool_info

    before = threadpool_info()
    generator = runtime_of(CONFIGS["published kind"]).layers(SENTENCES)
    next(generator), next(generator)
    assert threadpool_info() == before


def test_refusals_say_what_to_do():
    config = CONFIGS["published kind"]
    with pytest.raises(ConfigError, match="<UNK>"):
        numpy_engine(CONFIGS["whole words"], tensors_of(CONFIGS["whole words"]), words=("<S>", "</S>"))
    with pytest.raises(ConfigError, match="2 rows"):
        list(runtime_of(config).layers([["a"]], state=State.zeros(config, 2)))
    with pytest.raises(ConfigError, match="another model"):
        list(runtime_of(config).layers([["a"]], state=State.zeros(CONFIGS["three layers"], 1)))
