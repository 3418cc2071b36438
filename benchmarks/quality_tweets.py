"""The tutorial's tweets: cleaning × pooling × layers × class weights, beside TF-IDF.

    python benchmarks/quality_tweets.py [--model default] [--data ../shared/data/tweets] [--quick]

Every row learns from the same 80 % (train_test_split, seed 42) with the penalty's strength chosen by cross-validation
inside them. "inside" is the 5-fold F1 of class 1 within the 80 %, and the only figure that a row may be chosen by;
"held out" is the F1 on the other 20 %, looked at once. Features are encoded once per cleaning and pooling. The last
line is JSON, also written to benchmarks/results/quality_tweets.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from elmokit.corpora.tables import Table
from elmokit.elmo import Elmo
from elmokit.tasks.logistic import LogisticRegression
from elmokit.tasks.metrics import score
from elmokit.tasks.split import held_out_split, stratified_folds
from elmokit.tasks.tfidf import Tfidf
from elmokit.text.cleaning import TUTORIAL_RECIPE, clean

CLEANINGS = {"none": (), "no lemmas": TUTORIAL_RECIPE[:-1], "tutorial": TUTORIAL_RECIPE}
SHARED = Path(os.environ.get("ELMOKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def elmo_features(elmo: Elmo, texts: list[str], *, quick: bool) -> Iterator[tuple[str, str, np.ndarray]]:
    """(pooling, layers, features); layers apart are cut out of all of them."""
    for pooling in ("mean", "mean+max") if quick else ("mean", "max", "mean+max", "sif"):
        yield pooling, "mix", elmo.encode(texts, pooling=pooling, layers="mix")
        together = elmo.encode(texts, pooling=pooling, layers="all")
        yield pooling, "all", together
        if pooling == "mean":
            for layer, features in enumerate(np.split(together, elmo.n_layers, axis=1)):
                yield pooling, str(layer), features


class Trial:
    """The split, and what is measured on it."""

    def __init__(self, labels: list[str], only: str) -> None:
        self.labels, self.only = np.array(labels), only
        self.train, self.test = held_out_split(len(labels))
        self.rows: list[dict[str, object]] = []

    def judge(self, features, facts: dict[str, str]) -> None:
        """Learn, predict, print and keep a row for each kind of class weights."""
        dense = isinstance(features, np.ndarray)
        rows = (lambda numbers: features[numbers]) if dense else features.take
        for class_weight in ("balanced", None):
            name = " · ".join([*facts.values(), class_weight or "plain"])
            if self.only not in name:
                continue
            start = time.perf_counter()
            options = {"class_weight": class_weight, "standardize": dense}
            head = LogisticRegression(C="cv" if dense else 1.0, **options).fit(
                rows(self.train), self.labels[self.train]
            )
            held_out = score(self.labels[self.test].tolist(), head.predict(rows(self.test)).tolist())
            inside = self._inside(rows, LogisticRegression(C=head.C_, **options))
            row = {
                **facts,
                "class_weight": class_weight,
                "C": head.C_,
                "inside_mean": float(np.mean(inside)),
                "inside_sd": float(np.std(inside, ddof=1)),
                "held_out_f1": held_out.f1_of("1"),
                "held_out_weighted_f1": held_out.weighted_f1,
                "seconds": time.perf_counter() - start,
            }
            self.rows.append(row)
            print(
                f"{name:44} C {head.C_:<8.3g} inside {row['inside_mean']:.4f} ± {row['inside_sd']:.4f}   held out"
                f" {row['held_out_f1']:.4f}   weighted {row['held_out_weighted_f1']:.4f}   {row['seconds']:.1f} s",
                flush=True,
            )

    def _inside(self, rows, head: LogisticRegression) -> list[float]:
        labels = self.labels[self.train]
        folds = stratified_folds(labels, 5, seed=42)
        scores = []
        for fold in range(5):
            learned, judged = self.train[folds != fold], self.train[folds == fold]
            head.fit(rows(learned), self.labels[learned])
            scores.append(score(self.labels[judged].tolist(), head.predict(rows(judged)).tolist()).f1_of("1"))
        return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tweets")
    parser.add_argument("--quick", action="store_true", help="two poolings, no cleaning")
    parser.add_argument("--only", default="", help="only rows whose name holds this, for instance 'balanced'")
    arguments = parser.parse_args()

    table = Table(source=arguments.data / "train.csv").rows(["tweet", "label"])
    pairs = [(row.values["tweet"], row.values["label"]) for row in table]
    texts = [text for text, _ in pairs]
    trial = Trial([label for _, label in pairs], arguments.only)
    elmo = Elmo.load(arguments.model)
    print(f"{elmo}: {len(trial.train)} tweets to learn from, {len(trial.test)} held out")

    for analyzer in ("words", "characters"):
        tfidf = Tfidf(analyzer=analyzer, sublinear=True).fit([texts[i] for i in trial.train])
        trial.judge(tfidf.transform(texts), {"features": f"TF-IDF {analyzer}"})
    for cleaning, recipe in CLEANINGS.items() if not arguments.quick else [("none", ())]:
        cleaned = [clean(text, recipe) for text in texts]
        for pooling, layers, features in elmo_features(elmo, cleaned, quick=arguments.quick):
            facts = {"features": "ELMo", "cleaning": cleaning, "pooling": pooling, "layers": layers}
            trial.judge(features, facts)

    ours = [row for row in trial.rows if row["features"] == "ELMo"]
    chosen = max(ours, key=lambda row: row["inside_mean"]) if ours else None
    print(f"chosen by the figures inside: {chosen}")
    result = {
        "benchmark": "quality_tweets",
        "model": elmo.name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}",
        "chosen": chosen,
        "rows": trial.rows,
    }
    line = json.dumps(result)
    (Path(__file__).parent / "results" / "quality_tweets.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
