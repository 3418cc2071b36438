"""Cost against the number of texts and against the length of a text: both straight lines; memory stays bounded.

    python benchmarks/scaling.py [--max-texts 10000] [--stream 100000]

Texts are random words of a large vocabulary (so that the word cache helps little), 10 words each. Figures are
processor time, which other load changes little. With --stream N, N texts go through `Elmo.encode_stream` in a
process of its own, and so do 10,000: peak memory of both.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import CONFIGS, Clock, finish, random_tensors

from elmokit.runtime.numpy import NumpyRuntime


def texts_of(n, length, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield [f"word{i}" for i in (rng.zipf(1.3, length) % 200_000)]


def seconds(runtime, texts):
    with Clock() as clock:
        for _ in runtime.layers(texts):
            pass
    return clock.cpu


def stream_child(n):
    """Peak memory (MB) and texts/s of streaming n texts."""
    from elmokit.elmo import Elmo

    elmo = Elmo.load()
    with Clock() as clock:
        n_done = sum(1 for _ in elmo.encode_stream(" ".join(words) for words in texts_of(n, 8)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"texts": n_done, "peak_mb": peak, "texts_per_s": n / clock.wall, "cpu_s": clock.cpu}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-texts", type=int, default=10_000)
    parser.add_argument("--max-length", type=int, default=20_000)
    parser.add_argument("--stream", type=int, default=0)
    parser.add_argument("--stream-child", type=int)
    options = parser.parse_args()
    if options.stream_child:
        stream_child(options.stream_child)
        return
    config = CONFIGS["small"]
    runtime = NumpyRuntime(config, random_tensors(config))
    result = {"by_number": [], "by_length": [], "stream": []}
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
    for n in (10_000, options.stream) if options.stream else ():
        command = [sys.executable, __file__, "--stream-child", str(n)]
        child = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        result["stream"].append(child)
        print(child, flush=True)
    finish("scaling", result)


if __name__ == "__main__":
    main()
