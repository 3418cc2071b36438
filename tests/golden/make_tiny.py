"""Random tiny checkpoints in bilm-tf's format, one for every option on and off, and what the reference says of them.

`python make_tiny.py` writes the ones kept in the repository into `tiny/` (each with `vectors.npz`); tests make the
others anew. The arrays are drawn here, by bilm-tf's names and shapes, without the package.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import reference

SENTENCES = [
    ["The", "cat", "sat", "."],
    ["naïve", "日本語", "🙂", "a", "x" * 60],
    ["again"],
    ["<S>", "</S>", "\ud800x", "क्षि"],
]
WORDS = ["<S>", "</S>", "<UNK>", "the", "cat", "sat", "."]
WORD_SENTENCES = [["the", "cat", "sat", "."], ["cat"], ["sat", "the", "<UNK>"]]

PLAIN = {"P": 4, "C": 6, "E": 3, "filters": [[1, 2], [2, 3], [3, 3]]}
VARIANTS = {
    "plain": {},
    "skip": {"skip": True},
    "tanh": {"activation": "tanh"},
    "no_highway": {"n_highway": 0},
    "one_highway": {"n_highway": 1, "skip": True},
    "three_highways": {"n_highway": 3},
    "no_clips": {"clips": None, "skip": True},
    "tight_clips": {"clips": (0.05, 0.04), "skip": True},
    "no_lstm_projection": {"C": 4, "lstm_projection": False, "skip": True},
    "no_cnn_projection": {"filters": [[1, 1], [4, 3]], "cnn_projection": False},
    "no_projections": {"filters": [[1, 1], [4, 3]], "cnn_projection": False, "C": 4, "lstm_projection": False},
    "short_words": {"max_characters": 8},
    "one_layer": {"n_layers": 1},
    "one_layer_short_names": {"n_layers": 1, "short_names": True, "skip": True},
    "three_layers": {"n_layers": 3, "skip": True},
    "word_input": {"words": True},
    "word_input_skip": {"words": True, "skip": True, "n_layers": 3},
}
KEPT = ("plain", "tight_clips", "no_projections", "word_input_skip")


def make_options(v):
    lstm = {"dim": v["C"], "projection_dim": v["P"], "n_layers": v.get("n_layers", 2)}
    lstm["use_skip_connections"] = v.get("skip", False)
    if v.get("clips", (3, 3)):
        lstm["cell_clip"], lstm["proj_clip"] = v.get("clips", (3, 3))
    options = {"lstm": lstm, "bidirectional": True, "dropout": 0.1, "n_epochs": 10}
    if not v.get("words"):
        options["char_cnn"] = {
            "embedding": {"dim": v["E"]},
            "filters": v["filters"],
            "n_highway": v.get("n_highway", 2),
            "activation": v.get("activation", "relu"),
            "max_characters_per_token": v.get("max_characters", 50),
            "n_characters": 261,
        }
    return options


def make_arrays(v, rng):
    P, C, F = v["P"], v["C"], sum(n for _, n in v["filters"])
    shapes = {"embedding": (len(WORDS), P)}
    if not v.get("words"):
        shapes = {"char_embed": (261, v["E"])}
        for i, (width, n) in enumerate(v["filters"]):
            shapes |= {f"CNN/W_cnn_{i}": (1, width, v["E"], n), f"CNN/b_cnn_{i}": (n,)}
        for k in range(v.get("n_highway", 2)):
            for part in ("carry", "transform"):
                shapes |= {f"CNN_high_{k}/W_{part}": (F, F), f"CNN_high_{k}/b_{part}": (F,)}
        if v.get("cnn_projection", True):
            shapes |= {"CNN_proj/W_proj": (F, P), "CNN_proj/b_proj": (P,)}
    cell = "LSTMCell" if v.get("short_names") else "MultiRNNCell/Cell{}/LSTMCell"
    for d in (0, 1):
        for layer in range(v.get("n_layers", 2)):
            place = f"RNN_{d}/RNN/{cell.format(layer)}/"
            shapes |= {place + "W_0": (2 * P, 4 * C), place + "B": (4 * C,)}
            if v.get("lstm_projection", True):
                shapes[place + "W_P_0"] = (C, P)
    return {name: (rng.standard_normal(shape) * 0.6).astype(np.float32) for name, shape in shapes.items()}


def make(name, folder, weights="weights.hdf5"):
    """Write variant `name` into `folder`; return its options and float64 arrays."""
    v = PLAIN | VARIANTS[name]
    options, arrays = make_options(v), make_arrays(v, np.random.default_rng(sorted(VARIANTS).index(name)))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options))
    with h5py.File(folder / weights, "w") as file:
        for path, array in arrays.items():
            file[path] = array
    if v.get("words"):
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return options, {path: array.astype(np.float64) for path, array in arrays.items()}


def vocabulary(name):
    return {word: i for i, word in enumerate(WORDS)} if VARIANTS[name].get("words") else None


def sentences(name):
    return WORD_SENTENCES if VARIANTS[name].get("words") else SENTENCES


def vectors(name, options, arrays):
    """The reference's layers of each sentence alone, from the zero state."""
    return [reference.layers(words, options, arrays, vocabulary(name)) for words in sentences(name)]


def main():
    for name in KEPT:
        folder = Path(__file__).parent / "tiny" / name
        options, arrays = make(name, folder)
        kept = {f"s{i}": x for i, x in enumerate(vectors(name, options, arrays))}
        np.savez_compressed(folder / "vectors.npz", **kept)


if __name__ == "__main__":
    main()
