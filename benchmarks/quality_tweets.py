"""The tutorial's tweets: cleaning × pooling × layers × head × (embedded | tuned), beside counted words.

    python benchmarks/quality_tweets.py [--model default] [--tuned FOLDER] [--data ../shared/data/tweets]
        [--only TEXT] [--finetune] [--minilm MODEL] [--submission sub_lreg.csv] [--again]

Every row learns from the same 80 % (train_test_split, seed 42); strengths, shares of votes and all else are chosen
inside them. "inside" is the mean ± sd of F1 of class 1 over five folds within the 80 %, and the only figure that a row
may be chosen by; "held out" is F1 on the other 20 %, looked at once. "votes" is the library's head of that name, its
folds judged with shares chosen on the other folds. `--tuned` names a model that `elmokit tune` made of the training
tweets without their labels. `--finetune` adds the rows of that head, hours on one core, judged inside on one fold.

Each row is written to benchmarks/results/NAME.json when it is there; a row that is there already, of the same model,
is not found again, so the command can be stopped and called again. `--submission` writes labels for test.csv in the
tutorial's form by the best row inside. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from elmokit.tasks.heads import HeadSettings, new_head
from elmokit.tasks.joined import Joined
from elmokit.tasks.logistic import LogisticRegression
from elmokit.tasks.metrics import score
from elmokit.tasks.split import held_out_split, stratified_folds
from elmokit.tasks.votes import CountedHead

from elmokit.data.tables import Table
from elmokit.elmo import Elmo
from elmokit.files import atomic_path
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.saved_head import PROBE
from elmokit.text.cleaning import TUTORIAL_RECIPE

CLEANINGS = {"none": (), "urls": ("urls", "spaces"), "no lemmas": TUTORIAL_RECIPE[:-1], "tutorial": TUTORIAL_RECIPE}
SHARED = Path(os.environ.get("ELMOKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HELD_OUT = 42


@dataclass(frozen=True)
class Way:
    """One row: what makes features of texts, and a head (C: a strength to take instead of choosing)."""

    name: str
    mark: str | None
    features: Callable[[tuple[str, ...]], Any]
    head: Callable[[float | None], Any]
    folds: int = 5
    facts: dict[str, Any] = field(default_factory=dict)


def elmo_ways(elmo: Elmo, label: str, *, finetune: bool) -> Iterator[Way]:
    """Rows of one model, those with the same features together."""
    mark = mark_of(elmo)
    plain = [("mean", "mix"), ("mean", "all"), ("mean", 0), ("mean", 1), ("mean", 2), ("max", "mix"), ("sif", "mix")]

    def way(cleaning: str, pooling: str, layers: Any, *, folds: int = 5, **settings: Any) -> Way:
        facts = {"features": label, "cleaning": cleaning, "pooling": pooling, "layers": str(layers), **settings}
        head = HeadSettings(seed=HELD_OUT, **settings)
        return Way(
            " · ".join(map(str, facts.values())),
            mark,
            lambda texts: features_of(elmo, cleaning, pooling, layers, *_kind(head), texts),
            lambda C: new_head(head if C is None else replace(head, C=C), elmo.checkpoint),
            folds,
            facts,
        )

    for pooling, layers in plain:
        yield way("none", pooling, layers, head="logistic", class_weight="balanced")
    for settings in (
        {"head": "logistic", "class_weight": "balanced"},
        {"head": "logistic", "class_weight": None},
        {"head": "mlp", "class_weight": "balanced"},
        {"head": "logistic", "class_weight": "balanced", "join": "tfidf"},
        {"head": "votes", "class_weight": "balanced"},
    ):
        yield way("none", "mean+max", "mix", **settings)
    yield way("none", "mean+max", "all", head="logistic", class_weight="balanced")
    yield way("none", "mean+max", "all", head="votes", class_weight="balanced")
    for cleaning in list(CLEANINGS)[1:]:
        yield way(cleaning, "mean+max", "mix", head="logistic", class_weight="balanced")
    yield way("none", "", "all", head="bilstm", class_weight="balanced", folds=2)
    if finetune:
        yield way("none", "", "all", head="finetune", class_weight="balanced", folds=1)


def _kind(head: HeadSettings) -> tuple[str, str | None]:
    """What features hang on, of a head: whether it reads words, whether it counts them."""
    counted = "tfidf" if head.join or head.head == "votes" else None
    return ("logistic" if head.head in ("mlp", "votes") else head.head), counted


@lru_cache(maxsize=1)
def features_of(
    elmo: Elmo, cleaning: str, pooling: str, layers: Any, head: Any, join: Any, texts: tuple[str, ...]
) -> Any:
    """Features of texts; those of the last call are kept for the next row."""
    classifier = TextClassifier(
        elmo, cleaning=CLEANINGS[cleaning], pooling=pooling or "mean", layers=layers, head=head, join=join
    )
    return classifier.features(texts)


def counted_ways() -> Iterator[Way]:
    for analyzer in ("words", "characters"):
        for class_weight in ("balanced", None):
            yield Way(
                f"TF-IDF {analyzer} · {class_weight}",
                None,
                lambda texts: Joined(np.zeros((len(texts), 0)), texts),
                lambda _, a=analyzer, w=class_weight: CountedHead(a, w),
                facts={"features": f"TF-IDF {analyzer}", "class_weight": class_weight},
            )


def minilm_ways(name: str) -> Iterator[Way]:
    if find_spec("sentence_transformers") is None:
        return

    @lru_cache(maxsize=1)
    def features(texts: tuple[str, ...]) -> np.ndarray:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(name).encode(list(texts), show_progress_bar=False)

    for weight in ("balanced", None):
        yield Way(
            f"{name} · {weight}",
            None,
            features,
            lambda C, w=weight: LogisticRegression(C=C or "cv", class_weight=w, standardize=True, seed=HELD_OUT),
            facts={"features": name, "class_weight": weight},
        )


def mark_of(elmo: Elmo) -> str:
    """Tells models apart, rounding aside."""
    vector = np.round(elmo.encode([PROBE])[0], 2) + 0.0
    return hashlib.sha256(json.dumps([elmo.config.to_dict(), vector.tolist()], sort_keys=True).encode()).hexdigest()[
        :12
    ]


class Trial:
    """The split, the file of results, and what is measured."""

    def __init__(self, texts: list[str], labels: list[str], path: Path, *, again: bool) -> None:
        self.texts, self.labels, self.path = tuple(texts), np.array(labels), path
        self.train, self.test = held_out_split(len(labels), seed=HELD_OUT)
        before = json.loads(path.read_text()) if path.is_file() and not again else {}
        self.rows: list[dict[str, Any]] = [row for row in before.get("rows", []) if "name" in row]

    def judge(self, way: Way) -> None:
        """Learn, predict, print and keep a row, unless it is there."""
        known = (way.name, way.mark, len(self.texts))
        if any((row["name"], row["mark"], row["n_texts"]) == known for row in self.rows):
            return
        start = time.perf_counter()
        X, y = way.features(self.texts), self.labels
        head = way.head(None).fit(X[self.train], y[self.train])
        held_out = self._score(head, X, self.test)
        inside = list(getattr(head, "inside_", ())) or self._inside(way, X, getattr(head, "C_", None))
        row = {
            "name": way.name,
            "mark": way.mark,
            "n_texts": len(self.texts),
            **way.facts,
            "C": getattr(head, "C_", None),
            "inside_mean": float(np.mean(inside)),
            "inside_sd": float(np.std(inside, ddof=1)) if len(inside) > 1 else None,
            "inside_folds": len(inside),
            "held_out_f1": held_out.f1_of("1"),
            "held_out_weighted_f1": held_out.weighted_f1,
            "seconds": round(time.perf_counter() - start, 1),
            **({"shares": head.shares_} if hasattr(head, "shares_") else {}),
        }
        self.rows = [r for r in self.rows if r["name"] != way.name] + [row]
        print(line_of(row), flush=True)
        self.write()

    def _inside(self, way: Way, X: Any, C: float | None) -> list[float]:
        """F1 of folds inside the training part, by heads that have not seen them."""
        folds, scores = stratified_folds(self.labels[self.train], 5, seed=HELD_OUT), []
        for fold in range(way.folds):
            learned, judged = self.train[folds != fold], self.train[folds == fold]
            head = way.head(C).fit(X[learned], self.labels[learned])
            scores.append(self._score(head, X, judged).f1_of("1"))
        return scores

    def _score(self, head: Any, X: Any, rows: np.ndarray) -> Any:
        said = np.array(["0", "1"])[head.predict_proba(X[rows]).argmax(1)]
        return score(self.labels[rows].tolist(), said.tolist())

    def chosen(self, marks: set[str | None]) -> dict[str, Any] | None:
        """The best row inside, of those that can be made now."""
        rows = [row for row in self.rows if row["mark"] in marks]
        return max(rows, key=lambda row: row["inside_mean"]) if rows else None

    def write(self) -> dict[str, Any]:
        """Write the file of results, whole or not at all; what is in it."""
        result = {
            "benchmark": "quality_tweets",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}",
            "chosen": self.chosen({row["mark"] for row in self.rows}),
            "rows": self.rows,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(result) + "\n")
        return result


def line_of(row: dict[str, Any]) -> str:
    spread = f" ± {row['inside_sd']:.4f}" if row["inside_sd"] is not None else " " * 9
    shares = f" {row['shares']}" if "shares" in row else ""
    return (
        f"{row['name'][:66]:66} inside {row['inside_mean']:.4f}{spread} held out {row['held_out_f1']:.4f}"
        f" {row['seconds']:7.1f} s{shares}"
    )


def submit(way: Way, trial: Trial, test: Path, out: Path) -> None:
    """Learn a row again from all tweets and label the test set: columns id and label."""
    rows = [(row.values["id"], row.values["tweet"]) for row in Table(source=test).rows(["id", "tweet"])]
    head = way.head(None).fit(way.features(trial.texts), trial.labels)
    said = head.predict_proba(way.features(tuple(text for _, text in rows))).argmax(1)
    with atomic_path(out) as path, path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "label"), *((i, int(v)) for (i, _), v in zip(rows, said, strict=True))])
    print(f"{out}: {len(rows)} labels by {way.name}, {int(said.sum())} of them 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--tuned", help="folder of a model that was tuned on the training tweets")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tweets")
    parser.add_argument("--only", default="", help="only rows whose name holds this, for instance 'votes'")
    parser.add_argument("--finetune", action="store_true", help="also the head that tunes the model: hours")
    parser.add_argument("--minilm", default="sentence-transformers/all-MiniLM-L6-v2", help="name or folder, if there")
    parser.add_argument("--some", type=int, help="only so many tweets: to see that it runs")
    parser.add_argument("--submission", type=Path, help="write labels for test.csv here, in the tutorial's form")
    parser.add_argument("--again", action="store_true", help="forget the rows that are there")
    parser.add_argument("--name", default="quality_tweets", help="of the file of results")
    arguments = parser.parse_args()
    if not (arguments.data / "train.csv").is_file():
        raise SystemExit(f"{arguments.data}/train.csv is missing: name the folder of the tweets with --data.")

    table = Table(source=arguments.data / "train.csv").rows(["tweet", "label"])
    pairs = [(row.values["tweet"], row.values["label"]) for row in table][: arguments.some]
    path = Path(__file__).parent / "results" / f"{arguments.name}.json"
    trial = Trial([text for text, _ in pairs], [label for _, label in pairs], path, again=arguments.again)
    elmos = {"ELMo": Elmo.load(arguments.model)}
    if arguments.tuned:
        elmos["ELMo tuned"] = Elmo.load(arguments.tuned)
    print(f"{', '.join(map(str, elmos.values()))}: {len(trial.train)} tweets to learn from, {len(trial.test)} held out")

    ways = list(counted_ways())
    for label, elmo in elmos.items():
        ways += elmo_ways(elmo, label, finetune=arguments.finetune)
    ways += minilm_ways(arguments.minilm)
    for way in ways:
        if arguments.only in way.name:
            try:
                trial.judge(way)
            except (ImportError, OSError) as error:
                print(f"{way.name}: left out ({str(error).splitlines()[0][:150]})", flush=True)

    chosen = trial.chosen({way.mark for way in ways})
    print("\nby the figures inside:")
    for row in sorted(trial.rows, key=lambda row: -row["inside_mean"]):
        print(line_of(row))
    result = trial.write()
    if arguments.submission and chosen:
        submit(next(way for way in ways if way.name == chosen["name"]), trial, arguments.data / "test.csv",
               arguments.submission)  # fmt: skip
    print(json.dumps({**result, "rows": len(trial.rows)}))


if __name__ == "__main__":
    main()
