"""How long models take to open: every storage and format, the size of the published models, medians of five.

`python benchmarks/speed_checkpoints.py [--size original|small]` prints a table and one JSON line (also written to
benchmarks/results/speed_checkpoints.json). Files are in the page cache, as after any first use.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from elmokit.checkpoints import Checkpoint, load, save
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig

SIZES = {"small": (128, 1024, 1), "medium": (256, 2048, 1), "original": (512, 4096, 2)}


def random_checkpoint(size: str) -> Checkpoint:
    P, C, n_highway = SIZES[size]
    config = ElmoConfig(
        projection_width=P, char_cnn=CharCNNConfig(n_highway=n_highway), bilstm=BiLSTMConfig(cell_width=C)
    )
    rng = np.random.default_rng(0)
    shapes = config.tensor_shapes()
    tensors = {name: rng.standard_normal(shape, dtype=np.float32) * 0.05 for name, shape in shapes.items()}
    tensors["char_cnn.embedding.weight"][0] = 0
    return Checkpoint(config, tensors)


def seconds(folder: Path) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        load(folder)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="original")
    size = parser.parse_args().size
    checkpoint = random_checkpoint(size)
    kinds = [("native", "float32"), ("native", "float16"), ("native", "int8"), ("allennlp", "float32")]
    results = {}
    print(f"{size}: {checkpoint.config.n_params:,} parameters")
    print(f"{'format':18} {'megabytes':>10} {'open, s':>8} {'write, s':>9}")
    for form, storage in kinds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            start = time.perf_counter()
            save(checkpoint, folder, format=form, storage=storage)  # type: ignore[arg-type]
            written = time.perf_counter() - start
            n_bytes = sum(path.stat().st_size for path in folder.iterdir())
            opened = seconds(folder)
        results[f"{form} {storage}"] = {"bytes": n_bytes, "open_s": opened, "write_s": written}
        print(f"{form + ' ' + storage:18} {n_bytes / 1e6:10.1f} {opened:8.3f} {written:9.2f}")
    line = json.dumps({"name": "speed_checkpoints", "size": size, "n_params": checkpoint.config.n_params} | results)
    (Path(__file__).parent / "results").mkdir(exist_ok=True)
    (Path(__file__).parent / "results" / "speed_checkpoints.json").write_text(line + "\n", encoding="utf-8")
    print(line)


if __name__ == "__main__":
    main()
