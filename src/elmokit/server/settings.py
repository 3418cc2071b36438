"""What a server does and how much it takes on, as one frozen value that can be sent to its worker processes.

Every bound protects the others' requests from one: bytes bound what is parsed, texts and words what is computed, values
what is written back, requests and waiting words what is held in memory while the model is busy.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from elmokit.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Args:
        model_id: the name that clients ask for; None takes the model's own.
        pooling: how words become a text's vector where the request does not say (see `Elmo.encode`).
        layers: which layers, where the request does not say (see `Elmo.encode`).
        normalize: whether vectors have length 1, where the request does not say.
        max_bytes: of a request's body.
        max_texts: texts in a request.
        max_words: words in a request, all texts together.
        max_values: numbers in an answer.
        max_requests: requests that are worked on at a time; more get 429.
        max_waiting_words: words that wait for the model; a request beyond gets 429.
        batch_words: words that are read together.
        batch_ms: how long the first request of a batch waits for others, in milliseconds.
        timeout_s: how long a request may take, in seconds.
        token: what clients must send as a bearer token; None asks for none.
        cors_origins: origins whose pages may ask from a browser; none by default.
        allowed_hosts: names that clients may call the server by; empty for any.

    Raises:
        ConfigError: a bound that is not positive, or a waiting time below 0.

    Example:
        >>> Settings(max_texts=10).max_texts, "secret" in repr(Settings(token="secret"))
        (10, False)
        >>> Settings.from_json(Settings(token="secret").to_json()).token
        'secret'
    """

    model_id: str | None = None
    pooling: str = "mean"
    layers: str | int | tuple[float, ...] = "mix"
    normalize: bool = False
    max_bytes: int = 4_000_000
    max_texts: int = 2048
    max_words: int = 50_000
    max_values: int = 2_000_000
    max_requests: int = 256
    max_waiting_words: int = 200_000
    batch_words: int = 4096
    batch_ms: float = 2.0
    timeout_s: float = 60.0
    token: str | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            bound = one.name.startswith("max_") or one.name in ("batch_words", "timeout_s")
            if (bound and not value > 0) or (one.name == "batch_ms" and not value >= 0):
                raise ConfigError(f"{one.name} is {value}; expected a positive number.")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise ConfigError("the token must be of printable ASCII characters, and not empty: it travels in a header.")

    def to_json(self) -> str:
        """The settings as text.

        Returns:
            a JSON object, the token included.
        """
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` wrote.

        Args:
            text: the JSON object.

        Returns:
            the settings.
        """
        values: dict[str, Any] = json.loads(text)
        for name, value in values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
