"""What the routes share: a request's texts → words within the bounds → results of the model, without blocking anybody.

Cutting texts and writing answers take time in proportion to the request, so they run on threads; the model has its own
(`elmokit.server.batches`); the event loop only passes things on. Everything that can go wrong on the way becomes a
`Refused` here.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import TypeAdapter

from elmokit.elmo import Elmo
from elmokit.server.batches import Batches, Closed, Full, Wanted
from elmokit.server.refusals import Refused
from elmokit.server.settings import Settings
from elmokit.text.tokens import get_tokenizer

if TYPE_CHECKING:
    from elmokit.index import WordIndex


_JSON = TypeAdapter(Any)
_WIDTHS_KEPT = 1000


@dataclass(frozen=True, eq=False)
class CutText:
    """A text's words and where each stands.

    Args:
        words: T words.
        offsets: begin and end in characters. Shape (T, 2).
    """

    words: list[str]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Service:
    """A model, its queue, its bounds.

    Args:
        elmo: the model.
        batches: its thread.
        settings: the bounds.
        index: an opened index; None for none.
    """

    elmo: Elmo
    batches: Batches
    settings: Settings
    index: WordIndex | None = None
    _widths: dict[Wanted, int] = field(default_factory=dict, repr=False)

    @property
    def model_id(self) -> str:
        """The name that clients ask for; of a model from a folder, the folder's name alone."""
        return self.settings.model_id or PurePath(self.elmo.name).name or "elmokit"

    def check_model(self, name: str | None) -> None:
        """Refuse a request for another model.

        Args:
            name: as in the request; None and "default" are always this one.

        Raises:
            Refused: another model.
        """
        if name not in (None, "default", self.model_id):
            message = f"There is no such model here; this server has {self.model_id!r} (or say 'default')."
            raise Refused(404, message, param="model", code="model_not_found")

    async def cut(self, texts: Sequence[str], *, param: str = "input") -> list[CutText]:
        """Texts → words, within the bounds.

        Args:
            texts: N texts.
            param: the field that they came in.

        Returns:
            the words of each.

        Raises:
            Refused: too many texts or words.
        """
        if len(texts) > self.settings.max_texts:
            raise _too_much(f"{len(texts):,} texts", f"{self.settings.max_texts:,} in a request", param)
        found = await asyncio.to_thread(self._cut, texts)
        n_words = sum(len(text.words) for text in found)
        if n_words > self.settings.max_words:
            raise _too_much(f"{n_words:,} words", f"{self.settings.max_words:,} in a request", param)
        return found

    def _cut(self, texts: Sequence[str]) -> list[CutText]:
        tokenize = get_tokenizer(self.elmo.config.tokenizer)
        cut = [tokenize(text) for text in texts]
        return [CutText([one.word for one in text], [(one.start, one.end) for one in text]) for text in cut]

    async def compute(self, wanted: Wanted, texts: Sequence[CutText]) -> Any:
        """Vectors of texts, as `Elmo` gives them.

        Args:
            wanted: which.
            texts: N texts.

        Returns:
            N results in order (see `Wanted.of`).

        Raises:
            ConfigError: layers or a pooling that the model does not have.
            Refused: too many numbers, a full queue, or too long a wait.
        """
        per_vector = self.width(wanted)
        n_vectors = sum(len(text.words) for text in texts) if wanted.words else len(texts)
        if n_vectors * per_vector > self.settings.max_values:
            raise _too_much(
                f"{n_vectors:,} vectors of {per_vector:,} numbers", f"{self.settings.max_values:,} numbers", "input"
            )
        sentences = [text.words for text in texts]
        return await self._promised(lambda: self.batches.submit(wanted, sentences))

    def width(self, wanted: Wanted) -> int:
        """Numbers per vector; of all layers together where they are kept apart.

        Args:
            wanted: which vectors.

        Returns:
            the width, found by asking the model for a text without words; remembered, since some poolings prepare much.

        Raises:
            ConfigError: layers or a pooling that the model does not have.
        """
        if wanted not in self._widths:
            nothing = wanted.of(self.elmo, [[]])[0]
            shape = nothing.vectors.shape if wanted.words else nothing.shape
            if len(self._widths) >= _WIDTHS_KEPT:
                self._widths.clear()
            self._widths[wanted] = math.prod(size for size in shape if size)
        return self._widths[wanted]

    async def call(self, function: Callable[[], Any], *, n_words: int = 1) -> Any:
        """Something else that uses the model, on its thread.

        Args:
            function: what.
            n_words: what it costs, in words.

        Returns:
            what the function returns.

        Raises:
            Refused: a full queue, or too long a wait.
        """
        return await self._promised(lambda: self.batches.call(function, n_words=n_words))

    async def _promised(self, submit: Callable[[], Future[Any]]) -> Any:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(submit()), self.settings.timeout_s)
        except Full as full:
            message = f"Too many words wait for the model; try again in {full.retry_after} s."
            raise Refused(429, message, code="busy", headers={"Retry-After": str(full.retry_after)}) from None
        except Closed:
            raise Refused(503, "The server is shutting down.", code="shutting_down") from None
        except asyncio.TimeoutError:
            message = f"No answer within {self.settings.timeout_s:g} s; ask for less at once."
            raise Refused(504, message, code="timeout") from None


def _too_much(what: str, bound: str, param: str) -> Refused:
    return Refused(413, f"{what}; this server takes up to {bound}.", param=param, code="too_large")


def float32_of(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """An array as it is sent: float32, little-endian, row by row.

    Args:
        vectors: of any float type and shape.

    Returns:
        the array.
    """
    return np.ascontiguousarray(vectors, dtype="<f4")


async def json_answer(make: Callable[[], object]) -> Response:
    """An answer that is put together and written on a thread.

    Args:
        make: gives the body, of JSON types.

    Returns:
        the response. Numbers are written so that reading them gives the same float32 back.
    """
    return Response(await asyncio.to_thread(lambda: _written(make())), media_type="application/json")


def _written(body: object) -> bytes:
    try:
        return _JSON.dump_json(body)
    except ValueError:  # a word with an unpaired surrogate, which only an escape can say
        return json.dumps(body).encode()
