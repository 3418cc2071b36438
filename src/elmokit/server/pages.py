"""The pages of the server, the explorer at / and the description of the API at /docs, as plain files of the package.

No build step and no outside requests: a Content-Security-Policy holds the browser to that. The files are read once and
served under fixed names, so no path of a request reaches the file system.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response

HEADERS = {
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

_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_PARTS = {part.name: part.read_bytes() for part in (files("elmokit.server") / "page").iterdir()}

routes = APIRouter()


@routes.get("/page/{name}")
async def part(name: str) -> Response:
    """A page or a part of one."""
    if name not in _PARTS:
        raise HTTPException(404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_PARTS[name], media_type=kind, headers=HEADERS)


@routes.get("/")
async def explorer() -> Response:
    """The explorer."""
    return await part("index.html")


@routes.get("/docs")
async def docs() -> Response:
    """The description of the API."""
    return await part("docs.html")
