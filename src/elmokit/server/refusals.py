"""Errors as OpenAI's API tells them: `{"error": {"message", "type", "param", "code"}}`, whatever went wrong.

Existing clients turn them into their own exceptions by the status. The page of the explorer expects `{"detail": …}`.
Errors are written in ASCII: a message may quote what no encoding can carry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from elmokit.errors import ElmoKitError


class ErrorFacts(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorFacts


class Refused(Exception):
    """A request that gets an error for an answer.

    Args:
        status: the HTTP status.
        message: one paragraph for people.
        param: the field that it is about.
        code: a word for programs.
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def response(self, path: str) -> Response:
        """The answer.

        Args:
            path: of the request.

        Returns:
            a response with a JSON body.
        """
        kind = "server_error" if self.status >= 500 else _KINDS.get(self.status, "invalid_request_error")
        body: dict[str, object] = {
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        }
        if path.startswith("/explorer/"):
            body["detail"] = self.message
        return Response(json.dumps(body), self.status, self.headers, "application/json")


_KINDS = {401: "authentication_error", 429: "rate_limit_error"}

RESPONSES: dict[int | str, dict[str, object]] = {
    400: {"model": ErrorAnswer, "description": "A request that is not understood; the message says what is wrong."},
    401: {"model": ErrorAnswer, "description": "The bearer token is missing or wrong."},
    404: {"model": ErrorAnswer, "description": "Another model's name, or nothing of this kind here."},
    413: {"model": ErrorAnswer, "description": "Too many bytes, texts, words or numbers in the answer."},
    429: {"model": ErrorAnswer, "description": "Busy; try again after the seconds in Retry-After."},
    503: {"model": ErrorAnswer, "description": "The server is shutting down."},
    504: {"model": ErrorAnswer, "description": "The answer took too long."},
}
"""What the routes may answer beside success, for the OpenAPI description."""


def tell_errors(app: FastAPI) -> None:
    """Give an application the error answers of this file.

    Args:
        app: the application; changed in place.
    """

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return error.response(request.url.path)

    @app.exception_handler(ElmoKitError)
    async def ours(request: Request, error: ElmoKitError) -> Response:
        return Refused(400, str(error)).response(request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return Refused(error.status_code, str(error.detail), headers=error.headers).response(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid(error).response(request.url.path)

    @app.exception_handler(Exception)
    async def defect(request: Request, _error: Exception) -> Response:
        return Refused(500, "The server made an error; its log says more.").response(request.url.path)


def _invalid(error: RequestValidationError) -> Refused:
    """The first thing that is wrong, with the field's name; never the value, which may be large or unprintable."""
    first = error.errors()[0]
    field = next((str(part) for part in first["loc"][1:2] if not isinstance(part, int)), None)
    if first["type"] == "json_invalid":
        return Refused(400, "The body is not JSON.")
    if field == "input":
        message = (
            "'input' must be a string or a list of strings. (Lists of token numbers are for OpenAI's own tokenizers; in"
            " LangChain, check_embedding_ctx_len=False sends text.)"
        )
        return Refused(400, message, param="input")
    return Refused(400, f"{field or 'The body'}: {first['msg']}.", param=field)
