"""A job on a Ray cluster of one node and of two, and with a worker killed in the middle; what 10⁹ tweets would take.

    python benchmarks/speed_ray.py [--texts 4000] [--part-rows 250] [--repeats 3] [--tiny]

The cluster is `ray.cluster_utils.Cluster`: every node is a raylet with one core and one actor, as processes of this
machine, so two nodes can at best be as many times faster as the machine has idle cores (the field "load_1min" of the
result says what else ran). It measures what Ray costs and that nothing is lost, not a network. Runs of one node and of
two alternate. Throughput counts from the first finished part, since starting Python processes takes the same seconds
however long a job is; `start_s` says how many.

The last table is arithmetic: processor seconds per word of `speed_peers.py` (7,920 tweets, word cache empty at first)
times the words of 10⁹ such tweets.
"""

import argparse
import csv
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from workload import RESULTS, SHARED, finish

import elmokit
from elmokit import Elmo
from elmokit.integrations.ray import Actors, embed_files
from elmokit.tasks.embed import VectorSpec

BILLION = 10**9


def prepare(folder, n_texts, tiny):
    """The tutorial's tweets (repeated if more are asked for) as CSV, and the model."""
    with (SHARED / "data" / "tweets" / "train.csv").open(encoding="utf-8") as file:
        tweets = [row["tweet"] for row in csv.DictReader(file)]
    texts = [tweets[n % len(tweets)] for n in range(n_texts)]
    with (folder / "tweets.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["tweet"], *([text] for text in texts)])
    if not tiny:
        return texts, VectorSpec()
    from soak_shards import prepare as prepare_tiny

    prepare_tiny(folder, 1)
    return texts, VectorSpec(model=folder / "model")


class Nodes:
    """A cluster of n nodes with a core each, beside a head that does no work."""

    def __init__(self, n):
        from ray.cluster_utils import Cluster

        size = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **size})
        for _ in range(n):
            self.cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)

    def __enter__(self):
        import ray

        ray.init(address=self.cluster.address, log_to_driver=False)
        return self

    def __exit__(self, *error):
        import ray

        ray.shutdown()
        self.cluster.shutdown()


def job(folder, out, spec, part_rows, n_actors, kill=None):
    """One job; its seconds before the first part and its texts a second after it."""
    seen, start = [], time.perf_counter()

    def on_part(part):
        seen.append((time.perf_counter() - start, part))
        if len(seen) == kill:
            os.kill(part.pid, signal.SIGKILL)

    done = embed_files(
        folder / "tweets.csv",
        out,
        spec,
        column="tweet",
        part_rows=part_rows,
        actors=Actors(at_least=n_actors, at_most=n_actors),
        on_part=on_part,
    )
    first, last = seen[0], seen[-1]
    rows = sum(part.n_rows for _, part in seen[1:])
    return {
        "start_s": first[0],
        "texts_per_s": rows / (last[0] - first[0]),
        "seconds": time.perf_counter() - start,
        "nodes_at_work": len({part.node for _, part in seen}),
        "processes": len({part.pid for _, part in seen}),
        "texts": done.n_texts,
    }


def compare(out, texts, spec):
    """Rows lost and doubled, and how far vectors are from those of one process."""
    tables = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    rows = np.concatenate([table["row"].to_numpy() for table in tables])
    found = np.concatenate([np.stack(table["features"].to_numpy()) for table in tables])
    local = Elmo.load(spec.model, n_threads=1).encode(texts)
    order = np.argsort(rows)
    return {
        "rows_in": len(texts),
        "rows_out": len(rows),
        "lost": len(set(range(1, len(texts) + 1)) - set(rows.tolist())),
        "doubled": len(rows) - len(set(rows.tolist())),
        "largest_difference": float(np.abs(found[order] - local).max()) if len(rows) == len(texts) else None,
        "largest_value": float(np.abs(local).max()),
    }


def billion():
    """What 10⁹ tweets take, from processor seconds per word and nothing else."""
    path = RESULTS / "speed_peers_embedded.json"
    if not path.exists():
        return None
    measured = json.loads(path.read_text())["rows"][0]
    words_per_core_s = measured["words"] / measured["cpu_s"]
    core_hours = BILLION * measured["words"] / measured["texts"] / words_per_core_s / 3600
    dim = Elmo.load().dim
    return {
        "words_per_core_s": words_per_core_s,
        "texts_per_core_s": measured["texts"] / measured["cpu_s"],
        "words_per_text": measured["words"] / measured["texts"],
        "core_hours": core_hours,
        "hours_on": {str(cores): core_hours / cores for cores in (2, 64, 512)},
        "dim": dim,
        "terabytes_float32": BILLION * dim * 4 / 1e12,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--part-rows", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a small random model, to rehearse")
    options = parser.parse_args()
    if not (SHARED / "data" / "tweets" / "train.csv").exists():
        sys.exit(f"{SHARED}/data/tweets/train.csv is missing: set ELMOKIT_SHARED to the folder of shared data")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(elmokit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    runs = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts, spec = prepare(folder, options.texts, options.tiny)
        for repeat in range(options.repeats):
            for n in (1, 2):
                with Nodes(n):
                    runs[n].append(job(folder, folder / f"out-{n}-{repeat}", spec, options.part_rows, n))
                print(f"{n} node(s):", runs[n][-1], flush=True)
        with Nodes(2):
            disturbed = job(folder, folder / "killed", spec, options.part_rows, 2, kill=2)
        disturbed |= compare(folder / "killed", texts, spec)
        undisturbed = compare(folder / "out-2-0", texts, spec)
    median = {n: statistics.median(run["texts_per_s"] for run in found) for n, found in runs.items()}
    print(f"\n{'':24}{'texts/s':>10}{'start, s':>10}")
    for n in (1, 2):
        start = statistics.median(run["start_s"] for run in runs[n])
        print(f"{n} node(s) of one core{'':4}{median[n]:>10.1f}{start:>10.1f}")
    print(f"ratio {median[2] / median[1]:.2f}")
    for what, found in (("undisturbed", undisturbed), ("a worker killed", disturbed)):
        counts = {key: found[key] for key in ("rows_in", "rows_out", "lost", "doubled", "largest_difference")}
        print(what, counts)
    cost = billion()
    if cost:
        print(f"10⁹ tweets: {cost['core_hours']:,.0f} core hours, {cost['terabytes_float32']:.2f} TB of vectors")
    finish(
        "speed_ray",
        {
            "texts": options.texts,
            "part_rows": options.part_rows,
            "tiny": options.tiny,
            "runs": {str(n): found for n, found in runs.items()},
            "texts_per_s": {str(n): value for n, value in median.items()},
            "ratio": median[2] / median[1],
            "undisturbed": undisturbed,
            "killed": disturbed,
            "billion_tweets": cost,
        },
    )
    for found in (undisturbed, disturbed):
        assert found["lost"] == found["doubled"] == 0
        assert found["largest_difference"] <= 1e-6 * max(1, found["largest_value"])


if __name__ == "__main__":
    main()
