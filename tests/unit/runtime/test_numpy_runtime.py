import numpy as np
import pytest

from elmokit.errors import ConfigError
from elmokit.runtime.batches import State
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


def test_refusals_say_what_to_do():
    config = CONFIGS["published kind"]
    with pytest.raises(ConfigError, match="<UNK>"):
        numpy_engine(CONFIGS["whole words"], tensors_of(CONFIGS["whole words"]), words=("<S>", "</S>"))
    with pytest.raises(ConfigError, match="2 rows"):
        list(runtime_of(config).layers([["a"]], state=State.zeros(config, 2)))
    with pytest.raises(ConfigError, match="another model"):
        list(runtime_of(config).layers([["a"]], state=State.zeros(CONFIGS["three layers"], 1)))
