"""`Elmo`: text in, vectors out. Start reading here.

    texts ─ tokenizer ─▶ words ─ engine ─▶ layers (L, T, 2P) ─ layers= ─▶ word vectors ─ pooling= ─▶ one vector

A text's vectors depend on that text alone. The original implementation carried its LSTM state from batch to batch; here
that state is a value (`step`, `state=`). Source: Peters et al. 2018 (arXiv:1802.05365).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.checkpoints import EMBEDDED as EMBEDDED
from elmokit.encoding import Encoding, Text, one_encoding, with_aliases
from elmokit.encoding import Layers as Layers
from elmokit.errors import ConfigError, needing
from elmokit.features import Features, WordVectors
from elmokit.model import LoadedModel, Start
from elmokit.progress import ShowProgress, progress_bar
from elmokit.runtime.batches import MAX_ROWS, State
from elmokit.runtime.pooling import Reduce, sif_weights
from elmokit.runtime.whitening import whitening_matrix
from elmokit.text.inputs import checked_texts, checked_words

Array = NDArray[Any]

BLOCK_TEXTS, BLOCK_WORDS = 4096, 65_536  # bounds of a block of a stream: enough to sort texts by length, little memory


class Elmo(LoadedModel):
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
        >>> elmo = Elmo.load()
        >>> elmo
        Elmo('elmokit-english-3', dim=768, n_layers=3)
        >>> elmo.encode(["a cat", ""]).shape
        (2, 768)
        >>> elmo.encode_words(["a cat"], layers="all")[0]
        WordVectors('a cat', vectors=(2, 2304))
    """

    def width(self, encoding: Encoding | None = None) -> int:
        """Number of columns that `encode` returns for an encoding (None: the default one), without encoding."""
        return (encoding or Encoding()).width(self.config)

    def tokenize(self, texts: Iterable[Text]) -> list[list[str]]:
        """The words of each text: of strings by the model's tokenizer, of lists as they are; TextError for others."""
        return list(self._words(texts))

    def encode(
        self,
        texts: Iterable[Text],
        encoding: Encoding | None = None,
        *,
        pooling: str = "mean",
        layers: Layers = "mix",
        layer_weights: Sequence[float] | None = None,
        normalize: bool = False,
        show_progress: ShowProgress = None,
        state: Start = None,
        word_frequencies: Mapping[str, float] | None = None,
        batch_size: int = MAX_ROWS,
        **aliases: Any,
    ) -> NDArray[np.float32]:
        """One vector per text.

        Args:
            texts: N texts: strings, which the model's tokenizer splits into words, or lists of words.
            encoding: which vectors, as one value; replaces the next four arguments.
            pooling, layers, layer_weights, normalize: see `Encoding`.
            show_progress: True draws a bar, False never does, None does in terminals and notebooks after two seconds; a
                function is called instead with the number of texts done since the last call.
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
        weights = {}
        if encoding.pooling == "sif":
            weights = sif_weights(self._word_counts if word_frequencies is None else word_frequencies)
        start, sentences = self._state(state), self.tokenize(texts)
        reduce = Reduce(sentences, encoding, self.layer_mix, True, weights, self.whitening)
        vectors: NDArray[Any] = np.zeros((len(sentences), self.width(encoding)), self._engine.dtype)
        with progress_bar("encoding", total=len(sentences), show=options["show_progress"]) as advance:
            for i, vector in self._engine.map(reduce, state=start, max_rows=batch_size):
                vectors[i] = vector
                advance(1)
        if not options["convert_to_tensor"]:
            return vectors
        with needing("PyTorch", "torch", "convert_to_tensor=True"):
            from elmokit.runtime.backends.torch import as_tensor
        return as_tensor(vectors)  # type: ignore[return-value]  # as sentence-transformers does

    def encode_one(self, text: Text, encoding: Encoding | None = None, **options: Any) -> NDArray[np.float32]:
        """The vector of one `text`, (d,), for an `encoding` or other `options` of `encode`: the row that it gives."""
        vector: NDArray[np.float32] = self.encode([text], encoding, **{"show_progress": False, **options})[0]
        return vector

    def encode_stream(
        self, texts: Iterable[Text], encoding: Encoding | None = None, **options: Any
    ) -> Iterator[NDArray[np.float32]]:
        """One vector per text, (d,), for corpora larger than memory: `texts` are read as vectors are taken.

        `encoding` and `options` are those of `encode`, and so are the numbers.
        """
        show = options.pop("show_progress", options.pop("show_progress_bar", None))
        with progress_bar("encoding", total=length_hint(texts) or None, show=show) as advance:
            for block in blocks(self._words(texts), BLOCK_TEXTS, weigh=len, most=BLOCK_WORDS):
                yield from self.encode(block, encoding, show_progress=advance, **options)

    def fit_whitening(self, texts: Iterable[Text], *, power: float = 0.4, show_progress: ShowProgress = None) -> Elmo:
        """Fit `whitening`, the matrix that `encode` multiplies means of the layer mix by, and return the model.

        A few directions fill the vectors of a biLM. Dividing each principal component by its deviation ** `power` (0
        changes nothing, 1 makes all equal) lets rarer differences count: topics, with few labels (Su et al. 2021).
        `texts` are of all kinds, without labels; 20,000 fitted the embedded model's. `save` keeps the matrix,
        ``elmo.whitening = None`` turns it off. `show_progress` is that of `encode`; ConfigError for 2P texts or fewer.

        Example:
            ``Elmo.load("norwegian").fit_whitening(texts).save("whitened")``
        """
        read = self.encode_words_stream(texts, show_progress=show_progress)
        self.whitening = whitening_matrix(np.array([text.vectors.mean(axis=0) for text in read if len(text)]), power)
        return self

    def encode_words(self, texts: Iterable[Text], **options: Any) -> Features:
        """A vector per word.

        Args:
            texts: N strings or lists of words.
            options: layers (as in `encode`, or "each" for all layers apart), layer_weights, show_progress and state, as
                in `encode`.

        Returns:
            N `WordVectors`: words, their places in the text (None where words were given), and vectors of shape
            (T, d), or (L, T, 2P) for "each". For the errors see `encode`.

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
        show_progress: ShowProgress = None,
        state: Start = None,
    ) -> Iterator[WordVectors]:
        """What `encode_words` gives for each of `texts`, for corpora larger than memory: see `save_word_vectors`.

        `layers`, `layer_weights`, `show_progress` and `state` are those of `encode_words`.
        """
        each = isinstance(layers, str) and layers == "each" and layer_weights is None
        encoding = None if each else one_encoding(None, "mean", layers, False, layer_weights).check(self.config)
        start = self._state(state)
        with progress_bar("encoding", total=length_hint(texts) or None, show=show_progress) as advance:
            for block in blocks(self._split(texts), BLOCK_TEXTS, weigh=lambda pair: len(pair[0]), most=BLOCK_WORDS):
                sentences = [words for words, _ in block]
                vectors: dict[int, Array] = {}
                for i, each_word in self._engine.map(Reduce(sentences, encoding, self.layer_mix), state=start):
                    vectors[i] = each_word
                    advance(1)
                yield from (WordVectors(tuple(words), offsets, vectors[i]) for i, (words, offsets) in enumerate(block))

    def step(self, texts: Iterable[Text], state: State | None = None) -> tuple[Features, State]:
        """Encode one batch as the original implementation did: every row starts where the previous batch left it.

        Feed batch after batch of `texts` and pass on the `state` (None at first) to get the published vectors, which
        depend on all that was read before. For anything else, use `encode_words`. Returns word vectors of all layers,
        (L, T, 2P) each, and the state after the batch; raises ConfigError for a state of another model.
        """
        split = list(self._split(texts))
        layers, after = self._engine.step([words for words, _ in split], state)
        rows = zip(split, layers, strict=True)
        return Features(WordVectors(tuple(words), offsets, np.array(each)) for (words, offsets), each in rows), after

    def similarity(
        self, a: Text | Iterable[Text] | Array, b: Text | Iterable[Text] | Array, encoding: Encoding | None = None
    ) -> NDArray[np.float32]:
        """Cosine similarities of N texts `a` and M texts `b`, or of their vectors, (N, d) and (M, d). Shape (N, M).

        A lone string is one text. Texts are encoded by `encoding`; one without words is similar to none (0). Raises
        ConfigError for vectors of different widths.

        Example:
            ``elmo.similarity("Stick to it.", ["Go on!", "The stick broke."])``
        """

        def unit_rows(side: Any) -> NDArray[np.float64]:
            if not (isinstance(side, np.ndarray) and side.dtype.kind == "f"):
                side = self.encode([side] if isinstance(side, str) else side, encoding)
            vectors = np.atleast_2d(side).astype(np.float64)
            return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))

        rows, columns = unit_rows(a), unit_rows(b)
        if rows.shape[1] != columns.shape[1]:
            raise ConfigError(f"a has vectors of width {rows.shape[1]}, b of width {columns.shape[1]}.")
        return np.asarray(rows @ columns.T, np.float32)

    def _state(self, state: Start) -> State | None:
        if isinstance(state, str) and state == "warm":
            return self._warm_state
        if state is not None and not isinstance(state, State):
            raise ConfigError(f"state is {state!r} ({type(state).__name__}); expected None, 'warm' or a State.")
        return state

    def _words(self, texts: Iterable[Text]) -> Iterator[list[str]]:
        for i, text in enumerate(checked_texts(texts)):
            yield [token.word for token in self._tokenize(text)] if isinstance(text, str) else checked_words(text, i)

    def _split(self, texts: Iterable[Text]) -> Iterator[tuple[list[str], NDArray[np.int64] | None]]:
        """The words of each text, and their places in it, (T, 2), where it is a string."""
        for i, text in enumerate(checked_texts(texts)):
            if isinstance(text, str):
                tokens = self._tokenize(text)
                places = np.array([(token.start, token.end) for token in tokens], dtype=np.int64).reshape(-1, 2)
                yield [token.word for token in tokens], places
            else:
                yield checked_words(text, i), None
