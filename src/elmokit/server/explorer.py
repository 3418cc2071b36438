"""The routes of the explorer: what its page asks about words in context.

A question carries its sentences along, and every answer holds all layers, so the layer slider of the page moves without
asking again.

    GET  /explorer/about     the model, its layers, the open index
    POST /explorer/read      sentences → their words
    POST /explorer/word      an occurrence → its neighbours, and the map of all occurrences of the word
    POST /explorer/compare   two sentences → similarities word by word
    POST /explorer/index     an occurrence → its neighbours in the index
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, StringConstraints

from elmokit.elmo import Elmo
from elmokit.index import Occurrence, WordIndex
from elmokit.index.description import scaled
from elmokit.index.senses import group_occurrences
from elmokit.plots import principal_plane
from elmokit.runtime.pooling import mix_layers
from elmokit.server.batching import EncodingTask
from elmokit.server.errors import RequestError
from elmokit.server.service import Service, SplitText, asked

Array = NDArray[Any]
Place = tuple[int, int]  # numbers of a sentence and of a word in it, from 0
Indexed = Sequence[tuple[Array, dict[str, str]]]
"""Occurrences from the index: the vectors of each by view, (L + 1, 2P), and its sentence in three parts."""

MAX_TEXTS, MAX_CHARACTERS, MAX_WORDS = 300, 4000, 6000
_TASK = EncodingTask(None, words=True)
_SAME = 1e-5  # smaller differences are rounding
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


@dataclass(frozen=True, eq=False)
class Reading:
    """A sentence of T words, their places in characters, (T, 2), and their vectors by view, (L + 1, T, 2P)."""

    words: tuple[str, ...]
    offsets: Array
    views: Array

    @classmethod
    def of(cls, elmo: Elmo, words: Sequence[str], offsets: Any, layers: Array) -> "Reading":
        """The reading of a sentence from the vectors of all its layers, (L, T, 2P)."""
        views = np.concatenate([layers, mix_layers(layers, elmo.layer_mix)[None]])
        places = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        return cls(tuple(words), places, scaled(views)[0])


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
        }
    )


@routes.post("/read")
async def read(request: Request) -> Response:
    """Sentences split into words, with what stands between them."""
    service, question = await asked(request, ReadQuestion)
    split = await service.split(question.texts, param="texts", max_words=MAX_WORDS)
    return service.respond(lambda: {"sentences": list(map(_pieces, question.texts, split))})


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
    split = await service.split(question.texts, param="texts", max_words=MAX_WORDS)
    sentence, number = _place(split, question.sentence, question.word)
    return service.respond(lambda: _in_index(opened, split[sentence].words, number))


async def _readings(request: Request, texts: Sequence[str]) -> list[Reading]:
    """Readings of sentences, in their order."""
    service: Service = request.app.state.service
    split = await service.split(texts, param="texts", max_words=MAX_WORDS)
    features = await service.compute(_TASK, split, max_values=MAX_WORDS * _TASK.width(service.elmo.config))
    return [
        Reading.of(service.elmo, words, offsets, layers.vectors)
        for (words, offsets), layers in zip(split, features, strict=True)
    ]


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


def _place(readings: Sequence[Reading | SplitText], sentence: int, word: int) -> Place:
    if sentence >= len(readings) or word >= len(readings[sentence].words):
        raise RequestError(400, f"There is no word {word} in sentence {sentence} (both counted from 0).")
    return sentence, word


def _pieces(text: str, split: SplitText) -> dict[str, Any]:
    pieces, end = [], 0
    for start, stop in split.offsets:
        pieces.append((text[end:start], text[start:stop]))
        end = stop
    return {"pieces": pieces, "tail": text[end:]}


def _in_index(index: WordIndex, words: list[str], number: int) -> dict[str, Any]:
    near = index.search(index.vector(words[number], words, position=number), k=_N_NEIGHBOURS)
    return {"neighbours": [{**_three_parts(one), "score": round(one.similarity, 4)} for one in near]}


def _around(readings: Sequence[Reading], indexed: Indexed, place: Place) -> dict[str, Any]:
    """What the page draws for an occurrence: its neighbours in every view, and the map of its word."""
    word = readings[place[0]].words[place[1]]
    places = places_of(word, readings)
    kept = places[:_ON_MAP] if place in places[:_ON_MAP] else [place, *places[: _ON_MAP - 1]]
    vectors = np.concatenate([vectors_of(kept, readings), *(views[:, None] for views, _ in indexed)], axis=1)
    points, explained = planes(vectors)
    senses, _ = group_occurrences(vectors[-1].astype(np.float32))
    own = [{"sentence": sentence, "word": number} for sentence, number in kept]
    others = [{"sentence": None, **parts} for _, parts in indexed]
    shown: list[dict[str, Any]] = [*own, *others]
    near = {"same": nearest(place, readings, same_word=True), "any": nearest(place, readings)}
    return {
        "word": word,
        "neighbours": {
            kind: [[{"sentence": i, "word": j, "score": round(score, 4)} for (i, j), score in view] for view in views]
            for kind, views in near.items()
        },
        "occurrences": [{**one, "sense": sense} for one, sense in zip(shown, senses.tolist(), strict=True)],
        "senses": _senses(vectors[-1], senses),
        "views": [{"points": _rounded(at), "explained": of} for at, of in zip(points, explained, strict=True)],
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


def places_of(word: str, readings: Sequence[Reading]) -> list[Place]:
    """Where a word occurs, capitals or not, in reading order."""
    wanted = word.casefold()
    return [place for place, other in _all_words(readings) if other.casefold() == wanted]


def vectors_of(places: Sequence[Place], readings: Sequence[Reading]) -> Array:
    """The vectors at N places by view. Shape (L + 1, N, 2P)."""
    return np.stack([readings[sentence].views[:, word] for sentence, word in places], axis=1)


def nearest(
    place: Place, readings: Sequence[Reading], *, k: int = 10, same_word: bool = False
) -> list[list[tuple[Place, float]]]:
    """The k nearest occurrences by cosine, in every view: of the same word, or of any with a letter or digit.

    Equally near ones come in reading order.
    """
    sentence, number = place
    if same_word:
        others = places_of(readings[sentence].words[number], readings)
    else:
        others = [other for other, text in _all_words(readings) if any(map(str.isalnum, text))]
    others = [other for other in others if other != place]
    own = readings[sentence].views[:, number]
    if not others:
        return [[] for _ in own]
    scores = np.einsum("vnd,vd->vn", vectors_of(others, readings), own)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[(others[i], float(view[i])) for i in best.tolist()] for view, best in zip(scores, order, strict=True)]


def planes(vectors: Array) -> tuple[Array, list[float]]:
    """A map of every view, (V, N, D) → (V, N, 2): its first two principal components; and the variance they explain.

    Each map is turned or mirrored to lie as the next one does (orthogonal Procrustes), so that a point's way from one
    to the next means something.
    """
    moved = vectors - vectors[:, :1]
    moved[np.abs(moved) < _SAME] = 0
    points, explained = zip(*map(principal_plane, moved), strict=True)
    aligned = np.stack(points)
    for i in reversed(range(len(aligned) - 1)):
        left, _, right = np.linalg.svd(aligned[i].T @ aligned[i + 1])
        aligned[i] = aligned[i] @ left @ right
    return aligned, list(explained)


def _all_words(readings: Sequence[Reading]) -> Iterator[tuple[Place, str]]:
    return (((i, j), word) for i, reading in enumerate(readings) for j, word in enumerate(reading.words))
