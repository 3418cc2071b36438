"""The routes over a real socket: right numbers, right refusals."""

import base64
import contextlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from local_server import until
from unit.tiny_models import tiny_elmo

openai = pytest.importorskip("openai", reason="needs the openai client")

TEXTS = ["The cat sat on the mat.", "", "Ünïcode 😀 too", "the same", "A bank of the river; a bank with money."]


def same(found, expected):
    """Equal in the promised sense (docs/reliability.md)."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=1e-6, atol=1e-6 * scale)


def from_base64(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def official(client, **choices):
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=choices.pop("api_key", "none"), **choices)


def test_the_official_client_gets_the_offline_vectors(client):
    expected = tiny_elmo().encode(TEXTS)
    with official(client) as ai:
        (model,) = ai.models.list().data
        assert model.id == ai.models.retrieve("tiny").id == "tiny"
        for encoding in ({}, {"encoding_format": "float"}):
            answer = ai.embeddings.create(model="tiny", input=TEXTS, **encoding)
            assert [one.index for one in answer.data] == list(range(len(TEXTS)))
            same([one.embedding for one in answer.data], expected)
            assert answer.usage.prompt_tokens == answer.usage.total_tokens > 20
        (one,) = ai.embeddings.create(model="default", input=TEXTS[0], dimensions=12).data
        same(one.embedding, expected[0])


def test_the_official_client_understands_errors(client):
    with official(client, max_retries=0) as ai:
        with pytest.raises(openai.NotFoundError, match="'tiny'"):
            ai.embeddings.create(model="gpt", input="a")
        with pytest.raises(openai.BadRequestError, match="12 wide"):
            ai.embeddings.create(model="tiny", input="a", dimensions=5)
        with pytest.raises(openai.BadRequestError, match="list of strings") as refused:
            ai.embeddings.create(model="tiny", input=[[1, 2]])
        assert refused.value.param == "input"
        with pytest.raises(openai.BadRequestError, match="empty list"):
            ai.embeddings.create(model="tiny", input=[])


@pytest.mark.parametrize(
    "choices",
    [
        {"pooling": "max"},
        {"layers": "all"},
        {"layers": 0},
        {"layer_weights": [0.5, 0, -2]},
        {"layers": [2, 0]},
        {"normalize": True},
    ],
    ids=str,
)
def test_choices_are_those_of_encode(client, choices):
    answer = client.post("/v1/embeddings", json={"input": TEXTS, **choices}).raise_for_status().json()
    same([one["embedding"] for one in answer["data"]], tiny_elmo().encode(TEXTS, **choices))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pooling": "x"},
        {"layers": "each"},
        {"layers": [9]},
        {"layers": 9},
        {"layers": True},
        {"layer_weights": [1]},
        {"pooling": 1},
    ],
    ids=str,
)
def test_choices_that_the_model_does_not_have_are_told(client, wrong):
    answer = client.post("/v1/embeddings", json={"input": "a", **wrong})
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]


def test_many_at_once_get_their_own_vectors(client):
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "with", "money", "from", "some", "bank", ",", "and", ".", "!", "😀"]
    texts = [" ".join(rng.choice(words, rng.integers(0, 30))) for _ in range(400)]
    wanted = [({}, {"pooling": "max"}, {"layers": 1})[i % 3] for i in range(len(texts))]
    elmo = tiny_elmo()
    expected = [elmo.encode_one(text, **choices) for text, choices in zip(texts, wanted, strict=True)]

    def ask(text, choices):
        answer = client.post("/v1/embeddings", json={"input": text, "encoding_format": "base64", **choices})
        return from_base64(answer.raise_for_status().json()["data"][0]["embedding"])

    with ThreadPoolExecutor(32) as pool:
        for found, vector in zip(pool.map(ask, texts, wanted), expected, strict=True):
            same(found, vector)
    merged = re.search(r'elmokit_batch_requests_bucket\{le="1.0"\} (\S+)', client.get("/metrics").text)
    total = re.search(r"elmokit_batch_requests_count (\S+)", client.get("/metrics").text)
    assert float(merged[1]) < float(total[1]), "nothing was merged: the test shows nothing"


@pytest.mark.parametrize("layers", ["mix", "all", "each", 1])
def test_words_have_vectors_and_places(client, layers):
    expected = tiny_elmo().encode_words(TEXTS, layers=layers)
    for encoding in ("float", "base64"):
        sent = {"input": TEXTS, "layers": layers, "encoding_format": encoding}
        data = client.post("/v1/words", json=sent).raise_for_status().json()["data"]
        for found, text, of in zip(data, TEXTS, expected, strict=True):
            assert tuple(found["words"]) == of.words == tuple(text[start:end] for start, end in found["offsets"])
            assert tuple(found["shape"]) == of.vectors.shape
            vectors = from_base64(found["vectors"]) if encoding == "base64" else np.array(found["vectors"])
            same(vectors.reshape(of.vectors.shape), of.vectors)


def test_unpaired_surrogates_come_back(client):
    body = b'{"input": "a \\ud800 b"}'
    headers = {"Content-Type": "application/json"}
    (found,) = client.post("/v1/words", content=body, headers=headers).raise_for_status().json()["data"]
    assert found["words"] == ["a", "\ud800", "b"]
    assert client.post("/v1/embeddings", content=body, headers=headers).status_code == 200


def test_texts_of_the_request_are_ranked_by_cosine(client):
    query, texts = "A river bank", [text for text in TEXTS if text]
    vectors = tiny_elmo().encode([query, *texts]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors[1:] @ vectors[0]
    data = client.post("/v1/similar", json={"query": query, "texts": texts, "k": 3}).raise_for_status().json()["data"]
    assert [one["index"] for one in data] == np.argsort(-cosines)[:3].tolist()
    assert [one["text"] for one in data] == [texts[one["index"]] for one in data]
    same([one["similarity"] for one in data], np.sort(cosines)[::-1][:3])


def test_without_an_index_similar_says_what_is_missing(client):
    refused = client.post("/v1/similar", json={"query": "a"})
    assert refused.status_code == 400
    assert "--db" in refused.json()["error"]["message"]


def test_similar_looks_into_an_index(served, elmo, tmp_path):
    pytest.importorskip("lancedb", reason="needs the extra index")
    from elmokit.index import WordIndex

    index = WordIndex.create(tmp_path / "db", elmo)
    sentences = [
        f"The {animal} sat near the river {number}." for animal in ("cat", "dog", "cow") for number in range(4)
    ]
    index.add(sentences, document="animals.txt")
    with served(elmo, index=index) as client:
        data = client.post("/v1/similar", json={"query": sentences[5], "k": 3}).raise_for_status().json()["data"]
        assert [one["text"] for one in data] == [one.text for one in index.search_sentences(sentences[5], k=3)]
        assert data[0]["document"] == "animals.txt"
        asked = {"query": "The cat sat.", "word": "cat", "k": 2}
        data = client.post("/v1/similar", json=asked).raise_for_status().json()["data"]
        expected = index.most_similar("cat", context="The cat sat.", k=2)
        assert [one["word"] for one in data] == [near.word for near in expected]
        assert [one["text"] for one in data[0]["occurrences"]] == [one.text for one in expected[0].occurrences]
        missing = client.post("/v1/similar", json={**asked, "word": "zebra"})
        assert (missing.status_code, "zebra" in missing.text) == (400, True)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/embeddings", {"input": ["a"] * 4}),
        ("/v1/embeddings", {"input": "a " * 21}),
        ("/v1/embeddings", {"input": ["a"] * 3, "layers": "all"}),
        ("/v1/words", {"input": "a " * 9}),
        ("/v1/similar", {"query": "a", "texts": ["b"] * 3}),
        ("/v1/embeddings", {"input": "a" * 2000}),
    ],
    ids=["texts", "words", "values", "values of words", "similar", "bytes"],
)
def test_too_much_is_413(served, elmo, path, sent):
    with served(elmo, max_texts=3, max_words=20, max_values=100, max_bytes=1000) as client:
        answer = client.post(path, json=sent)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"
        assert client.post("/v1/embeddings", json={"input": ["a"] * 3}).status_code == 200


def test_too_many_bytes_in_pieces_are_413(served, elmo):
    with served(elmo, max_bytes=1000) as client:
        answer = client.post("/v1/embeddings", content=(b"x" * 100 for _ in range(50)))
        assert answer.status_code == 413


def test_a_full_queue_is_429_and_nobody_else_is_lost(served, elmo, held):
    with served(elmo, max_waiting_words=20, batch_ms=0) as client, ThreadPoolExecutor(2) as pool:
        held.opened.clear()
        held.computing.clear()
        first = pool.submit(client.post, "/v1/embeddings", json={"input": "first"})
        assert held.computing.wait(30)
        second = pool.submit(client.post, "/v1/embeddings", json={"input": "second " * 15})
        until(lambda: "elmokit_waiting_words 16.0" in client.get("/metrics").text)
        refused = client.post("/v1/embeddings", json={"input": "third " * 15})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        held.opened.set()
        for promise, text in ((first, "first"), (second, "second " * 15)):
            same(promise.result().json()["data"][0]["embedding"], tiny_elmo().encode_one(text))


def test_too_many_requests_are_429(served, elmo, held):
    with served(elmo, max_requests=1, batch_ms=0) as client, ThreadPoolExecutor(1) as pool:
        held.opened.clear()
        held.computing.clear()
        first = pool.submit(client.post, "/v1/embeddings", json={"input": "first"})
        assert held.computing.wait(30)
        assert client.post("/v1/embeddings", json={"input": "second"}).status_code == 429
        assert client.get("/healthz").status_code == 200
        held.opened.set()
        assert first.result().status_code == 200


def test_an_answer_that_takes_too_long_is_504(served, elmo, held):
    with served(elmo, timeout_s=0.3, batch_ms=0) as client:
        held.opened.clear()
        answer = client.post("/v1/embeddings", json={"input": "slow"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        held.opened.set()
        assert client.post("/v1/embeddings", json={"input": "quick"}).status_code == 200


def test_a_body_that_does_not_arrive_is_408(served, elmo):
    def drips():
        yield b"{"
        time.sleep(1.0)
        yield b"}"

    with served(elmo, timeout_s=0.2) as client:
        with contextlib.suppress(httpx.TransportError):  # the server may hang up before the last drop is sent
            assert client.post("/v1/embeddings", content=drips()).status_code == 408
        assert 'status="408"' in client.get("/metrics").text


def test_a_defect_is_500_for_one_and_the_others_get_their_answers(served, elmo):
    encode = elmo.encode

    def fragile(texts, *encoding, **choices):
        texts = list(texts)
        if any("crash" in text for text in texts):
            raise RuntimeError("crash")
        return encode(texts, *encoding, **choices)

    elmo.encode = fragile
    with served(elmo, batch_ms=300) as client, ThreadPoolExecutor(3) as pool:
        asked = [{"input": text} for text in ("one", "crash", "two")]
        answers = list(pool.map(lambda sent: client.post("/v1/embeddings", json=sent), asked))
        assert [answer.status_code for answer in answers] == [200, 500, 200]
        assert answers[1].json()["error"]["type"] == "server_error"
        assert "crash" not in answers[1].text


def test_a_token_is_asked_for_everywhere_but_at_health(served, elmo):
    with served(elmo, token="open sesame") as client:
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        for path in ("/", "/v1/models", "/metrics", "/docs", "/openapi.json", "/explorer/about"):
            for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "open sesame"}):
                assert client.get(path, headers=headers).status_code == 401
        for path in ("/", "/docs", "/explorer/about"):  # a page could not send the token
            assert client.get(path, headers={"Authorization": "Bearer open sesame"}).status_code == 404
        with official(client, api_key="open sesame") as ai:
            assert len(ai.embeddings.create(model="tiny", input="a").data) == 1
        with official(client, api_key="wrong") as ai, pytest.raises(openai.AuthenticationError):
            ai.models.list()


def test_other_origins_are_let_in_only_when_named(served, elmo, client):
    ask = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=ask).headers
    assert client.options("/v1/embeddings", headers=ask).status_code >= 400
    with served(elmo, cors_origins=("https://page.example",), token="secret") as open_one:
        allowed = open_one.options("/v1/embeddings", headers=ask)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://page.example")
        refused = open_one.options("/v1/embeddings", headers={**ask, "Origin": "https://evil.example"})
        assert refused.status_code == 400


def test_other_names_are_refused_when_names_are_given(served, elmo):
    with served(elmo, allowed_hosts=("127.0.0.1", "::1")) as client:
        for host in ("127.0.0.1:99", "[::1]:8000", "[::1]"):
            assert client.get("/v1/models", headers={"Host": host}).status_code == 200
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "[::2]",
            "",
            "[::1].evil.example",
            "127.0.0.1:x",
            "a@127.0.0.1",
        ):
            assert client.get("/v1/models", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("GET", "/v1/embeddings", b"", 405),
        ("POST", "/v1/embeddings", b"{", 400),
        ("POST", "/v1/embeddings", b"[" * 100_000, 400),
        ("POST", "/v1/embeddings", b'{"input": NaN}', 400),
        ("POST", "/v1/embeddings", b"\xff\xfe", 400),
        ("POST", "/v1/words", b'{"input": "a", "typo": 1}', 400),
        ("POST", "/v1/similar", b'{"query": "a", "texts": ["b"], "k": 0}', 400),
        ("GET", "/v1/models/other", b"", 404),
    ],
)
def test_every_error_has_openais_shape(client, method, path, content, status):
    answer = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_the_event_loop_is_free_while_the_model_computes(served, elmo, held):
    with served(elmo, batch_ms=0) as client, ThreadPoolExecutor(1) as pool:
        held.opened.clear()
        held.computing.clear()
        slow = pool.submit(client.post, "/v1/embeddings", json={"input": "slow"})
        assert held.computing.wait(30)
        assert "elmokit_requests_in_progress 2.0" in client.get("/metrics").text
        held.opened.set()
        assert slow.result().status_code == 200


def test_requests_and_words_are_counted(served, elmo):
    with served(elmo) as client:
        client.post("/v1/embeddings", json={"input": ["one two", "three"]})
        client.get("/secret/path/1")
        text = client.get("/metrics").text
    for line in (
        'elmokit_requests_total{route="/v1/embeddings",status="200"} 1.0',
        'elmokit_requests_total{route="other",status="404"} 1.0',
        "elmokit_texts_total 2.0",
        "elmokit_words_total 5.0",
        "elmokit_waiting_words 0.0",
    ):
        assert line in text.splitlines()


def test_the_description_names_every_route_and_field(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) > {"/v1/embeddings", "/v1/words", "/v1/similar", "/healthz"}
    for methods in schema["paths"].values():
        assert all("422" not in operation["responses"] for operation in methods.values())
    body = schema["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) > {"input", "pooling", "layers", "normalize"}
    assert all(field.get("description") for field in body["properties"].values())
    assert "docs.js" in client.get("/docs").text


def test_nothing_stays_behind_when_a_server_ends(served, elmo):
    with served(elmo):
        assert any(thread.name == "elmokit-model" for thread in threading.enumerate())
        before = sum(thread.name == "elmokit-model" for thread in threading.enumerate())
    assert sum(thread.name == "elmokit-model" for thread in threading.enumerate()) == before - 1
