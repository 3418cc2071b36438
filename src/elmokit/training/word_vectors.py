"""Begin with static word vectors: what a large corpus says in counts, before the biLM reads its first sentence.

word2vec or fastText read a hundred times more text in an hour than a biLM does, and files of such vectors exist for
157 languages. So the char-CNN may first learn to spell them (Pinter et al. 2017, "Mimicking word embeddings using
subword RNNs"), and the softmax begin with them and with each word's own frequency. Training then goes on as ever: all
weights move. Measured on our embedded model: see `dev/LOG.md`.

The mean over words is taken out and each vector scaled to one length first (Mu and Viswanath 2018): the char-CNN has
to learn directions, not how frequent a word is.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.text.char_ids import words_to_char_ids
from elmokit.text.vocab import Vocabulary
from elmokit.training.objective import LanguageModel

_RMS = 0.3  # of the char-CNN's outputs: what an LSTM layer of ours puts out, so that no layer outweighs the others
_BATCH = 512
_WORDS_OF_A_TEXT = 15


@dataclass(frozen=True, eq=False)
class StaticVectors:
    """One vector per spelling, most frequent first.

    Args:
        words: the spellings.
        vectors: Shape (N, D), float32.
    """

    words: tuple[str, ...]
    vectors: NDArray[np.float32]


def read_word_vectors(path: str | Path, *, max_words: int = 100_000) -> StaticVectors:
    """A word2vec or fastText file in text form (".vec", ".txt", also ".gz").

    Args:
        path: a line with the number of words and the width, then a word and its numbers a line, frequent words first.
        max_words: words read at most.

    Returns:
        the vectors; spellings that stand twice keep their first.

    Raises:
        MissingFile: no such file.
        InputError: a line that is not as described, by number.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(f"{path}: no such file of word vectors.")
    rows: dict[str, NDArray[np.float32]] = {}
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="\n") as file:
        first = file.readline().split()
        if len(first) != 2 or not all(part.isdigit() for part in first):
            raise InputError(f"{path}: line 1 should hold the number of words and the width, as word2vec writes them.")
        width = int(first[1])
        for number, line in enumerate(file, 2):
            if len(rows) == max_words:
                break
            word, _, rest = line.rstrip("\n ").partition(" ")
            try:
                row = np.array(rest.split(" "), dtype=np.float32)
            except ValueError:
                row = np.empty(0, dtype=np.float32)
            if len(row) != width or not np.isfinite(row).all():
                raise InputError(f"{path}, line {number}: expected a word and {width} numbers, got {line[:40]!r}…")
            rows.setdefault(word, row)
    if not rows:
        raise InputError(f"{path}: no word vectors in it.")
    return StaticVectors(tuple(rows), np.stack(list(rows.values())))


def begin_with(
    model: LanguageModel, static: StaticVectors, vocabulary: Vocabulary, *, n_words: int | None = None, seed: int = 0
) -> float:
    """Fit the char-CNN to static vectors, and begin the softmax with them.

    Vectors narrower than P leave the rest of the components to the biLM; wider ones are refused.

    Args:
        model: a fresh language model; changed in place.
        static: the vectors.
        vocabulary: of the softmax; with counts, its biases begin with each word's log frequency.
        n_words: words shown to the char-CNN in all, frequent ones more often (by 1/√rank); None for 10 times as many
            as there are, at least 50,000.
        seed: of the words' order.

    Returns:
        mean cosine between the char-CNN's vectors and those given, over the 5,000 most frequent words.

    Raises:
        ConfigError: the vectors are wider than the model's.
    """
    targets = _targets(static, model.softmax.weight.shape[1])
    _begin_softmax(model, static, targets, vocabulary)
    _fit_spelling(model, static, targets, n_words=n_words or max(10 * len(static.words), 50_000), seed=seed)
    return _agreement(model, static, targets)


def _targets(static: StaticVectors, width: int) -> NDArray[np.float32]:
    """Centred directions at the size of the char-CNN's outputs. Shape (N, D)."""
    if static.vectors.shape[1] > width:
        raise ConfigError(
            f"the word vectors are {static.vectors.shape[1]} wide, the model's {width}: take narrower vectors or a"
            " wider model."
        )
    centred = static.vectors - static.vectors.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-9) * _RMS * np.sqrt(centred.shape[1]), dtype=np.float32)


@torch.no_grad()
def _begin_softmax(
    model: LanguageModel, static: StaticVectors, targets: NDArray[np.float32], vocabulary: Vocabulary
) -> None:
    weight, bias = model.softmax.weight, model.softmax.bias
    places = {word: place for place, word in enumerate(static.words)}
    pairs = [(number, places[word]) for number, word in enumerate(vocabulary.words) if word in places]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    size = weight.shape[1] ** -0.5 / _RMS  # rows as long as those that a fresh softmax draws
    weight[torch.from_numpy(own), : targets.shape[1]] = torch.from_numpy(targets[theirs] * size).to(weight.device)
    if vocabulary.counts is not None:
        counts = torch.tensor(vocabulary.counts, dtype=torch.float64) + 1.0
        counts[[vocabulary.bos_id, vocabulary.eos_id]] = counts.sum() / _WORDS_OF_A_TEXT  # not in the counts
        bias.copy_(torch.log(counts / counts.sum()))


def _fit_spelling(
    model: LanguageModel, static: StaticVectors, targets: NDArray[np.float32], *, n_words: int, seed: int
) -> None:
    char_cnn, device = model.bilm.char_cnn, model.softmax.weight.device
    chances = 1.0 / np.sqrt(np.arange(len(static.words)) + 10.0)
    random, ids = np.random.default_rng(seed), _ids(model, static)
    n_steps = max(n_words // _BATCH, 1)
    optimizer = torch.optim.AdamW(char_cnn.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=n_steps + 1, pct_start=0.1)
    for chosen in random.choice(len(ids), (n_steps, _BATCH), p=chances / chances.sum()):
        found = char_cnn(torch.from_numpy(ids[chosen]).to(device))[:, : targets.shape[1]]
        loss = F.mse_loss(found, torch.from_numpy(targets[chosen]).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(char_cnn.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _agreement(model: LanguageModel, static: StaticVectors, targets: NDArray[np.float32]) -> float:
    ids = torch.from_numpy(_ids(model, static)[:5000]).to(model.softmax.weight.device)
    found = model.bilm.char_cnn(ids)[:, : targets.shape[1]]
    return float(F.cosine_similarity(found.cpu(), torch.from_numpy(targets[:5000]), dim=1).mean())


def _ids(model: LanguageModel, static: StaticVectors) -> NDArray[np.int64]:
    return words_to_char_ids(static.words, model.bilm.char_cnn.config.max_characters).astype(np.int64)
