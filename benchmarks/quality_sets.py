"""A model over the standard sets in several poolings and layers, beside TF-IDF and published figures.

    python benchmarks/quality_sets.py --data ../shared/data [--model default] [--sets MR,TREC] [--variants mean:all,…]

A variant is pooling:layers, with ":balanced" behind it for class weights. Each set is encoded once (mean and maximum of
all layers); variants are columns cut out of that, so that a sweep costs little more than one row. Figures of sets
with several variants are to be read together: choosing the best column per set would be choosing on the test part.
The table is for people; the last line is JSON, also written to benchmarks/results/quality_sets.json after each set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from elmokit.elmo import Elmo
from elmokit.evaluation import SETS, ElmoEncoder, Evaluation, TfidfEncoder, evaluate
from elmokit.evaluation.encoders import Encoder
from elmokit.tasks.pairs import pair_features

VARIANTS = "mean:all,mean:mix,mean:0,mean:1,mean:2,mean+max:all,mean:all:balanced"
ONE_VARIANT = ("MRPC", "SICK-E", "SICK-R", "STSB", "WiC", "SCWS")
"""Sets that only the first variant is judged on: pairs are twice as wide, words have no pooling."""


@dataclass
class Once:
    """Encodes every list of texts once, whole; a set later it is forgotten."""

    elmo: Elmo
    texts: list[str] = field(default_factory=list)
    found: np.ndarray | None = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Mean and maximum of all layers. Shape (n, 2 L 2P)."""
        if self.found is None or self.texts != list(texts):
            self.texts = list(texts)
            self.found = self.elmo.encode(self.texts, pooling="mean+max", layers="all", show_progress=False)
        return self.found


@dataclass
class Variant:
    """Columns of what `Once` encodes."""

    once: Once
    name: str
    pooling: str
    layers: str

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """A vector per text."""
        whole, elmo = self.once.encode(texts), self.once.elmo
        if self.layers == "all" and self.pooling == "mean+max":
            return whole
        if self.pooling not in ("mean", "max", "mean+max") or (self.layers == "mix" and self.pooling != "mean"):
            layers = int(self.layers) if self.layers.lstrip("-").isdigit() else self.layers
            return elmo.encode(texts, pooling=self.pooling, layers=layers, show_progress=False)
        by = whole.reshape(len(whole), 2, elmo.n_layers, elmo.dim)
        by = by[:, {"mean": slice(0, 1), "max": slice(1, 2), "mean+max": slice(0, 2)}[self.pooling]]
        if self.layers == "mix":  # the mean of a weighted sum is the weighted sum of means
            shares = np.array(elmo.layer_mix.shares(elmo.n_layers), dtype=np.float32) * elmo.layer_mix.gamma
            return np.einsum("npld,l->npd", by, shares).reshape(len(whole), -1)
        chosen = by if self.layers == "all" else by[:, :, [int(self.layers)]]
        return np.ascontiguousarray(chosen.reshape(len(whole), -1))

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """|u − v| and u · v."""
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences: Sequence[Sequence[str]], places: np.ndarray) -> np.ndarray:
        """One word of each sentence in each layer."""
        return ElmoEncoder(self.once.elmo).words(sentences, places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", help="names with commas; all if not given")
    parser.add_argument("--variants", default=VARIANTS)
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/quality_sets.json")
    arguments = parser.parse_args()
    elmo, start = Elmo.load(arguments.model), time.perf_counter()
    once = Once(elmo)
    wanted = arguments.sets.split(",") if arguments.sets else [one.name for one in SETS]
    rows: list[dict[str, object]] = []
    skipped: list[dict[str, str]] = []
    for name in wanted:
        for column, evaluation in judged(once, name, arguments):
            rows += [
                {**row, "variant": column, "class_weight": evaluation.class_weight}
                for row in evaluation.to_dict()["results"]
            ]
            skipped += [s for s in evaluation.to_dict()["skipped"] if not s["encoder"]][:1]
        result = {
            "benchmark": "quality_sets",
            "model": elmo.name,
            "facts": {k: v for k, v in elmo.metadata.items() if isinstance(v, int | float | str)},
            "seconds": round(time.perf_counter() - start, 1),
            "results": rows,
            "published": {s.name: s.published.__dict__ for s in SETS if s.published and s.name in wanted},
            "skipped": skipped,
        }
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(rows)
    short = {f"{r['set']} {r['variant']}": r["value"] for r in rows}
    print(json.dumps({"benchmark": "quality_sets", "model": elmo.name, "values": short}))


def judged(once: Once, name: str, arguments: argparse.Namespace) -> list[tuple[str, Evaluation]]:
    """One set in every variant, printed as it comes."""
    found = []
    variants = arguments.variants.split(",")
    for text in variants[:1] if name in ONE_VARIANT else variants:
        pooling, layers, *rest = text.split(":")
        encoder: Encoder = Variant(once, text, pooling, layers)
        weight = rest[0] if rest else None
        found.append((text, evaluate([encoder], arguments.data, sets=[name], class_weight=weight)))
        tell(*found[-1])
    if arguments.baseline:
        found.append(("TF-IDF", evaluate([TfidfEncoder()], arguments.data, sets=[name])))
        tell(*found[-1])
    return found


def tell(column: str, evaluation: Evaluation) -> None:
    for r in evaluation.results:
        about = f"{r.seconds:6.1f} s  {dict(r.chosen)}"
        print(f"{r.set:9} {column:22} {r.metric:9} {r.value:6.2f}  {about}", flush=True)


def show(rows: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(str(r["variant"]) for r in rows))
    print("\n" + " " * 20 + "".join(f"{column[:16]:>17}" for column in [*columns, "ELMo, published"]))
    for one in SETS:
        values = {r["variant"]: r["value"] for r in rows if r["set"] == one.name}
        if values:
            cells = [f"{values[c]:.2f}" if c in values else "–" for c in columns]
            cells.append("" if one.published is None else f"{one.published.value:.1f} [{one.published.mark}]")
            print(f"{one.name:9} {one.metric:10}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
