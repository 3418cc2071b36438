"""`LoadedModel`: a biLM in memory, where it came from and what identifies it. `elmokit.Elmo` is one that encodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint, digest_of
from elmokit.config import ElmoConfig, LayerMix
from elmokit.encoding import Encoding
from elmokit.errors import CheckpointError, ConfigError
from elmokit.runtime.backends import choose_precision
from elmokit.runtime.batches import State
from elmokit.runtime.engine import Engine
from elmokit.runtime.pooling import Reduce, sif_weights
from elmokit.runtime.token_encoder import CACHE_WORDS
from elmokit.text.tokens import get_tokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

_PASSES = 20  # at most, of the text that settles the state for state="warm"
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

Array = NDArray[Any]
Start = State | Literal["warm"] | None


class LoadedModel:
    """A biLM and the tokenizer that it was trained with; see `elmokit.Elmo` for the arguments."""

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
        self.config: ElmoConfig = checkpoint.config
        self.layer_mix: LayerMix = checkpoint.layer_mix
        self.whitening: NDArray[Any] | None = checkpoint.whitening
        self._read_whitening = checkpoint.whitening
        self.name: str = checkpoint.name
        self.metadata: Mapping[str, Any] = checkpoint.metadata
        self.precision: str = choose_precision(device)[0] if precision == "auto" else precision
        self._tokenize = get_tokenizer(self.config.tokenizer)
        self._words_and_counts = checkpoint.words, checkpoint.word_counts
        self._engine = Engine(
            self.config,
            checkpoint.tensors,
            words=checkpoint.words,
            device=device,
            precision=self.precision,
            n_threads=n_threads,
            cache_words=cache_words,
        )
        self._again: partial[Self] | None = None  # what loads the same files
        self._checkpoint: Checkpoint | None = checkpoint  # None once it can be read again
        self._sum, self._digest, self._sums = 0, "", dict[str, str]()

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
    ) -> Self:
        """Read a model: the one in the package, a folder or archive, a published one, or a pair of files.

        Args:
            source: "default" for the model in the package (a folder of that name is "./default"); the name of a
                published model ("original", "small" …; `elmokit.checkpoints` lists them), which is downloaded once; or
                a folder or file: elmokit's own, AllenNLP's options and HDF5 weights or model archive, TensorFlow and
                TF-Hub checkpoints, ELMoForManyLangs.
            options, weights: both files of a pair.
            device, precision, n_threads, cache_words: see `Elmo`.

        Returns:
            the model. L is its number of layers (the token layer and each LSTM layer), P the width of one direction,
            2P the width of a word vector, T the words of a text.

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
        on: dict[str, Any] = {"device": device, "n_threads": n_threads, "cache_words": cache_words}
        model = cls(checkpoint, precision=precision, **on)
        second = None if weights is None else _absolute(weights)
        model._again = partial(cls.load, _absolute(place), weights=second, precision=model.precision, **on)
        model._checkpoint, model._sum = None, _sum_of(checkpoint)  # the engine has packed copies of the arrays
        model._sums = {} if weights else checkpoints.recorded_sums(place)
        model.name = model.name or str(place)
        return model

    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the model was made of, or its files (without softmax), read again.

        Files that have changed since the model was loaded raise CheckpointError.
        """
        if self._checkpoint is not None:
            return self._checkpoint
        assert self._again is not None, "a model comes from a checkpoint or from files"
        weights = self._again.keywords["weights"]
        checkpoint = checkpoints.load(self._again.args[0], weights=weights, with_softmax=False)
        if _sum_of(checkpoint) != self._sum:
            raise CheckpointError(f"{self.source}: the files have changed since the model was loaded; load it again.")
        return checkpoint

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder in elmokit's own format, for `Elmo.load`; for the errors see `checkpoint`.

        A folder that can't be written raises OutputError.
        """
        own = replace(self.checkpoint(), layer_mix=self.layer_mix, name=self.name, whitening=self.whitening)
        checkpoints.save(own, folder)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies in other processes (joblib, multiprocessing): where the model came from, not its weights."""
        if self._again is None:
            raise ConfigError(
                f"{self!r} was made in memory, so another process can't open it: elmo.save(folder), and use"
                " Elmo.load(folder)."
            )
        changed = {} if self.whitening is self._read_whitening else {"whitening": self.whitening}
        return self._again, (), {"name": self.name, "layer_mix": self.layer_mix, **changed}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, configuration and tokenizer, word table, layer mix, whitening; saved models check it.

        Computed when it is first asked for: by what a folder in elmokit's format records, if its files are still those
        that were loaded, else from weights that are read again.
        """
        if not self._digest:
            kept = self._sums and self._sums == checkpoints.recorded_sums(str(self.source), check=True)
            self._digest = self._sums["tensors"] if kept else digest_of(self.checkpoint())
        settings = json.dumps([self.config.to_dict(), asdict(self.layer_mix)], sort_keys=True)
        whitening = b"" if self.whitening is None else np.asarray(self.whitening, "<f4").tobytes()
        return hashlib.sha256((self._digest + settings).encode("utf-8", "surrogatepass") + whitening).hexdigest()

    @property
    def source(self) -> str | None:
        """What `load` takes to read the model again; None for one made in memory."""
        return None if self._again is None else str(self._again.args[0])

    @cached_property
    def _warm_state(self) -> State:
        """The fixed state of one row that `state="warm"` starts from: what a little English leaves, once it settles."""
        state = State.zeros(self.config, 1)
        for _ in range(_PASSES):
            before = state
            for sentence in _WARM_TEXT:
                _, state = self._engine.step([sentence], state)
            if np.allclose(before.hidden, state.hidden, rtol=0, atol=1e-3):  # cells may count on without end
                break
        return state

    def encode_in_turns(
        self, words: Sequence[str], encoding: Encoding | None, *, pooled: bool = True, turn_words: int = 256
    ) -> Iterator[Array | None]:
        """Encode one long text a segment at a time, for servers that let other work come between.

        Yields None after each segment of `turn_words` words, and last the vector, (d,), or, unless `pooled`, the word
        vectors, (T, d), or (L, T, 2P) without an encoding.
        """
        encoding = encoding or (Encoding() if pooled else None)
        weights = sif_weights(self._word_counts) if pooled and encoding and encoding.pooling == "sif" else {}
        reduce = Reduce([words], encoding, self.layer_mix, pooled, weights, self.whitening)
        yield from self._engine.turns(reduce, turn_words)

    @property
    def _word_counts(self) -> Mapping[str, float] | None:
        words, counts = self._words_and_counts
        return None if words is None or counts is None else dict(zip(words, counts, strict=True))

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

    def __repr__(self) -> str:
        return f"Elmo({self.name!r}, dim={self.dim}, n_layers={self.n_layers})"


def _sum_of(checkpoint: Checkpoint) -> int:
    """Tells whether files have changed, in a sixth of SHA-256's time. Means nothing in another process."""
    sums = []
    for name, array in checkpoint.arrays.items():
        bits = np.ascontiguousarray(array, np.float32).reshape(-1)
        n = bits.size // 2 * 2
        sums.append((name, array.shape, int(bits[:n].view(np.uint64).sum()), bits[n:].tobytes()))
    return hash((repr(checkpoint.config), checkpoint.words, tuple(sums)))


def _absolute(place: str | Path) -> str:
    """The path as it is known in other working directories; names of published models stay as they are."""
    path = Path(place).expanduser()
    here = place != "default" and (path.exists() or path.with_name(path.name + ".index").exists())
    return str(path.absolute() if here else place)
