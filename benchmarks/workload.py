"""What the speed benchmarks share: models of the published sizes with random weights, the texts, the results file."""

import csv
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig

FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
CONFIGS = {
    "small": ElmoConfig(
        projection_width=128, char_cnn=CharCNNConfig(filters=FILTERS, n_highway=1), bilstm=BiLSTMConfig(cell_width=1024)
    ),
    "medium": ElmoConfig(
        projection_width=256, char_cnn=CharCNNConfig(filters=FILTERS, n_highway=1), bilstm=BiLSTMConfig(cell_width=2048)
    ),
    "original": ElmoConfig(
        projection_width=512, char_cnn=CharCNNConfig(filters=FILTERS, n_highway=2), bilstm=BiLSTMConfig(cell_width=4096)
    ),
}
CONFIGS["tiny"] = ElmoConfig(  # to try a script
    projection_width=32,
    char_cnn=CharCNNConfig(filters=((1, 8), (2, 16)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=64),
)
RESULTS = Path(__file__).resolve().parent / "results"
SHARED = Path(os.environ.get("ELMOKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def random_tensors(config, seed=0):
    """Weights as an initialiser would draw them: speed does not depend on their values."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 100
        tensors[name] = rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(fan_in))
        if name.endswith("embedding.weight"):
            tensors[name][0] = 0
    return tensors


def load_model(size):
    """Configuration, tensors and words of the word table; "embedded" is the model in the package."""
    if size in CONFIGS:
        return CONFIGS[size], random_tensors(CONFIGS[size]), None
    from elmokit.checkpoints import load
    from elmokit.elmo import EMBEDDED

    checkpoint = load(EMBEDDED)
    return checkpoint.config, checkpoint.tensors, checkpoint.words


def make_runtime(config, tensors, way, batch_words=4096, words=None):
    """An engine: a precision (whatever computes it fastest here), or "float32-numpy" or "bfloat16-torch"."""
    import elmokit.runtime.backends

    precision, _, engine = way.partition("-")
    if engine == "numpy":
        from elmokit.runtime.backends.numpy import CpuBackend

        backend = CpuBackend(config, tensors, precision)
    elif engine == "torch":
        from elmokit.runtime.backends.torch import TorchBackend

        backend = TorchBackend(config, tensors, precision=precision)
    else:
        backend = elmokit.runtime.backends.make_backend(config, tensors, precision=precision)
    made = elmokit.runtime.Engine(config, tensors, words=words, backend=backend)
    made.batch_words = batch_words
    return made


def tweets(n=None):
    """The tutorial's tweets, cut at white space."""
    with (SHARED / "data" / "tweets" / "train.csv").open(encoding="utf-8") as file:
        texts = [row["tweet"].split() for row in csv.DictReader(file)]
    return texts[:n]


def gflop_per_word(config):
    """Multiplications and additions (GFLOP) of the LSTMs per word; the character CNN comes on top per distinct word."""
    P, C = config.projection_width, config.bilstm.cell_width
    per_layer = 2 * (2 * P * 4 * C + (C * P if config.bilstm.projection else 0))
    return 2 * config.bilstm.n_layers * per_layer / 1e9


def gflop_per_distinct_word(config):
    """The character CNN's highway layers and projection per distinct word (GFLOP); convolutions are left out."""
    F, P = config.char_cnn.n_filters, config.projection_width
    return 2 * (config.char_cnn.n_highway * 2 * F * F + F * P) / 1e9


class Clock:
    """Seconds on the wall and processor seconds of this process (which other load changes less)."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error):
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu


def outlives(poll, newest, n_changes, moment):
    """Whether a process (`poll` is None while it runs) goes on a moment after its newest file has changed n times."""
    known = newest()
    while poll() is None:
        if n_changes <= 0:
            time.sleep(moment)
            return poll() is None
        time.sleep(0.002)
        if (now := newest()) != known:
            known, n_changes = now, n_changes - 1
    return False


def finish(name, result):
    """Keep the result as JSON and print it as the last line."""
    load = os.getloadavg()[0]
    result = {"benchmark": name, "cores": os.cpu_count(), "machine": platform.machine(), "load_1min": load, **result}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
