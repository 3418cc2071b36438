"""Cost against the number of texts and against the length of a text: both straight lines; memory stays bounded.

    python benchmarks/scaling.py [--max-texts 10000] [--stream 100000]

Texts are random words of a large vocabulary (so that the word cache helps little), 10 words each. Figures are
processor time, which other load changes little. With --stream N, N texts of eight words go from a text file to a file
of vectors by `elmokit embed`, and so do 10,000: peak memory of both processes. Parts that are not run keep their last
figures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import CONFIGS, RESULTS, Clock, finish, make_runtime, random_tensors


def texts_of(n, length, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield [f"word{i}" for i in (rng.zipf(1.3, length) % 200_000)]


def seconds(runtime, texts):
    with Clock() as clock:
        for _ in runtime.layers(texts):
            pass
    return clock.cpu


def stream(n):
    """Peak memory (MB) and texts/s of `elmokit embed` from disk to disk."""
    with tempfile.TemporaryDirectory() as folder:
        texts, vectors = Path(folder) / "texts.txt", Path(folder) / "vectors.npy"
        with texts.open("w") as file:
            file.writelines(" ".join(words) + "\n" for words in texts_of(n, 8))
        command = [sys.executable, "-m", "elmokit", "--quiet", "embed", str(texts), "--output", str(vectors)]
        start = time.perf_counter()
        child = subprocess.Popen(command)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        assert status == 0
        assert len(np.load(vectors, mmap_mode="r")) == n
    return {"texts": n, "peak_mb": usage.ru_maxrss / 1024, "texts_per_s": n / seconds, "cpu_s": usage.ru_utime}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-texts", type=int, default=10_000)
    parser.add_argument("--max-length", type=int, default=20_000)
    parser.add_argument("--stream", type=int, default=0)
    options = parser.parse_args()
    last = RESULTS / "scaling.json"
    result = json.loads(last.read_text()) if last.exists() else {}
    result |= {"stream": []} if options.stream else {}
    for n in (10_000, options.stream) if options.stream else ():
        child = stream(n)
        result["stream"].append(child)
        print(child, flush=True)
    # the runtime comes after the children: a child's peak is at least its parent's size
    config = CONFIGS["small"]
    runtime = make_runtime(config, random_tensors(config), "float32")
    result |= {"by_number": []} if options.max_texts else {}
    result |= {"by_length": []} if options.max_length else {}
    seconds(runtime, list(texts_of(100, 10)))
    for n in (10**k for k in range(2, 7)):
        if n <= options.max_texts:
            cpu = seconds(runtime, list(texts_of(n, 10)))
            result["by_number"].append({"texts": n, "cpu_s": cpu, "us_per_word": cpu / n / 10 * 1e6})
            print(f"{n:8d} texts of 10 words: {cpu:8.2f} s, {cpu / n / 10 * 1e6:7.1f} µs/word", flush=True)
    for length in (10, 100, 1000, 5000, 20_000):
        if length <= options.max_length:
            cpu = seconds(runtime, list(texts_of(1, length)))
            result["by_length"].append({"words": length, "cpu_s": cpu, "us_per_word": cpu / length * 1e6})
            print(f"one text of {length:6d} words: {cpu:8.2f} s, {cpu / length * 1e6:7.1f} µs/word", flush=True)
    finish("scaling", result)


if __name__ == "__main__":
    main()
