"""What a precision costs and gives: speed, cosine distance from float32, and F1 on the tutorial's tweets.

    python benchmarks/quality_precision.py [--model default]

The vectors are means of all layers, scored as in quality_sets.py (fixed split, plain logistic regression,
strength chosen inside the training part). Speed is by processor time, word cache empty at the start.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from evaluation_sets import find_set
from protocols import ElmoEncoder, evaluate
from workload import SHARED, Clock, finish

from elmokit.elmo import Elmo


class Kept:
    """An encoder that returns vectors made before."""

    def __init__(self, texts, vectors):
        self._vectors = dict(zip(texts, vectors, strict=True))

    def texts(self, texts):
        """Their vectors."""
        return np.stack([self._vectors[text] for text in texts])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    options = parser.parse_args()
    data = SHARED / "data"
    texts = list(find_set("tweets").read(data).texts)
    rows, reference = [], None
    print(f"{'precision':10}{'tweets/s':>10}{'cosine distance, mean':>24}{'largest':>10}{'F1':>8}{'5 folds':>9}")
    for precision in options.precisions:
        encoder = ElmoEncoder(Elmo.load(options.model, precision=precision))
        encoder.texts(texts[:8])
        encoder = ElmoEncoder(Elmo.load(options.model, precision=precision))
        with Clock() as clock:
            vectors = encoder.texts(texts)
        reference = vectors if reference is None else reference
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        distance = 1.0 - (vectors.astype(np.float64) * reference).sum(1) / np.maximum(lengths, 1e-12)
        kept = Kept(texts, vectors)
        f1 = {}
        for one in map(find_set, ("tweets", "tweets-5")):
            f1[one.name] = evaluate(one, one.read(data), kept).values[one.metric]
        row = {
            "precision": precision,
            "tweets_per_cpu_s": len(texts) / clock.cpu,
            "distance_mean": float(distance.mean()),
            "distance_max": float(distance.max()),
            "f1": f1["tweets"],
            "f1_5_folds": f1["tweets-5"],
        }
        rows.append(row)
        print(
            f"{precision:10}{row['tweets_per_cpu_s']:10.0f}{row['distance_mean']:24.1e}{row['distance_max']:10.1e}"
            f"{row['f1']:8.2f}{row['f1_5_folds']:9.2f}",
            flush=True,
        )
    finish("quality_precision", {"model": options.model, "rows": rows})


if __name__ == "__main__":
    main()
