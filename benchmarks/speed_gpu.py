"""Encoding and training on a GPU: words a second, share of the chip's peak, vectors against the CPU's.

    python benchmarks/speed_gpu.py [--device cuda] [--sizes embedded small original] [--presets default small]

Per size and precision: elmokit on the device (word cache empty, median of three turns), elmokit on this machine's CPU
(the first texts), and a plain PyTorch loop on the device, one LSTM step at a time over padded batches of 64 texts, as
AllenNLP computes. The peak is a large product on the device in the same precision; the share counts each word's LSTMs
and each distinct word's highway layers and projection. Training runs `speed_train.py --device`. Each part is written
to benchmarks/results/speed_gpu.json once it is there, so a run that is cut off keeps what it has. `--device cpu` with
few texts tries the script where there is no GPU.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from workload import finish, gflop_per_distinct_word, gflop_per_word, load_model, make_runtime, tweets

from elmokit.nn.bilm import BiLM, LSTMLayer
from elmokit.runtime import Engine
from elmokit.runtime.backends.torch import TorchBackend
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids

HERE = Path(__file__).resolve().parent
PLAIN_ROWS = 64


def synchronize(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(device, run, turns=3):
    """Median seconds on the wall, after one turn that does not count."""
    times = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def peak_gflops(device, precision):
    """GFLOP/s of a large product."""
    n = 8192 if device.startswith("cuda") else 1024
    a = torch.ones(n, n, device=device, dtype=getattr(torch, precision))
    out = torch.empty_like(a)
    return 2 * n**3 / seconds(device, lambda: torch.matmul(a, a, out=out), 9) / 1e9


def encode(engine, texts):
    """One turn with an empty word cache."""
    engine.tokens._cache.clear()
    for _ in engine.layers(texts):
        pass


def top_layer(engine, texts):
    layers = dict(engine.layers(texts))
    return np.concatenate([layers[i][-1] for i in range(len(texts))])


def plain_loop(config, tensors, words, device, precision):
    """What a straightforward implementation does with texts, (texts) → nothing."""
    bilm = BiLM(config, words=words).load_tensors(tensors).eval().to(device, getattr(torch, precision))
    C = config.char_cnn.max_characters
    bos, eos = sentence_boundary_ids(C)

    def run(texts):
        fused, LSTMLayer.forward = LSTMLayer.forward, LSTMLayer._loop
        try:
            for start in range(0, len(texts), PLAIN_ROWS):
                rows = texts[start : start + PLAIN_ROWS]
                ids = np.zeros((len(rows), max(map(len, rows)) + 2, C), np.int64)
                for row, text in zip(ids, rows, strict=True):
                    row[: len(text) + 2] = np.concatenate([[bos], words_to_char_ids(text, C), [eos]])
                with torch.inference_mode():
                    bilm(torch.from_numpy(ids).to(device)).vectors.float().cpu()
        finally:
            LSTMLayer.forward = fused

    return run


def measure(size, precision, texts, options, peak):
    """One row: figures of a size in a precision."""
    config, tensors, words = load_model(size)
    device, few = options.device, texts[: options.cpu_texts]
    backend = TorchBackend(config, tensors, device=device, precision=precision)
    engine = Engine(config, tensors, words=words, backend=backend)
    n_words, n_distinct = sum(map(len, texts)), len({word for text in texts for word in text})
    wall = seconds(device, lambda: encode(engine, texts))
    work = n_words * gflop_per_word(config) + n_distinct * gflop_per_distinct_word(config)
    cpu = make_runtime(config, tensors, "float32", words=words)
    ours, theirs = top_layer(engine, few), top_layer(cpu, few)
    cosine = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
    plain = plain_loop(config, tensors, words, device, precision)
    some = texts[: options.plain_texts]
    n_few, n_some = (sum(map(len, part)) for part in (few, some))
    return {
        "size": size,
        "precision": precision,
        "words_per_s": n_words / wall,
        "of_peak": work / wall / peak,
        "cpu_words_per_s": n_few / seconds("cpu", lambda: encode(cpu, few), 1),
        "plain_words_per_s": n_some / seconds(device, lambda: plain(some), 1),
        "largest_cosine_distance": float(1 - cosine.min()),
        "largest_difference": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", nargs="*", default=["embedded", "small", "original"])
    parser.add_argument("--presets", nargs="*", default=["default", "small"], help="sizes to train")
    parser.add_argument("--texts", type=int, default=7920)
    parser.add_argument("--cpu-texts", type=int, default=64)
    parser.add_argument("--plain-texts", type=int, default=512)
    options = parser.parse_args()
    try:
        texts = tweets(options.texts)
    except OSError:
        print("the tutorial's tweets are not here: generated texts instead")
        texts = [[f"word{i * j % 997}" for j in range(9 + i % 17)] for i in range(options.texts)]
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu"
    result = {"device": name, "torch": torch.__version__, "texts": len(texts), "peak_gflops": {}, "rows": []}
    for precision in ("bfloat16", "float32"):
        peak = result["peak_gflops"][precision] = peak_gflops(options.device, precision)
        for size in options.sizes:
            result["rows"].append(measure(size, precision, texts, options, peak))
            finish("speed_gpu", result)
    for preset in options.presets:
        command = [sys.executable, str(HERE / "speed_train.py"), "--device", options.device, "--preset", preset]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result[f"training {preset}"] = (done.stdout if done.returncode == 0 else done.stderr).splitlines()[-6:]
        finish("speed_gpu", result)


if __name__ == "__main__":
    main()
