"""The reference against what bilm-tf computed, and our two implementations against the reference."""

import json

import h5py
import numpy as np
import pytest

from elmokit.checkpoints import load
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids
from golden import make_tiny, reference

TINY = make_tiny.Path(make_tiny.__file__).parent / "tiny"


def golden_batches(folder):
    """bilm-tf's batches of three sentences and its top-layer vectors of each (T, 2P)."""
    sentences = json.loads((folder / "lm_embeddings_sentences.json").read_text())
    files = [h5py.File(folder / f"lm_embeddings_{k}.hdf5", "r") for k in range(3)]
    for i in range(10):
        vectors = [np.concatenate([file[str(i)][0], file[str(i)][1]], axis=1) for file in files]
        yield [sentences[k][i].split() for k in range(3)], vectors
    for file in files:
        file.close()


def test_reference_equals_bilm_tf_with_carried_state(shared):
    folder = shared / "golden" / "bilm_tf"
    options, arrays = reference.read(folder, "lm_weights.hdf5")
    states = [reference.zero_state(options) for _ in range(3)]
    for batch, expected in golden_batches(folder):
        for words, state, top in zip(batch, states, expected, strict=True):
            found = reference.layers(words, options, arrays, state=state)[-1]
            np.testing.assert_allclose(found, top, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", make_tiny.KEPT)
def test_reference_says_what_it_said(name):
    options, arrays = reference.read(TINY / name)
    with np.load(TINY / name / "vectors.npz") as kept:
        for i, found in enumerate(make_tiny.vectors(name, options, arrays)):
            np.testing.assert_allclose(found, kept[f"s{i}"], atol=1e-12)


@pytest.fixture(scope="module", params=sorted(make_tiny.VARIANTS))
def variant(request, tmp_path_factory):
    """(name, folder, expected layers of each sentence) of every variant."""
    folder = tmp_path_factory.mktemp(request.param)
    options, arrays = make_tiny.make(request.param, folder)
    return request.param, folder, make_tiny.vectors(request.param, options, arrays)


def as_float64(checkpoint):
    return {name: array.astype(np.float64) for name, array in checkpoint.tensors.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-7), ("float32", 2e-6)])
def test_numpy_runtime_equals_reference(variant, dtype, tolerance):
    from unit.runtime.models import numpy_engine

    name, folder, expected = variant
    checkpoint = load(folder)
    runtime = numpy_engine(checkpoint.config, as_float64(checkpoint), words=checkpoint.words, dtype=dtype)
    found = dict(runtime.layers(make_tiny.sentences(name)))
    assert sorted(found) == list(range(len(expected)))
    for i, vectors in enumerate(expected):
        np.testing.assert_allclose(found[i], vectors, atol=tolerance, rtol=0)


def test_torch_module_equals_reference(variant, one_torch_thread):
    from elmokit.nn import BiLM

    torch = one_torch_thread
    name, folder, expected = variant
    checkpoint = load(folder)
    bilm = BiLM(checkpoint.config).load_tensors(checkpoint.tensors).double().eval()
    for words, vectors in zip(make_tiny.sentences(name), expected, strict=True):
        with torch.no_grad():
            found = bilm(torch.as_tensor(input_rows(checkpoint, words))[None]).vectors[:, 0]
        np.testing.assert_allclose(found.numpy(), vectors, atol=2e-7, rtol=0)


def input_rows(checkpoint, words):
    """Rows BOS, words, EOS as `nn.BiLM` takes them."""
    if checkpoint.config.char_cnn is None:
        rows = {word: 1 + i for i, word in enumerate(checkpoint.words)}
        return np.array([rows[word] for word in ("<S>", *words, "</S>")])
    n = checkpoint.config.char_cnn.max_characters
    begin, end = sentence_boundary_ids(n)
    return np.vstack([begin, words_to_char_ids(words, n), end]).astype(np.int64)


def test_torch_module_equals_bilm_tf_with_carried_state(shared, one_torch_thread):
    from elmokit.nn import BiLM

    torch = one_torch_thread
    folder = shared / "golden" / "bilm_tf"
    checkpoint = load(folder)
    bilm, states = BiLM(checkpoint.config).load_tensors(checkpoint.tensors).eval(), None
    for batch, expected in golden_batches(folder):
        rows = [torch.as_tensor(input_rows(checkpoint, words)) for words in batch]
        with torch.no_grad():
            layers = bilm(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), states)
        states = layers.states
        for row, top in enumerate(expected):
            np.testing.assert_allclose(layers.vectors[-1, row, : len(top)], top, atol=2e-6, rtol=0)
