"""`elmokit serve` as a process: it ends without losing a request, and workers are replaced."""

import base64
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

import elmokit
from local_server import until
from unit.tiny_models import tiny_elmo

SOURCE = str(Path(elmokit.__file__).parent.parent)


@contextlib.contextmanager
def process(*arguments, preexec_fn=None, **environment):
    path = os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])
    line = [sys.executable, "-u", "-m", "elmokit", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, **environment},
        start_new_session=True,
        preexec_fn=preexec_fn,
    ) as running:
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def client_of(running, **choices):
    address = running.stdout.readline().split()[0]
    return httpx.Client(base_url=address, timeout=60, trust_env=False, **choices)


def client_of_port(port):
    return httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=60, trust_env=False)


def in_progress(client):
    text = client.get(f"{str(client.base_url).removesuffix('/v1/')}/metrics").text
    return sum(float(found) for found in re.findall(r"^elmokit_requests_in_progress\S* (\S+)$", text, re.MULTILINE))


def vector_of(answer):
    assert answer.status_code == 200, answer.text
    return np.frombuffer(base64.b64decode(answer.json()["data"][0]["embedding"]), "<f4")


def test_a_polite_end_loses_no_request(model):
    texts = [f"text number {i}" for i in range(12)]
    expected = tiny_elmo().encode(texts)
    with process("--model", model, "--batch-ms", "3000") as running, client_of(running) as client:
        assert client.base_url.host == "127.0.0.1"

        def ask(text):
            return client.post("/embeddings", json={"input": text, "encoding_format": "base64"})

        with ThreadPoolExecutor(len(texts)) as pool:
            promises = [pool.submit(ask, text) for text in texts]
            until(lambda: in_progress(client) > len(texts))  # the question about it is one too
            running.send_signal(signal.SIGTERM)
            assert not any(promise.done() for promise in promises), "too late: nothing was in work"
            for promise, vector in zip(promises, expected, strict=True):
                np.testing.assert_allclose(vector_of(promise.result()), vector, rtol=1e-6, atol=1e-6)
        assert running.wait(timeout=60) == 143
        assert running.stderr.read() == ""


def test_answers_do_not_wait_for_the_clients_acknowledgement(model):
    def seconds(client):
        begin = time.perf_counter()
        assert client.get("/models").status_code == 200
        return time.perf_counter() - begin

    with process("--model", model) as running, client_of(running) as client:
        # Nagle's algorithm would hold every answer but the first back for 40 ms
        assert min([seconds(client) for _ in range(30)][1:]) < 0.03


def test_a_token_from_the_environment_and_names_of_this_machine(model):
    with process("--model", model, ELMOKIT_TOKEN="secret") as running, client_of(running) as client:
        assert client.get("/models").status_code == 401
        headers = {"Authorization": "Bearer secret"}
        assert client.get("/models", headers=headers).status_code == 200
        assert client.get("/models", headers={**headers, "Host": "evil.example"}).status_code == 400
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0


def test_what_cannot_be_served_is_told_in_a_paragraph(model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = {
            "can't be used": ["--port", str(taken.getsockname()[1])],
            "no such file": ["--token-file", str(tmp_path / "nothing")],
            "pooling": ["--pooling", "nonsense"],
        }
        for message, arguments in wrong.items():
            with process("--model", model, *arguments) as running:
                _, told = running.communicate(timeout=60)
                assert running.returncode == 1
                assert message in told
                assert "Traceback" not in told


@pytest.mark.parametrize("route", ["embeddings", "explorer"])
def test_an_end_does_not_wait_longer_than_its_grace(route):
    texts = [f"{i} " * 1900 for i in range(3)] if route == "explorer" else ["word " * 49_000]
    with process("--grace", "1") as running, client_of(running) as client, ThreadPoolExecutor(1) as pool:
        path = {"embeddings": "/embeddings", "explorer": f"http://127.0.0.1:{client.base_url.port}/explorer/word"}[
            route
        ]
        asked = pool.submit(client.post, path, json={"input": texts, "texts": texts, "sentence": 0, "word": 0})
        until(lambda: in_progress(client) > 1)
        time.sleep(0.3)
        begin = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 143
        assert time.monotonic() - begin < 15  # far less than the text takes
        with contextlib.suppress(httpx.TransportError):
            assert asked.result().status_code in (200, 503)
        assert "Traceback" not in running.stderr.read()


def test_an_end_does_not_wait_for_idle_and_slow_clients(model):
    with process("--model", model, "--grace", "30") as running, client_of(running) as client:
        port = client.base_url.port
        others = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for one in others[::2]:
            one.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        assert client.get("/models").status_code == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=15) == 143
        for one in others:
            one.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_more_connections_than_files_do_no_harm(model):
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (450, 450))

    with process("--model", model, preexec_fn=limited) as running, client_of(running) as client:
        idle = [socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) for _ in range(600)]
        assert client.get("/models", headers={"Connection": "close"}).status_code == 200
        with client_of_port(client.base_url.port) as other:
            assert other.get("/models").status_code == 200
        for one in idle:
            one.close()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 143
        assert running.stderr.read() == ""


@pytest.mark.slow
def test_workers_end_with_their_supervisor(model):
    with process("--model", model, "--workers", "2") as running, client_of(running) as client:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
        assert len(workers) == 2
        folders = [
            value.split(b"=")[1].decode()
            for value in Path(f"/proc/{workers[0]}/environ").read_bytes().split(b"\0")
            if value.startswith(b"PROMETHEUS_MULTIPROC_DIR=")
        ]
        running.kill()
        running.wait()
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        with pytest.raises(httpx.ConnectError):
            client.get("/models", headers={"Connection": "close"})
        assert not any(Path(folder).exists() for folder in folders)


@pytest.mark.slow
def test_several_workers_share_the_work_and_the_dead_are_replaced(model):
    with process("--model", model, "--workers", "2") as running, client_of(running) as client:
        headers = {"Connection": "close"}

        def works():
            with contextlib.suppress(httpx.TransportError):
                return client.post("/embeddings", json={"input": "a"}, headers=headers).status_code == 200
            return False

        until(works)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
        assert len(workers) == 2
        os.kill(int(workers[0]), signal.SIGKILL)

        def replaced():
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
            return workers[0] not in children and len(children) >= len(workers) + 1  # and the resource tracker

        until(replaced)
        until(works)
        assert all(works() for _ in range(20))
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) in (0, 143)
