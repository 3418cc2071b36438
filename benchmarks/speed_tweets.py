"""Tweets per second of `elmokit embed`, as a user runs it: process, tokens, vectors and file included.

    python benchmarks/speed_tweets.py [--turns 5] [--shared ../shared]

Encodes the tutorial's 9,873 tweets (train.csv and test.csv) in turns of float32 and bfloat16, one process each, and
prints the median, the fastest and the slowest turn. Run it on an idle machine: the README states the median.
"""

import argparse
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from workload import SHARED

PRECISIONS = ("float32", "bfloat16")


def write_tweets(shared, path):
    """All tweets in one table; returns their number."""
    tweets = []
    for name in ("train.csv", "test.csv"):
        with (shared / "data" / "tweets" / name).open(encoding="utf-8", newline="") as file:
            tweets += [row["tweet"] for row in csv.DictReader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["tweet"], *([tweet] for tweet in tweets)])
    return len(tweets)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--shared", type=Path, default=SHARED)
    options = parser.parse_args()
    seconds = {precision: [] for precision in PRECISIONS}
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "tweets.csv", Path(folder) / "tweets.npz"
        n = write_tweets(options.shared.resolve(), table)
        for _ in range(options.turns):
            for precision in PRECISIONS:
                command = [sys.executable, "-m", "elmokit", "embed", table, "--text", "tweet", "--out", out]
                done = subprocess.run([*command, "--precision", precision], check=True, capture_output=True, text=True)
                seconds[precision].append(float(re.search(r"in ([\d.]+) s", done.stdout + done.stderr)[1]))
    load = os.getloadavg()[0]
    print(f"{n:,} tweets, {os.cpu_count()} cores, load {load:.1f} at the end")
    for precision, times in seconds.items():
        rates = sorted(n / time for time in times)
        print(f"{precision}: {statistics.median(rates):.0f} tweets/s (from {rates[0]:.0f} to {rates[-1]:.0f})")


if __name__ == "__main__":
    main()
