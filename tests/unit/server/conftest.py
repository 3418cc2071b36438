"""A tiny model behind a real socket, in a thread of this process, as `elmokit serve` would start it."""

import threading
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi", reason="needs the extra server")
httpx = pytest.importorskip("httpx", reason="needs the openai client")

from local_server import running  # noqa: E402
from unit.tiny_models import tiny_elmo  # noqa: E402 -- after the skips


class Gate:
    """Holds a model's computations until it is opened."""

    def __init__(self, elmo):
        self.opened = threading.Event()
        self.computing = threading.Event()
        self.calls = []
        self._encode = elmo.encode
        elmo.encode = self.encode

    def encode(self, texts, *arguments, **choices):
        texts = list(texts)
        if any(texts):
            self.calls.append(texts)
            self.computing.set()
            assert self.opened.wait(60)
        return self._encode(texts, *arguments, **choices)


@contextmanager
def _served(elmo, *, index=None, **settings):
    from elmokit.server.settings import Settings

    with (
        running(elmo, index=index, settings=Settings(**settings), log_level="critical") as (address, app, server),
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        client.service, client.state = app.state.service, server.server_state
        yield client


@pytest.fixture(scope="session")
def served():
    """Context manager: a client of a server of a model."""
    return _served


@pytest.fixture
def elmo():
    return tiny_elmo()


@pytest.fixture
def held(elmo):
    """The gate of `elmo`, opened at the end, whatever happens."""
    elmo.encode([["warm"]])
    gate = Gate(elmo)
    gate.opened.set()
    yield gate
    gate.opened.set()


@pytest.fixture(scope="module")
def client():
    """A server with the defaults, for questions that leave nothing behind."""
    with _served(tiny_elmo()) as opened:
        yield opened
