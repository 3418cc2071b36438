"""The gate: what every request passes before a route sees it, as plain ASGI.

In this order, cheapest first: the name that the client calls us by (so that no foreign page reaches a server on this
machine by pointing a name of its own at it), the token, the number of requests in work, and the body, which is read
here whole and bounded, so that no route ever waits for a slow client or holds more than allowed. Health is always told.
"""

from __future__ import annotations

import asyncio
import hmac
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elmokit.server.measures import Measures
from elmokit.server.refusals import Refused
from elmokit.server.settings import Settings

OPEN_PATHS = ("/healthz", "/readyz")
"""Told without a token, and however busy it is: for those who watch over processes."""


class Gate:
    """ASGI middleware of checks and measures.

    Args:
        app: what comes behind.
        settings: the bounds, the token, the names.
        measures: where requests are counted.
    """

    def __init__(self, app: ASGIApp, settings: Settings, measures: Measures) -> None:
        self.app, self.settings, self.measures = app, settings, measures
        self._n_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message["status"] if message["type"] == "http.response.start" else status
            await send(message)

        self._n_requests += 1
        self.measures.in_progress.inc()
        try:
            await self._pass(scope, receive, noted)
        finally:
            self._n_requests -= 1
            self.measures.in_progress.dec()
            self.measures.request(_route(scope), status, time.monotonic() - begin)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in OPEN_PATHS:
                self._check(scope)
            body = await asyncio.wait_for(self._body(scope, receive), self.settings.timeout_s)
        except asyncio.TimeoutError:
            slow = Refused(408, "The body did not arrive in time.", headers={"Connection": "close"})
            await slow.response(scope["path"])(scope, receive, send)
        except Refused as refused:
            await refused.response(scope["path"])(scope, receive, send)
        else:
            if body is not None:
                await self.app(scope, _replay(body, receive), send)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        if self.settings.allowed_hosts and _host(headers) not in self.settings.allowed_hosts:
            raise Refused(400, "This server does not answer to that name (see --allow-host).", code="wrong_host")
        if self.settings.token is not None:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self.settings.token.encode()):
                message = "The API key is missing or wrong; send it as 'Authorization: Bearer KEY'."
                raise Refused(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if self._n_requests > self.settings.max_requests:
            message = f"{self.settings.max_requests} requests are in work; try again in 1 s."
            raise Refused(429, message, code="busy", headers={"Retry-After": "1"})

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client went away."""
        promised = dict(scope["headers"]).get(b"content-length", b"0")
        if promised.isdigit() and int(promised[:20]) > self.settings.max_bytes:
            raise self._too_large()
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self.settings.max_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> Refused:
        message = f"The body is larger than {self.settings.max_bytes:,} bytes; send fewer texts at once."
        return Refused(413, message, code="too_large", headers={"Connection": "close"})


def _host(headers: dict[bytes, bytes]) -> str:
    """The name in the Host header, without a port and the brackets of IPv6."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return again


def _route(scope: Scope) -> str:
    """The route's path as it was declared, so that the number of labels is bounded."""
    route = scope.get("route")
    return str(getattr(route, "path", "other"))
