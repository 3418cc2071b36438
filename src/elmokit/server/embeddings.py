"""POST /v1/embeddings and GET /v1/models in the shape of OpenAI's API, so that its clients work unchanged.

Fields of elmokit's own (pooling, layers, normalize) may come along; unknown fields are ignored, since clients of other
servers send theirs. `usage` counts words. Source: https://platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, FailFast, Field, StrictBool, StrictInt, StrictStr

from elmokit.encoding import Encoding
from elmokit.server.batching import EncodingTask
from elmokit.server.errors import RESPONSES, RequestError
from elmokit.server.service import Service


class FirstError(FailFast):
    """Stop at the first wrong item of a list; hashable, so that it can be part of a union."""

    __hash__ = object.__hash__


Number = Annotated[StrictInt | float, Field(ge=-1000, le=1000)]
LayersField = (
    Annotated[StrictStr, Field(max_length=10)] | StrictInt | Annotated[list[Number], Field(max_length=64), FirstError()]
)
WeightsField = Annotated[list[Number], Field(max_length=64), FirstError()] | None
Texts = Annotated[list[StrictStr], FirstError()]
Format = Literal["float", "base64"]

POOLING_HELP = "mean, max, mean+max, first, last, first+last or sif. Default: the server's setting."
LAYERS_HELP = "mix, all, or the numbers of layers (0 is the token layer). Default: the server's setting."
WEIGHTS_HELP = "One weight per layer, instead of layers."
FORMAT_HELP = "float: lists of numbers; base64: the bytes of little-endian float32."
MODEL_HELP = "Name of the model, as in GET /v1/models, or 'default'."


class EmbeddingsRequest(BaseModel):
    """Texts to embed."""

    input: Annotated[StrictStr | Texts, Field(description="A text or a list of texts; one without words gets zeros.")]
    model: Annotated[str | None, Field(description=MODEL_HELP)] = None
    encoding_format: Annotated[Format | None, Field(description=FORMAT_HELP)] = None
    dimensions: Annotated[int | None, Field(description="Only the width of the model's vectors is accepted.")] = None
    pooling: Annotated[str | None, Field(description=POOLING_HELP, max_length=100)] = None
    layers: Annotated[LayersField | None, Field(description=LAYERS_HELP)] = None
    layer_weights: Annotated[WeightsField, Field(description=WEIGHTS_HELP)] = None
    normalize: Annotated[StrictBool | None, Field(description="Whether vectors have length 1.")] = None


class EmbeddingItem(BaseModel):
    """A text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Number of words read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """A vector per text, in the order of the texts."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: Usage


class ModelItem(BaseModel):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsAnswer(BaseModel):
    """The models that are served: one."""

    object: Literal["list"]
    data: list[ModelItem]


def encoding_of(default: Encoding, **chosen: Any) -> Encoding:
    """The encoding of a request: the server's, but for what the request chose (None where it does not say)."""
    given = {name: value for name, value in chosen.items() if value is not None}
    values = {**default.to_dict(), **given}
    if "layers" in given and "layer_weights" not in given:
        values["layer_weights"] = None
    elif "layer_weights" in given and "layers" not in given:
        values["layers"] = "mix"
    return Encoding.from_dict(values)


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The description of a route's body for OpenAPI: routes read bodies themselves, off the event loop."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def texts_of(texts: str | list[str]) -> list[str]:
    """The field `input` as a list of texts, at least one."""
    if not texts and not isinstance(texts, str):
        raise RequestError(400, "'input' is an empty list; send at least one text.", param="input")
    return [texts] if isinstance(texts, str) else texts


def numbers_of(vectors: NDArray[Any], encoding: Format | None) -> Any:
    """Vectors of any shape as JSON holds them: nested lists, or the bytes of little-endian float32 in base64."""
    array = np.ascontiguousarray(vectors, dtype="<f4")
    return base64.b64encode(array.tobytes()).decode() if encoding == "base64" else array.tolist()


def router(service: Service, prefix: str = "/v1") -> APIRouter:
    """The routes under a prefix."""
    routes = APIRouter(prefix=prefix, tags=["OpenAI's API"])
    model = {"id": service.model_id, "object": "model", "created": 0, "owned_by": "elmokit"}
    refused: dict[int | str, dict[str, Any]] = {code: RESPONSES[code] for code in (400, 401, 403, 404, 429)}

    @routes.post(
        "/embeddings",
        responses={200: {"model": EmbeddingsAnswer}, **RESPONSES},
        openapi_extra=body_of(EmbeddingsRequest),
    )
    async def embeddings(request: Request) -> Response:
        """Embed texts: one vector per text."""
        body = await service.read(request, EmbeddingsRequest)
        service.check_model(body.model)
        chosen = body.model_dump(include={"pooling", "layers", "layer_weights", "normalize"})
        task = EncodingTask(encoding_of(service.settings.encoding, **chosen))
        texts, width = texts_of(body.input), task.width(service.elmo.config)
        if body.dimensions not in (None, width):
            message = f"Vectors of this model are {width} wide with these layers and pooling, and can't be shortened."
            raise RequestError(400, message, param="dimensions")
        split = await service.split(texts)
        vectors = await service.compute(task, [text.words for text in split])
        items = (
            {"object": "embedding", "index": i, "embedding": numbers_of(vector, body.encoding_format)}
            for i, vector in enumerate(vectors)
        )
        return service.answer(items, sum(len(text.words) for text in split), n_values=vectors.size)

    @routes.get("/models", responses=refused)
    @routes.get("/models/", include_in_schema=False)
    async def models() -> ModelsAnswer:
        """List the models that are served."""
        return ModelsAnswer.model_validate({"object": "list", "data": [model]})

    @routes.get("/models/{name:path}", responses=refused)
    async def one_model(name: str) -> ModelItem:
        """Describe one model."""
        service.check_model(name)
        return ModelItem.model_validate(model)

    return routes
