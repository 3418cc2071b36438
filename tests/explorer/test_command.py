"""`elmokit explore` as a process: it serves this machine alone, and ends politely."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs the extra server")

import elmokit

SOURCE = str(Path(elmokit.__file__).parent.parent)


@contextmanager
def process(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])}
    line = [sys.executable, "-u", "-m", "elmokit", "explore", *arguments]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_page_here_until_it_is_ended(ending):
    with process("--no-browser") as running:
        address = running.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"elmokit explorer" in answer.read()
        foreign = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(foreign, timeout=60)
        refused.value.close()
        assert refused.value.code == 400
        running.send_signal(ending)
        assert running.wait(timeout=60) == (0 if ending == signal.SIGINT else 143)
        assert running.stderr.read() == ""


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with process("--no-browser", "--port", port) as running:
            _, told = running.communicate(timeout=60)
            assert running.returncode == 1
            assert f"port {port} can't be used" in told
            assert "Traceback" not in told
