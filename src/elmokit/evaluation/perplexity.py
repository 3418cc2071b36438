"""Perplexity of a text file under a checkpoint with its softmax: how well the language model predicts it.

exp of the mean negative log likelihood per predicted word, full softmax, `</S>` (backward: `<S>`) counted once per
text, words outside the vocabulary counted as `<UNK>`: the definition of bilm-tf. Two differences are chosen: each
text starts from a zero state, as this package encodes (bilm-tf carries the state from text to text, which lowers
the figure somewhat), and the share of unknown words is given beside, since figures compare only for one vocabulary.
Needs PyTorch (extra `torch`), for the model as it is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elmokit.checkpoints import Checkpoint
from elmokit.data.streams import open_bytes
from elmokit.errors import CheckpointError, InputError, MissingExtra
from elmokit.perplexity import Perplexity
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids
from elmokit.text.tokens import get_tokenizer
from elmokit.text.vocab import Vocabulary

if TYPE_CHECKING:
    from elmokit.training.objective import Batch

_BATCH_POSITIONS = 2_048
_LONGEST = 1_000


def perplexity(checkpoint: Checkpoint, source: str | Path, *, max_texts: int | None = None) -> Perplexity:
    """Perplexity of a file with a text a line.

    Args:
        checkpoint: a model with characters, softmax and words.
        source: a UTF-8 file, also .gz, .xz or .zst; empty lines are passed over; lines are cut at 1,000 words.
        max_texts: texts read at most; None for all.

    Returns:
        the perplexity of both directions.

    Raises:
        CheckpointError: a model without softmax (published weights come without), or of whole words.
        InputError: no text in the file, or not UTF-8.
        MissingExtra: PyTorch is not installed.
    """
    if checkpoint.softmax is None or checkpoint.words is None or checkpoint.config.char_cnn is None:
        raise CheckpointError(
            f"{checkpoint.name or 'this model'} has no softmax with its words, so it predicts nothing; perplexity needs"
            " a checkpoint as training writes it (published ones come without)."
        )
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", "perplexity") from None
    model = _language_model(checkpoint)
    vocabulary = Vocabulary(checkpoint.words)
    losses, counts = np.zeros(2), np.zeros(2)
    n_words = n_unknown = 0
    with torch.inference_mode():
        for texts in _batches(_texts(source, checkpoint.config.tokenizer, max_texts)):
            loss, count, _ = model(
                _batch(texts, vocabulary, checkpoint.config.char_cnn.max_characters),
                model.initial_states(len(texts)),
                None,
            )
            losses += loss.numpy().astype(np.float64)
            counts += count.numpy()
            n_words += sum(map(len, texts))
            n_unknown += sum(word not in vocabulary for words in texts for word in words)
    if not n_words:
        raise InputError(f"{source}: no text in it.")
    forward, backward = losses / counts
    return Perplexity(
        math.exp(forward), math.exp(backward), math.exp((forward + backward) / 2), n_words, n_unknown / n_words
    )


def _language_model(checkpoint: Checkpoint) -> Any:
    import torch

    from elmokit.training.objective import LanguageModel

    assert checkpoint.softmax is not None, "the caller has seen to it"
    model = LanguageModel(checkpoint.config, checkpoint.softmax.n_words, n_negatives=1, dropout=0.0)
    model.bilm.load_tensors(checkpoint.tensors)
    with torch.no_grad():
        model.softmax.weight.copy_(torch.tensor(np.asarray(checkpoint.softmax.weight, np.float32)))
        model.softmax.bias.copy_(torch.tensor(np.asarray(checkpoint.softmax.bias, np.float32)))
    return model.eval()


def _texts(source: str | Path, tokenizer: str, max_texts: int | None) -> Iterator[list[str]]:
    tokenize, n_texts = get_tokenizer(tokenizer), 0
    with open_bytes(source) as stream:
        for number, line in enumerate(stream, 1):
            try:
                words = [token.word for token in tokenize(line.decode("utf-8"))][:_LONGEST]
            except UnicodeDecodeError as error:
                raise InputError(f"{source}: line {number} is not UTF-8 ({error.reason}).") from None
            if words:
                yield words
                n_texts += 1
            if n_texts == max_texts:
                return


def _batches(texts: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Texts of like length together, in bounded memory: sorted within every 1,024."""
    pool: list[list[str]] = []
    for words in texts:
        pool.append(words)
        if len(pool) == 1_024:
            yield from _cut(pool)
            pool = []
    yield from _cut(pool)


def _cut(pool: list[list[str]]) -> Iterator[list[list[str]]]:
    batch: list[list[str]] = []
    for words in sorted(pool, key=len):
        if batch and (len(batch) + 1) * (len(words) + 1) > _BATCH_POSITIONS:
            yield batch
            batch = []
        batch.append(words)
    if batch:
        yield batch


def _batch(texts: Sequence[Sequence[str]], vocabulary: Vocabulary, max_characters: int) -> Batch:
    """Forward reads `<S> w1 … wn` and predicts `w1 … wn </S>`; backward the same, swapped and turned round."""
    import torch

    from elmokit.training.objective import Batch

    spelled = list({word: None for words in texts for word in words})
    rows = {word: 2 + number for number, word in enumerate(spelled)}  # rows 0 and 1 are the boundaries
    inputs = np.zeros((2, len(texts), 1 + max(map(len, texts))), dtype=np.int64)
    targets = np.full_like(inputs, -1)
    for i, words in enumerate(texts):
        read, known = [rows[word] for word in words], [vocabulary.id_of(word) for word in words]
        end = len(words) + 1
        inputs[0, i, :end], targets[0, i, :end] = [0, *read], [*known, vocabulary.eos_id]
        inputs[1, i, :end], targets[1, i, :end] = [1, *read[::-1]], [*known[::-1], vocabulary.bos_id]
    ids = np.concatenate([sentence_boundary_ids(max_characters), words_to_char_ids(spelled, max_characters)])
    return Batch(torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(inputs), torch.from_numpy(targets))
