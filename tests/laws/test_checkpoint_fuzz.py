"""Whatever the small files of a checkpoint say: a checkpoint, or one of our errors; no crash, no hang, no flood."""

import copy
import json
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elmokit.checkpoints import load
from elmokit.checkpoints.native import read_tensors
from elmokit.checkpoints.tensorflow import open_bundle
from elmokit.errors import ElmoKitError
from golden.formats import SAMPLES

QUICK = settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("relu")
values = st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3))


def places(value, path=()):
    """All places in a JSON value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    result = copy.copy(value)
    result[path[0]] = changed(value[path[0]], path[1:], new)
    return result


@pytest.fixture(scope="module", params=["allennlp", "native", "bilm_tf"])
def sample(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    source = SAMPLES[request.param].make(folder)
    return source, source / ("config.json" if request.param == "native" else "options.json")


@QUICK
@given(data=st.data())
def test_configurations(sample, data):
    source, path = sample
    original = path.read_bytes()
    options = json.loads(original)
    place = data.draw(st.sampled_from(list(places(options))))
    try:
        path.write_text(json.dumps(changed(options, place, data.draw(values))))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(source)
    except ElmoKitError:
        pass
    finally:
        path.write_bytes(original)


@QUICK
@given(text=st.binary(max_size=60))
def test_vocabularies(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("words")
    SAMPLES["allennlp"].make(folder)
    (folder / "vocab.txt").write_bytes(text)
    try:
        assert all(isinstance(word, str) for word in load(folder).words or ())
    except ElmoKitError:
        pass
    finally:
        shutil.rmtree(folder)


@QUICK
@given(data=st.binary(max_size=300))
def test_bundles_and_tensor_files_of_noise(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("noise")
    for tail in (b"", (0xDB4775248B80FB57).to_bytes(8, "little")):
        (folder / "x.index").write_bytes(data + tail)
        with pytest.raises(ElmoKitError):
            open_bundle(folder / "x.index")
    (folder / "x.safetensors").write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(ElmoKitError):
        read_tensors(folder / "x.safetensors")
    shutil.rmtree(folder)


@QUICK
@given(
    entry=st.dictionaries(
        st.sampled_from(["dtype", "shape", "data_offsets"]), values | st.sampled_from(["F32", [0, 8]])
    )
)
def test_headers_of_tensor_files(tmp_path_factory, entry):
    folder = tmp_path_factory.mktemp("header")
    header = json.dumps({"a": entry}).encode()
    (folder / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    try:
        assert read_tensors(folder / "x.safetensors")["a"].nbytes <= 8
    except ElmoKitError:
        pass
    finally:
        shutil.rmtree(folder)


def test_a_whole_header_is_read(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + np.array([1, 2], "<f4").tobytes())
    assert read_tensors(tmp_path / "x")["a"].tolist() == [1.0, 2.0]
