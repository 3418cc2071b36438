"""Do evaluation texts stand in the training texts? Equal lines, and runs of eight words, per set and corpus file.

    python benchmarks/check_contamination.py --data ../shared/data --corpus ../shared/corpus
    python benchmarks/check_contamination.py --data ../shared/data --corpus ../shared/corpus --clean runs/clean

The second also writes every corpus file without the lines that are found (an equal line of five words or more, or a
shared run of eight): what a model is trained on. Run the first on that folder to see that nothing is left.

Texts are normalised first (lower case; links, mentions, marks and apostrophes dropped; the blanks that treebanks put
before "n't" and "'s" closed). A text of fewer than five words says nothing ("to win"): those are counted apart.
Only words of the evaluation texts get a number, runs and lines become 64-bit hashes (chance of a false hit below
1e-6), so memory is that of the evaluation texts, whatever the corpus holds: 128 million words take some minutes.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from evaluation_sets import SETS, Pairs, Texts

from elmokit.data.tables import Table
from elmokit.files import atomic_path

RUN = 8
SHORT = 5
BLOCK = 50_000
_DROPPED = re.compile(r"https?://\S+|www\.\S+|@\w+|['’`]")
_CLOSED = re.compile(r" (?=(?:n't|'s|'re|'ve|'ll|'d|'m)\b)")
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    return _WORD.findall(_DROPPED.sub("", _CLOSED.sub("", text.lower())))


def texts_of_sets(folder: Path) -> Iterator[tuple[str, Iterable[str]]]:
    for one in SETS:
        if one.name in ("tweets-5", "SICK-R"):
            continue  # the same texts as another row
        try:
            examples = one.read(folder)
        except FileNotFoundError as error:
            print(f"skipped {one.name}: {error}")
            continue
        if isinstance(examples, Texts):
            yield one.name, examples.texts
        elif isinstance(examples, Pairs):
            yield one.name, [*examples.first, *examples.second]
        else:
            yield one.name, (" ".join(words) for words in examples.sentences)
    if (folder / "tweets/test.csv").is_file():
        rows = Table(source=folder / "tweets/test.csv").rows(["tweet"])
        yield "tweets (unlabelled test)", [row.values["tweet"] for row in rows]
    for name, column in (("CoNLL2003", 0), ("CoNLL2000", 0), ("UD_EWT", 1), ("WNUT17", 0)):
        if (folder / name).is_dir():
            files = [
                f for f in sorted((folder / name).iterdir()) if f.suffix not in (".md", ".txt") or name != "UD_EWT"
            ]
            yield name, sentences_of(files, column)


def sentences_of(files: list[Path], column: int) -> Iterator[str]:
    """Sentences of files with a word a line and a blank line between sentences."""
    for file in files:
        if file.suffix == ".md" or file.name in ("README", "LICENSE.txt"):
            continue
        words: list[str] = []
        for line in [*file.read_text(encoding="utf-8", errors="replace").split("\n"), ""]:
            fields = line.split()
            if not fields:
                if words:
                    yield " ".join(words)
                words = []
            elif not line.startswith(("#", "-DOCSTART-")) and len(fields) > column:
                if column and not fields[0].isdigit():
                    continue  # "8-9 don't" stands above "8 do" and "9 n't"
                words.append(fields[column])


class Hashes:
    """Word numbers and hashes of runs and lines."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        random = np.random.default_rng(0)
        self.powers = random.integers(1, 2**63, size=4096, dtype=np.uint64) * 2 + 1
        self.random = random

    def learn(self, words: Iterable[str]) -> None:
        """Number the words that are new."""
        for word in words:
            self.numbers.setdefault(word, len(self.numbers) + 1)

    def freeze(self) -> None:
        """All words are known: draw their values."""
        self.values = self.random.integers(1, 2**63, size=len(self.numbers) + 1, dtype=np.uint64)

    def of(self, lines: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes of whole lines (0: has an unknown word), of runs, and the line of each run."""
        lengths = np.array([len(line) for line in lines])
        get = self.numbers.get
        ids = np.fromiter((get(w, 0) for line in lines for w in line), dtype=np.int64, count=lengths.sum())
        starts = np.concatenate([[0], np.cumsum(lengths)])
        line_of = np.repeat(np.arange(len(lines)), lengths)
        values = self.values[ids]
        inside = values * self.powers[np.minimum(np.arange(len(ids)) - starts[line_of], 4095)]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(inside, dtype=np.uint64)])
        unknown = np.concatenate([[0], np.cumsum(ids == 0)])
        whole = np.where(unknown[starts[1:]] == unknown[starts[:-1]], sums[starts[1:]] - sums[starts[:-1]], 0)
        n = max(len(ids) - RUN + 1, 0)
        runs = np.zeros(n, dtype=np.uint64)
        for j in range(RUN):
            runs += values[j : j + n] * self.powers[j]
        good = (unknown[RUN : RUN + n] == unknown[:n]) & (line_of[RUN - 1 : RUN - 1 + n] == line_of[:n])
        return whole.astype(np.uint64), runs[good], line_of[:n][good]


def hits(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Places in the sorted `wanted` of those of `found` that are there."""
    places = np.searchsorted(wanted, found).clip(max=len(wanted) - 1)
    return np.unique(places[wanted[places] == found])


def corpus_lines(path: Path) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Blocks of lines as they stand and as words; lines without words are left out."""
    lines: list[str] = []
    block: list[list[str]] = []
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        for line in file:
            words = words_of(line)
            if words:
                lines.append(line)
                block.append(words)
            if len(block) == BLOCK:
                yield lines, block
                lines, block = [], []
    if block:
        yield lines, block


def check(data: Path, corpus: Path, names: list[str] | None, clean: Path | None) -> Iterator[list[dict[str, object]]]:
    hashes = Hashes()
    sets = {name: [w for w in map(words_of, texts) if w] for name, texts in texts_of_sets(data)}
    for lines in sets.values():
        for line in lines:
            hashes.learn(line)
    hashes.freeze()
    hashed = {name: hashes.of(lines) for name, lines in sets.items()}
    all_lines = np.unique(np.concatenate([whole for whole, _, _ in hashed.values()]))
    all_runs = np.unique(np.concatenate([runs for _, runs, _ in hashed.values()]))
    rows: list[dict[str, object]] = []
    for path in sorted([*corpus.glob("*.txt.xz"), *corpus.glob("*.txt")], key=lambda path: path.stat().st_size):
        name = path.name.partition(".")[0]
        if names and name not in names:
            continue
        start = time.perf_counter()
        lines_hit, runs_hit, n_lines = np.zeros(len(all_lines), bool), np.zeros(len(all_runs), bool), 0
        n_kept = 0
        with keeper(clean, name) as keep:
            for lines, block in corpus_lines(path):
                whole, runs, line_of = hashes.of(block)
                lines_hit[hits(all_lines, whole[whole > 0])] = True
                runs_hit[hits(all_runs, runs)] = True
                n_lines += len(block)
                found = np.isin(whole, all_lines) & (whole > 0) & np.array([len(words) >= SHORT for words in block])
                found[line_of[np.isin(runs, all_runs)]] = True
                n_kept += keep(line for line, leave_out in zip(lines, found, strict=True) if not leave_out)
        seen_lines, seen_runs = all_lines[lines_hit], all_runs[runs_hit]
        for set_name, lines in sets.items():
            rows.append(row(name, set_name, lines, hashed[set_name], seen_lines, seen_runs))
        kept = f", {n_kept:,} kept" if clean else ""
        print(f"{name}: {n_lines:,} lines{kept}, {time.perf_counter() - start:.0f} s", flush=True)
        yield rows


@contextmanager
def keeper(folder: Path | None, name: str) -> Iterator[Callable[[Iterable[str]], int]]:
    """A function that writes lines to FOLDER/NAME.txt and counts them; without a folder it does nothing."""
    if folder is None:
        yield lambda _: 0
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{name}.txt") as path, path.open("w", encoding="utf-8") as file:

        def keep(lines: Iterable[str]) -> int:
            lines = list(lines)
            file.writelines(lines)
            return len(lines)

        yield keep


def row(corpus: str, name: str, lines: list[list[str]], hashed, seen_lines, seen_runs) -> dict[str, object]:
    whole, runs, line_of = hashed
    equal = np.isin(whole, seen_lines) & (whole > 0)
    long = np.array([len(line) >= SHORT for line in lines])
    in_corpus = np.isin(runs, seen_runs)
    with_runs = len(np.unique(line_of))
    return {
        "corpus": corpus,
        "set": name,
        "texts": len(lines),
        "equal": int((equal & long).sum()),
        "equal_short": int((equal & ~long).sum()),
        "texts_with_runs": with_runs,
        "texts_sharing_a_run": len(np.unique(line_of[in_corpus])),
        "run_rate": round(float(in_corpus.mean()), 6) if len(runs) else 0.0,
        "examples": [" ".join(lines[i]) for i in np.flatnonzero(equal & long)[:3]],
        "shared": [" ".join(lines[i])[:160] for i in np.unique(line_of[in_corpus])[:3]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--files", help="names of corpus files, with commas; all if not given")
    parser.add_argument("--clean", type=Path, help="write the files here without the lines that are found")
    parser.add_argument("--examples", action="store_true", help="print some of the texts that were found")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/contamination.json")
    arguments = parser.parse_args()
    start = time.perf_counter()
    chosen = arguments.files.split(",") if arguments.files else None
    rows: list[dict[str, object]] = []
    for rows in check(arguments.data, arguments.corpus, chosen, arguments.clean):
        result = summary(rows, time.perf_counter() - start)  # after each file: a run that is cut off loses nothing
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(rows)
    if arguments.examples:
        show_examples(rows)
    print(json.dumps({k: v for k, v in result.items() if k not in ("rows", "sets", "files")}))


def show_examples(rows: list[dict[str, object]]) -> None:
    for r in rows:
        for kind in ("examples", "shared"):
            for text in r[kind]:
                print(f"{r['set']} in {r['corpus']}, {'equal' if kind == 'examples' else 'a run'}: {text}")


def show(rows: list[dict[str, object]]) -> None:
    sets = sorted({str(r["set"]) for r in rows})
    print(f"\n{'set':26}{'texts':>8}{'equal':>7}{'short':>7}{'sharing 8 words':>17}{'most from':>28}")
    for name in sets:
        own = [r for r in rows if r["set"] == name]
        most = max(own, key=lambda r: r["texts_sharing_a_run"])
        totals = [sum(int(r[k]) for r in own) for k in ("equal", "equal_short", "texts_sharing_a_run")]
        print(
            f"{name:26}{own[0]['texts']:>8}{totals[0]:>7}{totals[1]:>7}{totals[2]:>17}"
            f"{most['corpus'] + ' ' + str(most['texts_sharing_a_run']):>28}"
        )


def summary(rows: list[dict[str, object]], seconds: float) -> dict[str, object]:
    return {
        "benchmark": "contamination",
        "run_words": RUN,
        "short_below_words": SHORT,
        "equal_lines": sum(int(r["equal"]) for r in rows),
        "seconds": round(seconds, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rows": [
            {key: value for key, value in r.items() if key not in ("examples", "shared")}  # the sets' texts stay out
            for r in rows
            if r["equal"] or r["equal_short"] or r["texts_sharing_a_run"]
        ],
        "sets": {str(r["set"]): r["texts"] for r in rows},
        "files": sorted({str(r["corpus"]) for r in rows}),
    }


if __name__ == "__main__":
    main()
