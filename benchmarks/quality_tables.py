"""Print the tables of docs/quality.md from the results of the quality benchmarks.

    python benchmarks/quality_tables.py [--results benchmarks/results]

Rows of `quality_sets.py` may lie in several files (quality_sets.json and quality_models.json, made with `--variants ""
--beside … --out …`); published figures stand in `PUBLISHED` with their source.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SETS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "SST5", "TREC", "MRPC", "SICK-E", "SICK-R", "STSB", "tweets-5")
NAMES = {
    "mean:mix": "**elmokit, default**",
    "mean:all": "elmokit, mean of all layers",
    "mean:0": "elmokit, layer 0",
    "default": "**elmokit, default**",
    "tuned": "elmokit, tuned on the titles, whitened again",
    "TF-IDF": "TF-IDF of words",
    "TF-IDF characters": "TF-IDF of characters",
    "model": "all-MiniLM-L6-v2",
    "model2vec m2v": "model2vec of all-MiniLM-L6-v2",
}
PUBLISHED = {
    "averaged GloVe (Reimers & Gurevych 2019, table 5, first row)": "77.3 78.3 91.2 87.9 80.2 – 83.0 72.9 – – – –",
    "InferSent (Conneau et al. 2017, table 4, AllNLI)": "81.1 86.3 92.4 90.2 84.6 – 88.2 76.2 86.3 88.4 – –",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    folder = parser.parse_args().results
    files = [read(folder / f"quality_{name}.json") for name in ("sets", "models")]
    show_sets([row for file in files for row in file.get("results", ())], files)
    curves = read(folder / "quality_curves.json").get("results", [])
    show_curves([row for row in curves if "labels" in row])
    show_misspelt([row for row in curves if row.get("misspelt")])
    show_tags(read(folder / "quality_tasks.json").get("results", []))


def read(path: Path) -> dict[str, Any]:
    """A results file; empty if it is not there."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def show_sets(rows: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> None:
    """Models by sets, with the standard error of each figure."""
    speeds, sizes = (
        {k: v for file in files for k, v in file.get(key, {}).items()} for key in ("texts_per_second", "megabytes")
    )
    speeds["mean:mix"], sizes["mean:mix"] = speeds.get("default", "–"), 23.5
    table("features", [*SETS, "MB", "texts/s"])
    for name in dict.fromkeys(row["variant"] for row in rows):
        values = {row["set"]: f"{row['value']:.1f} ± {row['error']:.1f}" for row in rows if row["variant"] == name}
        line(name, [*(values.get(one, "–") for one in SETS), sizes.get(name) or "–", speeds.get(name, "–")])
    for name, figures in PUBLISHED.items():
        line(name, [*figures.split(), "–", "–"])


def show_curves(rows: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy by the number of labelled texts."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    for name in sets:
        labels = sorted({row["labels"] for row in rows if row["set"] == name})
        table(f"{name}, labels", labels)
        for encoder in dict.fromkeys(row["encoder"] for row in rows if row["set"] == name):
            values = {r["labels"]: r for r in rows if (r["set"], r["encoder"]) == (name, encoder)}
            line(encoder, [f"{values[n]['accuracy']} ± {values[n]['sd']}" if n in values else "–" for n in labels])


def show_misspelt(rows: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy on clean and on misspelt texts."""
    table("set", ["features", "clean", "misspelt"])
    for row in rows:
        line(row["set"], [NAMES.get(row["encoder"], row["encoder"]), row["clean"], f"{row['accuracy']} ± {row['sd']}"])


def show_tags(rows: Sequence[Mapping[str, Any]]) -> None:
    """Taggers on all layers, on layer 0, and the most frequent tag."""
    columns = ("elmokit", "layer 0", "simple")
    table("set", ["metric", "all layers", "layer 0", "most frequent tag"])
    for name in dict.fromkeys(row["set"] for row in rows):
        values = {row["column"]: row for row in rows if row["set"] == name}
        if "elmokit" in values:
            cells = [f"{values[c]['value']:.1f}" if c in values else "–" for c in columns]
            line(name, [values["elmokit"]["metric"], *cells])


def table(first: str, columns: Iterable[Any]) -> None:
    columns = list(columns)
    print(f"\n| {first} | {' | '.join(map(str, columns))} |\n|---|{'---:|' * len(columns)}")


def line(name: str, cells: Iterable[Any]) -> None:
    print(f"| {NAMES.get(name, name)} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
