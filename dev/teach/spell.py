"""Teach the characters of a taught model what its word table knows, so that misspelt and rare words keep their sense.

    python dev/teach/spell.py MODEL DATA ENCODER OUT --seconds 2760 --alone-seconds 2000
    elmokit convert OUT DEFAULT --storage int8 --whiten LINES

The model reads the lines of DATA (from `corpus.py`) twice: clean and as it is, and, by a copy that learns, with letters
changed and rows of the word table left out. The copy learns to give the same token vectors, layers and text vectors.
Spellings that the table lacks take their token vectors from ENCODER (a sentence-transformers folder, or a `.npy` with a
row for each of the first spellings) by a ridge regression fitted on the table's words. The copy has a second projection
of its char-CNN for words without a row (`ElmoConfig.spelling_projection`). Only the char-CNN and, at a tenth of the
rate, the LSTMs learn; word table and softmax stay. Then, for --alone-seconds, the char-CNN alone learns from spellings
without sentences, four times as many an hour. OUT gets the checkpoint in int8; LINES are 20,000 lines of DATA.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from student import LETTERS, Corpus
from teach import batches, say
from torch import Tensor
from torch.nn import functional as F

from elmokit.checkpoints import load, save
from elmokit.nn.bilm import BiLM
from elmokit.text.char_ids import sentence_boundary_ids

RARE_WORDS = 200_000  # the frequent spellings whose vectors are known: the table's, then the encoder's
ALONE = 512  # spellings that each step reads without their sentence
MISSPELT, WITHOUT_ROW = 0.2, 0.3  # shares of a batch's spellings
STRETCH = 1.3  # of vectors by spelling alone, which squared error shrinks, so that rare words would weigh too little


class Speller:
    """A taught model, its copy with a spelling projection, which learns, and the token vectors of spellings."""

    def __init__(self, folder: Path, corpus: Corpus, spellings: list[str], encoder: Path) -> None:
        self.checkpoint, self.corpus = load(folder), corpus
        config, words = self.checkpoint.config, list(self.checkpoint.words)
        arrays = {name: np.asarray(array, np.float32) for name, array in self.checkpoint.tensors.items()}
        self.teacher = BiLM(config, words=words).load_tensors(arrays).eval()
        table = self.teacher.word_table
        self.rows = (table.weight * table.gain).detach()[3:]  # (K, P): the spellings in the order of their numbers
        self.mix = self.checkpoint.layer_mix.shares(config.n_layers)
        self.boundaries = torch.from_numpy(sentence_boundary_ids(corpus.char_ids.shape[1]))
        # a spelling that differs from the table's by its case only has that one's row, as in `WordTable`
        lower: dict[str, int] = {}
        for number, word in enumerate(spellings[: len(self.rows)]):
            lower.setdefault(word.lower(), number)
        known = [k if k < len(self.rows) else lower.get(word.lower(), -1) for k, word in enumerate(spellings)]
        self.row_of = torch.tensor(known)
        self.wanted = self.frequent_vectors(rare_vectors(encoder, spellings[:RARE_WORDS]))
        self.spread = variance(self.wanted[:20_000])
        self.guess = self.spelling_projection()
        self.config = replace(config, spelling_projection=True)
        for part, guess in zip(("weight", "bias"), (self.guess[:-1].T, self.guess[-1]), strict=True):
            name = f"char_cnn.projection.{part}"
            arrays[name] = np.concatenate([arrays[name], guess.numpy()])
        self.student = BiLM(self.config, words=words).load_tensors(arrays)

    @torch.no_grad()
    def features(self, char_ids: Tensor) -> Tensor:
        """What lies below the teacher's projection, and a column of ones: (N, C) → (N, F + 1)."""
        x = self.teacher.char_cnn._maxima(char_ids.long())
        for highway in self.teacher.char_cnn.highways:
            x = highway(x)
        return torch.cat([x, torch.ones(len(x), 1)], 1)

    @torch.no_grad()
    def frequent_vectors(self, vectors: Tensor) -> Tensor:
        """Token vectors of frequent spellings (R, P): the table's as they are, others by ridge regression."""
        parts = torch.arange(len(vectors)).split(4096)
        spelt = torch.cat([self.teacher.char_cnn(self.corpus.char_ids[part].long()) for part in parts])
        K = min(len(self.rows), len(vectors))
        known = spelt[:K] + self.rows[:K]
        design = torch.cat([(vectors - vectors[:K].mean(0)) * 20, spelt, torch.ones(len(spelt), 1)], 1)
        return torch.cat([known, design[K:] @ ridge(design[:K], known, 1e-2)])

    def spelling_projection(self) -> Tensor:
        """The projection that the copy begins with, (F + 1, P): ridge regression, rare words at half the weight."""
        n = len(self.wanted)
        weights = torch.where(torch.arange(n) < len(self.rows), 1.0, 0.5**0.5)[:, None]
        features = torch.cat([self.features(ids) for ids in self.corpus.char_ids[:n].split(4096)])
        return ridge(features * weights, self.wanted * weights, 1e-3)

    def token_vectors(self, char_ids: Tensor, rows: Tensor) -> Tensor:
        """What the student says of spellings and the two boundaries, (U, C) and rows (U,), -1 for none → (U + 2, P)."""
        P, rows = self.config.projection_width, F.pad(rows, (0, 2), value=-1)
        x = self.student.char_cnn(torch.cat([char_ids, self.boundaries]).long())  # (U + 2, 2P)
        return torch.where((rows >= 0)[:, None], x[:, :P] + self.rows[rows.clamp(min=0)], x[:, P:])

    @torch.no_grad()
    def clean_vectors(self, spellings: Tensor, rows: Tensor) -> Tensor:
        """What it should say of them, by table row, encoder or first guess."""
        char_ids = self.corpus.char_ids[spellings]
        vectors = self.teacher.char_cnn(torch.cat([char_ids, self.boundaries]).long())
        vectors[:-2] += self.rows[rows.clamp(min=0)]
        rare = ((rows < 0) & (spellings < len(self.wanted))).nonzero()[:, 0]
        unknown = ((rows < 0) & (spellings >= len(self.wanted))).nonzero()[:, 0]
        vectors[rare] = self.wanted[spellings[rare]]
        vectors[unknown] = self.features(char_ids[unknown]) @ self.guess
        return vectors

    def losses(self, lines: Tensor, n_words: int) -> dict[str, Tensor]:
        """The losses of equally long lines, by name; each is 1 where the output is no better than the mean."""
        words = self.corpus.ids[self.corpus.rectangle(lines, n_words)].long()
        spellings, places = torch.unique(words, return_inverse=True)
        rows = self.row_of[spellings]
        clean = self.clean_vectors(spellings, rows)
        with torch.no_grad():
            expected = layers_of(self.teacher, clean, places)
        draw = torch.rand(len(spellings))
        char_ids, changed = misspelt(self.corpus, spellings, draw < MISSPELT)
        rows = torch.where(changed | (draw >= MISSPELT) & (draw < MISSPELT + WITHOUT_ROW), -1, rows)
        learned = self.token_vectors(char_ids, rows)
        layers = layers_of(self.student, learned, places)
        error = (learned - clean).square().sum(1) / variance(clean[:-2])
        weights = torch.where(rows < 0, 1.0, 3.0)
        pooled, wanted = (self.mixed(of).mean(1) for of in (layers, expected))
        centre = wanted.mean(0)
        return {
            "words": (error[:-2] * weights).sum() / weights.sum() + error[-2:].mean(),
            "layers": sum(apart(a, b) for a, b in zip(layers[1:], expected[1:], strict=True)),
            "texts": (1 - F.cosine_similarity(pooled - centre, wanted - centre)).mean(),
            "alone": self.alone(),
        }

    def alone(self) -> Tensor:
        """Spellings without sentence and row: the table's, rare and very rare ones, half of them misspelt."""
        K, R, n = len(self.rows), len(self.wanted), len(self.corpus.char_ids)
        draw, place = torch.rand(ALONE), torch.rand(ALONE)
        some = torch.where(draw < 0.9, K + (R - K) * place, R + (n - R) * place)
        some = torch.where(draw < 0.45, K * place**2, some).long().clamp(max=n - 1)
        wanted = self.clean_vectors(some, torch.where(some < K, some, -1))
        char_ids, _ = misspelt(self.corpus, some, torch.rand(ALONE) < 0.5)
        learned = self.token_vectors(char_ids, torch.full_like(some, -1))
        return (learned - wanted)[:-2].square().sum(1).mean() / self.spread

    def mixed(self, layers: list[Tensor]) -> Tensor:
        """The layer mix (B, T, 2P)."""
        return sum(share * layer for share, layer in zip(self.mix, layers, strict=True))

    def save(self, folder: Path) -> None:
        """Write the student, with the table, the softmax and the mix of before."""
        state = {name: array.detach().numpy() for name, array in self.student.state_dict().items()}
        tensors = {name: state[name] for name in self.config.tensor_shapes()}
        for part in ("weight", "bias"):
            tensors[f"char_cnn.projection.{part}"][self.config.projection_width :] *= STRETCH
        softmax = replace(self.checkpoint.softmax, weight=tensors["word_table.weight"])
        save(replace(self.checkpoint, config=self.config, tensors=tensors, softmax=softmax), folder, storage="int8")

    def alone_losses(self, n: int = ALONE) -> tuple[Tensor, Tensor]:
        """The errors of n / 2 words, what the characters say beside their rows, and of 2n misspelt and n rare ones."""
        K, R = len(self.rows), len(self.wanted)
        known = (K * torch.rand(n // 2) ** 1.5).long()
        drawn = (K * torch.rand(2 * n) ** 2.5, K + (R - K) * torch.rand(n) ** 1.3)
        misspelt, rare = (each.long().clamp(max=R - 1) for each in drawn)
        letters = one_typo(self.corpus, misspelt)
        with torch.no_grad():
            kept = self.teacher.char_cnn(torch.cat([self.corpus.char_ids[known], self.boundaries]).long())
        ids = [self.corpus.char_ids[known], self.boundaries, letters, self.corpus.char_ids[rare]]
        P, x = self.config.projection_width, self.student.char_cnn(torch.cat(ids).long())
        wanted = self.wanted[torch.cat([misspelt, rare])]
        learned = (x[len(kept) :, P:] - wanted).square().sum(1).mean() / self.spread
        return (x[: len(kept), :P] - kept).square().sum(1).mean() / self.spread, learned


def ridge(inputs: Tensor, outputs: Tensor, strength: float) -> Tensor:
    """The linear map from inputs (N, F) to outputs (N, P)."""
    gram = inputs.T @ inputs
    gram += strength * gram.trace() / len(gram) * torch.eye(len(gram))
    return torch.linalg.solve(gram, inputs.T @ outputs)


def apart(actual: Tensor, expected: Tensor) -> Tensor:
    """The mean square distance of vectors, in units of the expected ones' variance."""
    return (actual - expected).square().sum(-1).mean() / variance(expected)


def layers_of(model: BiLM, vectors: Tensor, places: Tensor) -> list[Tensor]:
    """The layers (B, T, 2P) of lines with the token vectors at `places` (B, T); the last two are the boundaries."""
    begin = torch.full((len(places), 1), len(vectors) - 2)
    forward, _ = model.forward_layers(F.embedding(torch.cat([begin, places], 1), vectors))
    backward, _ = model.backward_layers(F.embedding(torch.cat([begin + 1, places.flip(1)], 1), vectors))
    tokens = F.embedding(places, vectors)
    outputs = zip(forward, backward, strict=True)
    return [torch.cat([tokens, tokens], -1), *(torch.cat([f[:, 1:], b[:, 1:].flip(1)], -1) for f, b in outputs)]


def variance(vectors: Tensor) -> Tensor:
    """The mean square distance from the mean vector."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    return (flat - flat.mean(0)).square().sum(1).mean()


def misspelt(corpus: Corpus, spellings: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Character ids (U, C), 13 % of the letters of the chosen ones replaced and in some two swapped; which changed."""
    clean, used = corpus.char_ids[spellings], corpus.n_characters[spellings]
    columns = torch.arange(clean.shape[1])
    letter = (columns >= 1) & (columns < used[:, None] - 1) & (clean > ord("a")) & (clean <= ord("z") + 1)
    letters = torch.tensor([byte + 1 for byte in LETTERS], dtype=clean.dtype)
    drawn = letters[torch.randint(0, len(letters), clean.shape)]
    changed = torch.where((torch.rand(clean.shape) < 0.13) & letter, drawn, clean)
    swap = ((torch.rand(len(clean)) < 0.3) & (used > 6)).nonzero()[:, 0]
    place = 2 + (torch.rand(len(swap)) * (used[swap] - 5)).long()
    changed[swap, place], changed[swap, place + 1] = changed[swap, place + 1], changed[swap, place]
    out = torch.where((chosen & (used > 5))[:, None], changed, clean)
    return out, (out != clean).any(1)


def one_typo(corpus: Corpus, spellings: Tensor) -> Tensor:
    """Character ids (U, C): in 70 % letters are replaced, in 10 % each two are swapped, one is left out, one added."""
    ids, used = corpus.char_ids[spellings], corpus.n_characters[spellings]
    columns, rows = torch.arange(ids.shape[1]), torch.arange(len(ids))
    letters = torch.tensor([byte + 1 for byte in LETTERS], dtype=ids.dtype)[torch.randint(0, 26, ids.shape)]
    letter = (columns >= 1) & (columns < used[:, None] - 1) & (ids > ord("a")) & (ids <= ord("z") + 1)
    one = torch.rand(ids.shape).masked_fill(~letter, -1).argmax(1, keepdim=True) == columns
    replaced = torch.where((one | (torch.rand(ids.shape) < 0.06)) & letter, letters, ids)
    place = (1 + (torch.rand(len(ids)) * (used - 3).clamp(min=1)).long()).clamp(max=ids.shape[1] - 3)
    swapped = ids.clone()
    swapped[rows, place], swapped[rows, place + 1] = ids[rows, place + 1], ids[rows, place]
    less = ids.gather(1, (columns + (columns >= place[:, None])).clamp(max=ids.shape[1] - 1))
    more = ids.gather(1, (columns - (columns > place[:, None]).long()).clamp(min=0))
    more[rows, place] = letters[rows, place]
    draw = torch.where(used > 6, torch.rand(len(ids)), 0)[:, None]
    return torch.where(draw < 0.7, replaced, torch.where(draw < 0.8, swapped, torch.where(draw < 0.9, less, more)))


def rare_vectors(encoder: Path, spellings: list[str]) -> Tensor:
    """The encoder's vectors of spellings, each alone."""
    if encoder.suffix == ".npy":
        return torch.from_numpy(np.load(encoder)[: len(spellings)].astype(np.float32))
    from sentence_transformers import SentenceTransformer

    return torch.from_numpy(SentenceTransformer(str(encoder), device="cpu").encode(spellings, batch_size=256))


def train(speller: Speller, seconds: float, rate: float) -> None:
    """Take steps of about 2,048 words until the time is up; the learning rate falls to zero from 30 % of it on."""
    named = list(speller.student.named_parameters())
    groups = [[p for name, p in named if name.startswith(kind)] for kind in ("char_cnn", ("forward", "backward"))]
    optimizer = torch.optim.AdamW([{"params": group} for group in groups], betas=(0.9, 0.98), weight_decay=0.0)
    lines = (speller.corpus.lengths >= 3).nonzero()[:, 0]
    start, step, n_words, epoch = time.monotonic(), 0, 0, 0
    while True:
        epoch += 1
        for n, rows in batches(speller.corpus.lengths[lines], 2048, seed=epoch):
            done = (time.monotonic() - start) / seconds
            if done >= 1:
                return say(f"{step} steps, {n_words:,} words")
            now = rate * min(1.0, (step + 1) / 100, (1 - done) / 0.7)
            for group, share in zip(optimizer.param_groups, (1.0, 0.1), strict=True):
                group["lr"] = now * share
            losses = speller.losses(lines[rows], n)
            (losses["words"] + losses["alone"] + 0.5 * losses["layers"] + 2 * losses["texts"]).backward()
            torch.nn.utils.clip_grad_norm_([p for group in groups for p in group], 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, n_words = step + 1, n_words + n * len(rows)
            if step % 10 == 1:
                say(
                    f"{n_words:,} words: "
                    + ", ".join(f"{name} {float(loss.detach()):.3f}" for name, loss in losses.items())
                )


def train_alone(speller: Speller, seconds: float, rate: float) -> None:
    """Train the char-CNN on words without sentences until the time is up; the rate falls to zero from 40 % of it on."""
    weights = list(speller.student.char_cnn.parameters())
    optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=0.0)
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / max(seconds, 1e-9)) < 1:
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 200, (1 - done) / 0.6)
        kept, learned = speller.alone_losses()
        (4 * kept + learned).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 1:
            say(f"{step} steps alone: beside rows {float(kept.detach()):.4f}, without {float(learned.detach()):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "data", "encoder", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, default=2760)
    parser.add_argument("--alone-seconds", type=float, default=2000)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    given = parser.parse_args()
    torch.manual_seed(0)
    spellings = (given.data / "types.txt").read_text(encoding="utf-8").split("\n")
    arrays = (np.load(given.data / name) for name in ("ids.npy", "lens.npy"))
    corpus = Corpus(*arrays, spellings, torch.device("cpu"))
    speller = Speller(given.model, corpus, spellings, given.encoder)
    train(speller, given.seconds, given.learning_rate)
    train_alone(speller, given.alone_seconds, 2 * given.learning_rate)
    speller.save(given.out)


if __name__ == "__main__":
    main()
