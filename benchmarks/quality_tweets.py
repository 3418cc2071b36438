"""The tutorial's tweets: cleaning × pooling × layers × class weights, beside TF-IDF, and their votes together.

    python benchmarks/quality_tweets.py [--model default] [--data ../shared/data/tweets] [--quick] [--submission FILE]

Every row learns from the same 80 % (train_test_split, seed 42) with the penalty's strength chosen by cross-
validation inside them. "inside" is the 5-fold F1 of class 1 within the 80 %, and the only figure that a row may be
chosen by; "held out" is the F1 on the other 20 %, looked at once. Features are encoded once per cleaning and
pooling. "votes" adds up the log-odds of TF-IDF of characters, TF-IDF of words and the best ELMo row, each divided
by its spread, with the shares (in tenths) that are best inside. A submission (id, label) for test.csv is written by
the best row inside. The last line is JSON, also written to benchmarks/results/NAME.json (--name, "quality_tweets"
if not given).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from elmokit.atomic import atomic_path
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
        self.votes: list[np.ndarray] = []  # of each row, log-odds for class 1: out of fold inside, then held out

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
            votes = log_odds(head, rows(self.test))
            inside, out_of_fold = self._inside(rows, LogisticRegression(C=head.C_, **options))
            self.votes.append(np.concatenate([out_of_fold, votes]))
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

    def _inside(self, rows, head: LogisticRegression) -> tuple[list[float], np.ndarray]:
        """F1 of each fold inside the training part, and log-odds from the head that had not seen the row."""
        labels = self.labels[self.train]
        folds = stratified_folds(labels, 5, seed=42)
        scores, votes = [], np.zeros(len(labels))
        for fold in range(5):
            learned, judged = self.train[folds != fold], self.train[folds == fold]
            head.fit(rows(learned), self.labels[learned])
            scores.append(score(self.labels[judged].tolist(), head.predict(rows(judged)).tolist()).f1_of("1"))
            votes[folds == fold] = log_odds(head, rows(judged))
        return scores, votes

    def vote(self) -> dict[str, object] | None:
        """Votes of characters, words and the best ELMo row together; None without all three."""
        weighted = [(row, votes) for row, votes in zip(self.rows, self.votes, strict=True) if row["class_weight"]]
        members = []
        for wanted in ("TF-IDF characters", "TF-IDF words", "ELMo"):
            own = [pair for pair in weighted if pair[0]["features"] == wanted]
            if not own:
                return None
            members.append(max(own, key=lambda pair: pair[0]["inside_mean"]))
        n = len(self.train)
        votes = np.stack([votes / votes[:n].std() for _, votes in members])
        truth, folds = self.labels == "1", stratified_folds(self.labels[self.train], 5, seed=42)

        def f1(shares, rows=slice(None)):
            said = (np.array(shares) @ votes[:, :n] > 0)[rows]
            return f1_of(truth[self.train][rows], said)

        tenths = [(a / 10, b / 10, (10 - a - b) / 10) for a in range(11) for b in range(11 - a)]
        shares = max(tenths, key=f1)
        each = [f1(shares, folds == fold) for fold in range(5)]
        row = {
            "features": "votes",
            "of": [" · ".join(str(r.get(k)) for k in ("features", "pooling", "layers") if k in r) for r, _ in members],
            "shares": shares,
            "class_weight": "balanced",
            "inside_mean": float(np.mean(each)),
            "inside_sd": float(np.std(each, ddof=1)),
            "held_out_f1": f1_of(truth[self.test], np.array(shares) @ votes[:, n:] > 0),
        }
        self.rows.append(row)
        print(f"votes {row['of']} {shares}: inside {row['inside_mean']:.4f}, held out {row['held_out_f1']:.4f}")
        return row


def log_odds(head: LogisticRegression, features) -> np.ndarray:
    """For class "1". Shape (n,)."""
    chances = np.clip(head.predict_proba(features)[:, list(head.classes_).index("1")], 1e-9, 1 - 1e-9)
    return np.log(chances) - np.log1p(-chances)


def f1_of(truth: np.ndarray, said: np.ndarray) -> float:
    """F1 of the true ones."""
    return float(2 * (truth & said).sum() / max(truth.sum() + said.sum(), 1))


def submit(chosen, elmo: Elmo, texts: list[str], labels: np.ndarray, test: Path, out: Path) -> None:
    """Learn the chosen row again from all tweets and label the test set: columns id and label."""
    rows = [(row.values["id"], row.values["tweet"]) for row in Table(source=test).rows(["id", "tweet"])]
    new = [text for _, text in rows]
    votes = np.zeros(len(new))
    members = chosen["of"] if chosen["features"] == "votes" else [chosen["features"]]
    for name, share in zip(members, chosen.get("shares", (1.0,)), strict=True):
        kind, *rest = name.split(" · ")
        if kind == "ELMo":
            pooling, layers = rest or (chosen["pooling"], chosen["layers"])
            layers = int(layers) if layers.isdigit() else layers
            known, unknown = (elmo.encode(some, pooling=pooling, layers=layers) for some in (texts, new))
            head = LogisticRegression(C="cv", class_weight="balanced", standardize=True)
        else:
            tfidf = Tfidf(analyzer=kind.split()[1], sublinear=True).fit(texts)
            known, unknown = tfidf.transform(texts), tfidf.transform(new)
            head = LogisticRegression(C=1.0, class_weight="balanced")
        head.fit(known, labels)
        votes += share * log_odds(head, unknown) / log_odds(head, known).std()
    with atomic_path(out) as path, path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "label"), *((i, int(v > 0)) for (i, _), v in zip(rows, votes, strict=True))])
    print(f"{out}: {len(new)} labels, {int((votes > 0).sum())} of them 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tweets")
    parser.add_argument("--quick", action="store_true", help="two poolings, no cleaning")
    parser.add_argument("--name", default="quality_tweets", help="of the file of results")
    parser.add_argument("--submission", type=Path, help="write labels for test.csv here, in the tutorial's form")
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

    trial.vote()
    chosen = max(trial.rows, key=lambda row: row["inside_mean"]) if trial.rows else None
    print(f"chosen by the figures inside: {chosen}")
    result = {
        "benchmark": "quality_tweets",
        "model": elmo.name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}",
        "chosen": chosen,
        "rows": trial.rows,
    }
    line = json.dumps(result)
    (Path(__file__).parent / "results" / f"{arguments.name}.json").write_text(line + "\n")
    if arguments.submission:
        submit(chosen, elmo, texts, trial.labels, arguments.data / "test.csv", arguments.submission)
    print(line)


if __name__ == "__main__":
    main()
