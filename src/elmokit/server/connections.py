"""uvicorn's HTTP/1.1 protocol with limits for slow, idle and too many clients, which uvicorn itself does not have."""

import asyncio
import time
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WRITE_TIMEOUT_S = 30.0  # a client that reads less than about 48 kB of its answer in this time is cut off


class LimitedConnection(H11Protocol):
    """A connection: headers must arrive within a time from its begin or the answer before; an answer must be read.

    Beyond the limit of connections the one that has kept the server waiting longest is closed for the new one.
    """

    def __init__(self, *, max_connections: int, header_timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._max_connections, self._header_timeout_s = max_connections, header_timeout_s
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the headers, and make room."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            others = (cast(LimitedConnection, one) for one in self.connections - {self})
            waits = (h11.IDLE, h11.SEND_BODY)
            idle = [one for one in others if one.conn.their_state in waits and not one.transport.is_closing()]
            min(idle, key=lambda one: one.since, default=self).transport.abort()
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        for timer in (self._header_timer, self._write_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Pass data on, and stop the time for the headers once they are there."""
        super().data_received(data)
        self._watch_headers()

    def on_response_complete(self) -> None:
        """Start the time for the next headers."""
        super().on_response_complete()
        self.since = time.monotonic()
        self._watch_headers()

    def pause_writing(self) -> None:
        """Start the time in which the client must read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that time."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _watch_headers(self) -> None:
        waits = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if waits and self._header_timer is None:
            self._header_timer = self.loop.call_later(self._header_timeout_s, self.transport.abort)
        elif not waits and self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
