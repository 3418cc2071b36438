"""Kill `elmokit embed --shard-rows` at random moments, again and again: nothing may be lost, doubled or changed.

    python benchmarks/soak_shards.py [--kills 200] [--texts 20000]

Every round starts the command, waits until it has written up to four more shards and a moment longer, and kills it
with SIGKILL (in a tenth of the rounds it also cuts the newest file short, as a power failure may). When a round ends
by itself the folder is compared with that of an undisturbed run, row by row, and a new folder is begun; so it goes
until all kills are done.
"""

import argparse
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish, outlives


def command(folder, out, shard_rows):
    texts, model = folder / "texts.txt", folder / "model"
    options = ["--model", model, "--output", out, "--shard-rows", shard_rows]
    return [sys.executable, "-m", "elmokit", "--quiet", "embed", str(texts), *map(str, options)]


def prepare(folder, n_texts):
    """Texts of random words and a small random model, so that writing weighs as much as computing."""
    from elmokit.checkpoints import Checkpoint, save
    from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig

    rng = np.random.default_rng(0)
    cnn = CharCNNConfig(embedding_width=4, filters=((1, 8), (2, 16)), n_highway=1)
    config = ElmoConfig(projection_width=16, char_cnn=cnn, bilstm=BiLSTMConfig(cell_width=32), tokenizer="whitespace")
    tensors = {name: rng.normal(0, 0.3, shape).astype("f4") for name, shape in config.tensor_shapes().items()}
    tensors["char_cnn.embedding.weight"][0] = 0
    save(Checkpoint(config, tensors, name="soak"), folder / "model")
    with (folder / "texts.txt").open("w") as file:
        file.writelines(" ".join(f"w{i}" for i in rng.integers(500, size=6)) + "\n" for _ in range(n_texts))


def read(out):
    parts = [np.load(path) for path in shards(out)]
    return np.concatenate([part["row"] for part in parts]), np.concatenate([part["features"] for part in parts])


def shards(out):
    return sorted(out.glob("part-*.npz"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--shard-rows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    counts = {"kills": 0, "cuts": 0, "finished": 0, "rows_checked": 0, "lost": 0, "doubled": 0, "changed": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.texts)
        start = time.perf_counter()
        subprocess.run(command(folder, folder / "undisturbed", options.shard_rows), check=True)
        rows, vectors = read(folder / "undisturbed")
        out = folder / "out"
        while counts["kills"] < options.kills or out.exists():
            process = subprocess.Popen(command(folder, out, options.shard_rows))
            last = counts["kills"] >= options.kills
            n_shards, moment = math.inf if last else rng.randrange(5), rng.uniform(0, 0.05)
            if outlives(process.poll, lambda: shards(out)[-1:], n_shards, moment):
                process.kill()
                process.wait()
                counts["kills"] += 1
                if shards(out) and rng.random() < 0.1:
                    os.truncate(shards(out)[-1], shards(out)[-1].stat().st_size // 2)
                    counts["cuts"] += 1
                continue
            assert process.returncode == 0
            found_rows, found = read(out)
            counts["finished"] += 1
            counts["rows_checked"] += len(found_rows)
            counts["lost"] += len(set(rows.tolist()) - set(found_rows.tolist()))
            counts["doubled"] += len(found_rows) - len(set(found_rows.tolist()))
            counts["changed"] += int(not np.array_equal(found, vectors))
            shutil.rmtree(out)
            print(counts, flush=True)
    finish("soak_shards", {**counts, "seconds": time.perf_counter() - start})
    assert counts["finished"]
    assert counts["lost"] == counts["doubled"] == counts["changed"] == 0


if __name__ == "__main__":
    main()
