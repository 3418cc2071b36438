"""A server process, or several: bind, serve, end without losing a request.

The socket is bound here, before the model is loaded, so a taken port is told at once, and all workers share it. On
SIGTERM or Ctrl-C uvicorn takes no new connection, lets every request in work finish, and then the model's thread ends.
Several workers are several processes, each with a model of its own: the file's weights are mapped into memory and
shared, what is computed from them (float32 rows, caches) is each one's own, and the cores are shared out.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError
from elmokit.server.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT = 8000

_ORDER = "ELMOKIT_SERVE"
"""The environment variable by which workers learn what to serve."""


@dataclass(frozen=True)
class Order:
    """What to serve.

    Args:
        model: as for `Elmo.load`.
        device: see `Elmo`.
        precision: see `Elmo`.
        n_threads: see `Elmo`.
        db: the folder of an index; None for none.
    """

    model: str = "default"
    device: str = "auto"
    precision: str = "float32"
    n_threads: int | None = None
    db: str | None = None

    def app(self, settings: Settings) -> FastAPI:
        """Load all of it.

        Args:
            settings: bounds and choices.

        Returns:
            the application.

        Raises:
            ElmoKitError: a model or index that can't be opened.
        """
        from elmokit.server.app import create_app

        elmo = Elmo.load(self.model, device=self.device, precision=self.precision, n_threads=self.n_threads)
        index = None
        if self.db is not None:
            from elmokit.index import WordIndex

            index = WordIndex.open(self.db, elmo=elmo)
        return create_app(elmo, index=index, settings=settings)


def run_server(
    order: Order,
    *,
    settings: Settings | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    n_workers: int = 1,
    on_ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        order: what to serve.
        settings: bounds and choices; None for the defaults. On a loopback address only this machine's own names are
            answered to, unless they name others.
        host: the address to bind.
        port: the port; 0 for any that is free.
        n_workers: processes.
        on_ready: called with the server's address once requests are taken on, on a thread of its own.

    Raises:
        ConfigError: the address is taken, not ours to take, or not one of this machine.
        ElmoKitError: a model or index that can't be opened.
    """
    import uvicorn

    settings = settings or Settings()
    if host in LOOPBACK and not settings.allowed_hosts:
        settings = replace(settings, allowed_hosts=LOOPBACK)
    with _listener(host, port) as listener, tempfile.TemporaryDirectory(prefix="elmokit-") as folder:
        shown = f"[{host}]" if ":" in host else host
        port = listener.getsockname()[1]
        address = f"http://{shown}:{port}"
        ended = threading.Event()
        threading.Thread(target=_when_ready, args=(host, port, ended, lambda: on_ready(address)), daemon=True).start()
        try:
            if n_workers == 1:
                server = uvicorn.Server(uvicorn.Config(order.app(settings), **_options(settings)))
                with suppress(KeyboardInterrupt):
                    server.run(sockets=[listener])
            else:
                _run_workers(order, settings, listener.fileno(), n_workers=n_workers, folder=folder)
        finally:
            ended.set()


def worker_app() -> FastAPI:
    """What a worker process serves: uvicorn calls this there, and the environment says what to load.

    Returns:
        the application.
    """
    told = json.loads(os.environ[_ORDER])
    return Order(**told["order"]).app(Settings.from_json(told["settings"]))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "log_level": "warning",
        "access_log": False,
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": int(settings.timeout_s) + 5,
    }


def _run_workers(order: Order, settings: Settings, fd: int, *, n_workers: int, folder: str) -> None:
    """Let uvicorn's supervisor start the processes and replace those that die."""
    import uvicorn

    if order.n_threads is None:
        order = replace(order, n_threads=max(1, len(os.sched_getaffinity(0)) // n_workers))
    told = json.dumps({"order": asdict(order), "settings": settings.to_json()})
    added = {_ORDER: told, "PROMETHEUS_MULTIPROC_DIR": folder}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        uvicorn.run(
            "elmokit.server.run:worker_app",
            factory=True,
            workers=n_workers,
            fd=fd,
            **_options(settings),
        )
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the address {host}, port {port} can't be used ({error}); choose another (--host, --port)."
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio would not: 40 ms in every second answer
    return listener


def _when_ready(host: str, port: int, ended: threading.Event, then: Callable[[], None]) -> None:
    """Ask the server itself until it answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- read, not bound
    address = f"http://[{host}]:{port}/readyz" if ":" in host else f"http://{host}:{port}/readyz"
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not ended.is_set():
        with suppress(urllib.error.URLError, OSError), no_proxy.open(address, timeout=5) as answer:
            if answer.status == 200:
                then()
                return
        time.sleep(0.05)
