"""A model on the standard evaluation sets in several poolings and layers, beside TF-IDF.

    python benchmarks/quality_sets.py [--model default] [--sets MR,TREC] [--variants mean:all,…] [--beside tfidf,…]

A variant is pooling:layers, with ":balanced" behind it for class weights. Each set is encoded once (mean and maximum of
all layers); the variants are columns of that. Read the variants of a set together: choosing the best one per set
would be choosing on the test part. `--beside` names other models (`encoders.py`); `--speed 1500` measures texts per
second of processor time on so many tweets. The sets lie in $ELMOKIT_SHARED/data. The last line is JSON, also written
to benchmarks/results/quality_sets.json after each set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from encoders import find_encoder, texts_per_second
from evaluation_sets import SETS, find_set
from protocols import ElmoEncoder, evaluate, pair_features
from workload import SHARED

from elmokit.elmo import Elmo

VARIANTS = "mean:all,mean:mix,mean:0,mean:1,mean:2,mean+max:all,mean:all:balanced"
ONE_VARIANT = ("MRPC", "SICK-E", "SICK-R", "STSB", "WiC", "SCWS")
"""Sets scored in the first variant only: pair features are twice as wide, word vectors have no pooling."""


class Vectors:
    """Encodes each list of texts once, and keeps the two newest."""

    def __init__(self, elmo: Elmo) -> None:
        self.elmo = elmo
        self.kept: dict[tuple[str, ...], np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Mean and maximum of all layers. Shape (n, 2 L 2P)."""
        key = tuple(texts)
        if key not in self.kept:
            self.kept = dict(list(self.kept.items())[-1:])
            self.kept[key] = self.elmo.encode(texts, pooling="mean+max", layers="all", show_progress=False)
        return self.kept[key]


@dataclass
class Variant:
    """One pooling and choice of layers, cut out of what `Vectors` encodes."""

    vectors: Vectors
    name: str
    pooling: str
    layers: str

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """A vector per text. Shape (n, d)."""
        elmo = self.vectors.elmo
        if self.pooling not in ("mean", "max", "mean+max") or (self.layers == "mix" and self.pooling != "mean"):
            layers = int(self.layers) if self.layers.lstrip("-").isdigit() else self.layers
            return elmo.encode(texts, pooling=self.pooling, layers=layers, show_progress=False)
        whole = self.vectors.encode(texts)
        by = whole.reshape(len(whole), 2, elmo.n_layers, elmo.dim)
        by = by[:, {"mean": slice(0, 1), "max": slice(1, 2), "mean+max": slice(0, 2)}[self.pooling]]
        if self.layers == "mix":  # the mean of a weighted sum is the weighted sum of the means
            shares = np.array(elmo.layer_mix.shares(elmo.n_layers), dtype=np.float32) * elmo.layer_mix.gamma
            mixed = np.einsum("npld,l->npd", by, shares).reshape(len(whole), -1)
            return mixed if elmo.whitening is None else mixed @ elmo.whitening
        chosen = by if self.layers == "all" else by[:, :, [int(self.layers)]]
        return np.ascontiguousarray(chosen.reshape(len(whole), -1))

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Features of how two texts relate. Shape (n, e)."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences: Sequence[Sequence[str]], positions: np.ndarray) -> np.ndarray:
        """One word of each tokenised sentence in every layer. Shape (L, n, 2P)."""
        return ElmoEncoder(self.vectors.elmo).words(sentences, positions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--sets", default=",".join(one.name for one in SETS))
    parser.add_argument("--variants", default=VARIANTS)
    parser.add_argument("--beside", default="tfidf", help="other models, with commas; '' for none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/quality_sets.json")
    parser.add_argument("--speed", type=int, default=0, help="texts to measure speed with")
    arguments = parser.parse_args()
    elmo, start = Elmo.load(arguments.model), time.perf_counter()
    vectors, rows, skipped = Vectors(elmo), [], []
    beside = [find_encoder(text) for text in arguments.beside.split(",") if text]
    speeds = measure_speed(elmo, beside, arguments) if arguments.speed else {}
    for name in filter(None, arguments.sets.split(",")):
        try:
            rows += score_set(vectors, name, arguments, beside)
        except FileNotFoundError as error:
            skipped.append({"set": name, "reason": str(error)})
            print(f"{name:9} skipped: {error}", flush=True)
        result: dict[str, Any] = {
            "benchmark": "quality_sets",
            "model": elmo.name,
            "seconds": round(time.perf_counter() - start, 1),
            "results": rows,
            "published": {s.name: s.published.__dict__ for s in SETS if s.published},
            "skipped": skipped,
            "texts_per_second": speeds,
            "megabytes": {encoder.name: getattr(encoder, "megabytes", 0.0) for encoder in beside},
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(rows)
    short = {f"{r['set']} {r['variant']}": r["value"] for r in rows}
    print(json.dumps({"benchmark": "quality_sets", "model": elmo.name, "values": short}))


def measure_speed(elmo: Elmo, beside: list[Any], arguments: argparse.Namespace) -> dict[str, float]:
    """Texts per second of processor time, of the default vectors and of the models beside them."""
    tweets: Any = find_set("tweets").read(arguments.data)
    texts = tweets.texts[: arguments.speed]
    speeds = texts_per_second([ElmoEncoder(elmo, layers="mix", name="default"), *beside], texts)
    print("texts per second of processor time:", speeds, flush=True)
    return speeds


def score_set(vectors: Vectors, name: str, arguments: argparse.Namespace, beside: list[Any]) -> list[dict[str, object]]:
    """One set in every variant and by the other models, printed as they come."""
    one = find_set(name)
    examples = one.read(arguments.data)
    variants = [text for text in arguments.variants.split(",") if text]
    encoders = []
    for text in variants[:1] if name in ONE_VARIANT else variants:
        pooling, layers, *weight = text.split(":")
        encoders.append((Variant(vectors, text, pooling, layers), weight[0] if weight else None))
    encoders += [(encoder, None) for encoder in beside]
    rows = []
    for encoder, weight in encoders:
        start = time.perf_counter()
        figures = evaluate(one, examples, encoder, class_weight=weight)
        if figures is None:
            continue
        seconds = round(time.perf_counter() - start, 1)
        row = {
            "set": name,
            "variant": encoder.name,
            "metric": one.metric,
            "value": round(figures.values[one.metric], 2),
            "error": round(figures.errors.get(one.metric, 0.0), 2),
        }
        values = {metric: round(value, 2) for metric, value in figures.values.items()}
        row |= {"values": values, "n_test": figures.n_test, "chosen": dict(figures.chosen), "seconds": seconds}
        rows.append({**row, "class_weight": weight})
        value = f"{row['value']:6.2f} ± {row['error']:4.2f}"
        print(f"{name:9} {encoder.name:22} {one.metric:9} {value}  {seconds:6.1f} s  {row['chosen']}", flush=True)
    return rows


def show(rows: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(str(r["variant"]) for r in rows))
    print("\n" + " " * 20 + "".join(f"{column[:16]:>17}" for column in [*columns, "ELMo, published"]))
    for one in SETS:
        values = {r["variant"]: r["value"] for r in rows if r["set"] == one.name}
        if values:
            cells = [f"{values[c]:.2f}" if c in values else "–" for c in columns]
            cells.append("" if one.published is None else f"{one.published.value:.1f}")
            print(f"{one.name:9} {one.metric:10}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
