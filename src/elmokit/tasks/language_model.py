"""`LanguageModel`: the biLM predicts words, as it was trained to do: surprisal, perplexity, gaps, substitutes.

The forward LSTMs have read all words before a gap, the backward LSTMs all words after it, and one softmax turns either
into probabilities of the whole vocabulary (Peters et al. 2018, §3.1), in blocks of rows. Runs without PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.blocks import blocks
from elmokit.checkpoints import Checkpoint
from elmokit.elmo import EMBEDDED
from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.perplexity import Perplexity, PerplexityMeter, Surprisal
from elmokit.progress import progress_bar
from elmokit.runtime import Engine
from elmokit.runtime.engine import Workers
from elmokit.runtime.pooling import mix_layers
from elmokit.text.inputs import Text, checked_texts, checked_words
from elmokit.text.tokens import get_tokenizer
from elmokit.text.vocab import Vocabulary

Array = NDArray[Any]

GAP = "___"  # what marks a gap in a text

_TEXTS, _WORDS = 512, 16_384  # read together
_ROWS = 64  # predictions that one thread computes at a time: 8 MB with 30,000 words


@dataclass(frozen=True)
class Candidate:
    """A word for a gap: its probability, and its log probabilities given the words before and after, in nats."""

    word: str
    probability: float
    forward: float
    backward: float


@dataclass(frozen=True)
class Substitute:
    """A word that could replace another: probable in its place (`probability`), and alike there (`cosine`)."""

    word: str
    score: float
    probability: float
    cosine: float


class LanguageModel:
    """Predicts words with a checkpoint that kept its softmax.

    Args:
        checkpoint: a model with softmax and words, as training writes it; CheckpointError for another.
        n_threads: threads to compute on; None for one per core.

    Example:
        >>> LanguageModel.load().next_words("Thank you very", n=1)[0].word
        'much'
    """

    def __init__(self, checkpoint: Checkpoint, *, n_threads: int | None = None) -> None:
        if checkpoint.softmax is None or checkpoint.words is None:
            raise CheckpointError(
                f"{checkpoint.name or 'this model'} has no softmax with its words, so it predicts nothing; expected a"
                " checkpoint as training writes it (published ones come without)."
            )
        self.config, self.name = checkpoint.config, checkpoint.name
        self.layer_mix = checkpoint.layer_mix
        self.vocabulary = Vocabulary(checkpoint.words, checkpoint.word_counts)
        self._tokenize = get_tokenizer(checkpoint.config.tokenizer)
        self._runtime = Engine(checkpoint.config, checkpoint.tensors, words=checkpoint.words, n_threads=n_threads)
        self._weight = np.ascontiguousarray(np.asarray(checkpoint.softmax.weight, np.float32).T)  # (P, V)
        self._bias = np.asarray(checkpoint.softmax.bias, np.float32)
        self._workers = Workers(n_threads)

    @classmethod
    def load(cls, source: str | Path = "default", *, n_threads: int | None = None) -> LanguageModel:
        """Read a model with its softmax: "default", or a checkpoint of any format (`source`).

        CheckpointError for one without; `n_threads` is that of `LanguageModel`.
        """
        return cls(checkpoints.load(EMBEDDED if source == "default" else source), n_threads=n_threads)

    def surprisal(self, texts: Iterable[Text], *, show_progress: bool | None = None) -> Iterator[Surprisal]:
        """Surprisal of every word of `texts` (strings or lists of words), one `Surprisal` per text, in bounded memory.

        TextError for what is no text; `show_progress` is that of `Elmo.encode`.
        """
        total = len(texts) if isinstance(texts, Sized) else None
        sentences = (self._words(text, i) for i, text in enumerate(checked_texts(texts)))
        with progress_bar("scoring", total=total, show=show_progress) as advance:
            for block in blocks(sentences, _TEXTS, weigh=len, most=_WORDS):
                for surprisal in self._surprisal(block):
                    advance(1)
                    yield surprisal

    def perplexity(self, texts: Iterable[Text], *, show_progress: bool | None = None) -> Perplexity:
        """Perplexity of all `texts` together, by bilm-tf's definition; each text starts from a zero state.

        InputError without texts; `show_progress` is that of `Elmo.encode`.
        """
        meter = PerplexityMeter()
        for surprisal in self.surprisal(texts, show_progress=show_progress):
            surprisal.add_to(meter)
        return meter.result

    def fill(self, text: Text, *, n: int = 10, prior: float = 0.5) -> list[Candidate]:
        """The `n` most probable words for the gap in a `text`, the most probable first.

        The text is a string or a list of words with one gap, "___"; InputError for none or several. Both directions are
        combined as p(word | before) · p(word | after) / p(word) ^ prior, where p(word) is the word's share in training;
        models without word counts have no prior. If the words before and after were independent given the word, the
        right `prior` would be 1.

        Example:
            ``model.fill("The cat sat on the ___ and slept.")[0].word``
        """
        given = text if isinstance(text, str) else self._words(text, 0)
        if given.count(GAP) != 1:
            raise InputError(f"the text has {given.count(GAP)} gaps; expected one, marked by {GAP!r}: {text!r}.")
        i = given.index(GAP)
        before, after = given[:i], given[i + (len(GAP) if isinstance(given, str) else 1) :]
        return self._candidates(self._words(before, 0), self._words(after, 0), n, prior)

    def next_words(self, text: Text, *, n: int = 10) -> list[Candidate]:
        """The `n` most probable words after a `text`, the most probable first. Only the words before count."""
        return self._candidates(self._words(text, 0), None, n)

    def substitutes(
        self, text: Text, word: str, *, n: int = 10, n_candidates: int = 100, sharpness: float = 4.0
    ) -> list[Substitute]:
        """Words that could replace a word: probable in its place, and with a similar vector there.

        The contextual vectors of the `n_candidates` that the language model proposes are compared with that of the word
        they replace (after Melamud et al. 2016 and Zhou et al. 2019). `sharpness` is the exponent of the cosine; 0
        ranks by probability alone. `word` is replaced at its first occurrence in `text`. The `n` best come first,
        without the word itself in any case; InputError if it is not in the text.
        """
        if not sharpness >= 0 or n < 1 or n_candidates < 1:
            raise ConfigError(
                f"n is {n}, n_candidates {n_candidates} and sharpness {sharpness}; expected 1, 1 and 0 or more."
            )
        words = self._words(text, 0)
        if word not in words:
            raise InputError(f"the word {word!r} is not in the text; its words are {', '.join(map(repr, words))}.")
        i = words.index(word)
        proposed = self._candidates(words[:i], words[i + 1 :], n_candidates + 3)  # 3: its spellings
        proposed = [one for one in proposed if one.word.lower() != words[i].lower()][:n_candidates]
        texts = [words, *([*words[:i], one.word, *words[i + 1 :]] for one in proposed)]
        vectors = np.empty((len(texts), self.config.dim))
        for number, layers in self._runtime.layers(texts):
            vectors[number] = mix_layers(layers, self.layer_mix)[i]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-30
        cosines = (vectors[1:] @ vectors[0]).tolist()
        ranked = [
            Substitute(one.word, one.probability * max(cosine, 0.0) ** sharpness, one.probability, cosine)
            for one, cosine in zip(proposed, cosines, strict=True)
        ]
        return sorted(ranked, key=lambda one: -one.score)[:n]

    def _words(self, text: Text, place: int) -> list[str]:
        if isinstance(text, str):
            return [token.word for token in self._tokenize(text)]
        return checked_words(text, place)

    def contexts(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Array, Array]]:
        """What each direction has read at the T + 1 gaps of each text. Two arrays per text, shape (T + 1, P).

        Forward row i predicts word i, or the end; backward row i predicts word i - 1, or the beginning.
        """
        hidden = self._runtime.after_boundary(None).hidden[:, :, 0]  # (2, LSTM layers, P)
        begin, end = hidden.sum(1) if self.config.bilstm.skip_connections else hidden[:, -1]
        P = self.config.projection_width
        contexts: list[Any] = [None] * len(sentences)
        for i, layers in self._runtime.layers(sentences):
            top = layers[-1]  # (T, 2P)
            contexts[i] = np.vstack([begin, top[:, :P]]), np.vstack([top[:, P:], end])
        return contexts

    def _surprisal(self, sentences: Sequence[list[str]]) -> Iterator[Surprisal]:
        vocabulary, n_words = self.vocabulary, 4 * _ROWS * self._workers.n_threads
        pairs = zip(sentences, self.contexts(sentences), strict=True)
        for part in blocks(pairs, _TEXTS, weigh=lambda pair: len(pair[0]) + 1, most=n_words):  # for steady progress
            texts, (aheads, backs) = [words for words, _ in part], zip(*(of for _, of in part), strict=True)
            ids = [[vocabulary.id_of(word) for word in words] for words in texts]
            forward = self._log_likelihoods(aheads, [[*of, vocabulary.eos_id] for of in ids])
            backward = self._log_likelihoods(backs, [[vocabulary.bos_id, *of] for of in ids])
            for words, ahead, back in zip(texts, forward, backward, strict=True):
                known = np.array([word in vocabulary for word in words], dtype=np.bool_)
                ends = {"end": -float(ahead[-1]), "begin": -float(back[0])}
                yield Surprisal(tuple(words), known, -ahead[:-1], -back[1:], **ends)

    def _log_likelihoods(self, contexts: Sequence[Array], ids: list[list[int]]) -> list[NDArray[np.float64]]:
        """Log probability of one word in each context; lists by text. Shapes (T + 1, P) and (T + 1,)."""
        rows, numbers = np.concatenate(contexts), np.concatenate([np.array(of) for of in ids])
        values = np.empty(len(numbers))

        def compute(start: int) -> None:
            block = slice(start, start + _ROWS)
            logits, norm = self._logits(rows[block])
            values[block] = logits[np.arange(len(logits)), numbers[block]] - norm

        self._workers.run([partial(compute, start) for start in range(0, len(numbers), _ROWS)])
        return np.split(values, np.cumsum([len(of) for of in ids])[:-1])

    def log_probabilities(self, contexts: Array) -> NDArray[np.float64]:
        """Return the log probability of every word in contexts (n, P). Shape (n, V)."""
        logits, norm = self._logits(contexts)
        return np.asarray(logits - norm[:, None], np.float64)

    def _logits(self, contexts: Array) -> tuple[Array, NDArray[np.float64]]:
        """Scores of every word in contexts (n, P), and the logarithms of their Σ exp. Shapes (n, V), (n,)."""
        logits = contexts @ self._weight + self._bias
        largest = logits.max(1, keepdims=True)
        return logits, largest[:, 0] + np.log(np.exp(logits - largest).sum(1, dtype=np.float64))

    def _candidates(self, before: list[str], after: list[str] | None, n: int, prior: float = 0.5) -> list[Candidate]:
        """Words between the words before and after; without any after, `backward` tells how a text ends in them."""
        if n < 1:
            raise ConfigError(f"n is {n}; expected at least 1.")
        (left, _), (_, right) = self.contexts([before, after or []])
        forward, backward = self.log_probabilities(np.stack([left[-1], right[0]]))
        scores, vocabulary = forward.copy() if after is None else forward + backward, self.vocabulary
        if after is not None and vocabulary.counts is not None:
            counts = np.maximum(np.array(vocabulary.counts, dtype=np.float64), 0.5)  # unseen words count half
            scores -= prior * np.log(counts / counts.sum())
        scores[[vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id]] = -np.inf
        scores -= np.logaddexp.reduce(scores)
        best = np.argsort(-scores, kind="stable")[: min(n, len(scores) - 3)]
        return [
            Candidate(vocabulary.words[i], float(np.exp(scores[i])), float(forward[i]), float(backward[i]))
            for i in best
        ]
