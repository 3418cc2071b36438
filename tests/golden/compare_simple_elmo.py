"""Our vectors against simple_elmo's own code (TensorFlow) on random weights of full size, from the zero state.

    python compare_simple_elmo.py make FOLDER [--size original|small]     anywhere with NumPy and h5py
    python compare_simple_elmo.py theirs FOLDER                            where simple_elmo is installed
    python compare_simple_elmo.py ours FOLDER                              where elmokit is installed; prints the error

One batch from the zero state is compared, word for word and layer for layer, padding left out. Exit code 1 where the
largest difference is above 1e-5 of the largest value.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

SIZES = {"original": (4096, 512, 2), "small": (1024, 128, 1)}  # cell, projection, highway layers
FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]
TEXTS = [
    ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "."],
    ["naïve", "日本語", "🙂", "x" * 60],
    ["one"],
    ["Stick", "to", "your", "plan", ",", "she", "said", ";", "the", "stick", "broke", "."] * 4,
]


def make(folder, size):
    import h5py

    C, P, n_highway = SIZES[size]
    F, E, rng = sum(n for _, n in FILTERS), 16, np.random.default_rng(1)
    shapes = {"char_embed": (261, E), "CNN_proj/W_proj": (F, P), "CNN_proj/b_proj": (P,)}
    for i, (width, n) in enumerate(FILTERS):
        shapes |= {f"CNN/W_cnn_{i}": (1, width, E, n), f"CNN/b_cnn_{i}": (n,)}
    for k in range(n_highway):
        for part in ("carry", "transform"):
            shapes |= {f"CNN_high_{k}/W_{part}": (F, F), f"CNN_high_{k}/b_{part}": (F,)}
    for d in (0, 1):
        for layer in (0, 1):
            place = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
            shapes |= {place + "W_0": (2 * P, 4 * C), place + "B": (4 * C,), place + "W_P_0": (C, P)}
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "model.hdf5", "w") as file:
        for name, shape in shapes.items():
            fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 100
            scale = 1.0 if name == "char_embed" else 1.5 / np.sqrt(fan_in)
            file[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    lstm = {"dim": C, "projection_dim": P, "n_layers": 2, "cell_clip": 3, "proj_clip": 3, "use_skip_connections": True}
    cnn = {"embedding": {"dim": E}, "filters": FILTERS, "n_highway": n_highway, "activation": "relu"}
    cnn |= {"n_characters": 262, "max_characters_per_token": 50}
    (folder / "options.json").write_text(json.dumps({"lstm": lstm, "char_cnn": cnn}))
    (folder / "vocab.txt").write_text("<S>\n</S>\n<UNK>\n")


def theirs(folder):
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    from simple_elmo import ElmoModel

    model = ElmoModel()
    model.load(str(folder))
    np.save(folder / "theirs.npy", model.get_elmo_vectors(TEXTS, warmup=False, layers="all"))


def ours(folder):
    from elmokit.compat.simple_elmo import ElmoModel

    model = ElmoModel()
    model.load(folder)
    found, expected = model.get_elmo_vectors(TEXTS, warmup=False, layers="all"), np.load(folder / "theirs.npy")
    worst = 0.0
    for row, words in enumerate(TEXTS):
        for layer in range(3):
            left, right = found[row, layer, : len(words)], expected[row, layer, : len(words)]
            worst = max(worst, float(np.abs(left - right).max() / np.abs(right).max()))
    print(
        json.dumps({"compared_with": "simple_elmo", "largest_relative_difference": worst, "shape": list(found.shape)})
    )
    return 0 if worst < 1e-5 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "theirs", "ours"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=list(SIZES), default="original")
    arguments = parser.parse_args()
    if arguments.what == "make":
        make(arguments.folder, arguments.size)
    elif arguments.what == "theirs":
        theirs(arguments.folder)
    else:
        sys.exit(ours(arguments.folder))


if __name__ == "__main__":
    main()
