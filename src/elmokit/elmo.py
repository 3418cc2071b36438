"""`Elmo`: text in, vectors out. Start reading here.

    texts ─ tokenizer ─▶ words ─ engine ─▶ layers (L, T, 2P) ─ layers= ─▶ word vectors ─ pooling= ─▶ one vector

A text's vectors depend on that text alone, not on its neighbours, their order or what was encoded before. The original
implementation carried its LSTM state from batch to batch; here that state is a value (`step`, `state=`).
Source: Peters et al. 2018 (arXiv:1802.05365).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import EMBEDDED as EMBEDDED
from elmokit.checkpoints import Checkpoint
from elmokit.config import ElmoConfig, LayerMix
from elmokit.encoding import Encoding, Text, one_encoding, with_aliases
from elmokit.encoding import Layers as Layers
from elmokit.errors import CheckpointError, ConfigError, MissingExtra
from elmokit.features import Features, WordVectors
from elmokit.progress import progress_bar
from elmokit.runtime.backends import PRECISIONS as BACKEND_PRECISIONS
from elmokit.runtime.batches import MAX_ROWS
from elmokit.runtime.engine import Engine
from elmokit.runtime.pooling import KeepWords, PoolTexts, word_shares
from elmokit.runtime.precision import choose_precision
from elmokit.runtime.state import State
from elmokit.runtime.token_encoder import CACHE_WORDS
from elmokit.runtime.warm_state import warm_state
from elmokit.text.inputs import checked_texts, checked_words, text_blocks
from elmokit.text.tokens import get_tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]
Start = State | Literal["warm"] | None

PRECISIONS = (*BACKEND_PRECISIONS, "auto")


class WordOptions(TypedDict, total=False):
    """The keyword arguments of `Elmo.encode_words`."""

    layers: Layers
    layer_weights: Sequence[float] | None
    show_progress: bool | None
    state: Start


class EncodeOptions(WordOptions, total=False):
    """The keyword arguments of `Elmo.encode`."""

    pooling: str
    normalize: bool
    word_frequencies: Mapping[str, float] | None
    batch_size: int
    show_progress_bar: bool | None
    normalize_embeddings: bool
    convert_to_tensor: bool
    convert_to_numpy: bool


class Elmo:
    """A biLM that makes vectors of texts and of their words. `Elmo.load` reads one from files.

    Args:
        checkpoint: the model, in memory.
        device: "auto" (the CPU, so that results do not depend on the machine), "cpu", or a GPU: "cuda", "cuda:1", "mps"
            (extra `torch`).
        precision: "float32", "float64" (CPU), "bfloat16" (compiled loops where the processor has it, else extra
            `torch`), or "auto": bfloat16 where it is fast, else float32. The attribute `precision` says which it is.
        n_threads: threads to compute on; None for one per core. Changes no result; each holds a batch in memory.
        cache_words: words whose token vectors are cached (4 P bytes each); 0 for none.

    Raises:
        ConfigError: a value that is unknown or out of range.
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
        if not isinstance(checkpoint, Checkpoint):
            raise ConfigError(
                f"Elmo({checkpoint!r}): expected a Checkpoint. To read a model: Elmo.load({checkpoint!r})."
            )
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(map(repr, PRECISIONS))}.")
        self.config: ElmoConfig = checkpoint.config
        self.layer_mix: LayerMix = checkpoint.layer_mix
        self.name: str = checkpoint.name
        self.metadata: Mapping[str, Any] = checkpoint.metadata
        self.precision: str = choose_precision(device)[0] if precision == "auto" else precision
        self._tokenize = get_tokenizer(self.config.tokenizer)
        self._counts = _counts(checkpoint)
        self._digest = _digest(checkpoint)
        self._engine = Engine(
            self.config,
            checkpoint.tensors,
            words=checkpoint.words,
            device=device,
            precision=self.precision,
            n_threads=n_threads,
            cache_words=cache_words,
        )
        self._warm: State | None = None
        self._lock = threading.Lock()
        self._checkpoint: Checkpoint | None = checkpoint
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
        """Read a model: the one in the package, a folder or archive, a published one, or a pair of files.

        Args:
            source: "default" for the model in the package (a folder of that name is "./default"); the name of a
                published model ("original", "small" …; `elmokit.checkpoints` lists them), which is downloaded once; or
                a folder or file: elmokit's own, AllenNLP's options and HDF5 weights or model archive, TensorFlow and
                TF-Hub checkpoints, ELMoForManyLangs.
            options: the options file of a pair; `weights` is then needed.
            weights: the weights of a pair.
            device: see `Elmo`.
            precision: see `Elmo`.
            n_threads: see `Elmo`.
            cache_words: see `Elmo`.

        Returns:
            the model. In this documentation L is its number of layers (the token layer and each LSTM layer), P the
            width of one direction, 2P the width of a word vector, T the words of a text.

        Raises:
            MissingFile: no such file or folder.
            CheckpointError: not a checkpoint, damaged, or two files that do not fit together.

        Example:
            ``Elmo.load("my-folder", precision="auto")``
        """
        if options is not None and source != "default":
            raise CheckpointError(f"give either source ({source}) or options ({options}), not both.")
        if options is None and weights is not None and source == "default":
            raise CheckpointError(f"weights ({weights}) without options: give both, Elmo.load(options=…, weights=…).")
        place = source if options is None else options
        checkpoint = checkpoints.load(place, weights=weights, with_softmax=False)
        elmo = cls(checkpoint, device=device, precision=precision, n_threads=n_threads, cache_words=cache_words)
        elmo.name = elmo.name or str(place)
        elmo._checkpoint = None  # the engine has packed copies
        elmo._source = "default" if place == "default" else _absolute(place)
        elmo._load_options = {
            "weights": None if weights is None else _absolute(weights),
            "device": device,
            "precision": elmo.precision,
            "n_threads": n_threads,
            "cache_words": cache_words,
        }
        return elmo

    def checkpoint(self) -> Checkpoint:
        """The model's arrays: the checkpoint it was made of, or read again from its files.

        Returns:
            the checkpoint, without softmax where it was read from files.

        Raises:
            CheckpointError: the files have changed since the model was loaded.
        """
        if self._checkpoint is not None:
            return self._checkpoint
        weights = self._load_options["weights"]
        checkpoint = checkpoints.load(str(self._source), weights=weights, with_softmax=False)
        if _digest(checkpoint) != self._digest:
            raise CheckpointError(f"{self._source}: the files have changed since {self!r} was loaded; load it again.")
        return checkpoint

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder in elmokit's own format, for `Elmo.load`.

        Args:
            folder: where to; it must not hold another model.

        Raises:
            CheckpointError: the files that the model was loaded from have changed.
            OutputError: the folder can't be written.
        """
        kept = dataclasses.replace(self.checkpoint(), layer_mix=self.layer_mix, name=self.name)
        checkpoints.save(kept, folder)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies in other processes (joblib, multiprocessing): where the model came from, not its weights."""
        if self._source is None:
            raise ConfigError(
                f"{self!r} was made in memory, so another process can't open it: elmo.save(folder), and use"
                " Elmo.load(folder)."
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
    def device(self) -> str:
        """Where it computes: "cpu" or a GPU's name."""
        return self._engine.backend.device

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights, configuration (tokenizer included), word table and layer mix, as 64 hex digits.

        It is the same for the same model in another folder or format; saved models store it to know their model again.
        Device, precision and name do not change it.
        """
        settings = json.dumps([self.config.to_dict(), dataclasses.asdict(self.layer_mix)], sort_keys=True)
        return hashlib.sha256((self._digest + settings).encode("utf-8", "surrogatepass")).hexdigest()

    def width(self, encoding: Encoding | None = None) -> int:
        """Width of the vectors that `encode` returns, without encoding anything.

        Args:
            encoding: which vectors; None for the defaults of `Encoding`.

        Returns:
            the number of columns.

        Raises:
            ConfigError: layers or weights that do not fit the model.
        """
        return (encoding or Encoding()).width(self.config)

    def __repr__(self) -> str:
        return f"Elmo({self.name!r}, dim={self.dim}, n_layers={self.n_layers})"

    def _repr_html_(self) -> str:
        """What the model is, as a table for notebooks."""
        facts = {
            "word vectors": f"{self.dim} numbers in each of {self.n_layers} layers",
            "parameters": f"{self.config.n_params:,}",
            "tokenizer": self.config.tokenizer,
            "computes": f"in {self.precision} on {self.device}",
            "fingerprint": self.fingerprint[:12],
        }
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
        return f"<table><caption>Elmo {escape(self.name)}</caption><tbody>{rows}</tbody></table>"

    def tokenize(self, texts: Iterable[Text]) -> list[list[str]]:
        """Split texts into words, as `encode` does.

        Args:
            texts: strings, which the model's tokenizer splits, or lists of words, which are taken as they are.

        Returns:
            the words of each text.

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
        """
        return [self._words(text, i) for i, text in enumerate(checked_texts(texts))]

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
        batch_size: int = MAX_ROWS,
        **aliases: Any,
    ) -> NDArray[np.float32]:
        """One vector per text.

        Args:
            texts: N texts: strings, which the model's tokenizer splits into words, or lists of words.
            encoding: which vectors, as one value; replaces the next four arguments.
            pooling: see `Encoding`.
            layers: see `Encoding`.
            layer_weights: see `Encoding`.
            normalize: see `Encoding`.
            show_progress: True draws a bar, False never does, None does in terminals and notebooks after two seconds.
            state: where the LSTMs start with every text: None for zeros, "warm" for a fixed state that has read a
                little English, or a `State` of one row.
            word_frequencies: how often words occur, counts or shares, for "sif"; None takes the model's own counts.
            batch_size: texts that are read side by side, at most (also bounded by words). Changes speed only.
            aliases: show_progress_bar, normalize_embeddings, convert_to_numpy and convert_to_tensor, as
                sentence-transformers spells them.

        Returns:
            a row per text, in order; zeros for a text without words. Shape (N, `width(encoding)`), float32 (float64
            for that precision); a torch tensor with `convert_to_tensor=True`.

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: an argument that is unknown or does not fit the model.

        Example:
            ``Elmo.load().encode(["One text.", ["another", "text"]], pooling="max")``
        """
        options = with_aliases(aliases, normalize=normalize, show_progress=show_progress)
        encoding = one_encoding(encoding, pooling, layers, options["normalize"], layer_weights)
        shares = None
        if encoding.pooling == "sif":
            shares = word_shares(self._counts if word_frequencies is None else word_frequencies)
        start, sentences = self._state(state), self.tokenize(texts)
        reduce = PoolTexts(sentences, encoding, self.config, self.layer_mix, shares)
        vectors: NDArray[Any] = np.zeros((len(sentences), reduce.width), self._engine.dtype)
        with progress_bar("encoding", total=len(sentences), show=options["show_progress"]) as advance:
            for i, vector in self._engine.map(sentences, reduce, state=start, max_rows=batch_size):
                vectors[i] = vector
                advance(1)
        return _as_tensor(vectors) if options["convert_to_tensor"] else vectors

    def encode_one(
        self, text: Text, encoding: Encoding | None = None, **options: Unpack[EncodeOptions]
    ) -> NDArray[np.float32]:
        """The vector of one text: the row that `encode` gives for it.

        Args:
            text: a string or a list of words.
            encoding: see `encode`.
            options: see `encode`.

        Returns:
            the vector. Shape (d,).

        Raises:
            TextError: neither a string nor a list of words.
            ConfigError: see `encode`.
        """
        quiet: dict[str, Any] = {"show_progress": False, **options}
        vector: NDArray[np.float32] = self.encode([text], encoding, **quiet)[0]
        return vector

    def encode_stream(
        self, texts: Iterable[Text], encoding: Encoding | None = None, **options: Unpack[EncodeOptions]
    ) -> Iterator[NDArray[np.float32]]:
        """One vector per text, for corpora larger than memory: texts are read as vectors are taken.

        Args:
            texts: any number of texts, for instance a generator.
            encoding: see `encode`.
            options: see `encode`.

        Yields:
            each text's vector, in the order of the texts; the same numbers as from `encode`. Shape (d,).

        Raises:
            TextError: a text that is neither a string nor a list of words; the texts before its block came through.
            ConfigError: see `encode`.

        Example:
            ``for vector in elmo.encode_stream(open("corpus.txt")): …``
        """
        rest: dict[str, Any] = dict(options)
        show = rest.pop("show_progress", rest.pop("show_progress_bar", None))
        words = (self._words(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("encoding", total=_length(texts), show=show) as advance:
            for block in text_blocks(words, len):
                yield from self.encode(block, encoding, show_progress=False, **rest)
                advance(len(block))

    def encode_words(self, texts: Iterable[Text], **options: Unpack[WordOptions]) -> Features:
        """A vector per word.

        Args:
            texts: N strings or lists of words.
            options: layers (as in `encode`, or "each" for all layers apart), layer_weights, show_progress and state, as
                in `encode`.

        Returns:
            N `WordVectors`: words, their places in the text (None where words were given), and vectors of shape
            (T, d), or (L, T, 2P) for "each".

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: layers or state that are not known or do not fit the model.

        Example:
            ``Elmo.load().encode_words(["Stick to it."])[0].vectors``
        """
        return Features(self.encode_words_stream(texts, **options))

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
        each = isinstance(layers, str) and layers == "each" and layer_weights is None
        encoding = None if each else one_encoding(None, "mean", layers, False, layer_weights).check(self.config)
        start = self._state(state)
        split = (self._split(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("encoding", total=_length(texts), show=show_progress) as advance:
            for block in text_blocks(split, lambda pair: len(pair[0])):
                sentences = [words for words, _ in block]
                vectors: dict[int, Array] = {}
                reduce = KeepWords(sentences, encoding, self.config, self.layer_mix)
                for i, each_word in self._engine.map(sentences, reduce, state=start):
                    vectors[i] = each_word
                    advance(1)
                yield from (WordVectors(tuple(words), offsets, vectors[i]) for i, (words, offsets) in enumerate(block))

    def similarity(
        self, a: Text | Iterable[Text] | Array, b: Text | Iterable[Text] | Array, encoding: Encoding | None = None
    ) -> NDArray[np.float32]:
        """Cosine similarity of texts, or of vectors that were encoded before.

        Args:
            a: N texts, or their vectors, (N, d); a lone string is one text.
            b: M texts, or their vectors, (M, d).
            encoding: how texts are encoded; see `encode`.

        Returns:
            similarities from -1 to 1; 0 where a text has no words. Shape (N, M).

        Raises:
            TextError: a text that is neither a string nor a list of words.
            ConfigError: vectors of different widths.

        Example:
            ``elmo.similarity("Stick to it.", ["Go on!", "The stick broke."])``
        """
        sides = [np.atleast_2d(self._side(side, encoding)).astype(np.float64) for side in (a, b)]
        if sides[0].shape[1] != sides[1].shape[1]:
            raise ConfigError(f"a has vectors of width {sides[0].shape[1]}, b of width {sides[1].shape[1]}.")
        units = [side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in sides]
        return np.asarray(units[0] @ units[1].T, np.float32)

    def step(self, texts: Iterable[Text], state: State | None = None) -> tuple[Features, State]:
        """Encode one batch as the original implementation did: every row starts where the previous batch left it.

        Feed batch after batch and pass the state on to get the published vectors, which depend on all that was read
        before. For anything else, use `encode_words`.

        Args:
            texts: a batch of B strings or lists of words.
            state: what the previous step returned; None at first.

        Returns:
            word vectors of all layers, (L, T, 2P) each, and the state after the batch.

        Raises:
            TextError: a text that is neither a string nor a list of words; says which.
            ConfigError: a state of another model.
        """
        split = [self._split(text, i) for i, text in enumerate(checked_texts(texts))]
        layers, after = self._engine.step([words for words, _ in split], state)
        rows = zip(split, layers, strict=True)
        return Features(WordVectors(tuple(words), offsets, np.array(each)) for (words, offsets), each in rows), after

    def warm_state(self) -> State:
        """The fixed state that `state="warm"` starts from: what a little English leaves, read until it settles.

        Returns:
            a state of one row, the same whenever the model is loaded; computed once.
        """
        with self._lock:
            self._warm = self._warm or warm_state(self._engine)
            return self._warm

    def _side(self, side: Any, encoding: Encoding | None) -> Array:
        if isinstance(side, np.ndarray) and side.dtype.kind == "f":
            return side
        return self.encode([side] if isinstance(side, str) else side, encoding)

    def _state(self, state: Start) -> State | None:
        if isinstance(state, str) and state == "warm":
            return self.warm_state()
        if state is not None and not isinstance(state, State):
            raise ConfigError(f"state is {state!r} ({type(state).__name__}); expected None, 'warm' or a State.")
        return state

    def _words(self, text: Text, place: int) -> list[str]:
        if isinstance(text, str):
            return [token.word for token in self._tokenize(text)]
        return checked_words(text, place)

    def _split(self, text: Text, place: int) -> tuple[list[str], NDArray[np.int64] | None]:
        if not isinstance(text, str):
            return checked_words(text, place), None
        tokens = self._tokenize(text)
        offsets = np.array([(token.start, token.end) for token in tokens], dtype=np.int64).reshape(-1, 2)
        return [token.word for token in tokens], offsets


def _as_tensor(vectors: Array) -> Any:
    """Vectors as a torch tensor that shares their memory."""
    try:
        from elmokit.runtime.backends.torch import as_tensor
    except ImportError:
        raise MissingExtra("PyTorch", "torch", "convert_to_tensor=True") from None
    return as_tensor(vectors)


def _counts(checkpoint: Checkpoint) -> Mapping[str, float] | None:
    if checkpoint.words is None or checkpoint.word_counts is None:
        return None
    return dict(zip(checkpoint.words, checkpoint.word_counts, strict=True))


def _digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of the tensors by name, and of the words where the model reads whole words."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(checkpoint.tensors[name], dtype="<f4").data)
    if checkpoint.config.n_words:
        digest.update(json.dumps(checkpoint.words).encode())
    return digest.hexdigest()


def _absolute(place: str | Path) -> str:
    """The path as it is known in other working directories; names of published models stay as they are."""
    path = Path(place).expanduser()
    here = path.exists() or path.with_name(path.name + ".index").exists()
    return str(path.absolute() if here else place)


def _length(texts: Iterable[Text]) -> int | None:
    return len(texts) if isinstance(texts, Sized) else None
