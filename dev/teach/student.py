"""The biLM with the heads that a teacher is matched by, and the losses of one batch of equally long lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import ElmoConfig
from elmokit.nn.bilm import BiLM
from elmokit.nn.softmax import SampledSoftmax
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids

TYPO_RATE = 0.04
"""Spellings of a batch that are read with one letter replaced, dropped or swapped with the next."""
LETTERS = b"etaoinshrdlucmfwypvbgkjqxz"


@dataclass(frozen=True)
class Targets:
    """What the teacher says, on the device.

    Args:
        texts: a unit vector per line. Shape (N, D).
        words: a vector per word of the corpus. Shape (W, D').
        static: a unit vector per frequent spelling. Shape (K, P).
        ready: whether a line has been through the teacher. Shape (N,).
    """

    texts: Tensor
    words: Tensor
    static: Tensor
    ready: Tensor


class Corpus:
    """Lines of word numbers on a device.

    Args:
        ids: word numbers of all lines, one behind the other. Shape (W,).
        lengths: words of each line. Shape (N,).
        spellings: all spellings, most frequent first.
        device: where they lie.
    """

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, spellings: list[str], device: torch.device) -> None:
        self.ids = torch.from_numpy(ids.astype(np.int32)).to(device)
        self.lengths = torch.from_numpy(lengths.astype(np.int64)).to(device)
        self.starts = torch.cumsum(self.lengths, 0) - self.lengths
        rows = words_to_char_ids(spellings, 50)
        used = ((rows != rows[:, -1:]) * np.arange(1, 51)).max(axis=1)
        self.char_ids = torch.from_numpy(rows).to(device)
        self.n_characters = torch.from_numpy(used).to(device)

    def rectangle(self, lines: Tensor, n_words: int) -> Tensor:
        """Places in `ids` of lines with `n_words` words each. Shape (B, T)."""
        return self.starts[lines][:, None] + torch.arange(n_words, device=lines.device)


class Student(nn.Module):
    """A biLM that is taught.

    Args:
        config: with a word table.
        words: its vocabulary.
        chances: how often each word occurs, summing to 1. Shape (V,).
        targets: what it is matched to.
        n_negatives: words proposed to the sampled softmax.
    """

    def __init__(
        self, config: ElmoConfig, words: list[str], chances: Tensor, targets: Targets, n_negatives: int
    ) -> None:
        super().__init__()
        P = config.projection_width
        proposal = chances**0.8
        self.bilm = BiLM(config, dropout=0.1, words=words)
        self.softmax = SampledSoftmax(len(words), P, n_negatives=n_negatives, proposal=proposal / proposal.sum())
        self.softmax.weight = self.bilm.word_table.weight
        self.text_mix = nn.Parameter(torch.zeros(config.n_layers))
        self.word_mix = nn.Parameter(torch.zeros(config.n_layers))
        self.text_head = nn.Linear(2 * P, targets.texts.shape[1])
        self.word_head = nn.Linear(2 * P, targets.words.shape[1])
        self.static_head = nn.Linear(P, P)
        with torch.no_grad():
            self.softmax.bias.copy_(chances.log())
            n = min(len(words) - 3, len(targets.static))
            self.softmax.weight[3 : 3 + n] = targets.static[:n].float()

    def token_vectors(self, corpus: Corpus, spellings: Tensor) -> Tensor:
        """Vectors of spellings and, behind them, of begin and end of sentence. Shape (U + 2, P)."""
        ids, used = corpus.char_ids[spellings], corpus.n_characters[spellings]
        if self.training:
            wrong = (torch.rand(len(ids), device=ids.device) < TYPO_RATE) & (used > 5)
            ids = ids.clone()
            ids[wrong] = misspell(ids[wrong], used[wrong])
        boundaries = torch.from_numpy(sentence_boundary_ids(ids.shape[1])).to(ids.device)
        ids = torch.cat([ids, boundaries]).long()
        return self.bilm.embed(ids)

    def read(self, corpus: Corpus, words: Tensor) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Read a rectangle of word numbers (B, T).

        Returns:
            its distinct spellings (U,), their vectors (U, P), the top outputs of both directions (2, B, T + 1, P) in
            reading order, and the layers (B, T, 2P).
        """
        spellings, places = torch.unique(words, return_inverse=True)
        vectors = self.token_vectors(corpus, spellings)
        begin = torch.full((len(words), 1), len(spellings), device=words.device)
        ahead = F.embedding(torch.cat([begin, places], 1), vectors)
        behind = F.embedding(torch.cat([begin + 1, places.flip(1)], 1), vectors)
        forward, _ = self.bilm.forward_layers(ahead)
        backward, _ = self.bilm.backward_layers(behind)
        layers = [torch.cat([ahead[:, 1:], ahead[:, 1:]], -1)]
        layers += [torch.cat([f[:, 1:], b[:, 1:].flip(1)], -1) for f, b in zip(forward, backward, strict=True)]
        return spellings, vectors[:-2], torch.stack([forward[-1], backward[-1]]), layers

    def next_words(self, top: Tensor, words: Tensor, *, full: bool = False) -> Tensor:
        """Loss of every next word, </S> forward and <S> backward included. Shape (2 · B · (T + 1),)."""
        known = torch.where(words < self.softmax.weight.shape[0] - 3, words + 3, 2)
        begin, end = torch.zeros_like(words[:, :1]), torch.ones_like(words[:, :1])
        targets = torch.stack([torch.cat([known, end], 1), torch.cat([known.flip(1), begin], 1)])
        negatives = None if full else self.softmax.draw()
        return self.softmax(top.reshape(-1, top.shape[-1]), targets.reshape(-1), negatives)

    def losses(self, corpus: Corpus, targets: Targets, lines: Tensor, n_words: int) -> dict[str, Tensor]:
        """The losses of a batch, by name."""
        places = corpus.rectangle(lines, n_words)
        words = corpus.ids[places].long()
        spellings, vectors, top, layers = self.read(corpus, words)
        losses = {"language model": self.next_words(F.dropout(top, 0.1), words).mean()}
        inside = spellings < len(targets.static)
        own = self.static_head(vectors[inside]).float()
        losses["spelling"] = cosine_loss(own, targets.static[spellings[inside]].float())
        ready = targets.ready[lines]
        if int(ready.sum()) > 8 and n_words >= 3:
            pooled = mixed(layers, self.text_mix).mean(1).float()[ready]  # (B', 2P)
            wanted = targets.texts[lines[ready]].float()
            own = F.normalize(self.text_head(pooled).float(), dim=1)
            losses["text"] = (1 - (own * wanted).sum(1)).mean()
            own, wanted, pooled = own[:2048], wanted[:2048], F.normalize(pooled[:2048], dim=1)
            places_of = torch.arange(len(own), device=own.device)
            losses["contrast"] = F.cross_entropy(own @ wanted.T * 20, places_of)
            losses["similarities"] = (pooled @ pooled.T - wanted @ wanted.T).square().mean()
            said = self.word_head(mixed(layers, self.word_mix)[ready]).float()
            losses["words"] = cosine_loss(said, targets.words[places[ready]].float())
        return losses


def mixed(layers: list[Tensor], weights: Tensor) -> Tensor:
    """The weighted sum of layers."""
    shares = torch.softmax(weights, 0)
    return torch.stack([share * layer for share, layer in zip(shares, layers, strict=True)]).sum(0)


def cosine_loss(own: Tensor, wanted: Tensor) -> Tensor:
    """1 − cosine, the mean over vectors."""
    return (1 - F.cosine_similarity(own, wanted, dim=-1)).mean()


def misspell(ids: Tensor, used: Tensor) -> Tensor:
    """Replace or drop one letter of each word, or swap two. Shapes (N, C), (N,) → (N, C)."""
    rows = torch.arange(len(ids), device=ids.device)
    n_letters = (used - 2).clamp(min=1)
    place = 1 + (torch.rand(len(ids), device=ids.device) * n_letters).long().clamp(max=ids.shape[1] - 3)
    kind = torch.randint(0, 3, (len(ids),), device=ids.device)
    letters = torch.tensor([byte + 1 for byte in LETTERS], device=ids.device, dtype=ids.dtype)
    out = ids.clone()
    out[rows, place] = letters[torch.randint(0, len(letters), (len(ids),), device=ids.device)]
    columns = torch.arange(ids.shape[1], device=ids.device)
    dropped = ids.gather(1, (columns + (columns >= place[:, None])).clamp(max=ids.shape[1] - 1))
    swapped = ids.clone()
    swapped[rows, place], swapped[rows, place + 1] = ids[rows, place + 1], ids[rows, place]
    out = torch.where((kind == 1)[:, None], dropped, out)
    can_swap = (kind == 2) & (place < n_letters)
    return torch.where(can_swap[:, None], swapped, out)
