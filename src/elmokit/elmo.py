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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.bilm_encoder import PRECISIONS as PRECISIONS
from elmokit.bilm_encoder import BiLMEncoder, Start, WordOptions, length_of
from elmokit.checkpoints import EMBEDDED as EMBEDDED
from elmokit.checkpoints import Checkpoint
from elmokit.encoding import Encoding, Text, one_encoding, with_aliases
from elmokit.encoding import Layers as Layers
from elmokit.errors import CheckpointError, ConfigError, MissingExtra
from elmokit.progress import progress_bar
from elmokit.runtime.batches import MAX_ROWS
from elmokit.runtime.pooling import PoolTexts, word_shares
from elmokit.runtime.token_encoder import CACHE_WORDS
from elmokit.text.inputs import checked_texts, text_blocks

if TYPE_CHECKING:
    from typing_extensions import Unpack

Array = NDArray[Any]


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


class Elmo(BiLMEncoder):
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
        >>> from elmokit.config import BiLSTMConfig, ElmoConfig
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
        elmo.files.loaded_from(
            place, weights, device=device, precision=elmo.precision, n_threads=n_threads, cache_words=cache_words
        )
        return elmo

    def checkpoint(self) -> Checkpoint:
        """The model's arrays: the checkpoint it was made of, or (without softmax) read again from its files.

        Returns:
            the checkpoint.

        Raises:
            CheckpointError: the files have changed since the model was loaded.
        """
        return self.files.checkpoint()

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
        if self.files.source is None:
            raise ConfigError(
                f"{self!r} was made in memory, so another process can't open it: elmo.save(folder), and use"
                " Elmo.load(folder)."
            )
        opened = partial(Elmo.load, self.files.source, **self.files.options)
        return opened, (), {"name": self.name, "layer_mix": self.layer_mix}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, configuration (with tokenizer), word table and layer mix; saved models check it."""
        settings = json.dumps([self.config.to_dict(), dataclasses.asdict(self.layer_mix)], sort_keys=True)
        return hashlib.sha256((self.files.digest + settings).encode("utf-8", "surrogatepass")).hexdigest()

    def width(self, encoding: Encoding | None = None) -> int:
        """Number of columns that `encode` returns, known without encoding anything.

        Args:
            encoding: which vectors; None for the defaults of `Encoding`.

        Returns:
            the width.
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
            for that precision).

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
            shares = word_shares(self._word_counts if word_frequencies is None else word_frequencies)
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
        """
        rest: dict[str, Any] = dict(options)
        show = rest.pop("show_progress", rest.pop("show_progress_bar", None))
        words = (self._words(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("encoding", total=length_of(texts), show=show) as advance:
            for block in text_blocks(words, len):
                yield from self.encode(block, encoding, show_progress=False, **rest)
                advance(len(block))

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

    def _side(self, side: Any, encoding: Encoding | None) -> Array:
        if isinstance(side, np.ndarray) and side.dtype.kind == "f":
            return side
        return self.encode([side] if isinstance(side, str) else side, encoding)


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
