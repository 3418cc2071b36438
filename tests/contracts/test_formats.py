"""What every format promises: found out, read, written and read again bit for bit, right vectors, honest refusals."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elmokit.checkpoints import FORMATS, detect, load, save
from elmokit.errors import CheckpointError, ElmoKitError
from golden.formats import SAMPLES, expected

WRITABLE = [form.name for form in FORMATS if form.write is not None]


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def sample(request, tmp_path_factory):
    """(sample, its folder, what to load)."""
    chosen = SAMPLES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    return chosen, folder, chosen.make(folder)


def assert_same(left, right):
    assert left.config == right.config
    assert left.layer_mix == right.layer_mix
    assert left.words == right.words
    assert left.word_counts == right.word_counts
    assert left.name == right.name
    assert dict(left.metadata) == dict(right.metadata)
    assert list(left.tensors) == list(right.tensors)
    for name, array in left.tensors.items():
        assert array.dtype == right.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(array, right.tensors[name], err_msg=name)
    assert (left.softmax is None) == (right.softmax is None)
    if left.softmax is not None:
        np.testing.assert_array_equal(left.softmax.weight, right.softmax.weight)
        np.testing.assert_array_equal(left.softmax.bias, right.softmax.bias)


def test_every_format_has_a_sample():
    assert {sample.format for sample in SAMPLES.values()} == {form.name for form in FORMATS}


def test_detect_names_the_format(sample):
    chosen, _, source = sample
    assert detect(source).name == chosen.format


@pytest.mark.parametrize("form", WRITABLE)
def test_load_save_load_is_equal_bit_for_bit(sample, form, tmp_path):
    first = load(sample[2])
    if form == "allennlp" and sample[0].format == "manylangs":
        with pytest.raises(CheckpointError, match="write it as 'native'"):
            save(first, tmp_path / "copy", format=form)
        return
    save(first, tmp_path / "copy", format=form)
    assert detect(tmp_path / "copy").name == form
    assert_same(first, load(tmp_path / "copy"))


def test_vectors_are_those_of_the_reference(sample, tmp_path):
    from unit.runtime.models import numpy_engine

    chosen, _, source = sample
    checkpoint = load(source)
    runtime = numpy_engine(checkpoint.config, checkpoint.tensors, words=checkpoint.words)
    sentences, layers = expected(chosen, tmp_path)
    found = dict(runtime.layers(sentences))
    for i, vectors in enumerate(layers):
        np.testing.assert_allclose(found[i], vectors, atol=2e-6, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98])
def test_a_cut_off_file_is_refused_by_name(sample, share, tmp_path):
    chosen, _, _ = sample
    source = chosen.make(tmp_path)
    path = tmp_path / chosen.weights
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ElmoKitError) as caught:
        load(source)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(sample, tmp_path):
    chosen, _, _ = sample
    source = chosen.make(tmp_path)
    (tmp_path / chosen.weights).unlink()
    with pytest.raises(ElmoKitError) as caught:
        load(source)
    assert str(tmp_path) in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_our_error_or_a_checkpoint(sample, data, tmp_path_factory):
    chosen, folder, source = sample
    path = folder / chosen.weights
    whole = path.read_bytes()
    place = data.draw(st.integers(0, min(len(whole), 4096) - 1) | st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        place = len(whole) - 1 - place
    damage = data.draw(st.binary(min_size=1, max_size=8))
    damaged = tmp_path_factory.mktemp("damaged")
    shutil.copytree(folder, damaged, dirs_exist_ok=True)
    (damaged / chosen.weights).write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(damaged / source.relative_to(folder))
    except ElmoKitError:
        pass
    finally:
        shutil.rmtree(damaged)


def test_what_is_nothing_is_said_so(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"notes\.txt"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(Path("nowhere"))
    with pytest.raises(CheckpointError, match="native"):
        save(load(SAMPLES["native"].make(tmp_path / "x")), tmp_path / "y", format="tfhub")
