"""`create_app`: routes, middleware and the model's queue joined into one ASGI application. Start reading here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from elmokit import __version__
from elmokit.elmo import Elmo
from elmokit.errors import MissingExtra

try:
    from fastapi import FastAPI, Response
    from fastapi.middleware.cors import CORSMiddleware
except ImportError as error:  # pragma: no cover - exercised without FastAPI
    raise MissingExtra("FastAPI", "server", "the server") from error

from elmokit.server import embeddings, explorer, pages, similar, words
from elmokit.server.batching import BatchQueue, EncodingTask
from elmokit.server.errors import add_error_handlers
from elmokit.server.metrics import Metrics
from elmokit.server.middleware import RequestGuard
from elmokit.server.service import Service
from elmokit.server.settings import Settings

if TYPE_CHECKING:
    from elmokit.index import WordIndex

_CLOSING_S = 1.0


def create_app(elmo: Elmo, *, index: WordIndex | None = None, settings: Settings | None = None) -> FastAPI:
    """Make an application that serves a model.

    Args:
        elmo: the model.
        index: an opened index of word occurrences, for /v1/similar and the explorer; None for none.
        settings: limits and choices; None for the defaults.

    Returns:
        an ASGI application. The explorer's page is at "/" and the description of the API at "/docs", unless a token is
        required, which a page opened in a browser cannot send. `app.state.service` is what the routes share.

    Raises:
        ConfigError: a pooling or layers that the model does not have.

    Example:
        ``uvicorn.run(create_app(Elmo.load()))``
    """
    settings = settings or Settings()
    EncodingTask(settings.encoding).compute(elmo, [["warm", "up"]])
    metrics = Metrics()
    queue = BatchQueue(
        elmo,
        batch_words=settings.batch_words,
        batch_ms=settings.batch_ms,
        max_waiting_words=settings.max_waiting_words,
        on_batch=metrics.batch,
    )
    metrics.watch(lambda: queue.waiting_words)
    service = Service(elmo, queue, settings, index)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close(_CLOSING_S)

    app = FastAPI(
        title="elmokit",
        version=__version__,
        description="Contextual word vectors over HTTP, in the shape of OpenAI's API.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    for routes in (embeddings, words, similar):
        app.include_router(routes.router(service))
        app.include_router(routes.router(service, prefix=""), include_in_schema=False)  # base URLs without /v1
    _add_watching(app, service, metrics)
    if settings.token is None:
        app.include_router(explorer.router(service))
        app.include_router(pages.router())
    add_error_handlers(app)
    app.add_middleware(RequestGuard, settings=settings, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    _describe(app)
    return app


def _add_watching(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["Monitoring"])
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["Monitoring"], responses={503: {"description": "The server is shutting down."}})
    async def readyz(response: Response) -> dict[str, str]:
        """Say whether requests are accepted."""
        response.status_code = 200 if service.queue.is_ready else 503
        return {"status": "ready" if service.queue.is_ready else "not ready"}

    @app.get("/metrics", tags=["Monitoring"], response_class=Response)
    async def metric_lines() -> Response:
        """Give the metrics in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _describe(app: FastAPI) -> None:
    """Take FastAPI's own 422 out of the description: here it is 400, in OpenAI's shape."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        schema = generate()
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        return schema

    app.openapi = described  # type: ignore[method-assign]
