"""Tiny models written by torch: ELMoForManyLangs folders and an AllenNLP archive; made anew by the tests.

Names and shapes are those of the published state dicts; nothing of the package is used. The archive holds the same
model as a variant of make_tiny, converted here on its own.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import torch

from golden import make_tiny

WORDS = ["<oov>", "<bos>", "<eos>", "<pad>", "the", "cat", "naïve", "日本語", "x" * 48, "\u00a0"]
CHARACTERS = ["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>", *"thecaxïv日本", "\u3000", "\u00a0", "."]
SENTENCES = [["the", "cat", "sat", "."], ["naïve", "日本語", "🙂", "\u00a0"], ["x" * 60], ["Cat"]]
P, C, E, W, FILTERS = 4, 6, 3, 5, ((1, 2), (2, 3), (3, 3))


def manylangs_arrays(words=True, characters=True, seed=5):
    """The state dicts of token embedder and encoder."""
    rng, F = np.random.default_rng(seed), sum(n for _, n in FILTERS)
    shapes = {"projection.weight": (P, W * words + F * characters), "projection.bias": (P,)}
    if words:
        shapes["word_emb_layer.embedding.weight"] = (len(WORDS), W)
    if characters:
        shapes["char_emb_layer.embedding.weight"] = (len(CHARACTERS), E)
        for i, (width, n) in enumerate(FILTERS):
            shapes |= {f"convolutions.{i}.weight": (n, E, width), f"convolutions.{i}.bias": (n,)}
        for k in range(2):
            shapes |= {f"highways._layers.{k}.weight": (2 * F, F), f"highways._layers.{k}.bias": (2 * F,)}
    encoder = {}
    for direction in ("forward", "backward"):
        for layer in range(2):
            name = f"{direction}_layer_{layer}."
            encoder |= {
                name + "input_linearity.weight": (4 * C, P),
                name + "state_linearity.weight": (4 * C, P),
                name + "state_linearity.bias": (4 * C,),
                name + "state_projection.weight": (P, C),
            }
    draw = lambda part: {n: (rng.standard_normal(s) * 0.6).astype(np.float32) for n, s in part.items()}  # noqa: E731
    return draw(shapes), draw(encoder)


def dictionary(tokens):
    return "".join(f"{token}\t{i}\n" for i, token in enumerate(tokens))


def make_manylangs(folder, **parts):
    """Write a model's folder as the original saves it."""
    folder.mkdir(parents=True, exist_ok=True)
    embedder, encoder = manylangs_arrays(**parts)
    torch.save({name: torch.tensor(x) for name, x in embedder.items()}, folder / "token_embedder.pkl")
    torch.save({name: torch.tensor(x) for name, x in encoder.items()}, folder / "encoder.pkl")
    if parts.get("words", True):
        (folder / "word.dic").write_text(dictionary(WORDS), encoding="utf-8")
    if parts.get("characters", True):
        (folder / "char.dic").write_text(dictionary(CHARACTERS), encoding="utf-8")
    (folder / "config.json").write_text(
        json.dumps({"seed": 1, "config_path": "/home/x/cnn_50_100_512_4096_sample.json"})
    )
    return folder


def manylangs_vectors(**parts):
    from golden import reference_manylangs

    embedder, encoder = manylangs_arrays(**parts)
    arrays = {name: x.astype(np.float64) for name, x in (embedder | encoder).items()}
    ids = [{token: i for i, token in enumerate(tokens)} for tokens in (WORDS, CHARACTERS)]
    return [reference_manylangs.layers(words, arrays, *ids) for words in SENTENCES]


PREFIX = "text_field_embedder.token_embedder_elmo._elmo."


def archive_state(variant, folder):
    """The state dict of a tagger with a make_tiny variant inside, as AllenNLP's modules hold it."""
    options, arrays = make_tiny.make(variant, folder)
    state = {"_token_embedder._char_embedding_weights": np.vstack([np.zeros((1, 3)), arrays["char_embed"]])}
    for i in range(len(options["char_cnn"]["filters"])):
        state[f"_token_embedder.char_conv_{i}.weight"] = arrays[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)
        state[f"_token_embedder.char_conv_{i}.bias"] = arrays[f"CNN/b_cnn_{i}"]
    for k in range(options["char_cnn"]["n_highway"]):
        part = {p: (arrays[f"CNN_high_{k}/W_{p}"].T, arrays[f"CNN_high_{k}/b_{p}"]) for p in ("transform", "carry")}
        for j, name in enumerate(("weight", "bias")):
            both = np.concatenate([part["transform"][j], -part["carry"][j]])
            state[f"_token_embedder._highways._layers.{k}.{name}"] = both
    state["_token_embedder._projection.weight"] = arrays["CNN_proj/W_proj"].T
    state["_token_embedder._projection.bias"] = arrays["CNN_proj/b_proj"]
    n, p = options["lstm"]["dim"], options["lstm"]["projection_dim"]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(options["lstm"]["n_layers"]):
            theirs, ours = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/", f"_elmo_lstm.{direction}_layer_{layer}."
            kernel, bias = arrays[theirs + "W_0"].T, arrays[theirs + "B"].copy()
            bias[2 * n : 3 * n] += 1
            order = np.concatenate([np.arange(n) + n * block for block in (0, 2, 1, 3)])
            state[ours + "input_linearity.weight"] = kernel[order][:, :p]
            state[ours + "state_linearity.weight"] = kernel[order][:, p:]
            state[ours + "state_linearity.bias"] = bias[order]
            state[ours + "state_projection.weight"] = arrays[theirs + "W_P_0"].T
    whole = {PREFIX + "_elmo_lstm." + name: x for name, x in state.items()}
    whole |= {PREFIX + "scalar_mix_0.gamma": np.array([1.3]), "tag_projection_layer.weight": np.zeros((2, 8))}
    whole |= {PREFIX + f"scalar_mix_0.scalar_parameters.{i}": np.array([0.1 * i]) for i in range(3)}
    return {name: torch.tensor(np.ascontiguousarray(x), dtype=torch.float32) for name, x in whole.items()}


def make_archive(folder, variant="skip"):
    """Write model.tar.gz with weights.th, config.json and a vocabulary."""
    inside = folder / "inside"
    state = archive_state(variant, folder / "tmp")
    (inside / "vocabulary").mkdir(parents=True)
    torch.save(state, inside / "weights.th")
    (inside / "config.json").write_text(json.dumps({"model": {"type": "simple_tagger"}}))
    (inside / "vocabulary" / "labels.txt").write_text("N\nV\n")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for path in sorted(inside.iterdir()):
            archive.add(path, path.name)
    return Path(folder / "model.tar.gz")
