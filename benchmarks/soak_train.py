"""Kill `elmokit train` at random moments, again and again: the finished model must equal that of an undisturbed run.

    python benchmarks/soak_train.py [--kills 200] [--minutes 10]

Every process continues the run in its folder, writes a snapshot after every step, and is killed with SIGKILL a moment
after up to forty snapshots (in a tenth of the rounds the newest snapshot is also cut short, as a power failure may).
When one ends by itself the model is compared with the undisturbed one, number by number, and a new folder is begun,
every second one with a teacher.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from workload import finish, outlives

from elmokit.checkpoints import load
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.training import Corpus, TrainingOptions, train
from elmokit.training.loop import snapshots


def start(folder, out, teacher):
    """A forked process that trains, or continues; PyTorch is imported already."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(folder, out, teacher))
    process.start()
    return process


def run(folder, out, teacher):
    lstm = BiLSTMConfig(cell_width=16, projection=False, cell_clip=None, projection_clip=None)
    cnn = CharCNNConfig(embedding_width=4, filters=((1, 8), (2, 8)), n_highway=1)
    options = TrainingOptions(
        batch_size=8, bptt=8, segment=16, n_words=6000, vocabulary_size=300, n_negatives=20, warmup=5,
        precision="float32", save_minutes=0.0, evaluate_words=2000, heldout_windows=4,
    )  # fmt: skip
    train(
        Corpus(files=[folder / "corpus.txt"], heldout_every=20, n_processes=1),
        out,
        config=ElmoConfig(projection_width=16, char_cnn=cnn, bilstm=lstm, tokenizer="whitespace"),
        options=options,
        teacher=folder / "texts.npy" if teacher else None,
        resume=True,
    )


def same(one, other):
    one, other = load(one), load(other)
    return one.layer_mix == other.layer_mix and all(np.array_equal(a, other.tensors[n]) for n, a in one.tensors.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, began = random.Random(options.seed), time.perf_counter()
    counts = {"kills": 0, "cuts": 0, "finished": 0, "changed": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [" ".join(f"w{rng.randrange(200)}" for _ in range(rng.randint(3, 9))) for _ in range(900)]
        (folder / "corpus.txt").write_text("\n".join(texts) + "\n")
        np.save(folder / "texts.npy", np.random.default_rng(0).normal(size=(len(texts), 12)).astype(np.float32))
        for teacher in (False, True):
            process = start(folder, folder / f"undisturbed-{teacher}", teacher)
            process.join()
            assert process.exitcode == 0
        teacher, out = False, folder / "out"
        while counts["kills"] < options.kills and time.perf_counter() - began < options.minutes * 60:
            process = start(folder, out, teacher)
            poll, n_snapshots, moment = (
                partial(getattr, process, "exitcode"),
                rng.randrange(1, 40),
                rng.uniform(0, 0.05),
            )
            if outlives(poll, lambda: snapshots(out / "run")[-1:], n_snapshots, moment):
                process.kill()
                process.join()
                counts["kills"] += 1
                if rng.random() < 0.1 and len(snapshots(out / "run")) > 1:
                    newest = snapshots(out / "run")[-1]
                    os.truncate(newest, newest.stat().st_size // 2)
                    counts["cuts"] += 1
                continue
            counts["finished"] += 1
            counts["failed"] += process.exitcode != 0
            counts["changed"] += process.exitcode == 0 and not same(out, folder / f"undisturbed-{teacher}")
            shutil.rmtree(out)
            teacher = not teacher
            print(counts, flush=True)
    finish("soak_train", {**counts, "seconds": time.perf_counter() - began})
    assert counts["finished"]
    assert counts["changed"] == counts["failed"] == 0


if __name__ == "__main__":
    main()
