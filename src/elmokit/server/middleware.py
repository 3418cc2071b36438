"""What every request passes before a route sees it, as plain ASGI: checks, limits, one deadline.

The body is read whole within its limits, and the work ends when the client has left.
"""

import asyncio
import hmac
import re
import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elmokit.server.errors import CLOSE, RequestError, busy, shutting_down, too_large
from elmokit.server.metrics import Metrics
from elmokit.server.settings import Settings

OPEN_PATHS = ("/healthz", "/readyz")  # answered without a token and at any load, for those who watch processes
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:\[\]/?#@,]+)(:\d{1,5})?")
_DROPPED_BODIES = 16  # a refused request may send so many `max_bytes`: clients read the answer after they have sent all
_DROPPING_S = 2.0  # that each piece of a refused body may take
_HELD_BODIES = 64  # of `max_bytes` that are held at a time, of all clients together
_CLIENT_LEFT = 499


class _Exchange:
    """A request on its way: its channels, its time, and the status of its answer (0 before there is one)."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, timeout_s: float) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.begin, self.timeout_s = time.monotonic(), timeout_s
        self.status = self.held_bytes = 0

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.begin + self.timeout_s - time.monotonic())

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def run(self, app: ASGIApp, body: bytes) -> None:
        """Run the application until it has answered, the time is over or the client has left."""

        async def answer() -> None:
            await app(self.scope, _replay(body), self.send)

        async def disconnected() -> None:
            while (await self.receive())["type"] != "http.disconnect":
                pass

        work = asyncio.create_task(answer())
        left = asyncio.create_task(disconnected())
        try:
            await asyncio.wait({work, left}, timeout=self.seconds_left, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not left.done():
                if not self.status:
                    raise RequestError(504, f"No answer within {self.timeout_s:g} s; ask for less.", code="timeout")
                await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
        finally:
            work.cancel()
            left.cancel()
            await asyncio.gather(work, left, return_exceptions=True)


class RequestGuard:
    """ASGI middleware that checks, limits and counts requests."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._n_requests = self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, here or behind."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.settings.timeout_s)
        self.metrics.in_progress.inc()
        try:
            if scope["path"] in OPEN_PATHS:
                await self.app(scope, receive, exchange.send)
            else:
                await self._answer(exchange)
        except RequestError as error:
            await error.response()(scope, receive, exchange.send)
        except asyncio.CancelledError:  # uvicorn's grace time is over
            if not exchange.status:
                await shutting_down().response()(scope, receive, exchange.send)
        finally:
            self._held_bytes -= exchange.held_bytes
            self.metrics.in_progress.dec()
            route = getattr(scope.get("route"), "path", "other")  # as it was declared, so that labels are bounded
            seconds = time.monotonic() - exchange.begin
            self.metrics.request(route, exchange.status or _CLIENT_LEFT, seconds)

    async def _answer(self, exchange: _Exchange) -> None:
        headers = Headers(scope=exchange.scope)
        refusal = self._refusal(headers, exchange.scope["method"])
        if refusal is not None and headers.get("expect"):
            raise refusal  # the client asks before it sends
        body = await self._body(exchange, refusal)
        if body is None:
            return
        if self._n_requests >= self.settings.max_requests:
            raise busy(f"{self.settings.max_requests} requests are in progress")
        self._n_requests += 1
        try:
            await exchange.run(self.app, body)
        finally:
            self._n_requests -= 1

    def _refusal(self, headers: Headers, method: str) -> RequestError | None:
        """Why a request is not let in, from its headers alone; None if it is."""
        settings = self.settings
        if settings.allowed_hosts and _host(headers) not in settings.allowed_hosts:
            return RequestError(400, "This server does not answer to that name (see --allow-host).", code="wrong_host")
        if not self._origin_fits(headers, method):
            return RequestError(403, "Pages of other origins need --cors ORIGIN to send requests.", code="wrong_origin")
        if settings.token is not None:
            given = headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, b"Bearer " + settings.token.encode()):
                message = "The API key is missing or wrong; send it as 'Authorization: Bearer KEY'."
                return RequestError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if headers.get("content-encoding", "identity") not in ("", "identity"):
            return RequestError(415, "Compressed bodies are not taken; send plain JSON.", headers=CLOSE)
        if "content-length" in headers and "transfer-encoding" in headers:  # proxies may read another length
            return RequestError(400, "Send Content-Length or Transfer-Encoding, not both.", headers=CLOSE)
        promised = headers.get("content-length", "0")
        if promised.isdigit() and int(promised[:20]) > settings.max_bytes:
            return self._too_large()
        return None

    def _origin_fits(self, headers: Headers, method: str) -> bool:
        """Whether no page of a foreign origin sent the request. Browsers say it; other clients say nothing."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self.settings.cors_origins:
            return True
        if site is not None:
            opened = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
            return site in ("same-origin", "none") or opened
        return origin is None or origin.partition("://")[2] == headers.get("host")

    async def _body(self, exchange: _Exchange, refusal: RequestError | None) -> bytes | None:
        """The body; None if the client left. What is refused is read to its end, within limits, and dropped."""
        chunks: list[bytes] = []
        n_bytes, limit, more = 0, self.settings.max_bytes, True
        while more and n_bytes <= _DROPPED_BODIES * limit:
            seconds = exchange.seconds_left if refusal is None else min(exchange.seconds_left, _DROPPING_S)
            try:
                message = await asyncio.wait_for(exchange.receive(), seconds)
            except asyncio.TimeoutError:
                raise refusal or RequestError(408, "The body did not arrive in time.", headers=CLOSE) from None
            if message["type"] == "http.disconnect":
                return None
            chunk, more = message.get("body", b""), message.get("more_body", False)
            n_bytes += len(chunk)
            if refusal is None and n_bytes > limit:
                refusal = self._too_large()
            elif refusal is None and self._held_bytes + len(chunk) > _HELD_BODIES * limit:
                refusal = busy("Too many bodies are being received")
            if refusal is None:
                chunks.append(chunk)
                exchange.held_bytes += len(chunk)
                self._held_bytes += len(chunk)
            else:
                chunks.clear()
        if refusal is not None:
            raise refusal
        return b"".join(chunks)

    def _too_large(self) -> RequestError:
        message = f"The body is larger than {self.settings.max_bytes:,} bytes; send fewer texts at once."
        return too_large(message, headers=CLOSE)


def _host(headers: Headers) -> str | None:
    """The name in the Host header, without a port and the brackets of IPv6; None if there is not exactly one."""
    names = headers.getlist("host")
    match = _HOST.fullmatch(names[0].lower()) if len(names) == 1 else None
    return match[1].strip("[]") if match else None


def _replay(body: bytes) -> Receive:
    messages: Iterator[Message] = iter([{"type": "http.request", "body": body}])

    async def again() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return again
