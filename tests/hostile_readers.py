"""Damage every kind of file that elmokit reads and read it again, in children that may take little memory.

`python hostile_readers.py FOLDER N SEED [KIND …]` mutates each sample's files N times in all and prints, as JSON, how
many loaded or raised our errors, the slowest read, the memory, and what went wrong.
"""

import gzip
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "unit")]

from hostile_checkpoints import MEMORY, mutated  # noqa: E402

TEXTS = ["so happy with it", "it broke again", "love it", "awful", "the thing works", "bad bad bad"] * 4
LABELS = ["good", "bad", "good", "bad", "good", "bad"] * 4
BATCH = 250
"""Files that one child reads."""


def elmo():
    from unit.tiny_models import tiny_elmo

    return tiny_elmo(n_threads=1)


def classifier(folder):
    from elmokit import TextClassifier

    TextClassifier(elmo()).fit(TEXTS, LABELS).save(folder)


def read_classifier(folder):
    from elmokit import TextClassifier

    TextClassifier.load(folder, elmo()).predict(["broken after a day", ""])


def pairs(folder):
    from elmokit import SentencePairs

    SentencePairs(elmo()).fit(zip(TEXTS, reversed(TEXTS), strict=True), [1, 0] * 12).save(folder)


def read_pairs(folder):
    from elmokit import SentencePairs

    SentencePairs.load(folder, elmo()).predict([("broken", "whole")])


def tagger(folder):
    from elmokit import Tagger

    sentences = [text.split() for text in TEXTS]
    Tagger(elmo(), epochs=1).fit(sentences, [["B-X"] + ["O"] * (len(words) - 1) for words in sentences]).save(folder)


def read_tagger(folder):
    from elmokit import Tagger

    Tagger.load(folder, elmo()).predict([["so", "happy"]])


def index(folder):
    from elmokit import WordIndex

    WordIndex.create(folder, elmo=elmo()).add(TEXTS, document="d")


def read_index(folder):
    from elmokit import WordIndex

    opened = WordIndex.open(folder, elmo=elmo())
    opened.most_similar("happy", k=2)
    opened.occurrences("happy", limit=2)


def features(folder):
    for name in ("a.npz", "a.h5"):
        elmo().encode_words(["a b c", "", "d"], show_progress=False).save(folder / name)


def read_features(folder):
    from elmokit import Features

    for name in ("a.npz", "a.h5"):
        for words in Features.load(folder / name):
            len(words.vectors)


def tables(folder):
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": str(i), "text": f'text {i}, "quoted" and ñ 😀\nline' if i % 3 else "plain"} for i in range(200)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "a.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    quoted = "".join('{id},"{text}"\n'.format(**{n: v.replace('"', '""') for n, v in row.items()}) for row in rows)
    (folder / "a.csv").write_text("id,text\n" + quoted)
    (folder / "a.conll").write_text("EU B-ORG\nrejects O\n\n" * 50)
    if shutil.which("zstd"):
        os.system(f"zstd -q {folder / 'a.jsonl'} -o {folder / 'c.jsonl.zst'}")


def read_tables(folder):
    from elmokit.data.conll import read_columns
    from elmokit.data.tables import Table
    from elmokit.errors import ElmoKitError

    problems = []
    for path in folder.iterdir():
        try:
            if path.suffix == ".conll":
                list(read_columns(path))
            else:
                list(Table(source=path, bad_rows="skip").rows(["text"]))
        except ElmoKitError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def shards(folder):
    from elmokit.data.shards import open_shards

    with open_shards(folder, job={"a": 1}, suffix=".txt") as opened:
        for number in range(5):
            if not opened.has(number):
                with opened.write(number, n_rows=1) as path:
                    path.write_text(f"x{number}")


def snapshot(folder):
    import torch

    from elmokit.fitting import write_snapshot

    write_snapshot(folder / "step-1.safetensors", {"a": torch.ones(100), "b": torch.ones(1)}, {"step": 1})


def read_snapshot(folder):
    from elmokit.fitting import reading_snapshot

    with reading_snapshot(folder / "step-1.safetensors", shapes={"a": (100,), "b": (1,)}):
        pass


KINDS = {
    "classifier": (classifier, read_classifier),
    "pairs": (pairs, read_pairs),
    "tagger": (tagger, read_tagger),
    "index": (index, read_index),
    "features": (features, read_features),
    "tables": (tables, read_tables),
    "shards": (shards, shards),
    "snapshot": (snapshot, read_snapshot),
}


def checkpoint_kinds():
    """Every format of checkpoints."""
    from elmokit.checkpoints import load
    from golden.formats import SAMPLES

    return {f"checkpoint-{name}": (sample.make, load) for name, sample in SAMPLES.items()}


def in_child(work):
    """Run a function in a child; return its lines of JSON, and whether it ended by itself."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        with os.fdopen(sender, "w", buffering=1) as pipe:
            work(lambda value: pipe.write(json.dumps(value) + "\n"))
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        values = [json.loads(line) for line in pipe if line.endswith("\n")]
    return values, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def read_damaged(path, whole, seeds, read, place):
    """Damage a file once for each seed and read it; in a child."""

    def work(say):
        from elmokit.errors import ElmoKitError

        warnings.simplefilter("ignore")
        read(place)  # imports and warms up what the limit is not for
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in seeds:
            data = mutated(whole, random.Random(seed))
            path.write_bytes(data)
            signal.alarm(60)
            start, outcome = time.perf_counter(), ["loaded", ""]
            try:
                read(place)
            except ElmoKitError as error:
                outcome = ["ours", str(error)[:200]]
            except BaseException as error:
                outcome = ["raw", f"{type(error).__name__}: {error}"[:200]]
            seconds = time.perf_counter() - start
            memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
            say([seed, *outcome, round(seconds, 2), memory])
        path.write_bytes(whole)

    return in_child(work)


def fuzz(make, read, place, n, seed):
    """Damage the files of a sample `n` times in all."""
    place.mkdir(parents=True)
    made, ended = in_child(lambda say: say(str(make(place) or place)))
    assert ended, f"the sample in {place} could not be made"
    source = Path(made[0])
    if make is not index:  # threads of LanceDB do not outlive a fork
        warnings.simplefilter("ignore")
        read(source)  # so that no child need import everything anew
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != ".lock")
    kept = {path: path.read_bytes() for path in files}
    counts = {"loaded": 0, "ours": 0, "slowest": 0.0, "memory": 0, "wrong": []}
    for i, (path, whole) in enumerate(kept.items()):
        seeds = [seed * 1_000_003 + i * n + k for k in range(-(-n // len(kept)))]
        while seeds:
            results, ended = read_damaged(path, whole, seeds[:BATCH], read, source)
            for _, kind, message, seconds, memory in results:
                counts["slowest"], counts["memory"] = max(counts["slowest"], seconds), max(counts["memory"], memory)
                if kind == "raw":
                    counts["wrong"].append([path.name, message])
                else:
                    counts[kind] += 1
            seeds = seeds[len(results) :]
            if not ended:
                counts["wrong"].append([path.name, f"killed, seed {seeds[0]}"])
                seeds = seeds[1:]
            for other, data in kept.items():
                other.parent.mkdir(parents=True, exist_ok=True)
                other.write_bytes(data)
    shutil.rmtree(place)
    return counts


if __name__ == "__main__":
    target, tries, first_seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    kinds = KINDS | checkpoint_kinds()
    for kind in sys.argv[4:] or kinds:
        print(json.dumps({kind: fuzz(*kinds[kind], target / kind, tries, first_seed)}), flush=True)
