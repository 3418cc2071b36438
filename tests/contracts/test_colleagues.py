"""Five tasks of colleagues, as they would write them: pandas, scikit-learn, gensim, LangChain, and a shared model."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from elmokit import Elmo, TextClassifier
from elmokit.elmo import EMBEDDED

pytestmark = pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the embedded model is not here")
TWEETS = Path(__file__).resolve().parents[2] / "examples" / "product_tweets.csv"


@pytest.fixture(scope="module")
def elmo():
    return Elmo.load()


@pytest.fixture
def tweets():
    return pytest.importorskip("pandas").read_csv(TWEETS).head(60)


def test_vectors_of_a_pandas_column(elmo, tweets):
    chosen = tweets[tweets.label == 1]  # the index has gaps
    vectors = elmo.encode(chosen["tweet"])
    assert vectors.shape == (len(chosen), elmo.dim)
    table = chosen.assign(vector=list(vectors))
    assert np.array_equal(table.loc[chosen.index[3], "vector"], elmo.encode_one(chosen["tweet"].iloc[3]))


def test_cross_validate_a_pipeline(elmo, tweets):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline

    from elmokit import ElmoVectorizer

    pipeline = make_pipeline(ElmoVectorizer(elmo), LogisticRegression(class_weight="balanced", max_iter=1000))
    scores = cross_val_score(pipeline, tweets.tweet, tweets.label, cv=3, scoring="f1")
    assert scores.mean() > 0.5
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 10.0]}, cv=2).fit(tweets.tweet, tweets.label)
    assert search.predict(tweets.tweet[:5]).shape == (5,)
    assert cross_val_score(TextClassifier(elmo, C=0.01), tweets.tweet, tweets.label, cv=2).shape == (2,)


def test_nearest_words_as_in_gensim(elmo):
    pytest.importorskip("gensim")
    from elmokit.integrations.gensim import to_keyed_vectors

    words = ["happy", "happily", "unhappy", "table", "tables", "river", "rivers", "runs"]
    vectors = to_keyed_vectors(elmo, words)
    assert vectors.most_similar("table", topn=1)[0][0] == "tables"
    assert vectors.most_similar("river", topn=1)[0][0] == "rivers"
    assert vectors.similarity("happy", "unhappy") > vectors.similarity("happy", "runs")


def test_serve_to_langchain_over_a_socket(elmo, tmp_path):
    pytest.importorskip("fastapi", reason="needs the extra server")
    embeddings_class = pytest.importorskip("langchain_core.embeddings").Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    class Served(embeddings_class):
        """The client of an embeddings server, as it is written in a LangChain application."""

        def __init__(self, address):
            self.address = address

        def embed_documents(self, texts):
            body = json.dumps({"model": "default", "input": texts, "normalize": True}).encode()
            request = urllib.request.Request(f"{self.address}/embeddings", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                return [item["embedding"] for item in json.load(answer)["data"]]

        def embed_query(self, text):
            return self.embed_documents([text])[0]

    texts = ["The battery died after a day.", "We walked along the river.", "Parcels arrive on Monday."]
    command = [sys.executable, "-m", "elmokit", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(EMBEDDED.parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as server:
        try:
            served = Served(server.stdout.readline().split()[0])  # http://127.0.0.1:PORT/v1
            store = InMemoryVectorStore.from_texts(texts, served)
            assert store.similarity_search("My battery is dead.", k=1)[0].page_content == texts[0]
            np.testing.assert_allclose(
                served.embed_query(texts[1]), elmo.encode([texts[1]], normalize=True)[0], rtol=1e-5
            )
        finally:
            server.terminate()
    assert server.returncode in (0, -15, 143)


def test_freeze_and_share_a_model(elmo, tmp_path):
    pytest.importorskip("sklearn")
    elmo.save(tmp_path / "model-for-colleagues")
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "model-for-colleagues")
    other = Elmo.load(archive)  # on another computer
    assert other.fingerprint == elmo.fingerprint
    assert np.array_equal(other.encode(["The same vectors."]), elmo.encode(["The same vectors."]))
    texts, labels = ["love it", "hate it", "great phone", "broken phone"], ["good", "bad", "good", "bad"]
    TextClassifier(elmo, C=1.0).fit(texts, labels).save(tmp_path / "classifier")
    assert TextClassifier.load(tmp_path / "classifier", other).predict(texts).tolist() == labels
