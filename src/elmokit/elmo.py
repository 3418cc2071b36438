"""`Elmo`: text, a biLM and pooling joined. Start reading here.

    texts ─ tokenizer ─▶ words ─ runtime ─▶ layers (L, T, 2P) ─ `layers=` ─▶ word vectors ─ `pooling=` ─▶ one vector

The promise: a text's vectors depend on that text alone. Not on its neighbours, their order, the batch size or what was
encoded before; nothing is remembered between calls. The original implementation carried its LSTM state from batch to
batch, so the same text gave other vectors each time. Who wants that state has it as a value (`step`), or as one fixed
state from which every text starts (`state="warm"`).
Source: Peters et al. 2018 (arXiv:1802.05365).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.config import ElmoConfig, LayerMix
from elmokit.encoding import Encoding, Text, holds_weights
from elmokit.encoding import Layers as Layers
from elmokit.errors import CheckpointError, ConfigError, MissingFile
from elmokit.features import Features, WordVectors
from elmokit.progress import progress_bar
from elmokit.runtime import Runtime, State, make_runtime
from elmokit.runtime.choice import PRECISIONS as RUNTIME_PRECISIONS
from elmokit.runtime.pooling import mix_layers, pool
from elmokit.runtime.precision import choose_precision
from elmokit.runtime.word_cache import CACHE_WORDS
from elmokit.text.inputs import checked_texts, checked_words
from elmokit.text.tokens import get_tokenizer

Array = NDArray[Any]
Start = State | Literal["warm"] | None

EMBEDDED = Path(__file__).parent / "models" / "default"
"""The folder of the model inside the package."""

PRECISIONS = (*RUNTIME_PRECISIONS, "auto")

_STREAM_WORDS, _STREAM_TEXTS = 65_536, 4096
"""Bounds of what `encode_stream` holds at a time: enough to sort texts by length, little memory."""

_WARM_PASSES = 20
_WARM_TEXT = tuple(
    line.split()
    for line in """The house stood at the end of a long road , and nobody had lived there for years .
She opened the window , looked out at the rain , and said nothing .
In 1998 , the company sold more than two million phones in Europe and Asia .
I can't believe how good this new one is !
What do you think we should do about it ?
The results show that the second method is faster , but it needs more memory .
He told them the whole story again , from the beginning , and this time they listened .
It was late when the last train left the station .""".splitlines()
)


class Elmo:
    """A biLM that makes vectors of texts and of their words.

    Made by `Elmo.load`; the constructor takes a checkpoint that is already in memory.

    Args:
        checkpoint: the model.
        device: "auto" or "cpu"; "cuda" and the like need PyTorch. "auto" is the CPU, so that results do not hang on
            the machine.
        precision: "float32" or "float64"; "bfloat16" (compiled loops where the processor has it, else PyTorch);
            "int8" (PyTorch); "auto": what this machine does well, bfloat16 or float32 (see
            `elmokit.runtime.precision`). The attribute `precision` says which it is.
        n_threads: threads to compute on; None for one per core. Changes no result; each holds a batch in memory.
        cache_words: words whose token vectors are kept for when they come again: speed for memory (4 P bytes a word).

    Raises:
        ConfigError: a device or precision that is not known.
        MissingExtra: a device or precision that needs PyTorch, which is not installed.

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=8))
        >>> tensors = {name: np.full(shape, 0.1, np.float32) for name, shape in config.tensor_shapes().items()}
        >>> elmo = Elmo(Checkpoint(config, tensors, words=("<S>", "</S>", "<UNK>", "cat"), name="tiny"))
        >>> elmo
        Elmo('tiny', dim=8, n_layers=3)
        >>> elmo.encode(["a cat", ""]).shape
        (2, 8)
        >>> elmo.encode_words(["a cat"], layers="all")[0]
        WordVectors('a cat', vectors=(2, 24))
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "float32",
        n_threads: int | None = None,
        cache_words: int = CACHE_WORDS,
    ) -> None:
        self.config: ElmoConfig = checkpoint.config
        self.layer_mix: LayerMix = checkpoint.layer_mix
        self.name: str = checkpoint.name
        self.metadata: Mapping[str, Any] = checkpoint.metadata
        self._tokenize = get_tokenizer(self.config.tokenizer)
        self._counts = _counts(checkpoint)
        self._digest = _digest(checkpoint)
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(map(repr, PRECISIONS))}.")
        self.precision: str = choose_precision(device)[0] if precision == "auto" else precision
        self._runtime: Runtime = make_runtime(
            self.config,
            checkpoint.tensors,
            words=checkpoint.words,
            device=device,
            precision=self.precision,
            n_threads=n_threads,
            cache_words=cache_words,
        )
        self._dtype = np.dtype("float64" if precision == "float64" else "float32")
        self._warm: State | None = None
        self._lock = threading.Lock()
        self._source: str | None = None
        self._load_options: Mapping[str, Any] = {}

    @classmethod
    def load(
        cls,
        source: str | Path = "default",
        *,
        options: str | Path | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "float32",
        n_threads: int | None = None,
        cache_words: int = CACHE_WORDS,
    ) -> Elmo:
        """Read a model: the one in the package, a folder or archive, or a pair of files.

        Args:
            source: "default" for the model in the package (a folder of that name is "./default"), else a checkpoint
                of any format that `elmokit.checkpoints` reads.
            options: the options file of a pair; `weights` is then needed.
            weights: the weights of a pair.
            device: see `Elmo`.
            precision: see `Elmo`.
            n_threads: see `Elmo`.
            cache_words: see `Elmo`.

        Returns:
            the model.

        Raises:
            MissingFile: no such file or folder.
            CheckpointError: not a checkpoint, damaged, or two files that do not fit together.
        """
        if options is not None and source != "default":
            raise CheckpointError(f"give either source ({source}) or options ({options}), not both.")
        if options is None and weights is not None and source == "default":
            raise CheckpointError(f"weights ({weights}) without options: give both, Elmo.load(options=…, weights=…).")
        place = options if options is not None else EMBEDDED if source == "default" else source
        if place is EMBEDDED and not EMBEDDED.is_dir():
            raise MissingFile(
                f"{EMBEDDED}: this installation of elmokit came without its embedded model. Install a released wheel,"
                " or name a model of your own: Elmo.load('folder') (on the command line: --model folder)."
            )
        checkpoint = checkpoints.load(place, weights=weights, with_softmax=False)
        elmo = cls(checkpoint, device=device, precision=precision, n_threads=n_threads, cache_words=cache_words)
        elmo.name = elmo.name or str(source if options is None else options)
        elmo._source = "default" if place is EMBEDDED else _lasting(place)
        elmo._load_options = {
            "weights": None if weights is None else _lasting(weights),
            "device": device,
            "precision": elmo.precision,
            "n_threads": n_threads,
            "cache_words": cache_words,
        }
        return elmo

    def checkpoint(self) -> Checkpoint:
        """The model's arrays, read again from where it came from: none are kept beside the runtime's own.

        Returns:
            the checkpoint, without softmax.

        Raises:
            ConfigError: the model was made in memory; whoever made it has the checkpoint.
        """
        if self._source is None:
            raise ConfigError(f"{self!r} was made in memory, not read from a file; use the checkpoint it was made of.")
        place = EMBEDDED if self._source == "default" else self._source
        return checkpoints.load(place, weights=self._load_options["weights"], with_softmax=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies in other processes (joblib, multiprocessing, `datasets.map`): where it came from, no weights.

        The other process reads the model again from the same place, which it must see.

        Raises:
            ConfigError: the model was made in memory, so there is no place to read it from.
        """
        if self._source is None:
            raise ConfigError(
                f"{self!r} was made in memory, so another process can't open it. Write it with"
                " elmokit.checkpoints.save(checkpoint, folder) and use Elmo.load(folder)."
            )
        opened = partial(Elmo.load, self._source, **self._load_options)
        return opened, (), {"name": self.name, "layer_mix": self.layer_mix}

    @property
    def dim(self) -> int:
        """Width of a word's vector: 2P."""
        return self.config.dim

    @property
    def n_layers(self) -> int:
        """Layers that a word has vectors from (L)."""
        return self.config.n_layers

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights, configuration (tokenizer included), word table and layer mix, as 64 hex digits.

        It is the same for the same model in another folder or format; saved models store it to know their model again.
        Device, precision and name do not change it.
        """
        settings = json.dumps([self.config.to_dict(), dataclasses.asdict(self.layer_mix)], sort_keys=True)
        return hashlib.sha256((self._digest + settings).encode("utf-8", "surrogatepass")).hexdigest()

    def width(self, encoding: Encoding | None = None) -> int:
        """Width of the vectors that `encode` returns.

        Args:
            encoding: which vectors; None for the defaults of `Encoding`.

        Returns:
            the number of columns, without encoding anything.

        Raises:
            ConfigError: layers or weights that do not fit the model.

        Example:
            ``Elmo.load().width(Encoding(pooling="mean+max"))``
        """
        return (encoding or Encoding()).width(self.config)

    def __repr__(self) -> str:
        return f"Elmo({self.name!r}, dim={self.dim}, n_layers={self.n_layers})"

    def encode(
        self,
        texts: Iterable[Text],
        encoding: Encoding | None = None,
        *,
        pooling: str = "mean",
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        normalize: bool = False,
        show_progress: bool | None = None,
        state: Start = None,
        word_frequencies: Mapping[str, float] | None = None,
    ) -> NDArray[np.float32]:
        """One vector per text.

        Args:
            texts: N texts: strings, which the model's tokenizer cuts into words, or lists of words, taken as they are.
            encoding: which vectors, as one value; replaces the next four arguments.
            pooling: see `Encoding`.
            layers: see `Encoding`.
            layer_weights: see `Encoding`.
            normalize: see `Encoding`.
            show_progress: True draws a bar, False never does, None does on a terminal after two seconds.
            state: where the LSTMs start with every text: None for zeros, "warm" for a fixed state that has read a
                little English, or a `State` of one row.
            word_frequencies: how often words occur, counts or shares, for "sif"; None takes the model's own counts.

        Returns:
            a row per text, in order; zeros for a text without words. Shape (N, d): d is 2P, L times that for
            `layers="all"`, twice that for a pooling with a "+". float32 (float64 for that precision).

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: a pooling, layers or state that is not known or does not fit the model.

        Example:
            ``Elmo.load().encode(["One text.", ["another", "text"]], pooling="max")``
        """
        sentences = [self._words(text, i) for i, text in enumerate(checked_texts(texts))]
        pooled = self._pooled(_one_encoding(encoding, pooling, layers, normalize, layer_weights), word_frequencies)
        vectors = np.zeros((len(sentences), pooled.width), self._dtype)
        with progress_bar("encoding", total=len(sentences), show=show_progress) as advance:
            for i, computed in self._runtime.layers(sentences, state=self._state(state)):
                vectors[i] = pooled.of(computed, sentences[i])
                advance(1)
        return vectors

    def encode_one(
        self,
        text: Text,
        encoding: Encoding | None = None,
        *,
        pooling: str = "mean",
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        normalize: bool = False,
        state: Start = None,
        word_frequencies: Mapping[str, float] | None = None,
    ) -> NDArray[np.float32]:
        """The vector of one text: the row that `encode` gives for it.

        Args:
            text: a string or a list of words.
            encoding: see `encode`.
            pooling: see `encode`.
            layers: see `encode`.
            layer_weights: see `encode`.
            normalize: see `encode`.
            state: see `encode`.
            word_frequencies: see `encode`.

        Returns:
            the vector. Shape (d,).

        Raises:
            TextError: neither a string nor a list of words.
            ConfigError: see `encode`.
        """
        stream = self.encode_stream(
            [text],
            _one_encoding(encoding, pooling, layers, normalize, layer_weights),
            show_progress=False,
            state=state,
            word_frequencies=word_frequencies,
        )
        return next(stream)

    def encode_stream(
        self,
        texts: Iterable[Text],
        encoding: Encoding | None = None,
        *,
        pooling: str = "mean",
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        normalize: bool = False,
        show_progress: bool | None = None,
        state: Start = None,
        word_frequencies: Mapping[str, float] | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """One vector per text, for corpora larger than memory: texts are read as vectors are taken.

        Args:
            texts: any number of texts, for instance a generator.
            encoding: see `encode`.
            pooling: see `encode`.
            layers: see `encode`.
            layer_weights: see `encode`.
            normalize: see `encode`.
            show_progress: see `encode`.
            state: see `encode`.
            word_frequencies: see `encode`.

        Yields:
            each text's vector, in the order of the texts; the same numbers as from `encode`. Shape (d,).

        Raises:
            TextError: a text that is neither a string nor a list of words; the texts before its block came through.
            ConfigError: see `encode`.

        Example:
            ``for vector in elmo.encode_stream(open("corpus.txt")): …``
        """
        pooled = self._pooled(_one_encoding(encoding, pooling, layers, normalize, layer_weights), word_frequencies)
        start = self._state(state)
        words = (self._words(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("encoding", total=_length(texts), show=show_progress) as advance:
            for block in _blocks(words, len):
                vectors = np.zeros((len(block), pooled.width), self._dtype)
                for i, computed in self._runtime.layers(block, state=start):
                    vectors[i] = pooled.of(computed, block[i])
                    advance(1)
                yield from vectors

    def encode_words(
        self,
        texts: Iterable[Text],
        *,
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        show_progress: bool | None = None,
        state: Start = None,
    ) -> Features:
        """A vector per word.

        Args:
            texts: N strings or lists of words.
            layers: as in `encode`, or "each" for all layers apart.
            layer_weights: see `encode`.
            show_progress: see `encode`.
            state: see `encode`.

        Returns:
            N `WordVectors`: words, their places in the text (None where words were given), and vectors of shape
            (T, d), or (L, T, 2P) for "each".

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: layers or state that are not known or do not fit the model.

        Example:
            ``Elmo.load().encode_words(["Stick to it."])[0].vectors``
        """
        return Features(
            self.encode_words_stream(
                texts, layers=layers, layer_weights=layer_weights, show_progress=show_progress, state=state
            )
        )

    def encode_words_stream(
        self,
        texts: Iterable[Text],
        *,
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        show_progress: bool | None = None,
        state: Start = None,
    ) -> Iterator[WordVectors]:
        """A vector per word, for corpora larger than memory.

        Args:
            texts: any number of strings or lists of words.
            layers: see `encode_words`.
            layer_weights: see `encode`.
            show_progress: see `encode`.
            state: see `encode`.

        Yields:
            what `encode_words` gives for each text, in order; `elmokit.features.save_word_vectors` takes it.

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: layers or state that are not known or do not fit the model.
        """
        chosen, start = self._chosen(layers, layer_weights), self._state(state)
        cut = (self._cut(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("encoding", total=_length(texts), show=show_progress) as advance:
            for block in _blocks(cut, lambda pair: len(pair[0])):
                done: dict[int, WordVectors] = {}
                for i, computed in self._runtime.layers([words for words, _ in block], state=start):
                    words, offsets = block[i]
                    done[i] = WordVectors(tuple(words), offsets, np.array(chosen(computed)))
                    advance(1)
                yield from (done[i] for i in range(len(block)))

    def step(self, texts: Iterable[Text], state: State | None = None) -> tuple[Features, State]:
        """One batch as the original implementation ran it: every row goes on where it stood, and the state comes back.

        Feed batch after batch and pass the state on to get the published vectors, which depend on all that was read
        before. For anything else, use `encode_words`.

        Args:
            texts: a batch of B strings or lists of words.
            state: what the step before gave back; None at first.

        Returns:
            word vectors of all layers, (L, T, 2P) each, and the state after the batch.

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: a state of another model.
        """
        cut = [self._cut(text, i) for i, text in enumerate(checked_texts(texts))]
        layers, after = self._runtime.step([words for words, _ in cut], state)
        found = zip(cut, layers, strict=True)
        return Features(WordVectors(tuple(words), offsets, np.array(of)) for (words, offsets), of in found), after

    def warm_state(self) -> State:
        """The fixed state that `state="warm"` starts from: what a little English leaves, read until it settles.

        Returns:
            a state of one row, the same whenever the model is loaded; computed once.
        """
        with self._lock:
            if self._warm is None:
                self._warm = _settled(self._runtime)
            return self._warm

    def _state(self, state: Start) -> State | None:
        if isinstance(state, str):
            if state != "warm":
                raise ConfigError(f"state is {state!r}; expected None, 'warm' or a State.")
            return self.warm_state()
        if state is not None and not isinstance(state, State):
            raise ConfigError(f"state is of the type {type(state).__name__}; expected None, 'warm' or a State.")
        return state

    def _words(self, text: Text, place: int) -> list[str]:
        if isinstance(text, str):
            return [token.word for token in self._tokenize(text)]
        return checked_words(text, place)

    def _cut(self, text: Text, place: int) -> tuple[list[str], NDArray[np.int64] | None]:
        if not isinstance(text, str):
            return checked_words(text, place), None
        tokens = self._tokenize(text)
        offsets = np.array([(token.start, token.end) for token in tokens], dtype=np.int64).reshape(-1, 2)
        return [token.word for token in tokens], offsets

    def _pooled(self, encoding: Encoding, frequencies: Mapping[str, float] | None) -> _Pooled:
        width = encoding.width(self.config)
        sif = encoding.pooling == "sif"
        shares = _word_shares(self._counts if frequencies is None else frequencies) if sif else None
        return _Pooled(_choose_layers(encoding, self.config, self.layer_mix), encoding, shares, width)

    def _chosen(self, layers: Layers, layer_weights: Sequence[float] | None) -> Callable[[Array], Array]:
        if isinstance(layers, str) and layers == "each" and layer_weights is None:
            return np.asarray
        return _choose_layers(_one_encoding(None, "mean", layers, False, layer_weights), self.config, self.layer_mix)


@dataclass(frozen=True)
class _Pooled:
    """Layers of one text → its vector, and the vector's width."""

    chosen: Callable[[Array], Array]
    encoding: Encoding
    shares: Mapping[str, float] | None
    width: int

    def of(self, layers: Array, words: Sequence[str]) -> Array:
        shares = None if self.shares is None else np.array([self.shares.get(word, 0.0) for word in words])
        vector = pool(self.chosen(layers), self.encoding.pooling, shares=shares)
        length = np.linalg.norm(vector) if self.encoding.normalize else 0.0
        return vector / length if length > 0 else vector


def _one_encoding(
    encoding: Encoding | None, pooling: str, layers: Any, normalize: bool, layer_weights: Sequence[float] | None
) -> Encoding:
    if encoding is not None:
        if not isinstance(encoding, Encoding):
            raise ConfigError(f"encoding is {encoding!r}; expected an Encoding. Name other arguments: pooling='max'.")
        others = Encoding(pooling, layers, normalize, layer_weights)
        if others != Encoding():
            raise ConfigError("give either encoding or pooling, layers, layer_weights and normalize, not both.")
        return encoding
    if layer_weights is None and holds_weights(layers):
        layers, layer_weights = "mix", layers
    return Encoding(pooling, layers, normalize, layer_weights)


def _choose_layers(encoding: Encoding, config: ElmoConfig, layer_mix: LayerMix) -> Callable[[Array], Array]:
    """Layers of one text (L, T, 2P) → its word vectors (T, d)."""
    numbers = encoding.check(config).numbers(config.n_layers)
    if encoding.layer_weights is not None:
        return partial(_weighted, encoding.layer_weights)
    if encoding.layers == "mix":
        return lambda layers: mix_layers(layers, layer_mix)
    if isinstance(encoding.layers, int):
        return lambda layers: layers[numbers[0]]
    return lambda layers: np.concatenate([layers[number] for number in numbers], axis=-1)


def _weighted(weights: Sequence[float], layers: Array) -> Array:
    return np.asarray(sum(layer * layers.dtype.type(weight) for layer, weight in zip(layers, weights, strict=True)))


def _digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of the tensors by name, and of the words where the model reads whole words."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(checkpoint.tensors[name], dtype="<f4").data)
    if checkpoint.config.n_words:
        digest.update(json.dumps(checkpoint.words).encode())
    return digest.hexdigest()


def _counts(checkpoint: Checkpoint) -> Mapping[str, float] | None:
    if checkpoint.words is None or checkpoint.word_counts is None:
        return None
    return dict(zip(checkpoint.words, checkpoint.word_counts, strict=True))


def _word_shares(counts: Mapping[str, float] | None) -> dict[str, float]:
    if counts is None:
        raise ConfigError(
            "pooling='sif' weighs words by how often they occur, and this model came without its words' counts: give"
            " word_frequencies={word: count, …}."
        )
    total = float(sum(counts.values()))
    if not total > 0 or any(not count >= 0 for count in counts.values()):
        raise ConfigError("word_frequencies must hold numbers that are not negative, and not only zeros.")
    return {word: count / total for word, count in counts.items()}


def _lasting(place: str | Path) -> str:
    """A name of the same place for other working directories: whole, unless it is no place here ("original")."""
    path = Path(place).expanduser()
    here = path.exists() or path.with_name(path.name + ".index").exists()
    return str(path.absolute() if here else place)


def _settled(runtime: Runtime) -> State:
    """Read the built-in text again and again until a pass changes the state no more (20 passes at most).

    "No more" is about what the LSTMs put out: cells without a clip go on counting long after their output is settled.
    """
    state: State | None = None
    for _ in range(_WARM_PASSES):
        before = state
        for sentence in _WARM_TEXT:
            _, state = runtime.step([sentence], state)
        if before is not None and state is not None and np.allclose(before.hidden, state.hidden, rtol=0, atol=1e-3):
            break
    assert state is not None, "the built-in text has sentences"
    return state


def _length(texts: Iterable[Text]) -> int | None:
    return len(texts) if isinstance(texts, Sized) else None


def _blocks(items: Iterable[Any], n_words: Callable[[Any], int]) -> Iterator[list[Any]]:
    """Cut a stream into lists of a bounded number of words and texts."""
    block: list[Any] = []
    room = _STREAM_WORDS
    for item in items:
        block.append(item)
        room -= n_words(item)
        if room <= 0 or len(block) == _STREAM_TEXTS:
            yield block
            block, room = [], _STREAM_WORDS
    if block:
        yield block
