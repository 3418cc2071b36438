"""`elmokit cluster` and `elmokit map`: what the texts of a file are about, as clusters and as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options, texts

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

Number = Annotated[
    str, typer.Option("--clusters", "-k", help='How many, or "auto": 2 to 12, by the largest silhouette.')
]
Seed = Annotated[int, typer.Option(help="Seed of k-means and UMAP.")]


def cluster(
    ctx: typer.Context,
    source: options.Source,
    out: Annotated[str, typer.Option("--out", "-o", help="Where to: .csv, .tsv, .jsonl or .parquet.")],
    clusters: Number = "auto",
    text: options.TextColumn = "text",
    seed: Seed = 0,
    pooling: options.Pooling = "mean",
    layers: options.Layers = "mix",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Group texts by k-means and name each cluster by the words it uses more than the others (extra "tasks").

    Example:  elmokit cluster tweets.csv --text tweet --clusters 8 --out groups.csv
    """
    from rich.table import Table

    from elmokit.data.outputs import table_file
    from elmokit.tasks.similar import directions, mean_of

    screen: Screen = ctx.obj
    wanted = _number(clusters)
    table = reading.table(screen, source)
    text = texts.column_of(table, text)
    rows = texts.read_rows(screen, table, [text])
    words = [row.values[text] for row in rows]
    vectors = texts.vectors_of(screen, model.load(screen), words, pooling=pooling, layers=layers)
    points = directions(vectors, mean=mean_of(vectors))
    numbers, labels, silhouette = _clustered(screen, points, words, wanted, seed)
    with table_file(out, ["row", "cluster", "label", "text"]) as write:
        for row, number in zip(rows, numbers, strict=True):
            write([row.number, number + 1, labels[number], row.values[text]])
    shown = Table("cluster", "texts", "words")
    for number, label in enumerate(labels):
        shown.add_row(str(number + 1), f"{numbers.count(number):,}", label)
    screen.table(shown)
    chosen = "" if silhouette is None else f", chosen by silhouette ({silhouette:.3f})"
    screen.done(f"{out}: {len(rows):,} texts in {len(labels)} clusters{chosen}")


def map_texts(
    ctx: typer.Context,
    source: options.Source,
    out: Annotated[str, typer.Option("--out", "-o", help="Output file: .html (interactive) or .png.")],
    method: Annotated[str, typer.Option(metavar="pca|umap", help='"umap" needs the extra "umap".')] = "pca",
    colour: Annotated[
        str | None, typer.Option("--color", "--colour", help="A column whose values give the colors.")
    ] = None,
    clusters: Annotated[
        str | None, typer.Option("--clusters", "-k", help='Color by clusters: their number, or "auto".')
    ] = None,
    text: options.TextColumn = "text",
    seed: Seed = 0,
    pooling: options.Pooling = "mean",
    layers: options.Layers = "mix",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Draw a map of texts, similar texts close together: an HTML page or a PNG (extras "tasks", "plots").

    Example:  elmokit map tweets.csv --text tweet --color label --out map.html
    """
    from datetime import date
    from pathlib import Path

    from elmokit.errors import ConfigError
    from elmokit.tasks.maps import draw_map, plane_of, write_map_page
    from elmokit.tasks.similar import directions, mean_of

    screen: Screen = ctx.obj
    suffix = Path(out).suffix.lower()
    if suffix not in (".html", ".png") or (colour and clusters):
        raise ConfigError(f"--out {out}: expected .html or .png; and give --color or --clusters, not both.")
    table = reading.table(screen, source)
    text = texts.column_of(table, text)
    rows = texts.read_rows(screen, table, [text, *([colour] if colour else [])])
    words = [row.values[text] for row in rows]
    vectors = texts.vectors_of(screen, model.load(screen), words, pooling=pooling, layers=layers)
    points = directions(vectors, mean=mean_of(vectors))
    plane = plane_of(points, method=method, seed=seed)  # type: ignore[arg-type]
    groups = [row.values[colour] for row in rows] if colour else None
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


def _number(text: str) -> int | None:
    from elmokit.errors import ConfigError

    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f'--clusters is {text!r}; expected a number of 1 or more, or "auto".')
    return int(text)


def _clustered(
    screen: Screen, points: Any, words: list[str], wanted: int | None, seed: int
) -> tuple[list[int], list[str], float | None]:
    """The cluster of each text, the label of each cluster, and the silhouette if it chose their number."""
    from elmokit.tasks.cluster import cluster_texts, cluster_words, looks_english

    clusters = cluster_texts(points, wanted, seed=seed)
    english = looks_english(words)
    if not english:
        screen.note("the texts do not look English, the only language scikit-learn has stop words for: names keep them")
    names = cluster_words(words, clusters.numbers, stop_words="english" if english else None)
    return clusters.numbers.tolist(), [" ".join(of_one) for of_one in names], clusters.silhouette
