"""A server on a free port, in a thread of this process, as `elmokit serve` would start it."""

import socket
import threading
import time
from contextlib import contextmanager


@contextmanager
def running(elmo, *, index=None, settings=None, **options):
    """Yields the address, the application and uvicorn's server; `options` replace uvicorn's."""
    import uvicorn

    from elmokit.server.app import create_app
    from elmokit.server.run import uvicorn_options
    from elmokit.server.settings import Settings

    chosen = settings or Settings()
    app = create_app(elmo, index=index, settings=chosen)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(app, **{**uvicorn_options(chosen), **options}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app, server
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def until(condition, seconds=60):
    """Wait for a condition to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
