"""Requests and answers of the API, as pydantic checks and describes them.

Unknown fields of /embeddings are ignored, since clients of other servers send theirs.
"""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, FailFast, Field, StrictBool, StrictInt, StrictStr

ItemType = TypeVar("ItemType")


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
    centre: Annotated[bool, Field(description="Whether the mean vector of the texts is subtracted first.")] = False
    model: Model = None


class Usage(BaseModel):
    """Number of words read."""

    prompt_tokens: int
    total_tokens: int


class ListAnswer(BaseModel, Generic[ItemType]):
    """A list, with the model's name and the number of words."""

    object: Literal["list"]
    data: list[ItemType]
    model: str
    usage: Usage


class EmbeddingItem(BaseModel):
    """A text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class WordsItem(BaseModel):
    """The words of a text."""

    index: int
    words: list[str]
    offsets: Annotated[list[tuple[int, int]], Field(description="Begin and end in characters (code points).")]
    shape: Annotated[list[int], Field(description="Of the vectors: words, width; or layers, words, width.")]
    vectors: list[list[float]] | list[list[list[float]]] | str


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


class ModelItem(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "elmokit"


class ModelsAnswer(BaseModel):
    """The models that are served: one."""

    object: Literal["list"] = "list"
    data: list[ModelItem]
