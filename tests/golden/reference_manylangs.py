"""An independent ELMoForManyLangs encoder in NumPy float64, on its own arrays and dictionaries, from zero state.

Written from HIT-SCIR/ELMoForManyLangs (`create_one_batch`, `ConvTokenEmbedder`, `ElmobiLm`, AllenNLP's `Highway` and
`LstmCellWithProjection`), one word and one step at a time, sharing no code with the package.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def token_vector(word, arrays, word_ids, char_ids, n_characters=50):
    """A token of the sentence as the original sees it: already with <bos> and <eos>, already cut."""
    begin, end = char_ids["<eow>"], char_ids["<bow>"]  # the original unpacks the two in swapped order
    inner = [char_ids[word]] if word in ("<bos>", "<eos>") else [char_ids.get(c, char_ids["<oov>"]) for c in word]
    ids = [begin, *inner, end]
    ids += [char_ids["<pad>"]] * (n_characters - len(ids))
    parts = []
    if "word_emb_layer.embedding.weight" in arrays:
        parts.append(arrays["word_emb_layer.embedding.weight"][word_ids.get(word, word_ids["<oov>"])])
    if "char_emb_layer.embedding.weight" in arrays:
        characters = arrays["char_emb_layer.embedding.weight"][ids].T  # (E, C)
        found, i = [], 0
        while f"convolutions.{i}.weight" in arrays:
            kernel, bias = arrays[f"convolutions.{i}.weight"], arrays[f"convolutions.{i}.bias"]
            width = kernel.shape[2]
            places = [
                (kernel * characters[None, :, s : s + width]).sum(axis=(1, 2)) for s in range(n_characters - width + 1)
            ]
            found.append(np.maximum(np.max(places, axis=0) + bias, 0))
            i += 1
        x, k = np.concatenate(found), 0
        while f"highways._layers.{k}.weight" in arrays:
            y = arrays[f"highways._layers.{k}.weight"] @ x + arrays[f"highways._layers.{k}.bias"]
            new, gate = y[: len(x)], sigmoid(y[len(x) :])
            x = gate * x + (1 - gate) * np.maximum(new, 0)
            k += 1
        parts.append(x)
    return arrays["projection.weight"] @ np.concatenate(parts) + arrays["projection.bias"]


def tower(rows, direction, arrays, bound=3.0):
    outputs, layer = [], 0
    while f"{direction}_layer_{layer}.input_linearity.weight" in arrays:
        name = f"{direction}_layer_{layer}."
        into, back, bias, out = (
            arrays[name + part]
            for part in (
                "input_linearity.weight",
                "state_linearity.weight",
                "state_linearity.bias",
                "state_projection.weight",
            )
        )
        h, c, hs = np.zeros(out.shape[0]), np.zeros(out.shape[1]), []
        for row in rows:
            i, f, g, o = np.split(into @ row + back @ h + bias, 4)
            c = np.clip(sigmoid(i) * np.tanh(g) + sigmoid(f) * c, -bound, bound)
            h = np.clip(out @ (sigmoid(o) * np.tanh(c)), -bound, bound)
            hs.append(h)
        rows = np.stack(hs) + rows if layer else np.stack(hs)
        outputs.append(rows)
        layer += 1
    return outputs


def layers(words, arrays, word_ids, char_ids, n_characters=50):
    """Token layer and LSTM layers of one sentence (L, T, 2P), as output_layer=-2 gives them."""
    sentence = ["<bos>", *(word[: n_characters - 2] for word in words), "<eos>"]
    rows = np.stack([token_vector(word, arrays, word_ids, char_ids, n_characters) for word in sentence])
    ahead = tower(rows, "forward", arrays)
    behind = [x[::-1] for x in tower(rows[::-1], "backward", arrays)]
    return np.stack([np.concatenate(pair, axis=1) for pair in [(rows, rows), *zip(ahead, behind, strict=True)]])[
        :, 1:-1
    ]
