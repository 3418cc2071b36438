"""POST /v1/embeddings and GET /v1/models, in the shape of OpenAI's API, so that clients of it work unchanged.

`elmokit`'s own choices (pooling, layers, length 1) may come along as further fields; fields that we do not know are
passed over, since other servers' clients send theirs. `usage` counts words, as this model cuts them.
Source: https://platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from elmokit.server.batches import Wanted
from elmokit.server.refusals import RESPONSES, Refused
from elmokit.server.service import Service, float32_of, json_answer

Weight = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
LayersField = str | int | list[Weight] | None
Format = Literal["float", "base64"]

POOLING_HELP = "mean, max, mean+max, first, last, first+last or sif; the server's own choice if not given."
LAYERS_HELP = "mix, all, the number of one layer, or a weight per layer; the server's own choice if not given."
FORMAT_HELP = "float: lists of numbers; base64: the bytes of little-endian float32."
MODEL_HELP = "The model's name, as GET /v1/models tells it, or 'default'."


class EmbeddingsRequest(BaseModel):
    """Texts to make vectors of."""

    input: Annotated[str | list[str], Field(description="A text or a list of texts; one without words gets zeros.")]
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None
    encoding_format: Annotated[Format | None, Field(description=FORMAT_HELP)] = None
    dimensions: Annotated[
        int | None, Field(description="Vectors can't be shortened: only their own width is accepted.")
    ] = None
    user: Annotated[str | None, Field(description="Not used.")] = None
    pooling: Annotated[str | None, Field(description=POOLING_HELP)] = None
    layers: Annotated[LayersField, Field(description=LAYERS_HELP)] = None
    normalize: Annotated[bool | None, Field(description="Whether vectors have length 1.")] = None


class Embedding(BaseModel):
    """A text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Words read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """A vector per text, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsAnswer(BaseModel):
    """The models that are served: one."""

    object: Literal["list"]
    data: list[Model]


def wanted_layers(layers: LayersField, otherwise: str | int | tuple[float, ...]) -> str | int | tuple[float, ...]:
    """The layers of a request, as a value that requests can be sorted by.

    Args:
        layers: of the request.
        otherwise: what holds where it does not say.

    Returns:
        as `Elmo.encode` takes them.
    """
    return tuple(layers) if isinstance(layers, list) else otherwise if layers is None else layers


def usage(n_words: int) -> dict[str, int]:
    """The usage part of an answer.

    Args:
        n_words: words read.

    Returns:
        counts under OpenAI's names.
    """
    return {"prompt_tokens": n_words, "total_tokens": n_words}


def router(service: Service) -> APIRouter:
    """The routes.

    Args:
        service: what answers.

    Returns:
        a router.
    """
    routes = APIRouter(tags=["OpenAI's shape"])
    model = {"id": service.model_id, "object": "model", "created": 0, "owned_by": "elmokit"}

    @routes.post("/v1/embeddings", response_model=None, responses={200: {"model": EmbeddingsAnswer}, **RESPONSES})
    async def embeddings(request: EmbeddingsRequest) -> Response:
        """One vector per text."""
        service.check_model(request.model)
        settings = service.settings
        wanted = Wanted(
            layers=wanted_layers(request.layers, settings.layers),
            pooling=settings.pooling if request.pooling is None else request.pooling,
            normalize=settings.normalize if request.normalize is None else request.normalize,
        )
        texts = [request.input] if isinstance(request.input, str) else request.input
        if not texts:
            raise Refused(400, "'input' is an empty list; send at least one text.", param="input")
        _check_width(request.dimensions, service, wanted)
        cut = await service.cut(texts)
        vectors = await service.compute(wanted, cut)
        n_words = sum(len(text.words) for text in cut)
        return await json_answer(
            lambda: {
                "object": "list",
                "data": _embeddings(vectors, request.encoding_format),
                "model": service.model_id,
                "usage": usage(n_words),
            }
        )

    @routes.get("/v1/models", responses={401: RESPONSES[401], 429: RESPONSES[429]})
    async def models() -> ModelsAnswer:
        """The models that are served."""
        return ModelsAnswer.model_validate({"object": "list", "data": [model]})

    @routes.get("/v1/models/{name:path}", responses={code: RESPONSES[code] for code in (401, 404, 429)})
    async def one_model(name: str) -> Model:
        """One model."""
        service.check_model(name)
        return Model.model_validate(model)

    return routes


def _check_width(dimensions: int | None, service: Service, wanted: Wanted) -> None:
    width = service.width(wanted)
    if dimensions not in (None, width):
        message = f"Vectors of this model are {width} wide with these layers and pooling, and can't be shortened."
        raise Refused(400, message, param="dimensions")


def _embeddings(vectors: Any, encoding: Format | None) -> list[dict[str, Any]]:
    rows = float32_of(vectors)
    if encoding == "base64":
        written: list[Any] = [base64.b64encode(row.tobytes()).decode() for row in rows]
    else:
        written = rows.tolist()
    return [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(written)]
