"""POST /v1/words: a vector per word, with the word's place in the text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from elmokit.features import WordVectors
from elmokit.server.batches import Wanted
from elmokit.server.embeddings import (
    FORMAT_HELP,
    LAYERS_HELP,
    MODEL_HELP,
    Format,
    LayersField,
    Usage,
    usage,
    wanted_layers,
)
from elmokit.server.refusals import RESPONSES, Refused
from elmokit.server.service import CutText, Service, float32_of, json_answer


class WordsRequest(BaseModel):
    """Texts whose words get vectors."""

    model_config = ConfigDict(extra="forbid")

    input: Annotated[str | list[str], Field(description="A text or a list of texts.")]
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None
    layers: Annotated[LayersField, Field(description=f"{LAYERS_HELP} Or each: every layer apart.")] = None
    encoding_format: Annotated[Format, Field(description=FORMAT_HELP)] = "float"


class WordsOfText(BaseModel):
    """A text's words."""

    index: int
    words: list[str]
    offsets: Annotated[list[tuple[int, int]], Field(description="Begin and end in characters (code points).")]
    shape: Annotated[list[int], Field(description="Of the vectors: words, width; or layers, words, width.")]
    vectors: list[list[float]] | list[list[list[float]]] | str


class WordsAnswer(BaseModel):
    """The words of each text, in the order of the texts."""

    object: Literal["list"]
    data: list[WordsOfText]
    model: str
    usage: Usage


def router(service: Service) -> APIRouter:
    """The route.

    Args:
        service: what answers.

    Returns:
        a router.
    """
    routes = APIRouter(tags=["words"])

    @routes.post("/v1/words", response_model=None, responses={200: {"model": WordsAnswer}, **RESPONSES})
    async def words(request: WordsRequest) -> Response:
        """A vector per word."""
        service.check_model(request.model)
        texts = [request.input] if isinstance(request.input, str) else request.input
        if not texts:
            raise Refused(400, "'input' is an empty list; send at least one text.", param="input")
        wanted = Wanted(words=True, layers=wanted_layers(request.layers, service.settings.layers))
        cut = await service.cut(texts)
        found = await service.compute(wanted, cut)
        return await json_answer(
            lambda: {
                "object": "list",
                "data": _words(cut, found, request.encoding_format),
                "model": service.model_id,
                "usage": usage(sum(len(text.words) for text in cut)),
            }
        )

    return routes


def _words(cut: Sequence[CutText], found: Sequence[WordVectors], encoding: Format) -> list[dict[str, Any]]:
    data = []
    for i, (text, one) in enumerate(zip(cut, found, strict=True)):
        vectors = float32_of(one.vectors)
        written: Any = base64.b64encode(vectors.tobytes()).decode() if encoding == "base64" else vectors.tolist()
        data.append(
            {"index": i, "words": text.words, "offsets": text.offsets, "shape": vectors.shape, "vectors": written}
        )
    return data
