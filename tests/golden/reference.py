"""An independent biLM in plain NumPy float64, straight from the papers, on bilm-tf's own options and arrays.

It shares no code with the package and is written for reading, not for speed: one word, one sentence, one step at a
time. Sources: Peters et al. 2018 (§3), Jozefowicz et al. 2016 (§3.2), Srivastava et al. 2015; TensorFlow's LSTMCell;
bilm-tf's file layout. It reproduces the vectors that bilm-tf itself computed (see test_reference.py).
"""

import json
from pathlib import Path

import h5py
import numpy as np

BOS, EOS = object(), object()


def read(folder, weights="weights.hdf5"):
    """Options and float64 arrays by dataset name, of a folder with options.json."""
    arrays = {}
    with h5py.File(Path(folder) / weights, "r") as file:
        file.visititems(
            lambda name, x: arrays.update({name: x[()].astype(np.float64)}) if hasattr(x, "shape") else None
        )
    return json.loads((Path(folder) / "options.json").read_text()), arrays


def raw_char_ids(word, n):
    """bilm-tf's ids before the shift: 258 begin, bytes, 259 end, 260 padding; 256 and 257 for BOS and EOS."""
    inner = [256] if word is BOS else [257] if word is EOS else list(word.encode("utf-8", "ignore"))[: n - 2]
    ids = [258, *inner, 259]
    return ids + [260] * (n - len(ids))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clip(x, bound):
    return x if bound is None else np.clip(x, -bound, bound)


def token_vector(word, options, arrays, vocabulary=None):
    """One word's vector of width P: characters → convolutions → maximum → activation → highway → projection."""
    if "char_cnn" not in options:
        return arrays["embedding"][vocabulary[word]]
    cnn = options["char_cnn"]
    characters = arrays["char_embed"][raw_char_ids(word, cnn.get("max_characters_per_token", 50))]
    activation = np.tanh if cnn["activation"] == "tanh" else lambda x: np.maximum(x, 0)
    parts = []
    for i, (width, _) in enumerate(cnn["filters"]):
        kernel, bias = arrays[f"CNN/W_cnn_{i}"][0], arrays[f"CNN/b_cnn_{i}"]
        windows = np.stack([characters[s : s + width] for s in range(len(characters) - width + 1)])
        responses = np.tensordot(windows, kernel, axes=2) + bias
        parts.append(activation(responses.max(axis=0)))
    x = np.concatenate(parts)
    for k in range(cnn.get("n_highway") or 0):
        gate = sigmoid(x @ arrays[f"CNN_high_{k}/W_carry"] + arrays[f"CNN_high_{k}/b_carry"])
        new = np.maximum(x @ arrays[f"CNN_high_{k}/W_transform"] + arrays[f"CNN_high_{k}/b_transform"], 0)
        x = gate * new + (1 - gate) * x
    if "CNN_proj/W_proj" in arrays:
        x = x @ arrays["CNN_proj/W_proj"] + arrays["CNN_proj/b_proj"]
    return x


def cell_arrays(arrays, direction, layer):
    long = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/"
    place = long if long + "W_0" in arrays else f"RNN_{direction}/RNN/LSTMCell/"
    return arrays[place + "W_0"], arrays[place + "B"], arrays.get(place + "W_P_0")


def run_tower(rows, direction, options, arrays, state):
    """All layers' outputs of one direction over one sentence; `state` is [(c, h)] per layer and is updated."""
    lstm = options["lstm"]
    outputs, x = [], rows
    for layer in range(lstm["n_layers"]):
        kernel, bias, projection = cell_arrays(arrays, direction, layer)
        c, h = state[layer]
        hs = []
        for row in x:
            i, j, f, o = np.split(np.concatenate([row, h]) @ kernel + bias, 4)
            c = clip(sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j), lstm.get("cell_clip"))
            h = sigmoid(o) * np.tanh(c)
            if projection is not None:
                h = clip(h @ projection, lstm.get("proj_clip"))
            hs.append(h)
        state[layer] = (c, h)
        out = np.stack(hs)
        x = out + x if layer > 0 and lstm.get("use_skip_connections") else out
        outputs.append(x)
    return outputs


def zero_state(options):
    """[direction][layer] → (c, h)."""
    lstm = options["lstm"]
    return [[(np.zeros(lstm["dim"]), np.zeros(lstm["projection_dim"])) for _ in range(lstm["n_layers"])] for _ in "fb"]


def layers(words, options, arrays, vocabulary=None, state=None):
    """All layers of one sentence (L, T, 2P), boundaries dropped. `state` carries on from the last call."""
    state = zero_state(options) if state is None else state
    sentence = ["<S>", *words, "</S>"] if vocabulary else [BOS, *words, EOS]
    rows = np.stack([token_vector(word, options, arrays, vocabulary) for word in sentence])
    ahead = run_tower(rows, 0, options, arrays, state[0])
    behind = [out[::-1] for out in run_tower(rows[::-1], 1, options, arrays, state[1])]
    pairs = [(rows, rows), *zip(ahead, behind, strict=True)]
    return np.stack([np.concatenate(pair, axis=1) for pair in pairs])[:, 1:-1]


def mix(vectors, weights, gamma):
    """γ · Σ softmax(w)ₗ · hₗ of layers (L, T, 2P)."""
    w = np.exp(np.asarray(weights) - np.max(weights))
    return gamma * np.einsum("l,ltd->td", w / w.sum(), vectors)
