"""Teach a biLM: next words in both directions, and the vectors of a sentence encoder, on one device.

    python dev/teach/teach.py RECIPE DATA OUT --seconds 480

DATA is what `corpus.py` and `teacher.py` wrote. The teacher encodes every line once (`--teacher-seconds` at most; lines
that it did not reach teach next words alone); then the biLM trains until the time is up, the learning rate falling to
zero. The heads are dropped; OUT gets a checkpoint in float16, whose layer mix is the learned one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from student import Corpus, Student, Targets, mixed
from teacher import Teacher
from torch import Tensor
from torch.nn import functional as F

from elmokit.checkpoints import Checkpoint, Softmax, save
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WORD_LAYERS, WORD_WIDTH, STATIC_WORDS = (7, 8, 9), 128, 200_000
HELDOUT_EVERY = 400
START = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {text}", flush=True)


def batches(keys: Tensor, budget: int, seed: int) -> Iterator[tuple[int, Tensor]]:
    """Random batches of rows with equal keys, about `budget` / key rows each."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(keys), generator=generator).to(keys.device)
    rows = rows[torch.argsort(keys[rows], stable=True)]
    plan = []
    values, counts = torch.unique_consecutive(keys[rows], return_counts=True)
    start = 0
    for key, n in zip(values.tolist(), counts.tolist(), strict=True):
        size = max(1, min(4096, budget // key))
        plan += [(key, start + i, start + min(i + size, n)) for i in range(0, n, size)]
        start += n
    for i in torch.randperm(len(plan), generator=generator).tolist():
        key, first, last = plan[i]
        yield key, rows[first:last]


def whitened(vectors: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Mean and a map onto principal components that evens their variances half out (power -1/4)."""
    mean = vectors.float().mean(0)
    centred = vectors.float() - mean
    values, axes = torch.linalg.eigh((centred.T @ centred / len(centred)).double())
    values, axes = values.flip(0)[:width].clamp(min=1e-9), axes.flip(1)[:, :width]
    return mean, (axes * values**-0.25).float()


def ask_teacher(folder: Path, corpus: Corpus, seconds: float, width: int) -> Targets:
    """The teacher's vectors of lines, of words in them, and of single spellings."""
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    teacher, started = Teacher(folder, DEVICE, dtype), time.monotonic()
    pieces = torch.cat([corpus.ids.new_zeros(1).long(), torch.cumsum(teacher.n_pieces[corpus.ids.long()], 0)])
    n_tokens = pieces[corpus.starts + corpus.lengths] - pieces[corpus.starts] + 2
    texts = torch.zeros(len(n_tokens), teacher.width, dtype=torch.bfloat16, device=DEVICE)
    word_width = min(WORD_WIDTH, teacher.width)
    words = torch.zeros(len(corpus.ids), word_width, dtype=torch.int8, device=DEVICE)
    ready = torch.zeros(len(n_tokens), dtype=torch.bool, device=DEVICE)
    keep = tuple(layer for layer in WORD_LAYERS if layer <= teacher.n_layers) or (teacher.n_layers,)
    basis: tuple[Tensor, Tensor] | None = None
    for number, (n, lines) in enumerate(batches(n_tokens, 65_536, seed=0)):
        if n > 128:
            continue
        owners = torch.repeat_interleave(torch.arange(len(lines), device=DEVICE), corpus.lengths[lines])
        first = torch.cumsum(corpus.lengths[lines], 0) - corpus.lengths[lines]
        own = torch.arange(len(owners), device=DEVICE) - first[owners] + corpus.starts[lines][owners]
        tokens, places = teacher.tokens(corpus.ids[own].long(), len(lines))
        mean, kept = teacher(tokens, keep)
        texts[lines] = mean.to(texts.dtype)
        said = kept.reshape(-1, teacher.width)[places]
        if basis is None:  # the principal components of the first batch's words serve for all
            centre, axes = whitened(said, word_width)
            basis = centre, axes / ((said - centre) @ axes).std() * 24
        words[own] = ((said - basis[0]) @ basis[1]).round().clamp(-127, 127).to(torch.int8)
        ready[lines] = True
        if number % 20 == 0 and DEVICE.type == "cuda":
            torch.cuda.synchronize()
        if time.monotonic() - started > seconds:
            break
    centre, axes = whitened(texts[ready][:100_000], teacher.width)
    for part in torch.arange(len(texts), device=DEVICE).split(500_000):
        texts[part] = F.normalize((texts[part].float() - centre) @ axes, dim=1).to(texts.dtype)
    say(f"the teacher encoded {int(ready.sum()):,} of {len(ready):,} lines")
    return Targets(texts, words, static_vectors(teacher, width), ready)


def static_vectors(teacher: Teacher, width: int) -> Tensor:
    """Unit vectors of the frequent spellings, each encoded alone. Shape (K, P)."""
    n = min(len(teacher.n_pieces), STATIC_WORDS if DEVICE.type == "cuda" else 2000)
    vectors = torch.zeros(n, teacher.width, device=DEVICE)
    for _, spellings in batches(teacher.n_pieces[:n], 8192, seed=0):
        vectors[spellings] = teacher(teacher.tokens(spellings, len(spellings))[0])[0]
    centre, axes = whitened(vectors[:60_000], min(width, teacher.width))
    unit = F.normalize((vectors - centre) @ axes, dim=1)
    return F.pad(unit, (0, width - unit.shape[1]))


def train(student: Student, corpus: Corpus, targets: Targets, recipe: dict, seconds: float) -> dict[str, float]:
    """Take steps until the time is up."""
    steps = recipe["training"]
    tables = [student.bilm.word_table.weight]
    small = [p for p in student.parameters() if p.dim() < 2]
    rest = [p for p in student.parameters() if p.dim() >= 2 and p is not tables[0]]
    groups = [{"params": rest, "weight_decay": 0.01}, {"params": tables + small, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=steps["learning_rate"], betas=(0.9, 0.98))
    heldout = torch.arange(len(corpus.lengths), device=DEVICE) % HELDOUT_EVERY == 0
    lines = (~heldout).nonzero()[:, 0]
    start, step, n_words, epoch = time.monotonic(), 0, 0, 0
    sums: dict[str, Tensor] = {}
    student.train()
    while (time.monotonic() - start) < seconds:
        epoch += 1
        for n, rows in batches(corpus.lengths[lines], steps["batch_words"], seed=epoch):
            done = (time.monotonic() - start) / seconds
            if done >= 1:
                break
            rate = steps["learning_rate"] * min(1.0, (step + 1) / steps["warmup"], (1 - done) / steps["decay"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
                losses = student.losses(corpus, targets, lines[rows], n)
                total = sum(steps["weights"][name] * loss for name, loss in losses.items())
            total.backward()
            norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, n_words = step + 1, n_words + n * len(rows)
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.detach()
            if step % steps["report_steps"] == 0:
                if not math.isfinite(float(norm)):
                    raise SystemExit(f"the gradient is not finite at step {step}; lower the learning rate")
                shown = ", ".join(f"{name} {float(loss) / steps['report_steps']:.3f}" for name, loss in sums.items())
                say(f"{n_words / 1e6:.1f} M words, {n_words / (time.monotonic() - start):,.0f} words/s: {shown}")
                sums = {}
    return {"steps": step, "n_words": n_words, "seconds": round(time.monotonic() - start, 1), "epochs": epoch}


@torch.no_grad()
def evaluate(student: Student, corpus: Corpus, targets: Targets, n_lines: int = 6000) -> dict[str, float]:
    """Held-out perplexity by the full softmax, each line read alone, and the cosine to the teacher's vectors."""
    student.eval()
    lines = torch.arange(0, len(corpus.lengths), HELDOUT_EVERY, device=DEVICE)
    lines = lines[corpus.lengths[lines] >= 3][:n_lines]
    sums, count, cosines = [0.0, 0.0], 0, []
    for n, rows in batches(corpus.lengths[lines], 4096, seed=0):
        words = corpus.ids[corpus.rectangle(lines[rows], n)].long()
        _, _, top, layers = student.read(corpus, words)
        losses = student.next_words(top, words, full=True).view(2, -1)
        sums = [total + float(part.sum()) for total, part in zip(sums, losses, strict=True)]
        count += losses.shape[1]
        ready = targets.ready[lines[rows]]
        own = F.normalize(student.text_head(mixed(layers, student.text_mix).mean(1)[ready]), dim=1)
        cosines.append((own * targets.texts[lines[rows][ready]].float()).sum(1))
    forward, backward = (math.exp(total / count) for total in sums)
    return {"forward": forward, "backward": backward, "text_cosine": float(torch.cat(cosines).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("recipe", "data", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, default=480, help="of training")
    parser.add_argument("--teacher-seconds", type=float, default=150)
    parser.add_argument("--storage", default="float16")
    given = parser.parse_args()
    recipe = json.loads(given.recipe.read_text(encoding="utf-8"))
    torch.manual_seed(recipe["seed"])
    spellings = (given.data / "types.txt").read_text(encoding="utf-8").split("\n")
    counts = torch.from_numpy(np.load(given.data / "counts.npy").astype(np.float64))
    corpus = Corpus(np.load(given.data / "ids.npy"), np.load(given.data / "lens.npy"), spellings, DEVICE)
    model = dict(recipe["model"], tokenizer=recipe["tokenizer"])
    V = model["word_table"] = min(model["word_table"], len(spellings) + 3)
    model["char_cnn"], model["bilstm"] = CharCNNConfig(**model["char_cnn"]), BiLSTMConfig(**model["bilstm"])
    config = ElmoConfig(**model)
    targets = ask_teacher(given.data / "teacher", corpus, given.teacher_seconds, config.projection_width)
    n_lines, rest = float(len(corpus.lengths)), float(counts[V - 3 :].sum())
    chances = torch.cat([torch.tensor([n_lines, n_lines, max(rest, 1.0)], dtype=torch.float64), counts[: V - 3]])
    words = ["<S>", "</S>", "<UNK>", *spellings[: V - 3]]
    n_negatives = recipe["training"]["negatives"]
    student = Student(config, words, (chances / chances.sum()).float(), targets, n_negatives).to(DEVICE)
    report = train(student, corpus, targets, recipe, given.seconds)
    report |= evaluate(student, corpus, targets)
    say(json.dumps(report))
    arrays = {name: array.detach().float().cpu().numpy() for name, array in student.bilm.state_dict().items()}
    mix = LayerMix(weights=tuple(student.text_mix.tolist()))
    softmax = Softmax(arrays["word_table.weight"], student.softmax.bias.detach().float().cpu().numpy())
    tensors = {name: arrays[name] for name in config.tensor_shapes()}
    n_seen = (0, 0, int(rest), *(int(n) for n in counts[: V - 3]))
    checkpoint = Checkpoint(config, tensors, mix, tuple(words), n_seen, softmax, recipe["name"], report)
    save(checkpoint, given.out, storage=given.storage)


if __name__ == "__main__":
    main()
