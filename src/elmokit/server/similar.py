"""POST /v1/similar: what is like a text, or like a word in it: among the request's own texts, or in an opened index.

query, texts          → the request's texts, ranked by cosine
query (server --db)   → the sentences of the index that are most like it
query, word (--db)    → the words and senses of the index that are used like this word in the query
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from elmokit.server.batches import Wanted
from elmokit.server.embeddings import MODEL_HELP, Usage, usage
from elmokit.server.refusals import RESPONSES, Refused
from elmokit.server.service import Service, json_answer
from elmokit.tasks.similar import directions, mean_of, nearest

if TYPE_CHECKING:
    from elmokit.index import WordIndex


class SimilarRequest(BaseModel):
    """A text, and what to compare it with."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, Field(description="The text to find the like of.")]
    texts: Annotated[
        list[str] | None, Field(description="Texts to rank; none looks in the index that the server opened.")
    ] = None
    word: Annotated[
        str | None, Field(description="A word of the query: look in the index for words that are used like it.")
    ] = None
    k: Annotated[int, Field(ge=1, le=1000, description="Answers at most.")] = 10
    centre: Annotated[bool, Field(description="Whether the mean of the texts' vectors is taken off first.")] = False
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None


class Occurrence(BaseModel):
    """A word of the index in its sentence."""

    text: str
    start: int
    end: int
    document: str
    row: int
    similarity: float


class Similar(BaseModel):
    """One answer: a text (of the request, or of the index) or a word (of the index)."""

    similarity: float
    text: str | None = None
    index: Annotated[int | None, Field(description="The text's place in the request.")] = None
    document: str | None = None
    row: int | None = None
    word: str | None = None
    sense: int | None = None
    sense_name: str | None = None
    count: int | None = None
    occurrences: list[Occurrence] | None = None


class SimilarAnswer(BaseModel):
    """Answers, best first."""

    object: Literal["list"]
    data: list[Similar]
    model: str
    usage: Usage


def router(service: Service) -> APIRouter:
    """The route.

    Args:
        service: what answers.

    Returns:
        a router.
    """
    routes = APIRouter(tags=["similar"])

    @routes.post("/v1/similar", response_model=None, responses={200: {"model": SimilarAnswer}, **RESPONSES})
    async def similar(request: SimilarRequest) -> Response:
        """What is like a text, or like a word in it."""
        service.check_model(request.model)
        cut = await service.cut([request.query, *(request.texts or ())], param="texts")
        n_words = sum(len(text.words) for text in cut)
        if request.texts is not None:
            data = await _among_texts(service, request, cut)
        else:
            data = await _in_index(service, request, n_words)
        return await json_answer(
            lambda: {"object": "list", "data": data, "model": service.model_id, "usage": usage(n_words)}
        )

    return routes


async def _among_texts(service: Service, request: SimilarRequest, cut: Any) -> list[dict[str, Any]]:
    if request.word is not None:
        raise Refused(400, "'word' asks the index, 'texts' are ranked as wholes; send one of them.", param="word")
    texts = request.texts or []
    if not texts:
        raise Refused(400, "'texts' is an empty list; send at least one text.", param="texts")
    vectors = await service.compute(Wanted(layers=service.settings.layers, pooling=service.settings.pooling), cut)
    rows: Any = vectors
    mean = mean_of(rows[1:]) if request.centre else None
    found = nearest(directions(rows[:1], mean=mean), directions(rows[1:], mean=mean), request.k)
    pairs = zip(found.rows[0].tolist(), found.cosines[0].tolist(), strict=True)
    return [{"index": row, "text": texts[row], "similarity": cosine} for row, cosine in pairs]


async def _in_index(service: Service, request: SimilarRequest, n_words: int) -> list[dict[str, Any]]:
    if service.index is None:
        raise Refused(400, "No index is open (elmokit serve --db DIR); send 'texts' to be ranked.", param="texts")
    index = service.index
    ask = _sentences if request.word is None else _words
    data: list[dict[str, Any]] = await service.call(lambda: ask(index, request), n_words=n_words + 1)
    return data


def _sentences(index: WordIndex, request: SimilarRequest) -> list[dict[str, Any]]:
    found = index.search_sentences(request.query, k=request.k)
    return [{"text": one.text, "document": one.document, "row": one.row, "similarity": one.similarity} for one in found]


def _words(index: WordIndex, request: SimilarRequest) -> list[dict[str, Any]]:
    found = index.most_similar(request.word, context=request.query, k=request.k)
    kept = set(Occurrence.model_fields)
    return [
        {
            "word": near.word,
            "similarity": near.similarity,
            "sense": near.sense,
            "sense_name": near.sense_name,
            "count": near.count,
            "occurrences": [
                {name: value for name, value in dataclasses.asdict(one).items() if name in kept}
                for one in near.occurrences
            ],
        }
        for near in found
    ]
