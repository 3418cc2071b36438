"""`elmokit cluster` and `elmokit map`: what the texts of a file are about, as clusters and as a map."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from elmokit.cli import options, texts
from elmokit.cli.commands import option
from elmokit.cli.screen import Screen
from elmokit.errors import ConfigError


def cluster(
    screen: Screen,
    *,
    source: options.Source,
    out: str = option(..., "Where to: .csv, .tsv, .jsonl or .parquet.", "--out", "-o"),
    clusters: str = option("auto", 'How many, or "auto": 2 to 12, by the largest silhouette.', "--clusters", "-k"),
    text: options.TextColumn = "text",
    seed: options.Seed = 0,
    vectors: options.VectorOptions,
    json_file: options.JsonFile = None,
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Group texts by k-means and name each cluster by the words it uses more than the others (extra "tasks").

    Example:  elmokit cluster tweets.csv --text tweet --clusters 8 --out groups.csv
    """
    from elmokit.data.outputs import table_file

    n_clusters = _number(clusters)
    rows, words = texts.read_texts(screen, reading, source, text)
    points = _points(screen, model, words, vectors)
    numbers, labels, silhouette = _clustered(screen, points, words, n_clusters, seed)
    with table_file(out, ["row", "cluster", "label", "text"]) as write:
        for row, number, shown in zip(rows, numbers, words, strict=True):
            write([row.number, number + 1, labels[number], shown])
    sizes = [(number + 1, numbers.count(number), label) for number, label in enumerate(labels)]
    screen.table(["cluster", "texts", "words"], [(str(number), f"{n:,}", label) for number, n, label in sizes])
    summary = [dict(zip(("cluster", "texts", "words"), one, strict=True)) for one in sizes]
    texts.write_json(json_file, {"silhouette": silhouette, "clusters": summary})
    chosen = "" if silhouette is None else f", chosen by silhouette ({silhouette:.3f})"
    screen.done(f"{out}: {len(rows):,} texts in {len(labels)} clusters{chosen}")


def map_texts(
    screen: Screen,
    *,
    source: options.Source,
    out: str = option(..., "Output file: .html (interactive) or .png.", "--out", "-o"),
    method: str = option("pca", '"umap" needs the extra "umap".', metavar="pca|umap"),
    color: str | None = option(None, "A column whose values give the colors.", "--color", "--colour"),
    clusters: str | None = option(None, 'Color by clusters: their number, or "auto".', "--clusters", "-k"),
    text: options.TextColumn = "text",
    seed: options.Seed = 0,
    vectors: options.VectorOptions,
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Draw a map of texts, similar texts close together: an HTML page or a PNG (extras "tasks", "plots").

    Example:  elmokit map tweets.csv --text tweet --color label --out map.html
    """
    from elmokit.tasks.maps import draw_map, plane_of, write_map_page

    suffix = Path(out).suffix.lower()
    if suffix not in (".html", ".png") or (color and clusters):
        raise ConfigError(f"--out {out}: expected .html or .png; and give --color or --clusters, not both.")
    rows, words = texts.read_texts(screen, reading, source, text, *([color] if color else []))
    points = _points(screen, model, words, vectors)
    plane = plane_of(points, method=method, seed=seed)  # type: ignore[arg-type]
    groups = [row.values[color] for row in rows] if color else None
    if clusters:
        numbers, labels, _ = _clustered(screen, points, words, _number(clusters), seed)
        groups = [f"{number + 1}: {labels[number]}" for number in numbers]
    title = f"{Path(source).name}: {len(rows):,} texts, {method.upper()}, {date.today().isoformat()}"
    if suffix == ".html":
        write_map_page(out, plane, words, groups, title=title, rows=[row.number for row in rows])
    else:
        draw_map(out, plane, groups, title=title)
    kept = "" if plane.share is None else f"; the plane keeps {plane.share:.0%} of the vectors' variance"
    screen.done(f"{out}: {len(rows):,} texts{kept}")


def _points(screen: Screen, model: options.ModelOptions, words: list[str], vectors: options.VectorOptions) -> Any:
    """Centered vectors of length 1. Shape (N, D)."""
    from elmokit.tasks.similar import directions, mean_of

    encoded = model.load(screen).encode(words, vectors.encoding(), show_progress=screen.show_progress)
    return directions(encoded, mean=mean_of(encoded))


def _number(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f'--clusters is {text!r}; expected a number of 1 or more, or "auto".')
    return int(text)


def _clustered(
    screen: Screen, points: Any, words: list[str], n_clusters: int | None, seed: int
) -> tuple[list[int], list[str], float | None]:
    """The cluster of each text, the label of each cluster, and the silhouette if it chose their number."""
    from elmokit.tasks.cluster import cluster_texts, cluster_words, looks_english

    clusters = cluster_texts(points, n_clusters, seed=seed)
    english = looks_english(words)
    if not english:
        screen.note("the texts do not look English, the only language scikit-learn has stop words for: names keep them")
    names = cluster_words(words, clusters.numbers, stop_words="english" if english else None)
    return clusters.numbers.tolist(), [" ".join(of_one) for of_one in names], clusters.silhouette
