"""The explorer: a page to look at words in context, and the questions that it asks.

The page is plain files inside the package (`page/`): no build step, nothing from elsewhere, no outside requests, which
the Content-Security-Policy holds the browser to. They are read into memory once and served under fixed names, so no
path of a request ever reaches the file system. A question carries its sentences along; the server remembers none but in
a bounded cache, and every answer holds all layers, so the layer slider moves without asking again.

    GET  /                   the page;  GET /page/NAME  its parts
    GET  /explorer/about     the model, its layers, the open index, the limits
    POST /explorer/read      sentences → their words
    POST /explorer/word      an occurrence → its neighbours, and the map of all occurrences of the word
    POST /explorer/compare   two sentences → similarities word by word
    POST /explorer/index     an occurrence → its neighbours in the index
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, Field, StringConstraints

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError
from elmokit.server.occurrences import (
    Neighbour,
    Place,
    Reader,
    Reading,
    nearest,
    places_of,
    planes,
    sense_numbers,
    similarities,
    vectors_of,
)

if TYPE_CHECKING:
    import uvicorn

    from elmokit.index import Occurrence as IndexOccurrence
    from elmokit.index import WordIndex

Array = NDArray[Any]

PORT = 8765
MAX_TEXTS = 300
MAX_CHARACTERS = 4000
MAX_WORDS = 6000
MAX_ON_MAP = 200
MAX_FROM_INDEX = 150
N_NEIGHBOURS = 10

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
"""Of every part of the page: nothing from elsewhere, nothing inline, in nobody's frame."""

_KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], Field(max_length=MAX_TEXTS)]
Number = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, eq=False)
class _Found:
    """An occurrence from the index: its vectors by view, and its sentence in three parts."""

    vectors: Array
    parts: dict[str, str]


class Sentences(BaseModel):
    """Sentences to read."""

    texts: Texts


class Occurrence(BaseModel):
    """A word of one of the sentences, and whether the map shows the index's occurrences of it too."""

    texts: Texts
    sentence: Number
    word: Number
    with_index: bool = False


class Pair(BaseModel):
    """Two sentences to compare."""

    first: Text
    second: Text


class IndexQuestion(BaseModel):
    """A word of a sentence, to be looked up in the index."""

    text: Text
    word: Number


def router(elmo: Elmo, index: WordIndex | None = None) -> APIRouter:
    """The explorer's routes, for `FastAPI.include_router`.

    Args:
        elmo: the model.
        index: an opened `elmokit.index` of occurrences; None for none.

    Returns:
        a router for the page at "/" and the questions under "/explorer/".

    Example:
        ``app = FastAPI(); app.include_router(router(Elmo.load()))``
    """
    routes = APIRouter(tags=["explorer"])
    _add_page(routes)
    _add_questions(routes, elmo, index)
    return routes


def explorer_app(elmo: Elmo, index: WordIndex | None = None) -> FastAPI:
    """An application with the explorer and nothing else, for this machine alone.

    It answers to the names of this machine only, so a foreign page cannot reach it under a name of its own (DNS
    rebinding).

    Args:
        elmo: the model.
        index: an opened index; None for none.

    Returns:
        an ASGI application.
    """
    app = FastAPI(title="elmokit explorer", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.include_router(router(elmo, index))

    @app.exception_handler(RequestValidationError)
    def refused(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": "; ".join(one["msg"] for one in error.errors())}, status_code=422)

    return app


def run_explorer(
    elmo: Elmo, index: WordIndex | None = None, *, port: int | None = None, on_ready: Callable[[str], None]
) -> None:
    """Serve the explorer on this machine until it is interrupted.

    Args:
        elmo: the model.
        index: an opened index; None for none.
        port: where to; None takes `PORT` if it is free, else any.
        on_ready: called with the page's address once it can be opened, on a thread of its own.

    Raises:
        ConfigError: the port is taken, or not ours to take.
    """
    import uvicorn

    with _listener(port) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio leaves Nagle's delay on: 40 ms
        server = uvicorn.Server(
            uvicorn.Config(explorer_app(elmo, index), log_level="warning", ws="none", lifespan="off")
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        threading.Thread(target=_when_started, args=(server, address, on_ready), daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listener(port: int | None) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", PORT if port is None else port))
    except (OSError, OverflowError) as error:
        if port is None:
            return socket.create_server(("127.0.0.1", 0))
        raise ConfigError(
            f"port {port} can't be used ({error}); choose another, or none for any that is free."
        ) from None


def _when_started(server: uvicorn.Server, address: str, on_ready: Callable[[str], None]) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    on_ready(address)


def _add_page(routes: APIRouter) -> None:
    folder = files("elmokit.server") / "page"
    parts = {part.name: part.read_bytes() for part in folder.iterdir() if part.name.rpartition(".")[2] in _KINDS}

    def answer(name: str) -> Response:
        return Response(parts[name], media_type=_KINDS[name.rpartition(".")[2]], headers=dict(HEADERS))

    @routes.get("/", include_in_schema=False)
    def page() -> Response:
        return answer("index.html")

    @routes.get("/page/{name}", include_in_schema=False)
    def part(name: str) -> Response:
        if name not in parts:
            raise HTTPException(404, "no such part of the page")
        return answer(name)


def _add_questions(routes: APIRouter, elmo: Elmo, index: WordIndex | None) -> None:
    reader = Reader(elmo, n_words=2 * MAX_WORDS)

    @routes.get("/explorer/about")
    def about() -> dict[str, Any]:
        """The model, its views, and the open index."""
        views = _views(elmo)
        return {
            "model": elmo.name,
            "dim": elmo.dim,
            "views": views,
            "start": len(views) - 2,
            "index": None if index is None else dict(index.about()),
            "limits": {"texts": MAX_TEXTS, "characters": MAX_CHARACTERS, "words": MAX_WORDS},
        }

    @routes.post("/explorer/read")
    def read(question: Sentences) -> dict[str, Any]:
        """Sentences cut into words, with what stands between them."""
        return {"sentences": [_cut(reading) for reading in _read(reader, question.texts)]}

    @routes.post("/explorer/word")
    def word(question: Occurrence) -> dict[str, Any]:
        """Neighbours of an occurrence, and the map of its word."""
        readings = _read(reader, question.texts)
        place = _place(readings, question.sentence, question.word)
        beyond = _from_index(reader, index, readings, place) if question.with_index and index is not None else []
        return _answer(readings, beyond, place)

    @routes.post("/explorer/compare")
    def compare(question: Pair) -> dict[str, Any]:
        """Similarities of two sentences' words."""
        first, second = _read(reader, [question.first, question.second])
        return {"first": first.words, "second": second.words, "views": _rounded(similarities(first, second))}

    @routes.post("/explorer/index")
    def in_index(question: IndexQuestion) -> dict[str, Any]:
        """The nearest occurrences in the index, in the layers that it was built from."""
        if index is None:
            raise HTTPException(404, "No index is open: start with `elmokit explore --db DIR`.")
        (reading,) = _read(reader, [question.text])
        word = reading.words[_place([reading], 0, question.word).word]
        vector = index.vector(word, list(reading.words), position=question.word)
        found = index.search(vector, k=N_NEIGHBOURS)
        return {"neighbours": [{**_three_parts(one), "score": round(one.similarity, 4)} for one in found]}


def _views(elmo: Elmo) -> list[dict[str, str]]:
    """Names of the layers and what they see; the layer mix last."""
    what = "words" if elmo.config.char_cnn is None else "characters"
    named = [(what, f"The {what} alone: a word has one vector, wherever it stands.")]
    if elmo.n_layers == 3:
        named.append(("syntax", "First LSTM layer: more of the part that the word plays in its sentence."))
        named.append(("meaning", "Second LSTM layer: more of what the word means here."))
    else:
        last = elmo.n_layers - 1
        named += [(f"layer {i}", f"LSTM layer {i} of {last}.") for i in range(1, elmo.n_layers)]
    shares = " + ".join(f"{share:.2f}" for share in elmo.layer_mix.shares(elmo.n_layers))
    named.append(("layer mix", f"All layers, in the shares {shares}: what encode gives by itself."))
    return [{"name": name, "about": about} for name, about in named]


def _read(reader: Reader, texts: Sequence[str]) -> list[Reading]:
    readings = reader.read(texts)
    n_words = sum(len(reading.words) for reading in readings)
    if n_words > MAX_WORDS:
        raise HTTPException(413, f"These are {n_words:,} words; the explorer reads up to {MAX_WORDS:,} at a time.")
    return readings


def _place(readings: Sequence[Reading], sentence: int, word: int) -> Place:
    if sentence >= len(readings) or word >= len(readings[sentence].words):
        raise HTTPException(422, f"There is no word {word} in sentence {sentence} (both counted from 0).")
    return Place(sentence, word)


def _cut(reading: Reading) -> dict[str, Any]:
    pieces, end = [], 0
    for start, stop in reading.offsets.tolist():
        pieces.append((reading.text[end:start], reading.text[start:stop]))
        end = stop
    return {"pieces": pieces, "tail": reading.text[end:]}


def _from_index(reader: Reader, index: WordIndex, readings: Sequence[Reading], place: Place) -> list[_Found]:
    """The index's occurrences of a word, read again here: the index keeps one layer, the map shows all."""
    word = readings[place.sentence].words[place.word]
    found = index.occurrences(word, limit=MAX_FROM_INDEX)
    read = _read(reader, [one.text for one in found])
    return [
        _Found(reading.views[:, places[0]], _three_parts(one))
        for one, reading in zip(found, read, strict=True)
        if len(places := np.flatnonzero((reading.offsets == (one.start, one.end)).all(axis=1)))
    ]


def _answer(readings: Sequence[Reading], beyond: Sequence[_Found], place: Place) -> dict[str, Any]:
    """What the page draws for an occurrence: its neighbours in every view, and the map of its word."""
    word = readings[place.sentence].words[place.word]
    places = places_of(word, readings)
    kept = places[:MAX_ON_MAP] if place in places[:MAX_ON_MAP] else [place, *places[: MAX_ON_MAP - 1]]
    vectors = np.concatenate([vectors_of(kept, readings), *(one.vectors[:, None] for one in beyond)], axis=1)
    points, shares = planes(vectors)
    senses = sense_numbers(vectors[-1])
    of_own: list[dict[str, Any]] = [{"sentence": own.sentence, "word": own.word} for own in kept]
    of_index: list[dict[str, Any]] = [{"sentence": None, **one.parts} for one in beyond]
    return {
        "word": word,
        "left_out": len(places) - len(kept),
        "neighbours": {
            "same": _lines(nearest(place, readings, k=N_NEIGHBOURS, same_word=True)),
            "any": _lines(nearest(place, readings, k=N_NEIGHBOURS)),
        },
        "occurrences": [
            {**one, "sense": sense} for one, sense in zip([*of_own, *of_index], senses.tolist(), strict=True)
        ],
        "senses": _senses(vectors[-1], senses),
        "views": [{"points": _rounded(at), "shares": _rounded(of)} for at, of in zip(points, shares, strict=True)],
    }


def _senses(vectors: Array, senses: Array) -> list[dict[str, int]]:
    """Every sense's size, and its most typical occurrence: the one nearest to the middle."""
    told = []
    for sense in range(int(senses.max()) + 1):
        members = np.flatnonzero(senses == sense)
        middle = vectors[members].mean(axis=0)
        told.append({"size": len(members), "typical": int(members[(vectors[members] @ middle).argmax()])})
    return told


def _lines(found: Sequence[Sequence[Neighbour]]) -> list[list[dict[str, Any]]]:
    return [
        [{"sentence": at.place.sentence, "word": at.place.word, "score": round(at.score, 4)} for at in view]
        for view in found
    ]


def _three_parts(found: IndexOccurrence) -> dict[str, str]:
    text = found.text
    return {
        "before": text[: found.start],
        "text": text[found.start : found.end],
        "after": text[found.end :],
        "document": found.document,
    }


def _rounded(array: Array) -> Any:
    return array.astype(np.float64).round(4).tolist()
