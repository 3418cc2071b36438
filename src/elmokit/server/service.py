"""What the routes share: bodies, words of texts and answers, within the limits and off the event loop.

Parsing, splitting texts into words and writing answers run on a few threads, in pieces, so that neither a large request
nor a slow reader holds up the others; the model has threads of its own (`elmokit.server.batching`).
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from elmokit.elmo import Elmo
from elmokit.server.batching import BatchQueue, EncodingTask, QueueClosed, QueueFull
from elmokit.server.errors import NOT_JSON, RequestError, invalid
from elmokit.server.settings import Settings
from elmokit.text.tokens import get_tokenizer

if TYPE_CHECKING:
    from elmokit.index import WordIndex

T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)

_JSON = TypeAdapter(Any)
_N_THREADS = 4
_TEXT_CHARACTERS = 50_000
"""Characters that are split at a time; between two pieces other requests have their turn."""
_WORD_CHARACTERS = 512
"""Characters of a word that reach the model. No model reads further, and its cache must not hold more."""
_SLOW_BYTES = 1_000_000
"""Size of a body that may be parsed by Python, slower and into more memory."""
_CHUNK_BYTES = 65_536
_LARGE_ANSWER, _N_LARGE_ANSWERS = 100_000, 8
"""Answers of more numbers than this are large; so many are held at a time, until the client has read them."""


@dataclass(frozen=True, eq=False)
class SplitText:
    """A text's words.

    Args:
        words: T words.
        offsets: begin and end of each in the text, in characters. Shape (T, 2).
    """

    words: list[str]
    offsets: list[tuple[int, int]]


class Service:
    """A model, its queue and its limits.

    Args:
        elmo: the model.
        queue: its queue.
        settings: the limits.
        index: an opened index; None for none.
    """

    def __init__(self, elmo: Elmo, queue: BatchQueue, settings: Settings, index: WordIndex | None = None) -> None:
        self.elmo, self.queue, self.settings, self.index = elmo, queue, settings, index
        self._tokenize = get_tokenizer(elmo.config.tokenizer)
        self._threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="elmokit-http")
        self._running: set[Future[Any]] = set()
        self._closed_cleanly = True
        self._large_answers = asyncio.Semaphore(_N_LARGE_ANSWERS)

    @property
    def model_id(self) -> str:
        """The name that clients ask for; of a model from a folder, the folder's name alone."""
        return self.settings.model_id or PurePath(self.elmo.name).name or "elmokit"

    @property
    def is_busy(self) -> bool:
        """Whether threads are still at work that nobody waits for, after `close`."""
        return not self._closed_cleanly or any(not future.done() for future in self._running)

    def close(self, timeout_s: float | None = None) -> None:
        """End all threads, after what waits is done.

        Args:
            timeout_s: seconds to wait for that; None for no limit.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._closed_cleanly = self.queue.close(timeout_s)

    def check_model(self, name: str | None) -> None:
        """Refuse a request for another model.

        Args:
            name: as in the request; None, "" and "default" are always this one.

        Raises:
            RequestError: another model.
        """
        if name not in (None, "", "default", self.model_id):
            message = f"There is no such model here; this server has {self.model_id!r} (or say 'default')."
            raise RequestError(404, message, param="model", code="model_not_found")

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function on a thread.

        Args:
            function: what to call; its thread goes on when the request is cancelled.

        Returns:
            what it returns.
        """
        try:
            future = self._threads.submit(function)
        except RuntimeError:  # after `close`
            raise _shutting_down() from None
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    async def read(self, request: Request, model: type[Body]) -> Body:
        """The body of a request, whatever its Content-Type says.

        Args:
            request: the request.
            model: what the body must be.

        Returns:
            the checked body.

        Raises:
            RequestError: not JSON, or not what the model says; only the first mistake is looked for.
        """
        body = await request.body()
        return await self.run(lambda: validated(body, model))

    async def split(
        self, texts: Sequence[str], *, param: str = "input", max_texts: int | None = None, max_words: int | None = None
    ) -> list[SplitText]:
        """Texts → words, within the limits.

        Args:
            texts: N texts.
            param: the field that they came in.
            max_texts: texts allowed; None for the setting.
            max_words: words allowed; None for the setting.

        Returns:
            the words of each.

        Raises:
            RequestError: too many texts or words; the rest is not split.
        """
        max_texts, max_words = max_texts or self.settings.max_texts, max_words or self.settings.max_words
        if len(texts) > max_texts:
            raise too_much(f"{len(texts):,} texts; a request may have {max_texts:,}.", param)
        split: list[SplitText] = []
        n_words = 0
        for block in _blocks(texts):
            split += await self.run(partial(self._split, block))
            n_words += sum(len(text.words) for text in split[-len(block) :])
            if n_words > max_words:
                raise too_much(f"More than {max_words:,} words; send fewer at once.", param)
        return split

    def _split(self, texts: Sequence[str]) -> list[SplitText]:
        tokens = [self._tokenize(text) for text in texts]
        return [SplitText([one.word for one in text], [(one.start, one.end) for one in text]) for text in tokens]

    async def compute(
        self, task: EncodingTask, sentences: Sequence[Sequence[str]], *, max_values: int | None = None
    ) -> Any:
        """Vectors of texts, as `Elmo` gives them.

        Args:
            task: which vectors.
            sentences: the words of N texts.
            max_values: numbers allowed; None for the setting.

        Returns:
            N results in order (see `EncodingTask.compute`).

        Raises:
            ConfigError: layers or a pooling that the model does not have.
            RequestError: too many numbers, or a full queue.
        """
        width = task.width(self.elmo.config)
        n_vectors = sum(map(len, sentences)) if task.words else len(sentences)
        max_values = max_values or self.settings.max_values
        if n_vectors * width > max_values:
            message = f"{n_vectors:,} vectors of {width:,} numbers; an answer may have {max_values:,} numbers."
            raise too_much(message, "input")
        shortened = [[word[:_WORD_CHARACTERS] for word in words] for words in sentences]
        try:
            return await asyncio.wrap_future(self.queue.submit(task, shortened))
        except QueueFull as full:
            message = f"Too many words wait for the model; try again in {full.retry_after} s."
            headers = {"Retry-After": str(full.retry_after)}
            raise RequestError(429, message, code="busy", headers=headers) from None
        except QueueClosed:
            raise _shutting_down() from None

    def answer(self, items: Iterable[Mapping[str, Any]], n_words: int, *, n_values: int) -> Response:
        """An answer with a list, in OpenAI's shape.

        Args:
            items: the list; each item is made and written on a thread, when its turn comes.
            n_words: words that were read.
            n_values: numbers in the answer.

        Returns:
            the response. Reading its numbers gives the same float32 back.
        """
        usage = {"prompt_tokens": n_words, "total_tokens": n_words}
        tail = written({"model": self.model_id, "usage": usage})[1:]

        async def whole() -> bytes:
            return await self.run(lambda: b'{"object":"list","data":[' + b",".join(map(written, items)) + b"]," + tail)

        return _ListResponse(whole, self._large_answers if n_values > _LARGE_ANSWER else None)


class _ListResponse(Response):
    """A JSON body that is written when it is sent, and sent no faster than the client reads."""

    def __init__(self, whole: Callable[[], Any], limit: asyncio.Semaphore | None) -> None:
        super().__init__(media_type="application/json")
        self._whole, self._limit = whole, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if self._limit is None:
            await self._send(send)
        else:
            async with self._limit:
                await self._send(send)

    async def _send(self, send: Send) -> None:
        body: bytes = await self._whole()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        view = memoryview(body)
        for start in range(0, len(body), _CHUNK_BYTES):
            chunk = bytes(view[start : start + _CHUNK_BYTES])
            more = start + _CHUNK_BYTES < len(body)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


def too_much(message: str, param: str) -> RequestError:
    """An error for a request beyond a limit.

    Args:
        message: what came and what is allowed.
        param: the field.

    Returns:
        the error.
    """
    return RequestError(413, message, param=param, code="too_large")


def written(value: object) -> bytes:
    """A value as JSON.

    Args:
        value: of JSON types and mappings.

    Returns:
        the bytes; unpaired surrogates, which UTF-8 cannot hold, are escaped.
    """
    try:
        return _JSON.dump_json(value)
    except ValueError:
        return json.dumps(value).encode()


def float32_of(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """An array as it is sent: float32, little-endian, row by row.

    Args:
        vectors: of any float type and shape.

    Returns:
        the array.
    """
    return np.ascontiguousarray(vectors, dtype="<f4")


@contextmanager
def _collection_paused() -> Iterator[None]:
    paused = gc.isenabled()
    gc.disable()  # pydantic copies wrong values into its errors; collecting takes four times as long as copying them
    try:
        yield
    finally:
        if paused:
            gc.enable()


@_collection_paused()
def validated(body: bytes, model: type[Body]) -> Body:
    """Check JSON without making Python objects of what does not fit.

    Args:
        body: the JSON.
        model: what it must be.

    Returns:
        the checked body.

    Raises:
        RequestError: not JSON, or not what the model says.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        wrong = invalid(error)
    if wrong.code == NOT_JSON and len(body) <= _SLOW_BYTES:  # Python's parser reads unpaired surrogates and UTF-16
        try:
            return model.model_validate(json.loads(body))
        except ValidationError as error:
            wrong = invalid(error)
        except (ValueError, RecursionError):
            pass
    raise wrong


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, n_characters = 0, 0
    for i, text in enumerate(texts):
        n_characters += len(text) + 1
        if n_characters > _TEXT_CHARACTERS:
            yield texts[start : i + 1]
            start, n_characters = i + 1, 0
    if start < len(texts):
        yield texts[start:]


def _shutting_down() -> RequestError:
    return RequestError(503, "The server is shutting down.", code="shutting_down")
