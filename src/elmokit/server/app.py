"""`create_app`: routes, middleware and the model's queue joined into one ASGI application. Start reading here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files

from elmokit import __version__
from elmokit.elmo import Elmo
from elmokit.errors import needing

with needing("FastAPI", "server", "the server"):
    from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
    from fastapi.middleware.cors import CORSMiddleware

from elmokit.index import WordIndex
from elmokit.server import api, explorer
from elmokit.server.batching import BatchQueue, EncodingTask
from elmokit.server.errors import HANDLED, answer_error
from elmokit.server.metrics import Metrics
from elmokit.server.middleware import RequestGuard
from elmokit.server.service import Service
from elmokit.server.settings import Settings

_CLOSING_S = 1.0
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every file of a page: nothing from elsewhere, nothing inline, in no frame."""
_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_PARTS = {part.name: part.read_bytes() for part in (files("elmokit.server") / "page").iterdir()}

monitoring = APIRouter(tags=["Monitoring"])
pages = APIRouter()


def create_app(elmo: Elmo, *, index: WordIndex | None = None, settings: Settings | None = None) -> FastAPI:
    """Make an ASGI application that serves a model, and an index of words for /v1/similar and the explorer if given.

    The explorer's page is at "/" and the description of the API at "/docs", unless a token is required, which a browser
    cannot send. Raises ConfigError for a pooling or layers that the model does not have.

    Example:
        ``uvicorn.run(create_app(Elmo.load(), settings=Settings(max_texts=100)))``
    """
    settings = settings or Settings()
    EncodingTask(settings.encoding).compute(elmo, [["warm", "up"]])
    metrics = Metrics()
    limits = settings.model_dump(include={"batch_words", "batch_ms", "max_waiting_words"})
    service = Service(elmo, BatchQueue(elmo, **limits, on_batch=metrics.batch), settings, index)

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
        exception_handlers=dict.fromkeys(HANDLED, answer_error),
    )
    app.state.service, app.state.metrics = service, metrics
    app.include_router(api.routes)
    app.include_router(monitoring)
    for routes in (explorer.routes, pages) if settings.token is None else ():
        app.include_router(routes, include_in_schema=False)
    app.add_middleware(RequestGuard, settings=settings, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


@monitoring.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "ok"}


@monitoring.get("/readyz", responses={503: {"description": "The server is shutting down."}})
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Say whether requests are accepted."""
    is_ready = request.app.state.service.queue.is_ready
    response.status_code = 200 if is_ready else 503
    return {"status": "ready" if is_ready else "not ready"}


@monitoring.get("/metrics", response_class=Response)
async def metric_lines(request: Request) -> Response:
    """Give the metrics in Prometheus' text format."""
    lines = request.app.state.metrics.text(request.app.state.service.queue.waiting_words)
    return Response(lines, media_type="text/plain; version=0.0.4; charset=utf-8")


@pages.get("/page/{name}")
async def page(name: str) -> Response:
    """A page or a part of one: read once, under fixed names, so no path of a request reaches the file system."""
    if name not in _PARTS:
        raise HTTPException(404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_PARTS[name], media_type=kind, headers=PAGE_HEADERS)


for _path, _name in (("/", "index.html"), ("/docs", "docs.html")):
    pages.add_api_route(_path, partial(page, _name))
