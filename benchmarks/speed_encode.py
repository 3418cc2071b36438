"""Words per second of `layers`, by model size, precision and batch budget, against the ceiling of the same run.

    python benchmarks/speed_encode.py [--sizes small original] [--precisions float32 bfloat16-torch] [--texts 7920]

Each line: cold (every distinct word goes through the character CNN) and warm (words in the cache). "of ceiling" is
the LSTMs' and highway layers' arithmetic as a loop without shortcuts needs it (words once per sentence, distinct
words once), divided by time and ceiling; so doing less work counts as speed. By processor time, other load on the
machine changes the figures little. "cosine" is the largest and mean cosine distance of the top layer from float32.
"""

import argparse
import resource
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from ceiling import measure
from workload import Clock, finish, gflop_per_distinct_word, gflop_per_word, load_model, make_runtime, tweets


def cosine_distance(a, b):
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return {"max": float(1 - cosine.min()), "mean": float(1 - cosine.mean())}


def run(runtime, texts):
    with Clock() as clock:
        for _ in runtime.layers(texts):
            pass
    return clock


def top_layer(runtime, texts):
    found = dict(runtime.layers(texts))
    return np.concatenate([found[i][-1] for i in range(len(texts))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["small", "medium", "original"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "float32-numpy", "bfloat16", "bfloat16-torch"])
    parser.add_argument("--batch-words", nargs="+", type=int, default=[4096])
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--name", default="speed_encode")
    options = parser.parse_args()
    texts = tweets(options.texts)
    n_words, n_distinct = sum(map(len, texts)), len({w for text in texts for w in text})
    ceilings, rows = measure(tuple({way.partition("-")[0] for way in options.precisions})), []
    print(f"{len(texts)} texts, {n_words} words, {n_distinct} distinct; ceilings {ceilings}")
    print(
        "size      precision       budget   cold w/s   texts/s | by processor: cold w/s  warm w/s of ceiling  cosine MB"
    )
    for size in options.sizes:
        config, tensors, words = load_model(size)
        reference = top_layer(make_runtime(config, tensors, "float32-numpy", words=words), texts[:40])
        for precision in options.precisions:
            for budget in options.batch_words:
                runtime = make_runtime(config, tensors, precision, budget, words)
                loss = cosine_distance(top_layer(runtime, texts[:40]), reference)
                runtime = make_runtime(config, tensors, precision, budget, words)
                cold, warm = run(runtime, texts), run(runtime, texts)
                work = n_words * gflop_per_word(config) + n_distinct * gflop_per_distinct_word(config)
                row = {
                    "size": size,
                    "precision": precision,
                    "batch_words": budget,
                    "words_per_s": n_words / cold.wall,
                    "texts_per_s": len(texts) / cold.wall,
                    "words_per_s_by_cpu": 2 * n_words / cold.cpu,
                    "warm_words_per_s_by_cpu": 2 * n_words / warm.cpu,
                    "of_ceiling_by_cpu": 2 * work / cold.cpu / ceilings[precision.partition("-")[0]]["cpu"],
                    "of_ceiling_by_wall": work / cold.wall / ceilings[precision.partition("-")[0]]["wall"],
                    "cosine_distance_from_float32": loss,
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
                rows.append(row)
                print(
                    f"{size:9s} {precision:14s} {budget:7d} {row['words_per_s']:10.0f} {row['texts_per_s']:9.0f} | "
                    f"{row['words_per_s_by_cpu']:22.0f} {row['warm_words_per_s_by_cpu']:10.0f} "
                    f"{row['of_ceiling_by_cpu']:10.0%} {loss['max']:8.1e} {row['peak_mb']:5.0f}",
                    flush=True,
                )
    finish(options.name, {"texts": len(texts), "words": n_words, "ceilings": ceilings, "rows": rows})


if __name__ == "__main__":
    main()
