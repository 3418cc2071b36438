"""`Settings`: limits and choices of a server, validated by pydantic and sent as JSON to worker processes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elmokit.encoding import Encoding
from elmokit.errors import ConfigError

Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Limits and choices of a server; ConfigError for a wrong one, and a token that cannot travel in a header.

    Example:
        >>> Settings(max_texts=10).max_texts, "secret" in repr(Settings(token="secret"))
        (10, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_id: str | None = None  # name that clients ask for; None for the model's own
    encoding: Encoding = Encoding()  # which vectors a request gets that does not say
    max_bytes: Count = 4_000_000  # of a request's body
    max_texts: Count = 2048  # in a request
    max_words: Count = 50_000  # in a request, all texts together
    max_values: Count = 2_000_000  # numbers in an answer
    max_requests: Count = 256  # in progress, their bodies received; further ones get status 429
    max_waiting_words: Count = 200_000  # for the model; a request that would exceed it gets status 429
    max_connections: Count = 1000  # open at a time; at the limit a new one closes the one that has been idle longest
    batch_words: Count = 4096  # computed together; longer requests are computed in turns of this size
    batch_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0  # that the first request of a batch waits
    timeout_s: Seconds = 60.0  # from the first byte of a request to the first byte of its answer
    header_timeout_s: Seconds = 10.0  # in which the headers of a request must arrive
    shutdown_s: Seconds = 15.0  # that requests in progress have to finish after SIGTERM
    token: Annotated[str | None, Field(repr=False, pattern=r"^[ -~]*[!-~][ -~]*$")] = None  # that clients must send
    cors_origins: tuple[str, ...] = ()  # whose pages may send requests from a browser
    allowed_hosts: tuple[str, ...] = ()  # names that clients may use; empty for any

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = first["loc"][0]
            shown = "" if name == "token" else f" is {values.get(str(name))!r}"
            raise ConfigError(f"{name}{shown}: {first['msg']}.") from None
