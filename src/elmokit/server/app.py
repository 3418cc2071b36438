"""`create_app`: the routes, the gate and the model's thread joined into one ASGI application. Start reading here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse

import elmokit
from elmokit.elmo import Elmo
from elmokit.server import embeddings, explorer, similar, words
from elmokit.server.batches import Batches, Wanted
from elmokit.server.gate import Gate
from elmokit.server.measures import Measures
from elmokit.server.reference import reference_page
from elmokit.server.refusals import tell_errors
from elmokit.server.service import Service
from elmokit.server.settings import Settings

if TYPE_CHECKING:
    from elmokit.index import WordIndex


def create_app(elmo: Elmo, *, index: WordIndex | None = None, settings: Settings | None = None) -> FastAPI:
    """An application that serves a model.

    Args:
        elmo: the model.
        index: an opened index of word occurrences, for /v1/similar and the explorer; None for none.
        settings: bounds and choices; None for the defaults.

    Returns:
        an ASGI application. Its lifespan ends the model's thread, after all that waits is answered. The explorer's
        page is at "/" unless a token is asked for, which a page opened in a browser can't send.

    Raises:
        ConfigError: a pooling or layers that the model does not have.

    Example:
        ``uvicorn.run(create_app(Elmo.load()))``
    """
    settings = settings or Settings()
    Wanted(layers=settings.layers, pooling=settings.pooling).of(elmo, [["warm", "up"]])
    measures = Measures()
    batches = Batches(
        elmo,
        batch_words=settings.batch_words,
        batch_ms=settings.batch_ms,
        max_waiting_words=settings.max_waiting_words,
        on_batch=measures.batch,
    )
    measures.watch(lambda: batches.waiting_words)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        batches.close()

    app = FastAPI(
        title="elmokit",
        version=elmokit.__version__,
        description="Contextual word vectors over HTTP, in the shape of OpenAI's API.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    service = Service(elmo, batches, settings, index)
    for routes in (embeddings, words, similar):
        app.include_router(routes.router(service))
    _add_own(app, service, measures)
    if settings.token is None:
        app.include_router(explorer.router(elmo, index), include_in_schema=False)
    tell_errors(app)
    app.add_middleware(Gate, settings=settings, measures=measures)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    _describe(app)
    return app


def _add_own(app: FastAPI, service: Service, measures: Measures) -> None:
    @app.get("/healthz", tags=["watching"])
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["watching"], responses={503: {"description": "Not any more: shutting down."}})
    async def readyz(response: Response) -> dict[str, str]:
        """Requests are taken on."""
        response.status_code = 200 if service.batches.is_ready else 503
        return {"status": "ready" if service.batches.is_ready else "not ready"}

    @app.get("/metrics", tags=["watching"], response_class=Response)
    def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
        return HTMLResponse(reference_page(app.openapi()), headers={"Content-Security-Policy": policy})


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
