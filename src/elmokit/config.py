"""What a biLM is made of, as frozen values: all that decides its *function*, and its tensors' names and shapes.

Axis letters, used everywhere: B sentences · T words · C characters per word (50) · P projection width ·
L layers (1 token layer + LSTM layers) · 2P width of one word vector · V vocabulary of the softmax.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from elmokit.errors import ConfigError

Activation = Literal["relu", "tanh"]

_KINDS: dict[str, type] = {"int": int, "bool": bool, "str": str}
_MOST = {"n_layers": 1000, "n_highway": 1000, "max_characters": 10_000}  # which cost a hostile file no weights


def _refuse(broken: object, message: str) -> None:
    if broken:
        raise ConfigError(message)


def _check_values(part: Any) -> None:
    """See that whole numbers, truth values and names are such, and that counts are of this world."""
    for field in dataclasses.fields(part):
        value, kind = getattr(part, field.name), _KINDS.get(str(field.type), object)
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        _refuse(not right, f"{field.name} is {value!r}; expected a value of the type {field.type}.")
        if (most := _MOST.get(field.name)) is not None:
            _refuse(value > most, f"{field.name} is {value:,}; more than {most:,} are not believed.")


@dataclass(frozen=True, kw_only=True)
class CharCNNConfig:
    """The character CNN: how one word's characters become one vector of width P (Peters et al. 2018, §3.1).

    Args:
        embedding_width, filters: width of a character's vector; (width in characters, number of filters) in order.
        n_highway, activation: highway layers after the convolutions; what follows the maximum over positions.
        max_characters: character ids per word, begin and end of word included. Words are cut to this.
        n_characters: rows of the character table, the padding row 0 included (262 for UTF-8 bytes).
        projection: whether a linear layer maps the filters to P; without it, the filters sum up to P.
        characters: dictionary of a model of Unicode characters (ELMoForManyLangs), by row - 1; None for UTF-8 bytes.

    Example:
        >>> CharCNNConfig(embedding_width=4, filters=((1, 8), (2, 8))).n_filters
        16
    """

    embedding_width: int = 16
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
    n_highway: int = 2
    activation: Activation = "relu"
    max_characters: int = 50
    n_characters: int = 262
    projection: bool = True
    characters: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_values(self)
        object.__setattr__(self, "filters", tuple((int(w), int(n)) for w, n in self.filters))
        if self.characters is not None:
            object.__setattr__(self, "characters", tuple(self.characters))
            n, known = self.n_characters, len(self.characters)
            _refuse(known != n - 1, f"char_cnn has {known} characters but n_characters {n}; expected one row more.")
        _refuse(not self.filters, "char_cnn.filters is empty: give at least one (width, number) pair.")
        unknown = self.activation not in ("relu", "tanh")
        _refuse(unknown, f"char_cnn.activation is {self.activation!r}; expected 'relu' or 'tanh'.")
        smallest = min(self.embedding_width, self.n_highway + 1, *(size for pair in self.filters for size in pair))
        _refuse(smallest < 1, f"char_cnn has a size below 1: {self}.")
        n, least = self.max_characters, max(3, *(width for width, _ in self.filters))
        _refuse(n < least, f"char_cnn.max_characters is {n}; for its widest filter it must be at least {least}.")

    @property
    def n_filters(self) -> int:
        """Filters of all widths together (F)."""
        return sum(n for _, n in self.filters)

    @property
    def padding_id(self) -> int:
        """The id that fills a word's row to its end."""
        if self.characters is None:
            return 261
        if "<pad>" not in self.characters:
            raise ConfigError("the model's dictionary of characters lacks <pad>.")
        return self.characters.index("<pad>") + 1


@dataclass(frozen=True, kw_only=True)
class BiLSTMConfig:
    """The stacked LSTMs of both directions.

    Args:
        n_layers, cell_width: LSTM layers per direction; width of the cell (2 and 4096 in the original).
        projection: whether a linear layer maps the cell's output to P; without it, cell_width equals P.
        cell_clip, projection_clip: bounds on absolute values of the cell state and the projected output; None for none.
        skip_connections: whether each layer from the second on adds its input to its output.
    """

    n_layers: int = 2
    cell_width: int = 4096
    projection: bool = True
    cell_clip: float | None = 3.0
    projection_clip: float | None = 3.0
    skip_connections: bool = True

    def __post_init__(self) -> None:
        _check_values(self)
        _refuse(self.n_layers < 1 or self.cell_width < 1, f"bilstm has a size below 1: {self}.")
        for name in ("cell_clip", "projection_clip"):
            clip = getattr(self, name)
            right = clip is None or (isinstance(clip, int | float) and not isinstance(clip, bool) and 0 < clip < 1e30)
            _refuse(not right, f"bilstm.{name} is {clip!r:.40}; expected a finite positive number, or None for none.")


@dataclass(frozen=True, kw_only=True)
class LayerMix:
    """How the layers of a word are summed: γ · Σ softmax(weights)ₗ · hₗ (Peters et al. 2018, equation 1).

    Args:
        weights: one number per layer, before the softmax; None for all equal.
        gamma: γ, the scale of the sum.
        layer_norm: whether each layer is normalised first, over the words of one text (boundaries left out).

    Example:
        >>> LayerMix(weights=(0.0, 0.0)).shares(2)
        (0.5, 0.5)
    """

    weights: tuple[float, ...] | None = None
    gamma: float = 1.0
    layer_norm: bool = False

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
        finite = all(math.isfinite(number) for number in (self.gamma, *(self.weights or ())))
        _refuse(not finite, f"the layer mix has a number that is not finite: {self.weights}, gamma {self.gamma}.")

    @lru_cache(maxsize=16)  # noqa: B019 -- a tenth of a millisecond for every short text
    def shares(self, n_layers: int) -> tuple[float, ...]:
        """Each layer's share of the sum, after the softmax and before γ; ConfigError for a mix of another size."""
        if self.weights is None:
            return (1.0 / n_layers,) * n_layers
        n = len(self.weights)
        _refuse(n != n_layers, f"the layer mix has {n} weights, but the model has {n_layers} layers.")
        top = max(self.weights)
        powers = [float((Decimal(w) - Decimal(top)).exp()) for w in self.weights]  # math.exp differs between systems
        return tuple(p / math.fsum(powers) for p in powers)


@dataclass(frozen=True, kw_only=True)
class ElmoConfig:
    """A whole biLM: token encoder, LSTMs, and what its users need to know.

    Args:
        projection_width: P, the width of one direction's output. A word vector is 2P wide.
        char_cnn, bilstm: the character CNN (None for a model that looks whole words up in a table), and the LSTMs.
        n_words: rows of that table, or of the one that `word_width` describes, the padding row 0 included; else 0.
        tokenizer: name of the tokenizer the model was trained with (see `elmokit.text.tokens`).
        word_width: width of a table of words in front of the CNN's filters in the projection (ELMoForManyLangs), or 0.
        word_table: rows of a table, one per entry of the vocabulary, that are added to the CNN's vectors of those words
            and are the weight of the softmax too; 0 for none. A word that it lacks takes the row of the most frequent
            one that differs in the case of A to Z only.
        spelling_projection: whether the character CNN has a second projection, for words that the table lacks: the last
            P of its 2P outputs.

    Example:
        >>> config = ElmoConfig(projection_width=16, char_cnn=CharCNNConfig(), bilstm=BiLSTMConfig(cell_width=64))
        >>> config.dim, config.n_layers
        (32, 3)
    """

    projection_width: int = 512
    char_cnn: CharCNNConfig | None = CharCNNConfig()
    n_words: int = 0
    bilstm: BiLSTMConfig = BiLSTMConfig()
    tokenizer: str = "whitespace"
    word_width: int = 0
    word_table: int = 0
    spelling_projection: bool = False

    def __post_init__(self) -> None:
        _check_values(self)
        P, cnn, lstm = self.projection_width, self.char_cnn, self.bilstm
        _refuse(P < 1, f"projection_width is {P}; expected at least 1.")
        _refuse(cnn is None and self.n_words < 2, "a model without char_cnn needs n_words, the rows of its word table.")
        both = cnn is not None and bool(self.n_words) != bool(self.word_width)
        _refuse(both, "a model has either char_cnn or n_words; with both, it has word_width too.")
        apart = self.word_width and (cnn is None or not cnn.projection)
        _refuse(apart, "word_width is for words beside a char_cnn with a projection that joins them.")
        n = self.word_table
        wrong = n and (n < 0 or cnn is None or self.n_words)
        _refuse(wrong, f"word_table is {n}; it stands beside a char_cnn and without n_words, or is 0.")
        apart = self.spelling_projection and (not n or cnn is None or not cnn.projection)
        _refuse(apart, "spelling_projection is for a char_cnn with a projection beside a word_table.")
        widths = [] if lstm.projection else [(f"bilstm has cell_width {lstm.cell_width}", lstm.cell_width)]
        if cnn is not None and not cnn.projection:
            widths.append((f"char_cnn has {cnn.n_filters} filters", cnn.n_filters))
        for what, n in widths:
            _refuse(n != P, f"{what} and no projection, so projection_width must be {n}, not {P}.")

    @property
    def dim(self) -> int:
        """Width of one word vector: 2P."""
        return 2 * self.projection_width

    @property
    def char_width(self) -> int:
        """Width of what the character CNN says of a word: P, or 2P with a spelling projection."""
        return self.projection_width * (1 + self.spelling_projection)

    @property
    def n_layers(self) -> int:
        """Layers that a word has vectors from: the token layer and each LSTM layer (L)."""
        return 1 + self.bilstm.n_layers

    @property
    def n_params(self) -> int:
        """Number of parameters of the biLM, without the padding row, layer mix and softmax."""
        padding_rows = ("char_cnn.embedding.weight", "word_embedding.weight")
        shapes = self.tensor_shapes().items()
        return sum(math.prod(shape) - (shape[1] if name in padding_rows else 0) for name, shape in shapes)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the biLM's tensors, in order: the contract between nn, runtime and checkpoints.

        Linear weights are (out, in); convolutions (filters, embedding_width, width); LSTM gates are stacked
        in the order input, forget, candidate, output, with the forget bias (+1 in TensorFlow) inside.

        Example:
            >>> shapes = ElmoConfig().tensor_shapes()
            >>> shapes["forward_layers.0.weight_ih"], shapes["forward_layers.0.weight_hr"]
            ((16384, 512), (512, 4096))
        """
        P, C = self.projection_width, self.bilstm.cell_width
        shapes: dict[str, tuple[int, ...]] = {}
        if self.n_words:
            shapes["word_embedding.weight"] = (self.n_words, self.word_width or P)
        if (cnn := self.char_cnn) is not None:
            E, F = cnn.embedding_width, cnn.n_filters
            shapes["char_cnn.embedding.weight"] = (cnn.n_characters, E)
            for i, (width, n) in enumerate(cnn.filters):
                shapes |= {f"char_cnn.convolutions.{i}.weight": (n, E, width), f"char_cnn.convolutions.{i}.bias": (n,)}
            for k, part in product(range(cnn.n_highway), ("transform", "gate")):
                prefix = f"char_cnn.highways.{k}.{part}"
                shapes |= {f"{prefix}.weight": (F, F), f"{prefix}.bias": (F,)}
            if cnn.projection:
                shapes["char_cnn.projection.weight"] = (self.char_width, self.word_width + F)
                shapes["char_cnn.projection.bias"] = (self.char_width,)
        if self.word_table:
            shapes["word_table.weight"] = (self.word_table, P)
            shapes["word_table.gain"] = (P,)
        for direction in ("forward", "backward"):
            for layer in range(self.bilstm.n_layers):
                parts: dict[str, tuple[int, ...]] = {"weight_ih": (4 * C, P), "weight_hh": (4 * C, P), "bias": (4 * C,)}
                parts |= {"weight_hr": (P, C)} if self.bilstm.projection else {}
                shapes |= {f"{direction}_layers.{layer}.{name}": shape for name, shape in parts.items()}
        return shapes

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values, which `from_dict` takes back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ElmoConfig:
        """A configuration from what `to_dict` gave; ConfigError for an unknown name or a value of the wrong kind."""
        parts = dict(values)
        try:
            for name, kind in (("char_cnn", CharCNNConfig), ("bilstm", BiLSTMConfig)):
                if parts.get(name) is not None:
                    parts[name] = kind(**parts[name])
            return cls(**parts)
        except ConfigError:
            raise
        except (OverflowError, TypeError, ValueError) as error:
            raise ConfigError(f"not an elmokit configuration: {error}.") from error
