"""The Spark door: the function over pandas frames as Spark hands them over, and a local Spark session.

The session takes --slow, PySpark and Java; without them the function is tested through the same iterator of frames.
"""

import os
import pickle
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import elmokit
from elmokit import Elmo
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, InputError, MissingExtra
from elmokit.integrations.spark import add_vectors, vectors_beside
from elmokit.tasks.embed import VectorSpec

TEXTS = ["so happy with it", None, "", "it broke, again"]


@pytest.fixture(scope="module")
def spark():
    """Spark on two cores of this machine."""
    if find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed: pip install 'elmokit[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java, which is not installed: apt-get install openjdk-17-jre-headless")
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        source = str(Path(elmokit.__file__).parent.parent)
        patch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = (
            builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.log.level", "ERROR").getOrCreate()
        )
        yield session
        session.stop()


def test_the_function_over_frames(model):
    function = vectors_beside(VectorSpec(model=model, encoding=Encoding(pooling="max")), column="tweet")
    frames = [pd.DataFrame({"id": range(4), "tweet": TEXTS}), pd.DataFrame({"id": [4], "tweet": ["one more"]})]
    first, second, nothing = function(iter([*frames, frames[0].iloc[:0]]))
    elmo = Elmo.load(model)
    assert list(first.columns) == ["id", "tweet", "features"]
    assert first.features[1] is None
    there = [text for text in TEXTS if text is not None]
    made = np.stack([vector for vector in first.features if vector is not None])
    assert np.array_equal(made, elmo.encode(there, pooling="max"))
    assert np.array_equal(second.features[0], elmo.encode_one("one more", pooling="max"))
    assert len(nothing) == 0
    assert list(frames[0].columns) == ["id", "tweet"]  # what came in is as it was


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_what_is_missing_stays_missing(model, missing):
    function = vectors_beside(VectorSpec(model=model))
    [made] = function(iter([pd.DataFrame({"text": pd.Series(["<NA>", missing, "nan"], dtype=object)})]))
    assert [vector is None for vector in made.features] == [False, True, False]


def test_what_cannot_be_meant():
    with pytest.raises(ConfigError, match="one vector per text"):
        vectors_beside(VectorSpec(words=True))


def test_a_spec_can_be_sent_and_holds_anywhere(model, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(model).parent)
    spec = VectorSpec(model=Path(model).name, encoding=Encoding(layer_weights=[0.5, 0.25, 0.25])).anywhere()
    monkeypatch.chdir(tmp_path)
    sent = pickle.loads(pickle.dumps(spec))
    assert sent == spec
    assert hash(sent) == hash(spec)
    assert sent.open_model().dim == 12
    assert VectorSpec().anywhere().model == "default"


def test_without_pyspark(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql.types", None)
    with pytest.raises(MissingExtra, match=r"pip install 'elmokit\[spark\]'"):
        add_vectors(None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_on_spark(model, spark, tmp_path):
    texts = TEXTS + [f"text number {n} of the cat" for n in range(200)]
    frame = spark.createDataFrame([(n, text) for n, text in enumerate(texts)], "id bigint, tweet string").repartition(4)
    made = add_vectors(frame, VectorSpec(model=model, n_threads=1), column="tweet")
    made.write.parquet(str(tmp_path / "vectors"))
    rows = sorted(spark.read.parquet(str(tmp_path / "vectors")).collect(), key=lambda row: row.id)
    assert [(row.id, row.tweet) for row in rows] == list(enumerate(texts))
    assert rows[1].features is None
    local = Elmo.load(model).encode(["" if text is None else text for text in texts])
    found = np.array([row.features or [0.0] * 12 for row in rows], np.float32)
    np.testing.assert_allclose(found, local, rtol=1e-6, atol=1e-7)
    with pytest.raises(InputError, match="no column 'twet'; the columns are 'id', 'tweet'"):
        add_vectors(frame, column="twet")
    with pytest.raises(InputError, match="already has a column 'id'"):
        add_vectors(frame, column="tweet", output="id")
