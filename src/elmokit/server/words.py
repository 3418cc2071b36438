"""POST /v1/words: a vector per word, with the word's place in the text."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from elmokit.server.batching import EncodingTask
from elmokit.server.embeddings import (
    FORMAT_HELP,
    LAYERS_HELP,
    MODEL_HELP,
    WEIGHTS_HELP,
    Format,
    LayersField,
    Texts,
    Usage,
    WeightsField,
    body_of,
    encoding_of,
    numbers_of,
    texts_of,
)
from elmokit.server.errors import RESPONSES
from elmokit.server.service import Service


class WordsRequest(BaseModel):
    """Texts whose words are embedded."""

    model_config = ConfigDict(extra="forbid")

    input: Annotated[StrictStr | Texts, Field(description="A text or a list of texts.")]
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None
    layers: Annotated[LayersField | None, Field(description=f"{LAYERS_HELP} Or each: every layer apart.")] = None
    layer_weights: Annotated[WeightsField, Field(description=WEIGHTS_HELP)] = None
    encoding_format: Annotated[Format, Field(description=FORMAT_HELP)] = "float"


class WordsItem(BaseModel):
    """The words of a text."""

    index: int
    words: list[str]
    offsets: Annotated[list[tuple[int, int]], Field(description="Begin and end in characters (code points).")]
    shape: Annotated[list[int], Field(description="Of the vectors: words, width; or layers, words, width.")]
    vectors: list[list[float]] | list[list[list[float]]] | str


class WordsAnswer(BaseModel):
    """The words of each text, in the order of the texts."""

    object: Literal["list"]
    data: list[WordsItem]
    model: str
    usage: Usage


def router(service: Service, prefix: str = "/v1") -> APIRouter:
    """The route under a prefix."""
    routes = APIRouter(prefix=prefix, tags=["Words"])

    @routes.post("/words", responses={200: {"model": WordsAnswer}, **RESPONSES}, openapi_extra=body_of(WordsRequest))
    async def words(request: Request) -> Response:
        """Embed the words of texts: one vector per word."""
        body = await service.read(request, WordsRequest)
        service.check_model(body.model)
        each = body.layers == "each"
        chosen = {} if each else {"layers": body.layers, "layer_weights": body.layer_weights}
        task = EncodingTask(encoding_of(service.settings.encoding, **chosen), words=True, each=each)
        split = await service.split(texts_of(body.input))
        features = await service.compute(task, [text.words for text in split])
        n_values = sum(one.vectors.size for one in features)
        items = (
            {
                "index": i,
                "words": text.words,
                "offsets": text.offsets,
                "shape": one.vectors.shape,
                "vectors": numbers_of(one.vectors, body.encoding_format),
            }
            for i, (text, one) in enumerate(zip(split, features, strict=True))
        )
        return service.answer(items, sum(len(text.words) for text in split), n_values=n_values)

    return routes
