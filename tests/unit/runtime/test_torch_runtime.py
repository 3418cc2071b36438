import threading

import numpy as np
import pytest

from elmokit.errors import ConfigError
from unit.runtime.models import CONFIGS, numpy_engine, tensors_of, torch_engine, words_of

torch = pytest.importorskip("torch")

PRECISIONS = ("float32", "bfloat16")

SENTENCES = [["the", "cat", "sat"], [], ["a\0b", "\ud800", "🙂", "x" * 500], ["the"], ["cat"] * 11]
CLOSE = {"float32": 1e-4, "bfloat16": 0.05}  # of the largest value


def pair(name, **options):
    config = CONFIGS[name]
    tensors, words = tensors_of(config), words_of(config)
    return numpy_engine(config, tensors, words=words), torch_engine(config, tensors, words=words, **options)


def assert_close(found, expected, precision):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    if expected.size:
        assert np.abs(found - expected).max() <= CLOSE[precision] * np.abs(expected).max()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["published kind", "no projections, tanh, no highway", "one layer", "whole words"])
def test_layers_and_step_are_near_the_numpy_runtime(name, precision):
    numpy_runtime, torch_runtime = pair(name, precision=precision)
    expected = dict(numpy_runtime.layers(SENTENCES))
    found = dict(torch_runtime.layers(SENTENCES))
    assert sorted(found) == sorted(expected)
    for i, layers in expected.items():
        assert_close(found[i], layers, precision)
    stepped, state = torch_runtime.step(SENTENCES[:2], None)
    again, _ = torch_runtime.step(SENTENCES[:2], state)
    after = numpy_runtime.step(SENTENCES[:2], numpy_runtime.step(SENTENCES[:2], None)[1])[0]
    assert_close(stepped[0], expected[0], precision)
    assert_close(again[0], after[0], precision)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_model_in_float32(name):
    numpy_runtime, torch_runtime = pair(name)
    expected, found = dict(numpy_runtime.layers(SENTENCES)), dict(torch_runtime.layers(SENTENCES))
    for i, layers in expected.items():
        assert_close(found[i], layers, "float32")
    _, state = numpy_runtime.step(SENTENCES, None)
    _, found_state = torch_runtime.step(SENTENCES, None)
    np.testing.assert_allclose(found_state.cell, state.cell, atol=1e-4)
    np.testing.assert_allclose(found_state.hidden, state.hidden, atol=1e-4)
    before = state.hidden.copy(), state.cell.copy()
    torch_runtime.step(SENTENCES, state)
    assert np.array_equal(before[0], state.hidden)
    assert np.array_equal(before[1], state.cell)


def test_computing_leaves_torch_its_threads_and_random_numbers():
    before = torch.get_num_threads()
    state = torch.get_rng_state()
    _, runtime = pair("published kind", precision="bfloat16")
    list(runtime.layers(SENTENCES))
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *seen] == [before, before]
    assert torch.equal(torch.get_rng_state(), state)


def test_refusals_say_what_to_do():
    config, tensors = CONFIGS["published kind"], tensors_of(CONFIGS["published kind"])
    with pytest.raises(ConfigError, match="can't be used here"):
        torch_engine(config, tensors, device="teapot")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="can't be used here"):
            torch_engine(config, tensors, device="cuda")
