"""Each instruction set on this machine: words a second against NumPy and its own ceiling, in turns on one core.

    taskset -c 1 python benchmarks/speed_instruction_sets.py [--texts 60] [--rounds 5] [--original]

The ceiling of an instruction set is its own matrix product (512 x 1024 x 4096) in the same run. NumPy is measured with
the BLAS kernels that OpenBLAS takes by itself; OPENBLAS_CORETYPE=Haswell gives those of a machine with AVX2. Embedded
model, or with --original one of the published size with random weights; all words are new in every round.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish

from elmokit import checkpoints
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime.engine import Engine
from elmokit.runtime.kernels import NativeProduct, available

ORIGINAL = ElmoConfig(
    projection_width=512,
    char_cnn=CharCNNConfig(
        embedding_width=16,
        filters=((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024)),
        n_highway=2,
    ),
    bilstm=BiLSTMConfig(cell_width=4096),
)


def texts_of(n, seed=0):
    rng = np.random.default_rng(seed)
    words = [f"{'abcdefgh'[i % 8] * (1 + i % 9)}{i}" for i in range(3000)]
    ranks = np.minimum(rng.zipf(1.3, (n, 17)) - 1, 2999)  # 17 words, as the tutorial's tweets have
    return [[words[i] for i in row[: 9 + k % 17]] for k, row in enumerate(ranks)]


def engine_of(way, config, tensors, words):
    os.environ.update({"ELMOKIT_NATIVE": "0"} if way == "NumPy" else {"ELMOKIT_NATIVE": "1", "ELMOKIT_CPU": way})
    return Engine(config, tensors, words=words, n_threads=1, cache_words=0)


def seconds(run):
    start = time.process_time()  # of this thread's core: robust to other load
    run()
    return time.process_time() - start


def gflops(way):
    os.environ.update({"ELMOKIT_NATIVE": "1", "ELMOKIT_CPU": way})
    x, out = np.ones((512, 1024), np.float32), np.empty((512, 4096), np.float32)
    product = NativeProduct(np.ones((1024, 4096), np.float32), "float32")
    return lambda: product(x, out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--original", action="store_true")
    parser.add_argument("--leave-out", nargs="*", default=[])
    options = parser.parse_args()
    if options.original:
        rng, config, words = np.random.default_rng(0), ORIGINAL, None
        shapes = config.tensor_shapes().items()
        tensors = {name: (rng.standard_normal(shape, np.float32) * 0.02) for name, shape in shapes}
    else:
        checkpoint = checkpoints.load("default")
        config, tensors, words = checkpoint.config, checkpoint.tensors, checkpoint.words
    ways = [s.name for s in available() if s.name != "avx512_bf16" and s.name not in options.leave_out]
    engines = {way: engine_of(way, config, tensors, words) for way in (*ways, "NumPy")}
    products = {way: gflops(way) for way in ways}
    texts = texts_of(options.texts)
    n_words = sum(map(len, texts))
    times = {way: [] for way in engines}
    ceilings = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, engine in engines.items():
            times[way].append(seconds(lambda engine=engine: list(engine.layers(texts))))
        for way, product in products.items():
            ceilings[way].append(seconds(product))
    numpy = statistics.median(times["NumPy"])
    rows = {}
    for way in engines:
        t = statistics.median(times[way])
        rows[way] = {"words/s": n_words / t, "times NumPy": numpy / t}
        if way in ceilings:
            rows[way]["ceiling GFLOP/s"] = 2 * 512 * 1024 * 4096 / min(ceilings[way]) / 1e9
        print(way, {name: round(value, 2) for name, value in rows[way].items()}, flush=True)
    finish("speed_instruction_sets" + ("_original" if options.original else ""), {"texts": len(texts), "ways": rows})


if __name__ == "__main__":
    main()
