"""Static word vectors as the beginning of a biLM: the softmax starts with them, and the char-CNN learns to spell them.

Files of such vectors exist for 157 languages and have read far more text than a biLM can (Pinter et al. 2017). The mean
over words is removed and each vector scaled to one length first (Mu and Viswanath 2018).
"""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from elmokit.errors import ConfigError, InputError
from elmokit.reading import reading
from elmokit.text.char_ids import words_to_char_ids
from elmokit.text.vocab import Vocabulary
from elmokit.training.objective import PretrainingModel

_RMS = 0.3  # of the char-CNN's outputs: what an LSTM layer of ours puts out, so that no layer outweighs the others
_BATCH = 512
_WORDS_OF_A_TEXT = 15


def read_word_vectors(path: str | Path, *, max_words: int = 100_000) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Words, each once, and vectors (n, D) of a word2vec or fastText file in text form (".vec", ".txt", also ".gz").

    A line with the number of words and the width, then a word and its numbers a line, frequent words first. InputError
    names a line of another form by its number.
    """
    path, rows = Path(path), dict[str, NDArray[np.float32]]()
    with (
        reading(path, what="file of word vectors", error=InputError),
        (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="\n") as file,
    ):
        first = file.readline(1000).split()
        if len(first) != 2 or not all(part.isdigit() for part in first) or int(first[1]) > 1 << 16:
            raise InputError(f"{path}: line 1 should hold the number of words and the width, as word2vec writes them.")
        width = int(first[1])
        for number, line in enumerate(iter(lambda: file.readline(64 * width + 10_000), ""), 2):
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
    return tuple(rows), np.stack(list(rows.values()))


def begin_with(
    model: PretrainingModel,
    words: Sequence[str],
    vectors: NDArray[np.float32],
    vocabulary: Vocabulary,
    *,
    n_words: int | None = None,
    seed: int = 0,
) -> float:
    """Start the softmax of a new model from static vectors (n, D), and fit the char-CNN to them.

    Narrower vectors leave the rest free; wider ones are a ConfigError. `words` are theirs, most frequent first;
    `n_words` of them are shown to the char-CNN, frequent ones more often (by 1/√rank): None for 10 times as many as
    there are, at least 50,000; 0 leaves it alone. Returns the mean cosine between the char-CNN's vectors and the given
    ones over the 5,000 most frequent words.
    """
    weight, bias = model.softmax.weight, model.softmax.bias
    if vectors.shape[1] > weight.shape[1]:
        raise ConfigError(
            f"the word vectors are {vectors.shape[1]} wide, the model's {weight.shape[1]}: take narrower vectors or a"
            " wider model."
        )
    centered = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    targets = torch.from_numpy((centered / np.maximum(lengths, 1e-9) * np.sqrt(centered.shape[1])).astype(np.float32))
    place = {word: row for row, word in enumerate(words)}
    pairs = [(number, place[word]) for number, word in enumerate(vocabulary.words) if word in place]
    own, theirs = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    with torch.no_grad():  # rows as long as those of a new softmax
        weight[own, : targets.shape[1]] = (targets[theirs] * weight.shape[1] ** -0.5).to(weight.device)
        if vocabulary.counts is not None:
            counts = torch.tensor(vocabulary.counts, dtype=torch.float64) + 1.0
            counts[[vocabulary.bos_id, vocabulary.eos_id]] = counts.sum() / _WORDS_OF_A_TEXT  # not in the counts
            bias.copy_(torch.log(counts / counts.sum()))
    n_words = max(10 * len(words), 50_000) if n_words is None else n_words
    return _fit_spelling(model, words, targets * _RMS, n_words, seed)


def _fit_spelling(
    model: PretrainingModel, words: Sequence[str], targets: torch.Tensor, n_words: int, seed: int
) -> float:
    char_cnn, device = model.bilm.char_cnn, model.softmax.weight.device
    ids = torch.from_numpy(words_to_char_ids(words, char_cnn.config.max_characters).astype(np.int64))
    chances = 1.0 / np.sqrt(np.arange(len(words)) + 10.0)
    n_steps = n_words // _BATCH
    optimizer = torch.optim.AdamW(char_cnn.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=n_steps + 1, pct_start=0.1)
    rng = np.random.default_rng(seed)
    for chosen in rng.choice(len(ids), (n_steps, _BATCH), p=chances / chances.sum()):
        loss = F.mse_loss(char_cnn(ids[chosen].to(device))[:, : targets.shape[1]], targets[chosen].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(char_cnn.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        own = char_cnn(ids[:5000].to(device))[:, : targets.shape[1]]
    return float(F.cosine_similarity(own.cpu(), targets[:5000], dim=1).mean())
