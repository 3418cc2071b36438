"""What the routes share: bodies, words of texts and answers, within the limits and off the event loop.

Parsing, splitting texts into words and writing answers run on a few threads, in pieces, so that neither a large request
nor a slow reader holds up the others.
"""

import asyncio
import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from elmokit.blocks import blocks
from elmokit.elmo import Elmo
from elmokit.index import WordIndex
from elmokit.server.batching import BatchQueue, EncodingTask, QueueClosed, QueueFull
from elmokit.server.errors import NOT_JSON, RequestError, busy, invalid, shutting_down, too_large
from elmokit.server.settings import Settings
from elmokit.text.tokens import get_tokenizer

T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)

_JSON = TypeAdapter(Any)
_N_THREADS = 4
_TEXT_CHARACTERS = 50_000  # that are split at a time; between two pieces other requests have their turn
_WORD_CHARACTERS = 512  # of a word that reach the model: none reads further, and its cache must not hold more
_SLOW_BYTES = 1_000_000  # of a body that may be parsed by Python, slower and into more memory
_CHUNK_BYTES = 65_536
_LARGE_ANSWER, _N_LARGE_ANSWERS = 100_000, 8  # numbers in a large answer, and how many are held until clients read them


class SplitText(NamedTuple):
    """A text's T words, and begin and end of each in the text, in characters."""

    words: list[str]
    offsets: list[tuple[int, int]]


class Service:
    """A model with its queue, its limits and (if there is one) an opened index."""

    def __init__(self, elmo: Elmo, queue: BatchQueue, settings: Settings, index: WordIndex | None = None) -> None:
        self.elmo, self.queue, self.settings, self.index = elmo, queue, settings, index
        self.model_id = settings.model_id or PurePath(elmo.name).name or "elmokit"  # of a folder, its name alone
        self._tokenize = get_tokenizer(elmo.config.tokenizer)
        self._threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="elmokit-http")
        self._running: set[Future[Any]] = set()
        self._closed_cleanly = True
        self._large_answers = asyncio.Semaphore(_N_LARGE_ANSWERS)

    @property
    def is_busy(self) -> bool:
        """Whether threads are still at work that nobody waits for, after `close`."""
        return not self._closed_cleanly or any(not future.done() for future in self._running)

    def close(self, timeout_s: float | None = None) -> None:
        """End all threads, after what waits is done or the time is over."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._closed_cleanly = self.queue.close(timeout_s)

    def check_model(self, name: str | None) -> None:
        """Refuse a request for another model; None, "" and "default" are always this one."""
        if name not in (None, "", "default", self.model_id):
            message = f"There is no such model here; this server has {self.model_id!r} (or say 'default')."
            raise RequestError(404, message, param="model", code="model_not_found")

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function on a thread, which goes on when the request is cancelled."""
        try:
            future = self._threads.submit(function)
        except RuntimeError:  # after `close`
            raise shutting_down() from None
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    async def split(
        self, texts: Sequence[str], *, param: str = "input", max_words: int | None = None
    ) -> list[SplitText]:
        """Texts → words. Beyond a limit the rest is not split; `param` is the field that the texts came in."""
        max_texts, max_words = self.settings.max_texts, max_words or self.settings.max_words
        if len(texts) > max_texts:
            raise too_large(f"{len(texts):,} texts; a request may have {max_texts:,}.", param)
        split: list[SplitText] = []
        n_words = 0
        for block in blocks(texts, max_texts, weigh=lambda text: len(text) + 1, most=_TEXT_CHARACTERS):
            split += await self.run(partial(self._split, block))
            n_words += sum(len(text.words) for text in split[-len(block) :])
            if n_words > max_words:
                raise too_large(f"More than {max_words:,} words; send fewer at once.", param)
        return split

    def _split(self, texts: Sequence[str]) -> list[SplitText]:
        tokens = [self._tokenize(text) for text in texts]
        return [SplitText([one.word for one in text], [(one.start, one.end) for one in text]) for text in tokens]

    async def compute(self, task: EncodingTask, texts: Sequence[SplitText], *, max_values: int | None = None) -> Any:
        """Vectors of N texts, as `EncodingTask.compute` gives them, within the limit of numbers."""
        width = task.width(self.elmo.config)
        n_vectors = sum(len(text.words) for text in texts) if task.words else len(texts)
        max_values = max_values or self.settings.max_values
        if n_vectors * width > max_values:
            message = f"{n_vectors:,} vectors of {width:,} numbers; an answer may have {max_values:,} numbers."
            raise too_large(message, "input")
        sentences = [[word[:_WORD_CHARACTERS] for word in text.words] for text in texts]
        try:
            return await asyncio.wrap_future(self.queue.submit(task, sentences))
        except QueueFull as full:
            raise busy("Too many words wait for the model", full.retry_after) from None
        except QueueClosed:
            raise shutting_down() from None

    def answer(self, items: Iterable[Mapping[str, Any]], texts: Iterable[SplitText], *, n_values: int = 0) -> Response:
        """An answer with a list, in OpenAI's shape. Reading its numbers gives the same float32 back.

        Items are made and written on a thread, when the answer is sent; `n_values` is the number of numbers in them.
        """
        n_words = sum(len(text.words) for text in texts)
        usage = {"prompt_tokens": n_words, "total_tokens": n_words}
        tail = written({"model": self.model_id, "usage": usage})[1:]

        def whole() -> bytes:
            return b'{"object":"list","data":[' + b",".join(map(written, items)) + b"]," + tail

        return _LateResponse(partial(self.run, whole), self._large_answers if n_values > _LARGE_ANSWER else None)

    def respond(self, make: Callable[[], object]) -> Response:
        """An answer with a JSON value, which is made on a thread."""
        return _LateResponse(lambda: self.run(lambda: written(make())), None)


async def asked(request: Request, model: type[Body]) -> tuple[Service, Body]:
    """The service, and the checked body of a request for its model, whatever its Content-Type says."""
    service: Service = request.app.state.service
    body = await request.body()
    checked = await service.run(lambda: validated(body, model))
    service.check_model(getattr(checked, "model", None))
    return service, checked


class _LateResponse(Response):
    """A JSON body that is written when it is sent, and sent no faster than the client reads."""

    def __init__(self, whole: Callable[[], Any], limit: asyncio.Semaphore | None) -> None:
        super().__init__(media_type="application/json")
        self._whole, self._limit = whole, limit or nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async with self._limit:
            body: bytes = await self._whole()
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for start in range(0, len(body), _CHUNK_BYTES):
                chunk, more = body[start : start + _CHUNK_BYTES], start + _CHUNK_BYTES < len(body)
                await send({"type": "http.response.body", "body": chunk, "more_body": more})


def written(value: object) -> bytes:
    """A value as JSON; unpaired surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return _JSON.dump_json(value)
    except ValueError:
        return json.dumps(value).encode()


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
    """Check JSON without making Python objects of what does not fit. Raises RequestError."""
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
