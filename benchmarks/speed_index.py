"""How fast an index of word occurrences is built and asked, and how near its quick search comes to the exact one.

    python benchmarks/speed_index.py --folder /tmp/speed_index [--occurrences 1000000] [--sweep]

Real vectors of real text: content words of the shared corpora, equal shares of encyclopaedia, textbooks, novels and
talk. The build resumes where it stood if it is interrupted, as all builds do (its rate is then that of the rest).
Queries are 50 occurrences drawn from the index, each moved a little by noise, and 50 words in sentences
that are not in it; the exact search is the truth.
"""

import argparse
import itertools
import json
import lzma
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from workload import SHARED, finish

from elmokit import Elmo
from elmokit.data.tables import Table
from elmokit.index import WordIndex
from elmokit.index.kept_words import is_content_word
from elmokit.index.store import OCCURRENCES, Store
from elmokit.text.tokens import tokenize_default

CORPORA = ("wikipedia", "openstax_textbooks", "books_classics", "changelog_podcasts")
N_QUERIES, N_HELD_OUT, K = 50, 400, 10


def write_corpus(path, n_occurrences):
    """Lines of the corpora in turn until they hold so many content words; the lines after them, for queries."""
    paths = [SHARED / "corpus" / f"{name}.txt.xz" for name in CORPORA]
    files = [lzma.open(path, "rt", encoding="utf-8") for path in paths]  # noqa: SIM115
    lines = itertools.chain.from_iterable(zip(*files, strict=False))
    found = 0
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            found += sum(is_content_word(token.word.lower()) for token in tokenize_default(line))
            if found >= n_occurrences:
                break
    return [line.strip() for line in itertools.islice(lines, N_HELD_OUT)]


def build(folder, corpus, elmo):
    """Build or go on building; seconds of encoding and writing, seconds of the search index."""
    made = (folder / "db" / "index.json").exists()
    index = WordIndex.open(folder / "db", elmo=elmo) if made else WordIndex.create(folder / "db", elmo)
    before, start = len(index), time.perf_counter()
    cpu, marks = time.process_time(), []

    index.build([Table(source=corpus)], on_progress=lambda _n: marks.append(time.perf_counter()))
    end = time.perf_counter()
    encoded = (marks[-1] if marks else end) - start
    return index, {
        "occurrences": len(index),
        "sentences": index.n_sentences,
        "added_now": len(index) - before,
        "encode_s": encoded,
        "occurrences_per_s": (len(index) - before) / encoded if marks else None,
        "search_index_s": end - start - encoded if marks else None,
        "process_cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def as_is(folder, elmo):
    """What is there, with its search index brought up to date."""
    index = WordIndex.open(folder / "db", elmo=elmo)
    start = time.perf_counter()
    with index._store.writing():
        index._store.index()
    made = time.perf_counter() - start
    return index, {"occurrences": len(index), "sentences": index.n_sentences, "search_index_s": made}


def query_vectors(index, held_out):
    """Occurrences of the index with noise, and words of sentences outside it."""
    rng = np.random.default_rng(0)
    store = index._store
    numbers = rng.choice(index.n_sentences, N_QUERIES, replace=False)
    inside = np.concatenate([store.sample(f"sentence = {n}", ["vector"], limit=1)["vector"] for n in numbers])
    inside = inside + rng.standard_normal(inside.shape).astype(np.float32) * 0.3 / np.sqrt(inside.shape[1])
    outside = []
    for text in held_out:
        words = [word for word in text.split() if word.isalpha() and is_content_word(word.lower())]
        if words and len(outside) < N_QUERIES:
            word = words[int(rng.integers(len(words)))]
            outside.append(index.vector(word, text))
    return {"inside": inside, "outside": np.array(outside)}


def nearest(index, vector, *, exact):
    found = index._store.nearest(OCCURRENCES, vector, ["sentence", "start"], k=K, where=None, exact=exact)
    return list(zip(found["sentence"].tolist(), found["start"].tolist(), strict=True)), 1 - found["_distance"]


def judge(index, queries, truth):
    """Recall@10 and milliseconds of the quick search; recall by value counts ties and duplicates as found."""
    row = {}
    for name, vectors in queries.items():
        recalls, same, times = [], [], []
        for vector, (exact, cosines) in zip(vectors, truth[name], strict=True):
            start = time.perf_counter()
            found, near = nearest(index, vector, exact=False)
            times.append(time.perf_counter() - start)
            recalls.append(np.mean(near >= cosines[-1] - 1e-4))
            same.append(len(set(found) & set(exact)) / len(exact))
        row[name] = {"recall": float(np.mean(recalls)), "recall_same_rows": float(np.mean(same)), **quantiles(times)}
    return row


def quantiles(times):
    ms = 1000 * np.array(times)
    return {"ms_median": float(np.median(ms)), "ms_p95": float(np.quantile(ms, 0.95))}


def exact_truth(index, queries):
    truth, times = {}, []
    for name, vectors in queries.items():
        truth[name] = []
        for vector in vectors:
            start = time.perf_counter()
            truth[name].append(nearest(index, vector, exact=True))
            times.append(time.perf_counter() - start)
    return truth, quantiles(times)


def open_seconds(folder):
    """Seconds until a fresh process can answer: the packages' import, and opening and counting."""
    code = (
        "import time, sys; t = time.perf_counter(); import lancedb; a = time.perf_counter();"
        "from elmokit.index import WordIndex; index = WordIndex.open(sys.argv[1]); len(index); b = time.perf_counter();"
        "import numpy; index.search(numpy.ones(index.dim, numpy.float32)); c = time.perf_counter();"
        "print(a - t, b - a, c - b)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    return dict(
        zip(
            ("import_lancedb_s", "open_s", "first_search_s"),
            np.median([list(map(float, r.split())) for r in runs], 0).tolist(),
            strict=True,
        )
    )


def asked(index, held_out):
    """Milliseconds of whole questions as people ask them, the model's work and the grouping included."""
    pairs = [(word, text) for text in held_out for word in text.split() if len(word) > 3 and word.isalpha()][:2000:20]
    pairs = [(word, text) for word, text in pairs if is_content_word(word.lower())]
    times, again = [], []
    for word, text in pairs:
        for kept in (times, again):
            start = time.perf_counter()
            index.most_similar(word, context=text)
            kept.append(time.perf_counter() - start)
    start = time.perf_counter()
    index.means()
    means = time.perf_counter() - start
    start = time.perf_counter()
    index.senses("read")
    return {
        "most_similar_first": quantiles(times),
        "most_similar_again": quantiles(again),
        "means_s": means,
        "senses_s": time.perf_counter() - start,
    }


def sweep(index, queries, truth):
    """Other ways to make and ask the quick search, one after another."""
    from lancedb.index import IvfPq, IvfRq, IvfSq

    rows, n, table = [], len(index), index._store._tables[OCCURRENCES]
    cheap = {"distance_type": "cosine", "num_partitions": max(1, n // Store.partition_rows)}
    cheap |= {"sample_rate": 64, "max_iterations": 10}
    kinds = {
        "IVF_SQ": IvfSq(**cheap),
        "IVF_RQ": IvfRq(**cheap),
        "IVF_PQ d/8": IvfPq(**cheap, num_sub_vectors=index.dim // 8),
    }
    for kind, config in kinds.items():
        start, cpu = time.perf_counter(), time.process_time()
        table.create_index("vector", config=config, replace=True)
        made = {"made_s": time.perf_counter() - start, "made_cpu_s": time.process_time() - cpu}
        for probes, refine in ((4, 5), (8, 5), (16, 1), (16, 5), (32, 5), (32, 20)):
            index._store.probes, index._store.refine = probes, refine
            rows.append({"kind": kind, "probes": probes, "refine": refine, **made, **judge(index, queries, truth)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--occurrences", type=int, default=1_000_000)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--as-is", action="store_true", help="judge the index as far as it was built")
    options = parser.parse_args()
    if not (SHARED / "corpus").is_dir():
        sys.exit(f"{SHARED / 'corpus'} is missing: set ELMOKIT_SHARED to the folder of shared data")
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus, kept = options.folder / "corpus.txt", options.folder / "held_out.json"
    if not kept.exists():
        kept.write_text(json.dumps(write_corpus(corpus, options.occurrences)))
    held_out = json.loads(kept.read_text())
    elmo = Elmo.load(n_threads=1)
    index, built = as_is(options.folder, elmo) if options.as_is else build(options.folder, corpus, elmo)
    about = index.about()
    per = {"bytes_per_occurrence": about["bytes"] / about["occurrences"], "dim": about["dim"], "model": about["model"]}
    print(json.dumps({**built, **per}), file=sys.stderr, flush=True)
    queries = query_vectors(index, held_out)
    truth, exact = exact_truth(index, queries)
    result = {"build": built, **per, "exact": exact}
    if options.sweep:
        finish("speed_index_sweep", {**result, "sweep": sweep(index, queries, truth)})
        return
    result |= {
        "ann": judge(index, queries, truth),
        "opening": open_seconds(options.folder / "db"),
        "asked": asked(index, held_out),
    }
    for name, row in result["ann"].items():
        times = f"{row['ms_median']:.1f} ms (p95 {row['ms_p95']:.1f}); exact {exact['ms_median']:.0f} ms"
        print(f"{built['occurrences']:,} occurrences, queries {name}: recall@10 {row['recall']:.3f}, {times}")
    finish("speed_index", result)


if __name__ == "__main__":
    main()
