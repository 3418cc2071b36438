"""The routes under /v1: embeddings and models in the shape of OpenAI's API, words, similar. `usage` counts words.

Source: https://platform.openai.com/docs/api-reference/embeddings.
"""

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from elmokit.encoding import Encoding
from elmokit.index import WordIndex
from elmokit.server import schemas
from elmokit.server.batching import EncodingTask
from elmokit.server.errors import RESPONSES, RequestError
from elmokit.server.service import Service, asked
from elmokit.tasks.similar import directions, nearest

_QUERY_WORDS = 2000  # of a query of the index

routes = APIRouter()


def _described(request: type[BaseModel]) -> dict[str, Any]:
    """The description of a route for OpenAPI: routes read bodies themselves, off the event loop."""
    schema = request.model_json_schema(ref_template="#/components/schemas/{model}")
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    responses = {200: {"model": schemas.ListAnswer}, **RESPONSES}
    return {"tags": ["Vectors"], "responses": responses, "openapi_extra": {"requestBody": body}}


@routes.post("/embeddings", include_in_schema=False)  # some base URLs lack /v1
@routes.post("/v1/embeddings", **_described(schemas.EmbeddingsRequest))
async def embeddings(request: Request) -> Response:
    """Embed texts: one vector per text."""
    service, body = await asked(request, schemas.EmbeddingsRequest)
    chosen = body.model_dump(include={"pooling", "layers", "layer_weights", "normalize"})
    task = EncodingTask(_encoding_of(service.settings.encoding, **chosen))
    texts, width = _texts_of(body.input), task.width(service.elmo.config)
    if body.dimensions not in (None, width):
        raise RequestError(400, f"Vectors are {width} wide here, and can't be shortened.", param="dimensions")
    split = await service.split(texts)
    vectors = await service.compute(task, split)
    items = (
        {"object": "embedding", "index": i, "embedding": _numbers_of(vector, body.encoding_format)}
        for i, vector in enumerate(vectors)
    )
    return service.answer(items, split, n_values=vectors.size)


@routes.post("/words", include_in_schema=False)
@routes.post("/v1/words", **_described(schemas.WordsRequest))
async def words(request: Request) -> Response:
    """Embed the words of texts: one vector per word, with the word's place in the text."""
    service, body = await asked(request, schemas.WordsRequest)
    chosen = {"layers": body.layers, "layer_weights": body.layer_weights}
    each = body.layers == "each"
    task = EncodingTask(None if each else _encoding_of(service.settings.encoding, **chosen), words=True)
    split = await service.split(_texts_of(body.input))
    features = await service.compute(task, split)
    items = (
        {
            "index": i,
            "words": text.words,
            "offsets": text.offsets,
            "shape": one.vectors.shape,
            "vectors": _numbers_of(one.vectors, body.encoding_format),
        }
        for i, (text, one) in enumerate(zip(split, features, strict=True))
    )
    return service.answer(items, split, n_values=sum(one.vectors.size for one in features))


@routes.post("/similar", include_in_schema=False)
@routes.post("/v1/similar", **_described(schemas.SimilarRequest))
async def similar(request: Request) -> Response:
    """Find what is similar to a text, or to a word in it: the request's texts, or the index's sentences or words."""
    service, body = await asked(request, schemas.SimilarRequest)
    if body.texts is not None and body.word is not None:
        raise RequestError(400, "'word' asks the index, 'texts' are ranked whole; send one of them.", param="word")
    if body.texts == []:
        raise RequestError(400, "'texts' is an empty list; send at least one text.", param="texts")
    max_words = _QUERY_WORDS if body.texts is None else None
    split = await service.split([body.query, *(body.texts or ())], param="texts", max_words=max_words)
    index = service.index
    if body.texts is not None:
        rows = await service.compute(EncodingTask(service.settings.encoding), split)
        items = await service.run(lambda: _ranked(body, rows))
    elif index is not None:
        items = await service.run(lambda: _in_index(body, index))
    else:
        raise RequestError(400, "No index is open (serve --db DIR); send 'texts' to be ranked.", param="texts")
    return service.answer(items, split)


@routes.get("/v1/models", tags=["Models"], responses=RESPONSES)
@routes.get("/v1/models/", include_in_schema=False)
@routes.get("/models", include_in_schema=False)
@routes.get("/models/", include_in_schema=False)
async def models(request: Request) -> dict[str, Any]:
    """List the models that are served: one."""
    return {"object": "list", "data": [_model(request.app.state.service)]}


@routes.get("/v1/models/{name:path}", include_in_schema=False)
@routes.get("/models/{name:path}", include_in_schema=False)
async def one_model(request: Request) -> dict[str, Any]:
    """Describe one model."""
    request.app.state.service.check_model(request.path_params["name"])
    return _model(request.app.state.service)


def _model(service: Service) -> dict[str, Any]:
    return {"id": service.model_id, "object": "model", "created": 0, "owned_by": "elmokit"}


def _ranked(body: schemas.SimilarRequest, rows: NDArray[Any]) -> list[dict[str, Any]]:
    """The texts of a request by similarity; row 0 is the query's vector, the others the texts'."""
    best = nearest(directions(rows[:1]), directions(rows[1:]), body.k)
    pairs = zip(best.rows[0].tolist(), best.cosines[0].tolist(), strict=True)
    return [{"index": row, "text": (body.texts or [])[row], "similarity": cosine} for row, cosine in pairs]


def _in_index(body: schemas.SimilarRequest, index: WordIndex) -> list[dict[str, Any]]:
    if body.word is None:
        return [asdict(sentence) for sentence in index.search_sentences(body.query, k=body.k)]
    return [asdict(near) for near in index.most_similar(body.word, context=body.query, topn=body.k)]


def _encoding_of(default: Encoding, **chosen: Any) -> Encoding:
    """The encoding of a request: the server's, but for what the request chose (None where it does not say)."""
    given = {name: value for name, value in chosen.items() if value is not None}
    values = {**default.to_dict(), **given}
    if "layers" in given and "layer_weights" not in given:
        values["layer_weights"] = None
    elif "layer_weights" in given and "layers" not in given:
        values["layers"] = "mix"
    return Encoding.from_dict(values)


def _texts_of(texts: str | list[str]) -> list[str]:
    if not texts and not isinstance(texts, str):
        raise RequestError(400, "'input' is an empty list; send at least one text.", param="input")
    return [texts] if isinstance(texts, str) else texts


def _numbers_of(vectors: NDArray[Any], encoding: schemas.Format | None) -> Any:
    """Vectors of any shape as JSON holds them: nested lists, or the bytes of little-endian float32 in base64."""
    array = np.ascontiguousarray(vectors, dtype="<f4")
    return base64.b64encode(array.tobytes()).decode() if encoding == "base64" else array.tolist()
