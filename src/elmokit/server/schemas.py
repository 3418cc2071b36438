"""Requests and answers of the API, as pydantic checks and describes them.

Unknown fields of /embeddings are ignored, since clients of other servers send theirs.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, FailFast, Field, StrictBool, StrictInt, StrictStr


class FirstError(FailFast):
    """Stop at the first wrong item of a list; hashable, so that it can be part of a union."""

    __hash__ = object.__hash__


Number = Annotated[StrictInt | float, Field(ge=-1000, le=1000)]
Numbers = Annotated[list[Number], Field(max_length=64), FirstError()]
LayersField = Annotated[StrictStr, Field(max_length=10)] | StrictInt | Numbers
Texts = Annotated[list[StrictStr], FirstError()]
Input = Annotated[StrictStr | Texts, Field(description="A text or a list of texts; one without words gets zeros.")]
Model = Annotated[str | None, Field(description="Name of the model, as in GET /v1/models, or 'default'.")]
Weights = Annotated[Numbers | None, Field(description="One weight per layer, instead of layers.")]
Format = Literal["float", "base64"]

FORMAT_HELP = "float: lists of numbers; base64: the bytes of little-endian float32."
LAYERS_HELP = "mix, all, or the numbers of layers (0 is the token layer). Default: the server's setting."
POOLING_HELP = "mean, max, mean+max, first, last, first+last or sif. Default: the server's setting."


class EmbeddingsRequest(BaseModel):
    """Texts to embed."""

    input: Input
    model: Model = None
    encoding_format: Annotated[Format | None, Field(description=FORMAT_HELP)] = None
    dimensions: Annotated[int | None, Field(description="Only the width of the model's vectors is accepted.")] = None
    pooling: Annotated[str | None, Field(description=POOLING_HELP, max_length=100)] = None
    layers: Annotated[LayersField | None, Field(description=LAYERS_HELP)] = None
    layer_weights: Weights = None
    normalize: Annotated[StrictBool | None, Field(description="Whether vectors have length 1.")] = None


class WordsRequest(BaseModel, extra="forbid"):
    """Texts whose words are embedded."""

    input: Input
    model: Model = None
    layers: Annotated[LayersField | None, Field(description=f"{LAYERS_HELP} Or each: every layer apart.")] = None
    layer_weights: Weights = None
    encoding_format: Annotated[Format, Field(description=FORMAT_HELP)] = "float"


class SimilarRequest(BaseModel, extra="forbid"):
    """A query, and what to compare it with."""

    query: Annotated[StrictStr, Field(description="The text to find similar ones for.")]
    texts: Annotated[Texts | None, Field(description="Texts to rank. Default: look in the server's index.")] = None
    word: Annotated[StrictStr | None, Field(description="A word of the query, to be looked up in the index.")] = None
    k: Annotated[int, Field(ge=1, le=1000, description="Number of answers at most.")] = 10
    model: Model = None


class ListAnswer(BaseModel):
    """A list, with the model's name and the number of words."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    model: str
    usage: Annotated[dict[str, int], Field(description="Number of words read: prompt_tokens, total_tokens.")]
