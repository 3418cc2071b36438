"""`BiLMEncoder`: words → vectors of words in context. `elmokit.Elmo` adds vectors of whole texts, and loading."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints import Checkpoint
from elmokit.config import ElmoConfig, LayerMix
from elmokit.encoding import Layers, Text, one_encoding
from elmokit.errors import ConfigError
from elmokit.features import Features, WordVectors
from elmokit.model_files import ModelFiles
from elmokit.progress import progress_bar
from elmokit.runtime.backends import PRECISIONS as BACKEND_PRECISIONS
from elmokit.runtime.batches import State
from elmokit.runtime.engine import Engine
from elmokit.runtime.pooling import KeepWords
from elmokit.runtime.precision import choose_precision
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


class BiLMEncoder:
    """A biLM and the tokenizer that it was trained with; see `elmokit.Elmo`.

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
        self.files = ModelFiles(checkpoint)
        counts = zip(checkpoint.words or (), checkpoint.word_counts or (), strict=False)
        self._word_counts: Mapping[str, float] | None = dict(counts) or None
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
        with progress_bar("encoding", total=length_of(texts), show=show_progress) as advance:
            for block in text_blocks(split, lambda pair: len(pair[0])):
                sentences = [words for words, _ in block]
                vectors: dict[int, Array] = {}
                reduce = KeepWords(sentences, encoding, self.config, self.layer_mix)
                for i, each_word in self._engine.map(sentences, reduce, state=start):
                    vectors[i] = each_word
                    advance(1)
                yield from (WordVectors(tuple(words), offsets, vectors[i]) for i, (words, offsets) in enumerate(block))

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


def length_of(texts: Iterable[Text]) -> int | None:
    """How many texts there are, if they know it."""
    return len(texts) if isinstance(texts, Sized) else None
