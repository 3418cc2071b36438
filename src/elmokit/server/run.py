"""Run a server: bind, serve, and end in time without losing a request.

The socket is bound before the model is loaded, so a taken port is reported at once, and all workers share it. Several
workers are several processes, each with a model of its own; they end when their supervisor does.
"""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

import uvicorn
from fastapi import FastAPI

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError
from elmokit.index import WordIndex
from elmokit.server.app import create_app
from elmokit.server.connections import LimitedConnection
from elmokit.server.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_CONFIG = "ELMOKIT_SERVE"  # environment variable that tells worker processes what to serve
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_ACCEPTED, _QUEUED = 64, 2048  # connections that asyncio accepts in a turn of its loop, and that wait in the kernel
_WANTED_FILES, _SPARE_FILES = 4096, 256  # file descriptors to ask for, and those that are not for connections


def load_app(model: dict[str, Any], db: str | None, settings: Settings) -> FastAPI:
    """Make the application for a model, by the arguments of `Elmo.load`, and the index in a folder (None for none)."""
    elmo = Elmo.load(**model)
    return create_app(elmo, index=None if db is None else WordIndex.open(db, elmo=elmo), settings=settings)


def run_server(
    model: dict[str, Any],
    db: str | None,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    any_port: bool = False,
    n_workers: int = 1,
    on_ready: Callable[[str], None],
) -> None:
    """Serve what `load_app` makes until SIGTERM or Ctrl-C; `on_ready` gets the address once requests are accepted.

    Port 0 is any free one, and `any_port` takes one if the port is taken. On a loopback address the allowed hosts
    default to the names of this machine. Raises ConfigError for an address that is taken or not one of this machine.
    """
    if host in LOOPBACK and not settings.allowed_hosts:
        settings = settings.model_copy(update={"allowed_hosts": LOOPBACK})
    ended, app = threading.Event(), None
    with _listener(host, port, any_port) as listener, tempfile.TemporaryDirectory(prefix="elmokit-") as folder:
        threading.Thread(target=_when_ready, args=(host, listener, ended, on_ready), daemon=True).start()
        try:
            if n_workers == 1:
                app = load_app(model, db, settings)
                with suppress(KeyboardInterrupt):
                    uvicorn.Server(uvicorn.Config(app, **uvicorn_options(settings))).run(sockets=[listener])
            else:
                n_threads = model.get("n_threads") or max(1, len(os.sched_getaffinity(0)) // n_workers)
                served = {"model": {**model, "n_threads": n_threads}, "db": db, "settings": settings.model_dump()}
                told = {_CONFIG: json.dumps(served), _METRICS: folder}
                _run_workers(told, workers=n_workers, fd=listener.fileno(), **uvicorn_options(settings))
        finally:
            ended.set()
            if app is not None and app.state.service.is_busy:  # for requests that nobody waits for: Python would wait
                shutil.rmtree(folder, ignore_errors=True)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(128 + signal.SIGTERM)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves: with limited connections, and no log of requests."""
    n_connections = min(settings.max_connections, _most_connections())
    limits: dict[str, Any] = {"max_connections": n_connections, "header_timeout_s": settings.header_timeout_s}
    return {
        "http": partial(LimitedConnection, **limits),
        "log_level": "error",
        "access_log": False,
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
        "backlog": _ACCEPTED,
        "timeout_graceful_shutdown": int(settings.shutdown_s) or 1,
    }


def _most_connections() -> int:
    """Connections for which there are file descriptors; as many of these as the system allows are asked for."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            wanted = _WANTED_FILES if most == resource.RLIM_INFINITY else min(most, _WANTED_FILES)
            if files < wanted:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return max(1, max(files, wanted) - _SPARE_FILES)
    return 1_000_000


def _run_workers(told: dict[str, str], **options: Any) -> None:
    """Let uvicorn's supervisor start the processes, told by the environment, and replace those that die."""
    os.environ.update(told)
    try:
        uvicorn.run("elmokit.server.run:worker_app", factory=True, **options)
    finally:
        for name in told:
            del os.environ[name]


def worker_app() -> FastAPI:
    """Make the application of a worker process; uvicorn calls this, and the environment says what to load."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    told = json.loads(os.environ[_CONFIG])
    return load_app(told["model"], told["db"], Settings(**told["settings"]))


def _end_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        shutil.rmtree(os.environ[_METRICS], ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)


def _listener(host: str, port: int, any_port: bool) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_QUEUED)
    except (OSError, OverflowError) as error:
        if any_port:
            return _listener(host, 0, False)
        raise ConfigError(
            f"the address {host}, port {port} can't be used ({error}); choose another (--host, --port)."
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio would not: 40 ms in every second answer
    return listener


def _when_ready(host: str, listener: socket.socket, ended: threading.Event, then: Callable[[str], None]) -> None:
    """Ask the server itself until it answers, then call a function with its address."""
    port, asked = listener.getsockname()[1], {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    while not ended.is_set():
        with suppress(OSError, HTTPException), closing(HTTPConnection(asked, port, timeout=5)) as connection:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                listener.listen(_QUEUED)
                then(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
                return
        time.sleep(0.05)
