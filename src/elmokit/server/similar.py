"""POST /v1/similar: texts, sentences of an index or words of an index that are most similar to a query.

query, texts          → the request's texts, by cosine
query (server --db)   → the most similar sentences of the index
query, word (--db)    → words and senses of the index that are used as this word is used in the query
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from elmokit.server.batching import EncodingTask
from elmokit.server.embeddings import MODEL_HELP, Texts, Usage, body_of
from elmokit.server.errors import RESPONSES, RequestError
from elmokit.server.service import Service
from elmokit.tasks.similar import directions, mean_of, nearest

if TYPE_CHECKING:
    from elmokit.index import WordIndex

_QUERY_WORDS = 2000
"""Words of a query of the index."""


class SimilarRequest(BaseModel):
    """A query, and what to compare it with."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[StrictStr, Field(description="The text to find similar ones for.")]
    texts: Annotated[Texts | None, Field(description="Texts to rank. Default: look in the server's index.")] = None
    word: Annotated[
        StrictStr | None, Field(description="A word of the query: look in the index for words used alike.")
    ] = None
    k: Annotated[int, Field(ge=1, le=1000, description="Number of answers at most.")] = 10
    centre: Annotated[bool, Field(description="Whether the mean vector of the texts is subtracted first.")] = False
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None


class OccurrenceItem(BaseModel):
    """A word of the index in its sentence."""

    text: str
    start: int
    end: int
    document: str
    row: int
    similarity: float


class SimilarItem(BaseModel):
    """One answer: a text (of the request or of the index) or a word (of the index)."""

    similarity: float
    text: str | None = None
    index: Annotated[int | None, Field(description="Position of the text in the request.")] = None
    document: str | None = None
    row: int | None = None
    word: str | None = None
    sense: int | None = None
    sense_name: str | None = None
    count: int | None = None
    occurrences: list[OccurrenceItem] | None = None


class SimilarAnswer(BaseModel):
    """Answers, best first."""

    object: Literal["list"]
    data: list[SimilarItem]
    model: str
    usage: Usage


def router(service: Service, prefix: str = "/v1") -> APIRouter:
    """The route under a prefix."""
    routes = APIRouter(prefix=prefix, tags=["Similarity"])

    @routes.post(
        "/similar", responses={200: {"model": SimilarAnswer}, **RESPONSES}, openapi_extra=body_of(SimilarRequest)
    )
    async def similar(request: Request) -> Response:
        """Find what is similar to a text, or to a word in it."""
        body = await service.read(request, SimilarRequest)
        service.check_model(body.model)
        max_words = _QUERY_WORDS if body.texts is None else None
        split = await service.split([body.query, *(body.texts or ())], param="texts", max_words=max_words)
        sentences = [text.words for text in split]
        if body.texts is not None:
            items = await _among_texts(service, body, sentences)
        elif service.index is None:
            message = "No index is open (elmokit serve --db DIR); send 'texts' to be ranked."
            raise RequestError(400, message, param="texts")
        else:
            ask = _sentences if body.word is None else _words
            items = await service.run(partial(ask, service.index, body))
        return service.answer(items, sum(map(len, sentences)))

    return routes


async def _among_texts(service: Service, body: SimilarRequest, sentences: list[list[str]]) -> list[dict[str, Any]]:
    if body.word is not None:
        raise RequestError(400, "'word' asks the index, 'texts' are ranked whole; send one of them.", param="word")
    texts = body.texts or []
    if not texts:
        raise RequestError(400, "'texts' is an empty list; send at least one text.", param="texts")
    task = EncodingTask(service.settings.encoding)
    rows: np.ndarray[Any, Any] = await service.compute(task, sentences)

    def ranked() -> list[dict[str, Any]]:
        mean = mean_of(rows[1:]) if body.centre else None
        best = nearest(directions(rows[:1], mean=mean), directions(rows[1:], mean=mean), body.k)
        pairs = zip(best.rows[0].tolist(), best.cosines[0].tolist(), strict=True)
        return [{"index": row, "text": texts[row], "similarity": cosine} for row, cosine in pairs]

    return await service.run(ranked)


def _sentences(index: WordIndex, body: SimilarRequest) -> list[dict[str, Any]]:
    return [_picked(one, SimilarItem) for one in index.search_sentences(body.query, k=body.k)]


def _words(index: WordIndex, body: SimilarRequest) -> list[dict[str, Any]]:
    return [
        {**_picked(near, SimilarItem), "occurrences": [_picked(one, OccurrenceItem) for one in near.occurrences]}
        for near in index.most_similar(body.word, context=body.query, topn=body.k)
    ]


def _picked(thing: Any, model: type[BaseModel]) -> dict[str, Any]:
    """The attributes that a model has."""
    return {name: getattr(thing, name) for name in model.model_fields if hasattr(thing, name)}
