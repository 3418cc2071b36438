"""Error answers in the shape of OpenAI's API: `{"error": {"message", "type", "param", "code"}}` for every failure.

The JSON is ASCII, since a message may quote text that no encoding can carry.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from elmokit.errors import ElmoKitError

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CLOSE = {"Connection": "close"}
NOT_JSON = "invalid_json"
_MANY = 100


@dataclass
class RequestError(Exception):
    """A request that is answered with an error: `param` names the wrong field, `code` is a word for programs."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] | None = None

    def response(self) -> Response:
        """The answer, with a JSON body."""
        kind = "server_error" if self.status >= 500 else _TYPES.get(self.status, "invalid_request_error")
        details = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return Response(json.dumps({"error": details}), self.status, self.headers, "application/json")


RESPONSES: dict[int | str, dict[str, Any]] = {code: {} for code in (400, 401, 403, 404, 408, 413, 415, 429, 503, 504)}
"""Error answers of the routes, for the OpenAPI description."""


def too_large(message: str, param: str | None = None, headers: Mapping[str, str] | None = None) -> RequestError:
    """A request beyond a limit."""
    return RequestError(413, message, param, "too_large", headers)


def busy(message: str, seconds: int = 1) -> RequestError:
    """A request that should come again later."""
    headers = {"Retry-After": str(seconds)}
    return RequestError(429, f"{message}; try again in {seconds} s.", code="busy", headers=headers)


def shutting_down() -> RequestError:
    """A request that came, or is not done, when the server ends."""
    return RequestError(503, "The server is shutting down.", code="shutting_down")


HANDLED = (RequestError, ElmoKitError, HTTPException, Exception)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an exception of a route."""
    if isinstance(error, ElmoKitError):
        error = RequestError(400, str(error))
    elif isinstance(error, HTTPException):
        unknown = f"There is no route {request.url.path[:100]!r}; the API is at /v1, its description at /docs."
        message = unknown if error.status_code == 404 else str(error.detail)
        error = RequestError(error.status_code, message, headers=error.headers)
    elif not isinstance(error, RequestError):
        error = RequestError(500, "The server failed; its log says more.")
    return error.response()


def invalid(error: ValidationError) -> RequestError:
    """The answer to a body that does not fit its model.

    It names the first wrong field, and never quotes the value, which may be large or unprintable.
    """
    if error.error_count() > _MANY:
        return RequestError(400, "The body has many wrong or unknown fields; see /docs.")
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return RequestError(400, "The body is not JSON.", code=NOT_JSON)
    field = next((part for part in first["loc"][:1] if isinstance(part, str)), None)
    if field == "input":
        message = (
            "'input' must be a string or a list of strings. (Lists of token numbers are for OpenAI's own tokenizers; in"
            " LangChain, check_embedding_ctx_len=False sends text.)"
        )
        return RequestError(400, message, param="input")
    return RequestError(400, f"{field or 'The body'}: {first['msg']}.", param=field)
