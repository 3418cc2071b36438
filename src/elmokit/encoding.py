"""`Encoding`: which vector a text gets (pooling, layers, length), as one value; `Encoder`: what tasks need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Protocol

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elmokit.features import WordVectors

Text = str | Sequence[str]  # a string, which the model's tokenizer splits, or a list or tuple of words

Layers = str | int | Sequence[int]  # names or numbers of layers, as `Encoding.layers` takes them

POOLINGS: tuple[str, ...] = ("mean", "max", "mean+max", "first", "last", "first+last", "sif")
"""Ways to make one vector of a text's word vectors; a "+" concatenates two."""


@dataclass(frozen=True)
class Encoding:
    """How the vector of a text is made from the layers of its words.

    Args:
        pooling: "mean", "max", "mean+max", "first", "last", "first+last", or "sif": the mean weighted by a / (a +
            p(word)), so that frequent words count less (Arora et al. 2017, without removing a common direction).
        layers: "mix" (the model's own weighted sum), "all" (every layer, concatenated), the number of a layer (0 is
            the token layer, -1 the last LSTM layer), or several numbers, whose layers are concatenated.
        normalize: whether each vector is scaled to length 1. Vectors of texts without words stay zeros.
        layer_weights: one weight per layer of the model; the weighted sum replaces `layers`, which must be "mix".

    Raises:
        ConfigError: an unknown pooling, or layers or weights that no model can have.

    Example:
        >>> Encoding(pooling="max", layers=[1, 2])
        Encoding(pooling='max', layers=(1, 2), normalize=False, layer_weights=None)
        >>> Encoding(pooling="mean+max", layers="all").width(ElmoConfig())
        6144
    """

    pooling: str = "mean"
    layers: Layers = "mix"
    normalize: bool = False
    layer_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling is {self.pooling!r}; expected one of {', '.join(map(repr, POOLINGS))}.")
        if not isinstance(self.normalize, bool):
            raise ConfigError(f"normalize is {self.normalize!r}; expected True or False.")
        object.__setattr__(self, "layers", _checked_layers(self.layers))
        object.__setattr__(self, "layer_weights", _checked_weights(self.layer_weights))
        if self.layer_weights is not None and self.layers != "mix":
            raise ConfigError(
                f"layers is {self.layers!r}, and layer_weights, for all layers, is given: give one of them."
            )

    def check(self, config: ElmoConfig) -> Encoding:
        """The encoding itself; ConfigError if the model lacks a layer or has another number of layers than weights."""
        n = config.n_layers
        if self.layer_weights is not None and len(self.layer_weights) != n:
            raise ConfigError(f"layer_weights has {len(self.layer_weights)} numbers; the model has {n} layers.")
        for number in self.numbers(n):
            if not -n <= number < n:
                raise ConfigError(f"layers is {self.layers!r}; the model has the layers 0 to {n - 1}, or -{n} to -1.")
        if len({number % n for number in self.numbers(n)}) < len(self.numbers(n)):
            raise ConfigError(f"layers is {self.layers!r}, which names a layer twice.")
        return self

    def numbers(self, n_layers: int) -> tuple[int, ...]:
        """Numbers of the layers that are selected of `n_layers`; all of them for "mix" and "all"."""
        if isinstance(self.layers, str):
            return tuple(range(n_layers))
        return (self.layers,) if isinstance(self.layers, int) else tuple(self.layers)

    def word_width(self, config: ElmoConfig) -> int:
        """Width of a word's vector: 2P, times the number of layers that are concatenated. Checks the encoding."""
        one = self.layers == "mix" or isinstance(self.layers, int)
        return config.dim * (1 if one else len(self.check(config).numbers(config.n_layers)))

    def width(self, config: ElmoConfig) -> int:
        """Width of a text's vector: that of a word's vector, twice for a pooling with a "+". Checks the encoding."""
        return self.check(config).word_width(config) * (1 + self.pooling.count("+"))

    def to_dict(self) -> dict[str, Any]:
        """The encoding as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Encoding:
        """An encoding from what `to_dict` gave, with defaults for what is missing; ConfigError for unknown values.

        A list of floats under "layers" is read as layer weights, as elmokit 0.1 wrote them.
        """
        try:
            known = dict(**values)
            if holds_weights(known.get("layers")):
                known["layer_weights"] = known.pop("layers")
            return cls(**known)
        except TypeError as error:
            raise ConfigError(f"{values!r:.99} is not an encoding: {error}.") from error


def one_encoding(
    encoding: Encoding | None, pooling: str, layers: Any, normalize: bool, layer_weights: Any = None
) -> Encoding:
    """The encoding that is given whole, or in parts (which must then be the defaults); ConfigError for both."""
    if encoding is not None and not isinstance(encoding, Encoding):
        raise ConfigError(f"encoding is {encoding!r}; expected an Encoding. Name other arguments: pooling='max'.")
    parts = Encoding(pooling, layers, normalize, layer_weights)
    if encoding is not None and parts != Encoding():
        raise ConfigError("give either encoding or pooling, layers, layer_weights and normalize, not both.")
    return encoding or parts


ALIASES = {"show_progress_bar": "show_progress", "normalize_embeddings": "normalize"}  # of sentence-transformers


def with_aliases(aliases: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Options with those that were given under sentence-transformers' names; TypeError for an unknown name."""
    merged = {**options, "convert_to_tensor": False, "convert_to_numpy": True}
    for name, value in aliases.items():
        known = ALIASES.get(name, name)
        if known not in merged:
            raise TypeError(f"encode() got an unexpected keyword argument {name!r}")
        merged[known] = value
    return merged


def holds_weights(layers: Any) -> bool:
    """Whether a value is a list of numbers of which one is no integer: layer weights, not layers."""
    numbers = _listed(layers)
    return all(isinstance(x, Real) for x in numbers) and not all(isinstance(x, Integral) for x in numbers)


def _checked_layers(layers: Any) -> str | int | tuple[int, ...]:
    if isinstance(layers, str):
        if layers in ("mix", "all"):
            return layers
        if layers == "each":
            raise ConfigError("layers='each' keeps layers apart and belongs to encode_words; here use 'all'.")
    elif _is_integer(layers):
        return int(layers)
    elif holds_weights(layers):
        raise ConfigError(f"layers is {layers!r}; layers selects by number. Give weights as layer_weights={layers!r}.")
    elif (numbers := _listed(layers)) and all(map(_is_integer, numbers)):
        return tuple(int(number) for number in numbers)
    raise ConfigError(f"layers is {layers!r}; expected 'mix', 'all', the number of a layer, or several numbers.")


def _checked_weights(weights: Any) -> tuple[float, ...] | None:
    if weights is None:
        return None
    numbers = _listed(weights)
    if not numbers or not all(isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
        raise ConfigError(f"layer_weights is {weights!r}; expected a list of finite numbers, one per layer.")
    return tuple(float(x) for x in numbers)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


class Encoder(Protocol):
    """What tasks need of a model; `elmokit.Elmo` is one."""

    name: str
    config: ElmoConfig

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides its vectors; saved models store and check it."""

    def width(self, encoding: Encoding | None = ...) -> int:
        """Width of the vectors that `encode` returns for an encoding."""

    def encode(
        self, texts: Iterable[Text], encoding: Encoding | None = ..., *, show_progress: bool | None = ...
    ) -> NDArray[Any]:
        """One vector per text. Shape (N, width)."""

    def encode_words_stream(
        self, texts: Iterable[Text], *, layers: Any = ..., show_progress: bool | None = ...
    ) -> Iterator[WordVectors]:
        """Words and vectors of each text."""
