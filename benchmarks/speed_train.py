"""Training speed of the embedded model's size: the plain loop over time, fused kernels, and fused kernels in bfloat16.

    python benchmarks/speed_train.py [--corpus FILE…] [--rounds 3] [--steps 3] [--device cpu|cuda] [--preset default]

All variants take the same steps on the same windows in one process, turn by turn; words/s are medians over rounds.
"plain" is what a straightforward implementation does: the char-CNN over all 50 characters of every word of the batch,
one LSTM cell at a time through autograd, in float32; "loop" has our char-CNN (distinct words, no equal windows) with
that LSTM. On a GPU the share of time in the LSTM kernels is measured by PyTorch's profiler. The last line is JSON, also
written to benchmarks/results/speed_train.json. Without a corpus, text is generated (Zipf words).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from elmokit.nn.bilm import LSTMLayer
from elmokit.nn.token_encoder import CharCNN
from elmokit.training import Corpus, get_preset
from elmokit.training.loop import Trainer
from elmokit.training.objective import WindowBatch
from elmokit.training.sources import open_store

FUSED, DISTINCT = LSTMLayer.forward, CharCNN._maxima


def every_window(cnn: CharCNN, char_ids: torch.Tensor) -> torch.Tensor:
    x = cnn.embedding(char_ids).transpose(1, 2)
    return torch.cat([torch.relu(convolve(x).amax(dim=2)) for convolve in cnn.convolutions], dim=1)


def every_word(batch: WindowBatch) -> WindowBatch:
    return WindowBatch(
        batch.char_ids[batch.inputs.flatten()],
        torch.arange(batch.inputs.numel()).reshape(batch.inputs.shape),
        batch.targets,
    )


def generated_corpus(folder: Path, n_texts: int = 6000) -> Path:
    rng = np.random.default_rng(0)
    words = np.array([f"w{i:x}" for i in range(30_000)])
    path = folder / "zipf.txt"
    lines = (" ".join(words[np.minimum(rng.zipf(1.2, size=15) - 1, 29_999)]) for _ in range(n_texts))
    path.write_text("\n".join(lines))
    return path


def words_per_second(trainer: Trainer, steps: int, variant: str) -> float:
    make_batch = trainer.make_batch
    trainer._parallel, trainer._windows = trainer.model, trainer.stream.windows()
    if not variant.startswith("fused"):
        LSTMLayer.forward = LSTMLayer._loop
    if variant.startswith("plain"):
        CharCNN._maxima = every_window
        trainer.make_batch = lambda window: every_word(make_batch(window))
    try:
        trainer.take_step()  # buffers and kernels are made
        before, start = trainer.n_words, time.perf_counter()
        for _ in range(steps):
            trainer.take_step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        return (trainer.n_words - before) / (time.perf_counter() - start)
    finally:
        LSTMLayer.forward, CharCNN._maxima, trainer.make_batch = FUSED, DISTINCT, make_batch


def lstm_share(trainer: Trainer) -> float:
    """Share of the GPU's time in LSTM kernels."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(5):
            trainer.take_step()
    times = {event.key: event.self_device_time_total for event in profile.key_averages()}
    in_lstm = sum(t for name, t in times.items() if "rnn" in name.lower() or "lstm" in name.lower())
    return in_lstm / max(sum(times.values()), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--preset", default="default")
    given = parser.parse_args()
    preset = get_preset(given.preset)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(
            Corpus(files=given.corpus or [generated_corpus(folder)]), folder / "store", tokenizer="default"
        )
        vocabulary = store.vocabulary(max_size=30_000)
        variants = {
            "plain, float32": "float32",
            "loop, float32": "float32",
            "fused, float32": "float32",
            "fused, bfloat16": "bfloat16",
        }
        trainers = {
            variant: Trainer(
                preset.config,
                replace(preset.options, precision=precision, n_negatives=min(2048, len(vocabulary) - 1)),
                store,
                vocabulary,
                folder,
                device=given.device,
            )
            for variant, precision in variants.items()
        }
        speeds: dict[str, list[float]] = {variant: [] for variant in variants}
        for _ in range(given.rounds):
            for variant, trainer in trainers.items():
                speeds[variant].append(words_per_second(trainer, given.steps, variant))
        share = lstm_share(trainers["fused, bfloat16"]) if given.device != "cpu" else None
    medians = {variant: statistics.median(found) for variant, found in speeds.items()}
    base = medians["plain, float32"]
    print(f"{'variant':<22}{'words/s':>10}{'ratio':>8}")
    for variant, median in medians.items():
        print(f"{variant:<22}{median:>10,.0f}{median / base:>8.1f}")
    found = {
        "benchmark": "speed_train",
        "device": given.device,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "words_per_second": medians,
        "ratio_to_plain": {variant: median / base for variant, median in medians.items()},
        "lstm_share": share,
    }
    line = json.dumps(found)
    (Path(__file__).parent / "results" / "speed_train.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
