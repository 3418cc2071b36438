"""What one client may not do to the others, over a real socket: bodies, connections, time, memory, foreign pages."""

import contextlib
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from elmokit.server import connections
from elmokit.server.errors import RequestError
from elmokit.server.explorer import ReadQuestion, WordQuestion
from elmokit.server.schemas import EmbeddingsRequest, SimilarRequest, WordsRequest
from elmokit.server.service import validated
from local_server import until
from unit.tiny_models import tiny_elmo

ROUTES = {
    "/v1/embeddings": "input",
    "/v1/words": "input",
    "/v1/similar": "texts",
    "/explorer/read": "texts",
    "/explorer/word": "texts",
}
N = 300_000
BODIES = {
    "numbers": lambda name: b'{"%s": [%s]}' % (name, b",".join([b"1"] * N)),
    "lists": lambda name: b'{"%s": [%s]}' % (name, b",".join([b"[1]"] * N)),
    "weights": lambda name: b'{"%s": "a", "layers": [%s]}' % (name, b",".join([b"9e9"] * N)),
    "fields": lambda name: b'{"%s": 1, %s}' % (name, b",".join(b'"%x":1' % i for i in range(N // 3))),
    "nested": lambda name: b'{"%s": %s}' % (name, b"[" * N + b"]" * N),
    "one wrong in many": lambda name: b'{"%s": [%s, 1, %s]}' % (name, b'"a"', b",".join([b"2"] * N)),
}


def connected(client, sent=b""):
    """A connection of one's own, with some bytes sent."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)
    connection.sendall(sent)
    return connection


def head(path, length, *lines):
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *lines, "", ""]
    ).encode()


def is_closed(connection):
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


MODELS = {
    "/v1/embeddings": EmbeddingsRequest,
    "/v1/words": WordsRequest,
    "/v1/similar": SimilarRequest,
    "/explorer/read": ReadQuestion,
    "/explorer/word": WordQuestion,
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", BODIES)
def test_a_body_of_many_wrong_items_is_refused_after_the_first(client, path, kind):
    body = BODIES[kind](ROUTES[path].encode())
    begin = time.thread_time()
    with pytest.raises(RequestError):
        validated(body, MODELS[path])
    assert time.thread_time() - begin < 1.0, "the event loop waits as long"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, path, content=body)
        while not answer.done():
            assert client.get("/healthz").status_code == 200
    assert answer.result().status_code == 400
    assert len(answer.result().content) < 1000


@pytest.mark.parametrize("path", [*ROUTES, "/nowhere", "/v1/models"])
@pytest.mark.parametrize("times", [1.01, 3, 10])
def test_clients_that_send_too_much_get_to_read_why(served, elmo, path, times):
    with served(elmo, max_bytes=400_000) as client:
        plain = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
        plain.request("POST", path, b" " * int(400_000 * times), {"Content-Type": "application/json"})
        answer = plain.getresponse()
        assert answer.status == 413
        assert "400,000 bytes" in json.load(answer)["error"]["message"]
        plain.close()


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"token": "secret"}, {}, 401),
        ({"allowed_hosts": ("other",)}, {}, 400),
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_clients_that_are_not_let_in_get_to_read_why(served, elmo, settings, headers, status):
    with served(elmo, max_bytes=1_000_000, **settings) as client:
        plain = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
        plain.request("POST", "/v1/embeddings", b" " * 900_000, headers)
        assert plain.getresponse().status == status
        plain.close()


def test_who_asks_before_sending_is_answered_at_once(client):
    with connected(client, head("/v1/embeddings", 10**9, "Expect: 100-continue")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    with connected(client, head("/v1/embeddings", 15, "Expect: 100-continue", "Connection: close")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b'{"input": "ab"}')
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_two_lengths_are_refused(client):
    with connected(client, head("/v1/embeddings", 6, "Transfer-Encoding: chunked") + b"0\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_word_without_end_reaches_the_model_in_part_and_has_the_same_vector(served, elmo, held):
    word = "w" * 300_000
    with served(elmo) as client:
        (one,) = client.post("/v1/embeddings", json={"input": f"a {word} b"}).raise_for_status().json()["data"]
        (words,) = client.post("/v1/words", json={"input": word}).raise_for_status().json()["data"]
    assert max(len(text) for call in held.calls for words in call for text in words) <= 512
    assert "".join(words["words"]) == word
    expected = tiny_elmo().encode_one(f"a {word} b")
    np.testing.assert_allclose(one["embedding"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", ["/explorer/read", "/explorer/word"])
def test_the_explorer_counts_words_before_it_computes(served, elmo, path):
    calls, encode = [], elmo.encode_words
    elmo.encode_words = lambda texts, **choices: calls.append(len(texts)) or encode(texts, **choices)
    with served(elmo) as client:
        answer = client.post(
            path, json={"texts": ["a " * 1990] * 1 + ["b " * 1990, "c " * 1990, "d " * 1990], "sentence": 0, "word": 0}
        )
        assert answer.status_code == 413
        assert calls == []
        one = {"texts": ["a " * 1990] * 4, "sentence": 0, "word": 0}  # one text, four times
        assert client.post(path, json=one).status_code == 413


def test_small_requests_overtake_a_large_one(served, elmo):
    encode, order = elmo.encode, []

    def slow(texts, *encoding, **choices):
        texts = list(texts)
        time.sleep(0.01 * len(texts))
        order.extend(text[0] for text in texts if text)
        return encode(texts, *encoding, **choices)

    elmo.encode = slow
    with served(elmo, batch_words=40) as client, ThreadPoolExecutor(1) as pool:
        large = pool.submit(client.post, "/v1/embeddings", json={"input": ["large"] * 200})
        until(lambda: "large" in order)
        for i in range(5):
            assert client.post("/v1/embeddings", json={"input": f"small{i}"}).status_code == 200
        assert not large.done()
        assert len(large.result().json()["data"]) == 200
    assert order.index("small4") < len(order) - 50


@pytest.mark.parametrize("how", ["body", "aborted"])
def test_what_a_client_asked_for_that_has_left_is_dropped(served, elmo, held, how):
    body = json.dumps({"input": ["left"] * 200}).encode()
    with served(elmo, batch_words=40) as client:
        held.opened.clear()
        held.computing.clear()
        connection = connected(client, head("/v1/embeddings", len(body)) + body)
        assert held.computing.wait(30)
        if how == "aborted":  # a reset instead of an orderly end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        until(lambda: 'status="499"' in client.get("/metrics").text)
        held.opened.set()
        assert client.post("/v1/embeddings", json={"input": "other"}).status_code == 200
        assert "elmokit_waiting_words 0.0" in client.get("/metrics").text
    assert sum(len(call) for call in held.calls) < 100


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "], ids=["idle", "dripping"]
)
def test_headers_that_do_not_come_end_a_connection(served, elmo, sent):
    with served(elmo, header_timeout_s=0.5) as client:
        slow = [connected(client, sent) for _ in range(20)]
        assert client.get("/healthz").status_code == 200
        begin = time.monotonic()
        while len(client.state.connections) > 1 and time.monotonic() < begin + 20:
            for one in slow:
                with contextlib.suppress(OSError):
                    one.sendall(b"a" if sent else b"")
            time.sleep(0.05)
        assert all(is_closed(one) for one in slow)
        for one in slow:
            one.close()
        assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200


def test_connections_over_the_limit_replace_idle_ones_and_no_working_one(served, elmo, held):
    with served(elmo, max_connections=5, batch_ms=0) as client, ThreadPoolExecutor(1) as pool:
        held.opened.clear()
        held.computing.clear()
        working = pool.submit(client.post, "/v1/embeddings", json={"input": "working"})
        assert held.computing.wait(30)
        idle = [connected(client) for _ in range(40)]
        until(lambda: len(client.state.connections) <= 6)
        health = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
        health.request("GET", "/healthz")
        assert health.getresponse().read() == b'{"status":"ok"}'
        health.close()
        held.opened.set()
        assert working.result().status_code == 200
        for one in idle:
            one.close()


def test_bodies_that_have_not_arrived_count_for_nobody(served, elmo):
    with served(elmo, max_requests=2, timeout_s=1.0) as client:
        unfinished = [connected(client, head("/v1/embeddings", 100) + b"{") for _ in range(30)]
        until(lambda: len(client.state.connections) >= 30)
        assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200
        for one in unfinished:
            assert one.recv(1000).startswith(b"HTTP/1.1 408")
            one.close()


def test_a_client_that_does_not_read_its_answer_is_cut_off(served, elmo, monkeypatch):
    monkeypatch.setattr(connections, "WRITE_TIMEOUT_S", 0.5)
    body = json.dumps({"input": ["a " * 20] * 2000}).encode()
    with served(elmo) as client:
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((client.base_url.host, client.base_url.port))
        lazy.sendall(head("/v1/words", len(body)) + body)
        until(lambda: 'route="/v1/words"' in client.get("/metrics").text)
        until(lambda: len(client.state.connections) == 1)
        lazy.close()


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/words", "/explorer/word"])
@pytest.mark.parametrize("part", ["tokenizer", "model"])
def test_one_deadline_holds_for_splitting_and_computing(served, elmo, path, part):
    go = threading.Event()

    def waits(*arguments, **choices):
        assert go.wait(30)
        return []

    with served(elmo, timeout_s=0.5) as client:
        if part == "tokenizer":
            client.service._tokenize = waits
        else:
            elmo.encode = elmo.encode_words = waits
        begin = time.monotonic()
        place = {"sentence": 0, "word": 0} if path == "/explorer/word" else {}
        answer = client.post(path, json={ROUTES[path]: ["a"], **place})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        assert time.monotonic() - begin < 5
        assert client.get("/healthz").status_code == 200
        assert client.service.is_busy or part == "model"
        go.set()


SAME, FOREIGN = {"Origin": "http://127.0.0.1"}, {"Origin": "http://evil.example"}


@pytest.mark.parametrize(
    ("method", "headers", "is_let_in"),
    [
        ("POST", {}, True),
        ("POST", SAME, True),
        ("POST", FOREIGN, False),
        ("POST", {**FOREIGN, "Content-Type": "text/plain"}, False),
        ("POST", {"Origin": "null"}, False),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.proxy"}, True),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, False),
        ("POST", {"Sec-Fetch-Site": "same-site", **SAME}, False),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {"Origin": "https://page.example"}, True),
        ("POST", {"Origin": "https://page.example.evil"}, False),
    ],
)
@pytest.mark.parametrize("path", ["/v1/embeddings", "/explorer/read"])
def test_pages_of_other_origins_are_refused(served, elmo, method, headers, is_let_in, path):
    with served(elmo, cors_origins=("https://page.example",)) as client:
        sent = {"Host": "127.0.0.1", **headers}
        content = json.dumps({ROUTES[path]: ["a"]}) if method == "POST" else None
        answer = client.request(method, path if method == "POST" else "/", content=content, headers=sent)
        assert answer.status_code == (200 if is_let_in else 403), answer.text
        assert is_let_in or answer.json()["error"]["code"] == "wrong_origin"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/embeddings", {"input": "a"}),
        ("/embeddings", {"input": "a"}),
        ("/words", {"input": "a"}),
        ("/similar", {"query": "a", "texts": ["b"]}),
        ("/v1/embeddings", {"input": "a", "model": ""}),
        ("/v1/embeddings", {"input": "a", "user": 123}),
        ("/v1/embeddings", {"input": "a", "user": {"id": 1}}),
    ],
)
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_what_clients_send_in_fact_is_taken(client, path, content, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    assert client.post(path, content=json.dumps(content).encode(), headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/models", "/models/"])
def test_models_are_listed_with_and_without_a_slash(client, path):
    assert [one["id"] for one in client.get(path).json()["data"]] == ["tiny"]


def test_a_wrong_path_names_the_right_one(client):
    answer = client.post("/v2/embeddings", json={"input": "a"})
    assert answer.status_code == 404
    assert "/v1" in answer.json()["error"]["message"]
