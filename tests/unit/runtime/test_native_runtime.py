"""The compiled loops beside NumPy: every option, every shape, what happens without them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime import kernels as library
from elmokit.runtime.backends import make_backend
from elmokit.runtime.backends.native import GAP, NativeLayer, NativeProduct, round_rows
from elmokit.runtime.batches import Buffers, State, make_batch
from elmokit.runtime.kernels import available, native_precisions
from unit.runtime.models import CONFIGS, native_engine, numpy_engine, tensors_of, words_of

SENTENCES = [["the", "cat", "sat"], [], ["a\0b", "\ud800", "🙂", "x" * 500], ["the"], ["cat"] * 11]
CLOSE = {"float32": 1e-5, "bfloat16": 0.1}  # of the largest value (clips amplify)
ODD = ElmoConfig(  # nothing is a multiple of a register's width; one layer's filters are wider than a panel
    projection_width=37,
    char_cnn=CharCNNConfig(embedding_width=5, filters=((1, 7), (3, 70), (6, 130)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=75, n_layers=3),
)
MODELS = {**CONFIGS, "odd": ODD}

here = pytest.mark.parametrize(
    "precision",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in native_precisions(), reason=f"no compiled loops in {name} on this machine"
            ),
        )
        for name in ("float32", "bfloat16")
    ],
)


def assert_close(found, expected, precision):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    if expected.size:
        assert np.abs(found - expected).max() <= CLOSE[precision] * np.abs(expected).max()


def pair(name, precision):
    config = MODELS[name]
    tensors, words = tensors_of(config, scale=1.0), words_of(config)
    exact = numpy_engine(config, tensors, words=words, dtype="float64")
    return exact, native_engine(config, tensors, words=words, precision=precision)


@here
@pytest.mark.parametrize("name", MODELS)
def test_layers_and_step_are_near_float64(name, precision):
    exact, native = pair(name, precision)
    expected, found = dict(exact.layers(SENTENCES)), dict(native.layers(SENTENCES))
    assert sorted(found) == sorted(expected)
    for i, layers in expected.items():
        assert_close(found[i], layers, precision)
    exact_state, state = None, None
    for batch in (SENTENCES[:2], SENTENCES[2:], SENTENCES[:1]):
        expected, exact_state = exact.step(batch, exact_state)
        found, state = native.step(batch, state)
        for theirs, ours in zip(expected, found, strict=True):
            assert_close(ours, theirs, precision)
    assert_close(state.hidden, exact_state.hidden, precision)
    assert_close(state.cell, exact_state.cell, precision)


@here
def test_more_rows_than_a_block_of_steps_and_more_words_than_one(precision, monkeypatch):
    exact, native = pair("published kind", precision)
    monkeypatch.setattr("elmokit.runtime.backends.native.BLOCK_BYTES", 4096)  # a block is a step or two
    texts = [[f"w{(i * j) % 40}" for j in range(1 + i % 13)] for i in range(70)]
    expected, found = dict(exact.layers(texts)), dict(native.layers(texts))
    for i, layers in expected.items():
        assert_close(found[i], layers, precision)


def to_bfloat16(x):
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


@here
@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 20), K=st.integers(1, 1100), N=st.integers(1, 200), seed=st.integers(0, 9))
def test_a_product_of_any_shape(precision, n, K, N, seed):
    rng = np.random.default_rng(seed)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, K), (K, N)))
    if precision == "bfloat16":  # numbers that rounding leaves alone: what remains is the order of the sum
        x, weight = ((to_bfloat16(a).astype(np.uint32) << 16).view(np.float32) for a in (x, weight))
    product = NativeProduct(weight, precision)
    guarded = np.full((n + 2, N), 7, np.float32)
    product(x, guarded[1:-1])
    expected = x.astype(np.float64) @ weight.astype(np.float64)
    scale = np.abs(x).sum(axis=1).max() * np.abs(weight).max() + np.abs(expected).max()
    assert np.abs(guarded[1:-1] - expected).max() <= 1e-6 * scale
    assert (guarded[[0, -1]] == 7).all()  # and nothing was written beside it
    alone = product(x[-1:].copy(), np.empty((1, N), np.float32))
    np.testing.assert_array_equal(alone[0], guarded[-2])


@pytest.mark.skipif("bfloat16" not in native_precisions(), reason="no compiled loops in bfloat16 on this machine")
def test_the_processor_rounds_as_numpy_does():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3, 37)) * 10.0 ** rng.integers(-20, 20, (3, 37))).astype(np.float32)
    out = round_rows(x, np.full((3, 24), 7, np.float32)).view(np.uint16)
    np.testing.assert_array_equal(out[:, :37], to_bfloat16(x))
    assert (out[:, 37:] == 0).all()


def test_a_tanh_of_every_size():
    if "float32" not in native_precisions():
        pytest.skip("no compiled loops on this machine")
    values = np.concatenate([[0.0], np.geomspace(1e-30, 1e30, 4001)]).astype(np.float32)
    values = np.concatenate([values, -values])
    words = [f"w{i}" for i in range(len(values))]
    config = ElmoConfig(  # a filter of one character, whose value is the tanh of its bias
        projection_width=len(values),
        char_cnn=CharCNNConfig(
            embedding_width=1, filters=((1, len(values)),), n_highway=0, activation="tanh", projection=False
        ),
        bilstm=BiLSTMConfig(cell_width=len(values), n_layers=1, projection=False),
    )
    from elmokit.runtime.backends.native import NativeConvolutions

    arrays = {name.removeprefix("char_cnn."): np.zeros(shape, np.float32) for name, shape in _cnn_shapes(config)}
    arrays["convolutions.0.bias"] = values
    out = np.empty((1, len(values)), np.float32)
    from elmokit.text.char_ids import words_to_char_ids

    convolutions = NativeConvolutions("float32", config.char_cnn, arrays.__getitem__)
    convolutions.run(words_to_char_ids(words[:1], 50), out, Buffers("float32"))
    expected = np.tanh(values.astype(np.float64))
    np.testing.assert_allclose(out[0], expected, rtol=4e-7, atol=0)


def _cnn_shapes(config):
    return [(name, shape) for name, shape in config.tensor_shapes().items() if name.startswith("char_cnn.")]


def test_an_unknown_precision_is_told(monkeypatch):
    config = CONFIGS["published kind"]
    with pytest.raises(ConfigError, match="don't run in 'int8' here"):
        native_engine(config, tensors_of(config), precision="int8")
    with pytest.raises(ConfigError, match="expected one of 'float32', 'float64'"):
        make_backend(config, tensors_of(config), precision="float8")
    with pytest.raises(ConfigError, match="for the CPU"):
        make_backend(config, tensors_of(config), precision="float64", device="cuda")


def test_the_fastest_runtime_that_there_is(monkeypatch):
    config = CONFIGS["published kind"]
    for there, layer in ((("float32",), "NativeLayer"), ((), "NumpyLayer")):
        monkeypatch.setattr("elmokit.runtime.backends.native_precisions", lambda there=there: there)
        if there and not native_precisions():
            continue
        backend = make_backend(config, tensors_of(config))
        assert (type(backend.layers[0][0]).__name__, backend.device) == (layer, "cpu")
        assert make_backend(config, tensors_of(config), precision="float64").dtype == np.float64
        if not there:
            torch = pytest.importorskip("elmokit.runtime.backends.torch")
            assert isinstance(make_backend(config, tensors_of(config), precision="bfloat16"), torch.TorchBackend)


@pytest.mark.parametrize("broken", ["switched off", "not there", "not a library"])
def test_without_the_loops_everything_works(broken, tmp_path, monkeypatch):
    broken_library = tmp_path / "bilm.so"
    if broken == "not a library":
        broken_library.write_bytes(b"no library")
    code = (
        "import sys, numpy as np; from pathlib import Path; from elmokit.runtime import kernels as library;"
        f"library.LIBRARY = Path({str(broken_library)!r}) if {broken != 'switched off'} else library.LIBRARY;"
        "assert library.native_precisions() == (); from elmokit import Elmo;"
        "np.save(sys.argv[1], Elmo.load().encode(['without the loops', 'too']))"
    )
    environment = {**os.environ, "ELMOKIT_NATIVE": "0" if broken == "switched off" else "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "v.npy")], check=True, env=environment)
    from elmokit import Elmo

    expected = Elmo.load().encode(["without the loops", "too"])
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected, atol=2e-6)


def source(name):
    return (library.LIBRARY.parent / name).read_text()


def test_the_source_and_its_binding_agree_on_sizes():
    for name, header, value in (("GAP", "lstm.h", GAP), ("VERSION", "processor.c", library.VERSION)):
        line = next(line for line in source(header).splitlines() if line.startswith(f"#define {name} "))
        assert int(line.split()[2]) == value
    for name, header in (
        ("Layer", "lstm.h"),
        ("Filters", "words.h"),
        ("Convolutions", "words.h"),
        ("Highway", "words.h"),
        ("Mixture", "pooling.h"),
    ):
        body = source(header)[: source(header).index(f"}} {name};")].rsplit("typedef struct {", 1)[1]
        fields = [line.split(";")[0].split()[-1].lstrip("*") for line in body.splitlines() if ";" in line]
        assert fields == [field for field, _ in getattr(library, name)._fields_]


def test_the_source_and_its_binding_agree_on_instruction_sets():
    line = next(line for line in source("processor.c").splitlines() if line.startswith("enum {"))
    bits = dict(part.split(" = ") for part in line[len("enum { ") : line.index(" };")].split(", "))
    expected = {s.name.upper(): str(s.bit) for s in library.INSTRUCTION_SETS}
    assert bits == expected


def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch):
    if not available():
        pytest.skip("no compiled loops on this machine")
    monkeypatch.setenv("ELMOKIT_CPU", "avx1024")
    with pytest.raises(ConfigError, match=f"expected one of .*{available()[-1].name}"):
        make_backend(CONFIGS["published kind"], tensors_of(CONFIGS["published kind"]))


def test_shapes_are_checked_before_a_compiled_loop_runs():
    if not native_precisions():
        pytest.skip("no compiled loops on this machine")
    product = NativeProduct(np.ones((3, 5), np.float32), "float32")
    good = np.ones((2, 3), np.float32), np.ones((2, 5), np.float32)
    for x, out in (
        (np.ones((2, 4), np.float32), good[1]),
        (np.ones((2, 3)), good[1]),
        (good[0], np.ones((3, 5), np.float32)),
        (good[0], np.ones((5, 2), np.float32).T),
    ):
        with pytest.raises(ValueError, match="expected a contiguous"):
            product(x, out)
    config = CONFIGS["published kind"]
    layer = NativeLayer("float32", config.bilstm, tensors_of(config), "forward_layers.0.")
    batch, state = make_batch(SENTENCES, [0, 3]), State.zeros(config, 2)
    hidden, cell, out = state.hidden[0, 0], state.cell[0, 0], np.empty((4, config.projection_width), np.float32)
    tokens, numbers = np.zeros((9, config.projection_width), np.float32), batch.numbers[0]
    wrong = (
        (tokens[:, :-1], numbers, (hidden, cell), out),
        (tokens, numbers, (hidden[:1], cell), out),
        (tokens, numbers, (hidden, cell[:1]), out),
        (tokens, numbers[:-1], (hidden, cell), out),
        (tokens, numbers + 9, (hidden, cell), out),
        (tokens, None, (hidden, cell), out),
        (tokens, numbers, (hidden, cell), out[:-1]),
    )
    layer.read(batch, tokens, numbers, (hidden, cell), out, Buffers("float32"))
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"expected|do not fit"):
            layer.read(batch, *arguments, Buffers("float32"))


def test_plain_loops_are_taken_only_by_name(monkeypatch):
    plain = library.INSTRUCTION_SETS[-1:]
    monkeypatch.setattr(library, "available", lambda: plain)
    monkeypatch.delenv("ELMOKIT_CPU", raising=False)
    monkeypatch.delenv("ELMOKIT_NATIVE", raising=False)
    assert library.native_precisions() == ()
    assert "ELMOKIT_CPU=plain" in library.computed_by()
    monkeypatch.setenv("ELMOKIT_CPU", "plain")
    assert library.chosen().name == "plain"
    assert library.computed_by().startswith("compiled loops, plain")
