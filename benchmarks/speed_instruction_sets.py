"""Each instruction set on this machine: same bits, and words a second against NumPy and its own ceiling, on one core.

    taskset -c 1 python benchmarks/speed_instruction_sets.py [--size embedded] [--texts 100] [--rounds 5]

The ceiling of an instruction set is its own matrix product (512 x 1024 x 4096) in the same run; "of ceiling" counts the
LSTMs' arithmetic of each word, and highway layers and projection of each distinct one. NumPy is measured with the BLAS
kernels that OpenBLAS takes by itself; OPENBLAS_CORETYPE=Haswell gives those of a machine with AVX2. All words are new
in every round. Sizes: embedded, or small, medium, original with random weights.
"""

import argparse
import hashlib
import os
import statistics
import time

import numpy as np
from workload import finish, gflop_per_distinct_word, gflop_per_word, load_model

from elmokit.runtime.backends.native import NativeProduct
from elmokit.runtime.engine import Engine
from elmokit.runtime.kernels import available


def texts_of(n, seed=0):
    rng = np.random.default_rng(seed)
    words = [f"{'abcdefgh'[i % 8] * (1 + i % 9)}{i}" for i in range(3000)]
    ranks = np.minimum(rng.zipf(1.3, (n, 17)) - 1, 2999)  # 17 words, as the tutorial's tweets have
    return [[words[i] for i in row[: 9 + k % 17]] for k, row in enumerate(ranks)]


def take(way):
    os.environ.update({"ELMOKIT_NATIVE": "0"} if way == "NumPy" else {"ELMOKIT_NATIVE": "1", "ELMOKIT_CPU": way})


def seconds(run):
    start = time.process_time()  # of this thread's core: robust to other load
    run()
    return time.process_time() - start


def product_of(way):
    take(way)
    x, out = np.ones((512, 1024), np.float32), np.empty((512, 4096), np.float32)
    product = NativeProduct(np.ones((1024, 4096), np.float32), "float32")
    return lambda: product(x, out)


def bits_of(engine, texts):
    layers = dict(engine.layers(texts))
    return hashlib.sha256(b"".join(layers[i].tobytes() for i in range(len(texts)))).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="embedded")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--leave-out", nargs="*", default=["avx512_bf16"], help="its float32 loops are those of avx512")
    options = parser.parse_args()
    config, tensors, words = load_model(options.size)
    ways = [s.name for s in available() if s.name not in options.leave_out]
    texts, engines, bits = texts_of(options.texts), {}, {}
    for way in (*ways, "NumPy"):
        take(way)
        engines[way] = Engine(config, tensors, words=words, n_threads=1, cache_words=0)
        bits[way] = bits_of(engines[way], texts)
    products = {way: product_of(way) for way in ways}
    n_words, n_distinct = sum(map(len, texts)), len({word for text in texts for word in text})
    work = n_words * gflop_per_word(config) + n_distinct * gflop_per_distinct_word(config)
    times, ceilings = {way: [] for way in engines}, {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, engine in engines.items():
            times[way].append(seconds(lambda engine=engine: list(engine.layers(texts))))
        for way, product in products.items():
            ceilings[way].append(seconds(product))
    numpy, rows = statistics.median(times["NumPy"]), {}
    for way in engines:
        t = statistics.median(times[way])
        rows[way] = {"words/s": n_words / t, "times NumPy": numpy / t, "same bits": bits[way] == bits[ways[0]]}
        if way in ceilings:
            ceiling = 2 * 512 * 1024 * 4096 / statistics.median(ceilings[way]) / 1e9
            rows[way] |= {"ceiling GFLOP/s": ceiling, "of ceiling": work / t / ceiling}
        print(way, {name: round(value, 2) for name, value in rows[way].items()}, flush=True)
    name = "speed_instruction_sets" + ("" if options.size == "embedded" else f"_{options.size}")
    finish(name, {"texts": len(texts), "words": n_words, "distinct": n_distinct, "ways": rows})


if __name__ == "__main__":
    main()
