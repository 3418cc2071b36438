"""The routes of the explorer: what its page asks about words in context.

A question carries its sentences along, and every answer holds all layers, so the layer slider of the page moves without
asking again. Readings of recent sentences are kept, within a bound in bytes.

    GET  /explorer/about     the model, its layers, the open index, the limits
    POST /explorer/read      sentences → their words
    POST /explorer/word      an occurrence → its neighbours, and the map of all occurrences of the word
    POST /explorer/compare   two sentences → similarities word by word
    POST /explorer/index     an occurrence → its neighbours in the index
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, StringConstraints

from elmokit.elmo import Elmo
from elmokit.server.batching import EncodingTask
from elmokit.server.errors import RequestError, too_large
from elmokit.server.occurrences import (
    Place,
    Reading,
    ReadingCache,
    WordNeighbour,
    make_reading,
    nearest,
    places_of,
    planes,
    sense_numbers,
    similarities,
    vectors_of,
)
from elmokit.server.service import Service, written

if TYPE_CHECKING:
    from elmokit.index import Occurrence, WordIndex

Array = NDArray[Any]

MAX_TEXTS = 300
MAX_CHARACTERS = 4000
MAX_WORDS = 6000
MAX_ON_MAP = 200
MAX_FROM_INDEX = 150
N_NEIGHBOURS = 10

Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
Texts = Annotated[list[Text], Field(max_length=MAX_TEXTS), FailFast()]
Number = Annotated[int, Field(ge=0)]


class ReadQuestion(BaseModel):
    """Sentences to split into words."""

    texts: Texts


class WordQuestion(BaseModel):
    """A word of one of the sentences, and whether the map shows the index's occurrences of it too."""

    texts: Texts
    sentence: Number
    word: Number
    with_index: bool = False


class CompareQuestion(BaseModel):
    """Two sentences to compare."""

    first: Text
    second: Text


class IndexQuestion(BaseModel):
    """A word of a sentence, to be looked up in the index."""

    text: Text
    word: Number


@dataclass(frozen=True, eq=False)
class _IndexedWord:
    """An occurrence from the index: its vectors by view, and its sentence in three parts."""

    vectors: Array
    parts: dict[str, str]


def router(service: Service) -> APIRouter:
    """The routes under "/explorer/"."""
    routes = APIRouter(prefix="/explorer", include_in_schema=False)
    explorer = _Explorer(service)

    @routes.get("/about")
    async def about() -> Response:
        """The model, its views, and the open index."""
        return await explorer.answer(explorer.about)

    @routes.post("/read")
    async def read(request: Request) -> Response:
        """Sentences split into words, with what stands between them."""
        question = await service.read(request, ReadQuestion)
        readings = await explorer.read(question.texts)
        return await explorer.answer(lambda: {"sentences": [_pieces(reading) for reading in readings]})

    @routes.post("/word")
    async def word(request: Request) -> Response:
        """Neighbours of an occurrence, and the map of its word."""
        question = await service.read(request, WordQuestion)
        readings = await explorer.read(question.texts)
        place = _place(readings, question.sentence, question.word)
        indexed = await explorer.from_index(readings, place) if question.with_index else []
        return await explorer.answer(partial(_answer, readings, indexed, place))

    @routes.post("/compare")
    async def compare(request: Request) -> Response:
        """Similarities of two sentences' words."""
        question = await service.read(request, CompareQuestion)
        first, second = await explorer.read([question.first, question.second])
        return await explorer.answer(
            lambda: {"first": first.words, "second": second.words, "views": _rounded(similarities(first, second))}
        )

    @routes.post("/index")
    async def index(request: Request) -> Response:
        """The nearest occurrences in the index, in the layers that it was built from."""
        question = await service.read(request, IndexQuestion)
        if service.index is None:
            raise RequestError(404, "No index is open: start with `elmokit explore --db DIR`.")
        (reading,) = await explorer.read([question.text])
        return await explorer.answer(partial(_in_index, service.index, reading, question.word))

    return routes


class _Explorer:
    """The model as the explorer uses it: through the server's queue, with a cache of readings."""

    def __init__(self, service: Service) -> None:
        self.service, self.elmo = service, service.elmo
        self._cache = ReadingCache()

    async def answer(self, make: Callable[[], object]) -> Response:
        """A JSON answer that is made on a thread."""
        body = await self.service.run(lambda: written(make()))
        return Response(body, media_type="application/json")

    def about(self) -> dict[str, Any]:
        views, index = _views(self.elmo), self.service.index
        return {
            "model": self.elmo.name,
            "dim": self.elmo.dim,
            "views": views,
            "start": len(views) - 2,
            "index": None if index is None else dict(index.about()),
            "limits": {"texts": MAX_TEXTS, "characters": MAX_CHARACTERS, "words": MAX_WORDS},
        }

    async def read(self, texts: Sequence[str]) -> list[Reading]:
        """Readings of sentences, in their order; equal sentences share one."""
        readings = {text: reading for text in texts if (reading := self._cache.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in readings]
        if missing:
            split = await self.service.split(missing, param="texts", max_words=MAX_WORDS)
            task = EncodingTask(words=True, each=True)
            sentences = [text.words for text in split]
            features = await self.service.compute(task, sentences, max_values=MAX_WORDS * task.width(self.elmo.config))
            for text, words, layers in zip(missing, split, features, strict=True):
                readings[text] = make_reading(self.elmo, text, words.words, words.offsets, layers.vectors)
                self._cache.put(readings[text])
        if sum(len(readings[text].words) for text in texts) > MAX_WORDS:
            raise too_large(f"More than {MAX_WORDS:,} words; send fewer at once.", "texts")
        return [readings[text] for text in texts]

    async def from_index(self, readings: Sequence[Reading], place: Place) -> list[_IndexedWord]:
        """The index's occurrences of a word, read again here: the index keeps one layer, the map shows all."""
        index = self.service.index
        if index is None:
            return []
        word = readings[place.sentence].words[place.word]
        occurrences = await self.service.run(partial(index.occurrences, word, limit=MAX_FROM_INDEX))
        again = await self.read([one.text for one in occurrences])
        return [
            _IndexedWord(reading.views[:, places[0]], _three_parts(one))
            for one, reading in zip(occurrences, again, strict=True)
            if len(places := np.flatnonzero((reading.offsets == (one.start, one.end)).all(axis=1)))
        ]


def _views(elmo: Elmo) -> list[dict[str, str]]:
    """Names of the layers and what they see; the layer mix last."""
    what = "words" if elmo.config.char_cnn is None else "characters"
    named = [(what, f"The {what} alone: a word has one vector, wherever it stands.")]
    if elmo.n_layers == 3:
        named.append(("syntax", "First LSTM layer: more about the role of the word in its sentence."))
        named.append(("meaning", "Second LSTM layer: more about what the word means here."))
    else:
        last = elmo.n_layers - 1
        named += [(f"layer {i}", f"LSTM layer {i} of {last}.") for i in range(1, elmo.n_layers)]
    shares = " + ".join(f"{share:.2f}" for share in elmo.layer_mix.shares(elmo.n_layers))
    named.append(("layer mix", f"All layers, weighted {shares}: what encode gives by default."))
    return [{"name": name, "about": about} for name, about in named]


def _place(readings: Sequence[Reading], sentence: int, word: int) -> Place:
    if sentence >= len(readings) or word >= len(readings[sentence].words):
        raise RequestError(400, f"There is no word {word} in sentence {sentence} (both counted from 0).")
    return Place(sentence, word)


def _pieces(reading: Reading) -> dict[str, Any]:
    pieces, end = [], 0
    for start, stop in reading.offsets.tolist():
        pieces.append((reading.text[end:start], reading.text[start:stop]))
        end = stop
    return {"pieces": pieces, "tail": reading.text[end:]}


def _in_index(index: WordIndex, reading: Reading, number: int) -> dict[str, Any]:
    word = reading.words[_place([reading], 0, number).word]
    vector = index.vector(word, list(reading.words), position=number)
    near = index.search(vector, k=N_NEIGHBOURS)
    return {"neighbours": [{**_three_parts(one), "score": round(one.similarity, 4)} for one in near]}


def _answer(readings: Sequence[Reading], indexed: Sequence[_IndexedWord], place: Place) -> dict[str, Any]:
    """What the page draws for an occurrence: its neighbours in every view, and the map of its word."""
    word = readings[place.sentence].words[place.word]
    places = places_of(word, readings)
    kept = places[:MAX_ON_MAP] if place in places[:MAX_ON_MAP] else [place, *places[: MAX_ON_MAP - 1]]
    vectors = np.concatenate([vectors_of(kept, readings), *(one.vectors[:, None] for one in indexed)], axis=1)
    points, shares = planes(vectors)
    senses = sense_numbers(vectors[-1])
    own: list[dict[str, Any]] = [{"sentence": one.sentence, "word": one.word} for one in kept]
    others: list[dict[str, Any]] = [{"sentence": None, **one.parts} for one in indexed]
    return {
        "word": word,
        "left_out": len(places) - len(kept),
        "neighbours": {
            "same": _lines(nearest(place, readings, k=N_NEIGHBOURS, same_word=True)),
            "any": _lines(nearest(place, readings, k=N_NEIGHBOURS)),
        },
        "occurrences": [{**one, "sense": sense} for one, sense in zip([*own, *others], senses.tolist(), strict=True)],
        "senses": _senses(vectors[-1], senses),
        "views": [{"points": _rounded(at), "shares": _rounded(of)} for at, of in zip(points, shares, strict=True)],
    }


def _senses(vectors: Array, senses: Array) -> list[dict[str, int]]:
    """Every sense's size, and its most typical occurrence: the one nearest to the mean."""
    sizes = []
    for sense in range(int(senses.max()) + 1):
        members = np.flatnonzero(senses == sense)
        mean = vectors[members].mean(axis=0)
        sizes.append({"size": len(members), "typical": int(members[(vectors[members] @ mean).argmax()])})
    return sizes


def _lines(neighbours: Sequence[Sequence[WordNeighbour]]) -> list[list[dict[str, Any]]]:
    return [
        [{"sentence": at.place.sentence, "word": at.place.word, "score": round(at.score, 4)} for at in view]
        for view in neighbours
    ]


def _three_parts(one: Occurrence) -> dict[str, str]:
    return {
        "before": one.text[: one.start],
        "text": one.text[one.start : one.end],
        "after": one.text[one.end :],
        "document": one.document,
    }


def _rounded(array: Array) -> Any:
    return array.astype(np.float64).round(4).tolist()
