"""Sentence pairs, questions, names, chunks and parts of speech: a model beside simple baselines.

    python benchmarks/quality_tasks.py --data ../shared/data [--model default] [--sets MRPC,WNUT17] [--sentences 4000]
        [--epochs 8] [--seeds 0 1 2] [--quick] [--again]

Texts and pairs (TREC, MRPC, SICK, STS-B) by the protocol of `protocols.py`: logistic or ridge regression on frozen
vectors. Tags by `elmokit.Tagger`: BiLSTM and CRF on frozen vectors, F1 of spans or accuracy on the test part. The
columns: all layers; layer 0 alone, which sees no context (static word vectors); TF-IDF for texts and pairs, each
word's most frequent tag for tags; for degrees also two scores without training. `--sentences` bounds the tagged
sentences that are learned from (taken evenly over the file), which the table says; published figures are of whole
sets. Every figure is written to the results file when it is there, and one that is there already, of the same model
and settings, is not found again. The table is for people; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_sets import find_set
from protocols import ElmoEncoder, TfidfEncoder, evaluate

from elmokit.data.conll import read_columns
from elmokit.elmo import Elmo
from elmokit.errors import MissingFile
from elmokit.files import atomic_path
from elmokit.tasks.pairs.scorer import PairScorer, compare_scores
from elmokit.tasks.tagging.bioes import tag_metrics
from elmokit.tasks.tagging.tagger import Tagger

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("TREC", "MRPC", "SICK-E", "SICK-R", "STSB")
DEGREES = ("SICK-R", "STSB")

Tagged = tuple[list[list[str]], list[list[str]]]


@dataclass(frozen=True)
class TagSet:
    """One set of tagged sentences.

    Args:
        name: of the set.
        files: of train, dev (None for a tenth of train) and test.
        columns: of the word and of the tag.
    """

    name: str
    files: tuple[str, str | None, str]
    columns: tuple[int, int]

    def read(self, data: Path, part: int) -> Tagged:
        """Words and tags of a part: 0 for train, 1 for dev, 2 for test."""
        word, tag = self.columns
        sentences = list(read_columns(data / str(self.files[part]), columns=self.columns))
        return [one.column(word) for one in sentences], [one.column(tag) for one in sentences]


TAG_SETS = (
    TagSet(
        "CoNLL2003",
        ("CoNLL2003/eng.train", "CoNLL2003/eng.testa", "CoNLL2003/eng.testb"),
        (0, 3),
    ),
    TagSet(
        "CoNLL2000",
        ("CoNLL2000/train.txt", None, "CoNLL2000/test.txt"),
        (0, 2),
    ),
    TagSet(
        "WNUT17",
        ("WNUT17/wnut17train.conll", "WNUT17/emerging.dev.conll", "WNUT17/emerging.test.annotated"),
        (0, 1),
    ),
    TagSet(
        "UD_EWT",
        ("UD_EWT/en_ewt-ud-train.conllu", "UD_EWT/en_ewt-ud-dev.conllu", "UD_EWT/en_ewt-ud-test.conllu"),
        (1, 3),
    ),
)


class Results:
    """The results file: a figure per set and column, kept from run to run."""

    def __init__(self, path: Path, elmo: Elmo, arguments: argparse.Namespace) -> None:
        self.path = path
        facts = {k: v for k, v in elmo.metadata.items() if isinstance(v, int | float | str)}
        self.head = {"benchmark": "quality_tasks", "model": elmo.name, "dim": elmo.dim, "facts": facts}
        of_tags = {name: getattr(arguments, name) for name in ("sentences", "epochs", "quick", "seeds")}
        self.settings = {one.name: of_tags for one in TAG_SETS}
        before = json.loads(path.read_text()) if path.is_file() and not arguments.again else {}
        same = all(before.get(key) == value for key, value in self.head.items())
        self.rows: list[dict[str, Any]] = before["results"] if same else []

    def has(self, name: str, column: str) -> bool:
        """Whether a figure of these settings is there."""
        known = (name, column, self.settings.get(name))
        return any((r["set"], r["column"], r["settings"]) == known for r in self.rows)

    def add(self, name: str, column: str, find: Callable[[], dict[str, Any]]) -> None:
        """Find a figure, unless it is there, and write the file."""
        if self.has(name, column):
            return
        start = time.perf_counter()
        found = find()
        row = {"set": name, "column": column, **found, "seconds": round(time.perf_counter() - start, 1)}
        self.rows = [r for r in self.rows if (r["set"], r["column"]) != (name, column)]
        self.rows.append({**row, "settings": self.settings.get(name)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {**self.head, "results": self.rows}
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name:10} {column:22} {row['metric']:14} {row['value']:6.2f} {row['seconds']:8.1f} s", flush=True)


def judge_texts(results: Results, elmo: Elmo, name: str, data: Path) -> None:
    encoders: dict[str, Callable[[], Any]] = {
        "elmokit": lambda: ElmoEncoder(elmo, layers="all"),
        "layer 0": lambda: ElmoEncoder(elmo, layers=0),
        "simple": TfidfEncoder,
    }
    for column, make in encoders.items():
        results.add(name, column, partial(_judged, make, name, data))
    if name in DEGREES:
        for method in ("alignment", "cosine"):
            results.add(name, f"{method}, untrained", partial(_scored, elmo, method, name, data))


def _judged(make: Callable[[], Any], name: str, data: Path) -> dict[str, Any]:
    one = find_set(name)
    figures = evaluate(one, one.read(data), make())
    values = {metric: round(value, 2) for metric, value in figures.values.items()}
    return {"metric": one.metric, "value": values[one.metric], "values": values, "n_test": figures.n_test}


def _scored(elmo: Elmo, method: Any, name: str, data: Path) -> dict[str, Any]:
    pairs: Any = find_set(name).read(data)
    learned, test = np.flatnonzero(pairs.parts != "test"), np.flatnonzero(pairs.parts == "test")
    scorer = PairScorer(elmo, method=method, center=True, idf=True)
    scorer.fit([texts[i] for texts in (pairs.first, pairs.second) for i in learned])
    found = scorer.scores([(pairs.first[i], pairs.second[i]) for i in test])
    scores = compare_scores(pairs.targets[test].tolist(), found.tolist())
    values = {"Pearson": round(100 * scores.pearson, 2), "Spearman": round(100 * scores.spearman, 2)}
    return {"metric": "Pearson", "value": values["Pearson"], "values": values, "n_test": len(test)}


def judge_tags(results: Results, elmo: Elmo, one: TagSet, arguments: argparse.Namespace) -> None:
    @cache  # read when a figure needs it
    def parts() -> tuple[Tagged, Tagged | None, Tagged]:
        limit = arguments.sentences
        dev = _some(one.read(arguments.data, 1), max(limit // 4, 200)) if one.files[1] else None
        test = one.read(arguments.data, 2)
        return _some(one.read(arguments.data, 0), limit), dev, _some(test, 200) if arguments.quick else test

    results.add(one.name, "simple", lambda: _most_frequent(*parts()))
    for column, layers in (("elmokit", "learned"), ("layer 0", 0)):
        results.add(one.name, column, lambda layers=layers: _tagged(elmo, layers, *parts(), arguments))


def _some(whole: Tagged, limit: int) -> Tagged:
    """Sentences taken evenly over all of them."""
    n = len(whole[0])
    rows = range(n) if n <= limit else np.linspace(0, n - 1, limit).astype(int)
    return [whole[0][i] for i in rows], [whole[1][i] for i in rows]


def _tagged(
    elmo: Elmo, layers: Any, train: Tagged, dev: Tagged | None, test: Tagged, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Figures of one tagger per seed, and their mean."""
    runs = []
    for seed in arguments.seeds:
        tagger = Tagger(elmo, layers=layers, epochs=arguments.epochs, patience=4, seed=seed)
        tagger.fit(*train, dev=dev, on_epoch=lambda r: print(f"  epoch {r.epoch}: {r.score:.4f} ({r.seconds:.0f} s)"))
        assert tagger.report_ is not None
        about = {"best_epoch": tagger.report_.best_epoch, "on_dev": round(100 * tagger.report_.best_score, 2)}
        figures = _figures(test, tagger.predict(test[0]), len(train[0]))
        runs.append({"seed": seed, **figures, **about, "layer_weights": list(tagger.layer_weights_)})
        print(f"  seed {seed}: {figures['value']}", flush=True)
    mean = round(float(np.mean([run["value"] for run in runs])), 2)
    return {"metric": runs[0]["metric"], "value": mean, "n_test": runs[0]["n_test"], "runs": runs}


def _most_frequent(train: Tagged, _dev: Tagged | None, test: Tagged) -> dict[str, Any]:
    """Each word's most frequent tag; unknown words get the most frequent of all."""
    counts: dict[str, Counter[str]] = {}
    for words, tags in zip(*train, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    commonest = sum(counts.values(), Counter()).most_common(1)[0][0]
    best = {word: of_word.most_common(1)[0][0] for word, of_word in counts.items()}
    return _figures(test, [[best.get(word, commonest) for word in words] for words in test[0]], len(train[0]))


def _figures(test: Tagged, predicted: Sequence[Sequence[str]], n_train: int) -> dict[str, Any]:
    scores = tag_metrics(test[1], predicted)
    metric = "accuracy" if scores.spans is None else "F1 of spans"
    values = {"accuracy": round(100 * scores.accuracy, 2), metric: round(100 * scores.main, 2)}
    return {"metric": metric, "value": values[metric], "values": values, "n_test": len(test[0]), "n_train": n_train}


def show(results: Results) -> None:
    columns = ["elmokit", "layer 0", "simple", "alignment, untrained", "cosine, untrained"]
    print("\n" + " " * 33 + "".join(f"{c.split(',')[0]:>11}" for c in columns))
    for name in (*TEXTS, *(s.name for s in TAG_SETS)):
        rows = {r["column"]: r for r in results.rows if r["set"] == name}
        if rows:
            first = next(iter(rows.values()))
            learned = f"{first['n_train']:,} sent." if "n_train" in first else "all"
            cells = "".join(f"{rows[c]['value']:11.2f}" if c in rows else f"{'–':>11}" for c in columns)
            print(f"{name:10}{first['metric']:12}{learned:>11}{cells}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", default="default")
    parser.add_argument("--sets", default=",".join([*TEXTS, *(s.name for s in TAG_SETS)]))
    parser.add_argument("--sentences", type=int, default=4000, help="tagged sentences to learn from, at most")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of taggers; the table has their mean")
    parser.add_argument("--quick", action="store_true", help="300 sentences, 2 epochs: to see that it runs")
    parser.add_argument("--again", action="store_true", help="forget the figures that are there")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/quality_tasks.json")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sentences, arguments.epochs = 300, 2
    if not arguments.data.is_dir():
        raise SystemExit(f"{arguments.data} is missing: name the folder of the evaluation sets with --data.")
    elmo = Elmo.load(arguments.model)
    results = Results(arguments.out, elmo, arguments)
    wanted = arguments.sets.split(",")
    for name in wanted:
        try:
            if name in TEXTS:
                judge_texts(results, elmo, name, arguments.data)
            else:
                judge_tags(results, elmo, next(s for s in TAG_SETS if s.name == name), arguments)
        except (FileNotFoundError, MissingFile) as error:
            print(f"{name:10} skipped: {error}", flush=True)
    show(results)
    short = {f"{r['set']} {r['column']}": r["value"] for r in results.rows}
    print(json.dumps({"benchmark": "quality_tasks", "model": elmo.name, "values": short}))


if __name__ == "__main__":
    main()
