"""The routes of the explorer: what its page asks about words in context.

A question carries its sentences along, and every answer holds all layers, so the layer slider of the page moves without
asking again. Readings of recent sentences are kept, within a bound in bytes.

    GET  /explorer/about     the model, its layers, the open index, the limits
    POST /explorer/read      sentences → their words
    POST /explorer/word      an occurrence → its neighbours, and the map of all occurrences of the word
    POST /explorer/compare   two sentences → similarities word by word
    POST /explorer/index     an occurrence → its neighbours in the index
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, StringConstraints

from elmokit.elmo import Elmo
from elmokit.index import Occurrence, WordIndex
from elmokit.index.senses import group_occurrences
from elmokit.server.batching import EncodingTask
from elmokit.server.errors import RequestError, too_large
from elmokit.server.occurrences import Place, Reading, nearest, places_of, planes, vectors_of
from elmokit.server.service import Service, asked

Array = NDArray[Any]
Indexed = Sequence[tuple[Array, dict[str, str]]]
"""Occurrences from the index: the vectors of each by view, (L + 1, 2P), and its sentence in three parts."""

MAX_TEXTS, MAX_CHARACTERS, MAX_WORDS = 300, 4000, 6000
_ON_MAP, _FROM_INDEX, _N_NEIGHBOURS = 200, 150, 10

Texts = Annotated[
    list[Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]], Field(max_length=MAX_TEXTS), FailFast()
]
Number = Annotated[int, Field(ge=0)]


class ReadQuestion(BaseModel):
    """Sentences."""

    texts: Texts


class WordQuestion(ReadQuestion):
    """A word of one of the sentences, and whether the map shows the index's occurrences of it too."""

    sentence: Number
    word: Number
    with_index: bool = False


routes = APIRouter(prefix="/explorer")


@routes.get("/about")
async def about(request: Request) -> Response:
    """The model, its views, and the open index."""
    service: Service = request.app.state.service
    elmo, index = service.elmo, service.index
    return service.respond(
        lambda: {
            "model": elmo.name,
            "dim": elmo.dim,
            "views": _views(elmo),
            "start": elmo.n_layers - 1,
            "index": None if index is None else index.about(),
            "limits": {"texts": MAX_TEXTS, "characters": MAX_CHARACTERS, "words": MAX_WORDS},
        }
    )


@routes.post("/read")
async def read(request: Request) -> Response:
    """Sentences split into words, with what stands between them."""
    service, question = await asked(request, ReadQuestion)
    readings = await _readings(request, question.texts)
    return service.respond(lambda: {"sentences": [_pieces(reading) for reading in readings]})


@routes.post("/word")
async def word(request: Request) -> Response:
    """Neighbours of an occurrence, and the map of its word."""
    service, question = await asked(request, WordQuestion)
    readings = await _readings(request, question.texts)
    place = _place(readings, question.sentence, question.word)
    indexed = await _from_index(request, readings, place) if question.with_index else []
    return service.respond(lambda: _around(readings, indexed, place))


@routes.post("/compare")
async def compare(request: Request) -> Response:
    """Cosines of every word of one sentence with every word of another, in every view."""
    service, question = await asked(request, ReadQuestion)
    if len(question.texts) != 2:
        raise RequestError(400, f"{len(question.texts)} texts; expected two to compare.", param="texts")
    first, second = await _readings(request, question.texts)
    return service.respond(
        lambda: {
            "first": first.words,
            "second": second.words,
            "views": _rounded(np.clip(first.views @ second.views.swapaxes(1, 2), -1.0, 1.0)),  # (L + 1, T, S)
        }
    )


@routes.post("/index")
async def index(request: Request) -> Response:
    """The nearest occurrences in the index, in the layers that it was built from."""
    service, question = await asked(request, WordQuestion)
    opened = service.index
    if opened is None:
        raise RequestError(404, "No index is open: start with `elmokit explore --db DIR`.")
    readings = await _readings(request, question.texts)
    sentence, number = _place(readings, question.sentence, question.word)
    return service.respond(lambda: _in_index(opened, readings[sentence], number))


async def _readings(request: Request, texts: Sequence[str]) -> list[Reading]:
    """Readings of sentences, in their order; equal sentences share one."""
    service, cache = request.app.state.service, request.app.state.readings
    readings = {text: reading for text in texts if (reading := cache.get(text)) is not None}
    missing = [text for text in dict.fromkeys(texts) if text not in readings]
    if missing:
        split = await service.split(missing, param="texts", max_words=MAX_WORDS)
        task = EncodingTask(words=True, each=True)
        features = await service.compute(task, split, max_values=MAX_WORDS * task.width(service.elmo.config))
        for text, (words, offsets), layers in zip(missing, split, features, strict=True):
            readings[text] = Reading.of(service.elmo, text, words, offsets, layers.vectors)
            cache.put(readings[text])
    if sum(len(readings[text].words) for text in texts) > MAX_WORDS:
        raise too_large(f"More than {MAX_WORDS:,} words; send fewer at once.", "texts")
    return [readings[text] for text in texts]


async def _from_index(request: Request, readings: Sequence[Reading], place: Place) -> Indexed:
    """The index's occurrences of a word, read again here: the index keeps one layer, the map shows all."""
    service: Service = request.app.state.service
    if (opened := service.index) is None:
        return []
    word = readings[place[0]].words[place[1]]
    occurrences = await service.run(lambda: opened.occurrences(word, limit=_FROM_INDEX))
    again = await _readings(request, [one.text for one in occurrences])
    return [
        (reading.views[:, places[0]], _three_parts(one))
        for one, reading in zip(occurrences, again, strict=True)
        if len(places := np.flatnonzero((reading.offsets == (one.start, one.end)).all(axis=1)))
    ]


def _views(elmo: Elmo) -> list[dict[str, str]]:
    """Names of the layers and what they see; the layer mix last."""
    what, last = "words" if elmo.config.char_cnn is None else "characters", elmo.n_layers - 1
    named = [(what, f"The {what} alone: a word has one vector, wherever it stands.")]
    if elmo.n_layers == 3:
        named.append(("syntax", "First LSTM layer: more about the role of the word in its sentence."))
        named.append(("meaning", "Second LSTM layer: more about what the word means here."))
    else:
        named += [(f"layer {i}", f"LSTM layer {i} of {last}.") for i in range(1, elmo.n_layers)]
    shares = " + ".join(f"{share:.2f}" for share in elmo.layer_mix.shares(elmo.n_layers))
    named.append(("layer mix", f"All layers, weighted {shares}: what encode gives by default."))
    return [{"name": name, "about": about} for name, about in named]


def _place(readings: Sequence[Reading], sentence: int, word: int) -> Place:
    if sentence >= len(readings) or word >= len(readings[sentence].words):
        raise RequestError(400, f"There is no word {word} in sentence {sentence} (both counted from 0).")
    return sentence, word


def _pieces(reading: Reading) -> dict[str, Any]:
    pieces, end = [], 0
    for start, stop in reading.offsets.tolist():
        pieces.append((reading.text[end:start], reading.text[start:stop]))
        end = stop
    return {"pieces": pieces, "tail": reading.text[end:]}


def _in_index(index: WordIndex, reading: Reading, number: int) -> dict[str, Any]:
    vector = index.vector(reading.words[number], list(reading.words), position=number)
    near = index.search(vector, k=_N_NEIGHBOURS)
    return {"neighbours": [{**_three_parts(one), "score": round(one.similarity, 4)} for one in near]}


def _around(readings: Sequence[Reading], indexed: Indexed, place: Place) -> dict[str, Any]:
    """What the page draws for an occurrence: its neighbours in every view, and the map of its word."""
    word = readings[place[0]].words[place[1]]
    places = places_of(word, readings)
    kept = places[:_ON_MAP] if place in places[:_ON_MAP] else [place, *places[: _ON_MAP - 1]]
    vectors = np.concatenate([vectors_of(kept, readings), *(views[:, None] for views, _ in indexed)], axis=1)
    points, shares = planes(vectors)
    senses, _ = group_occurrences(vectors[-1].astype(np.float32))
    own = [{"sentence": sentence, "word": number} for sentence, number in kept]
    others = [{"sentence": None, **parts} for _, parts in indexed]
    shown: list[dict[str, Any]] = [*own, *others]
    near = {"same": nearest(place, readings, same_word=True), "any": nearest(place, readings)}
    return {
        "word": word,
        "left_out": len(places) - len(kept),
        "neighbours": {
            kind: [[{"sentence": i, "word": j, "score": round(score, 4)} for (i, j), score in view] for view in views]
            for kind, views in near.items()
        },
        "occurrences": [{**one, "sense": sense} for one, sense in zip(shown, senses.tolist(), strict=True)],
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


def _three_parts(one: Occurrence) -> dict[str, str]:
    before, after = one.text[: one.start], one.text[one.end :]
    return {"before": before, "text": one.surface, "after": after, "document": one.document}


def _rounded(array: Array) -> Any:
    return array.astype(np.float64).round(4).tolist()
