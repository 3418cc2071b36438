"""The pages of the server, the explorer at / and the description of the API at /docs, as plain files of the package.

No build step and no outside requests: a Content-Security-Policy holds the browser to that. The files are read once and
served under fixed names, so no path of a request reaches the file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response

HEADERS: Mapping[str, str] = {
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
"""Of every file: nothing from elsewhere, nothing inline, in no frame."""

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def router() -> APIRouter:
    """The routes of the pages and their parts."""
    folder = files("elmokit.server") / "page"
    parts = {part.name: part.read_bytes() for part in folder.iterdir() if part.name.rpartition(".")[2] in _TYPES}
    routes = APIRouter(include_in_schema=False)

    def answer(name: str) -> Response:
        return Response(parts[name], media_type=_TYPES[name.rpartition(".")[2]], headers=dict(HEADERS))

    @routes.get("/")
    async def explorer() -> Response:
        return answer("index.html")

    @routes.get("/docs")
    async def docs() -> Response:
        return answer("docs.html")

    @routes.get("/page/{name}")
    async def part(name: str) -> Response:
        if name not in parts:
            raise HTTPException(404)
        return answer(name)

    return routes
