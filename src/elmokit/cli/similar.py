"""`elmokit similar`, `duplicates`, `cluster`, `map`, `answer` and `summarise`: the texts of a file, compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from elmokit.cli import options
from elmokit.cli.app import argument, option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Table


def similar(
    *,
    texts: options.TextOptions,
    query: list[str] | None = option(None, "Find texts similar to this one; may be repeated."),
    out: options.TableOut = "-",
    n: options.Count = 10,
    center: options.Centering = True,
    vectors: options.EncoderOptions,
) -> None:
    """Find the texts most similar to the queries, or, without queries, to each text of the file.

    Exact: every pair is compared. The file's vectors are held in memory (2.5 KB a text).

    Example:  elmokit similar tweets.csv --text tweet --query "my screen broke" --out like.csv
    """
    from elmokit.tasks.similar import directions, mean_of, nearest

    rows, words = texts.read()
    encoded = vectors.encode([*words, *(query or [])])
    mean = mean_of(encoded[: len(words)]) if center else None
    among = directions(encoded[: len(words)], mean=mean)
    nearby = nearest(directions(encoded[len(words) :], mean=mean) if query else among, among, n, skip_self=not query)
    names: list[Any] = list(query) if query else [row.number for row in rows]

    def lines() -> Iterator[list[Any]]:
        for name, numbers, cosines in zip(names, nearby.rows.tolist(), nearby.cosines.tolist(), strict=True):
            for rank, (number, cosine) in enumerate(zip(numbers, cosines, strict=True), 1):
                yield [name, rank, rows[number].number, round(cosine, 4), words[number]]

    options.write_table(out, ["query" if query else "row", "rank", "similar_row", "cosine", "text"], lines())
    screen.done(f"{out}: {nearby.rows.shape[1]} texts for each of {len(names):,}", out)


def duplicates(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    threshold: float = option(0.95, "Texts with a cosine above this are near-duplicates."),
    center: options.Centering = True,
    vectors: options.EncoderOptions,
) -> None:
    """Find groups of near-duplicates: texts linked by pairs whose cosine is above a threshold.

    Example:  elmokit duplicates tweets.csv --text tweet --threshold 0.97 --out groups.csv
    """
    from elmokit.tasks.similar import distinct_rows, duplicate_groups

    rows, words = texts.read()
    groups = duplicate_groups(_points(vectors, words, center=center), threshold=threshold)
    numbered = ((number, place) for number, group in enumerate(groups, 1) for place in group)
    lines = ([number, rows[place].number, words[place]] for number, place in numbered)
    options.write_table(out, ["group", "row", "text"], lines)
    left = len(distinct_rows(len(rows), groups))
    counts = f"{len(groups):,} groups; {left:,} of {len(rows):,} texts are left if each keeps its first"
    screen.note(f"{texts.source}: {counts}")


def cluster(
    *,
    texts: options.TextOptions,
    out: str = option(..., "Where to: .csv, .tsv, .jsonl or .parquet.", "--out", "-o"),
    clusters: str = option("auto", 'How many, or "auto": 2 to 12, by the largest silhouette.', "--clusters", "-k"),
    seed: options.Seed = 0,
    json_file: options.JsonFile = None,
    vectors: options.EncoderOptions,
) -> None:
    """Group texts by k-means and name each cluster by the words it uses more than the others (extra "tasks").

    Example:  elmokit cluster tweets.csv --text tweet --clusters 8 --out groups.csv
    """
    n_clusters = _number_of_clusters(clusters)
    rows, words = texts.read()
    numbers, labels, silhouette = _clustered(_points(vectors, words), words, n_clusters, seed)
    texts_of = zip(rows, numbers, words, strict=True)
    lines = ([row.number, number + 1, labels[number], shown] for row, number, shown in texts_of)
    options.write_table(out, ["row", "cluster", "label", "text"], lines)
    names = ("cluster", "texts", "words")
    sizes = [(number + 1, numbers.count(number), label) for number, label in enumerate(labels)]
    screen.table(names, [(str(number), f"{n:,}", label) for number, n, label in sizes])
    summary = [dict(zip(names, one, strict=True)) for one in sizes]
    options.write_json(json_file, {"silhouette": silhouette, "clusters": summary})
    chosen = "" if silhouette is None else f", chosen by silhouette ({silhouette:.3f})"
    screen.done(f"{out}: {len(rows):,} texts in {len(labels)} clusters{chosen}")


def map_texts(
    *,
    texts: options.TextOptions,
    out: str = option(..., "Output file: .html (interactive) or .png.", "--out", "-o"),
    method: str = option("pca", '"umap" needs the extra "umap".', metavar="pca|umap"),
    color: str | None = option(None, "A column whose values give the colors.", "--color", "--colour"),
    clusters: str | None = option(None, 'Color by clusters: their number, or "auto".', "--clusters", "-k"),
    seed: options.Seed = 0,
    vectors: options.EncoderOptions,
) -> None:
    """Draw a map of texts, similar texts close together: an HTML page or a PNG (extras "tasks", "plots").

    Example:  elmokit map tweets.csv --text tweet --color label --out map.html
    """
    from elmokit.tasks.maps import draw_map, plane_of, write_map_page

    suffix = Path(out).suffix.lower()
    if suffix not in (".html", ".png") or (color and clusters):
        raise ConfigError(f"--out {out}: expected .html or .png; and give --color or --clusters, not both.")
    rows, words = texts.read(*([color] if color else []))
    points = _points(vectors, words)
    plane = plane_of(points, method=method, seed=seed)  # type: ignore[arg-type]
    groups = [row.values[color] for row in rows] if color else None
    if clusters:
        numbers, labels, _ = _clustered(points, words, _number_of_clusters(clusters), seed)
        groups = [f"{number + 1}: {labels[number]}" for number in numbers]
    title = f"{Path(texts.source).name}: {len(rows):,} texts, {method.upper()}, {date.today().isoformat()}"
    if suffix == ".html":
        write_map_page(out, plane, words, groups, title=title, rows=[row.number for row in rows])
    else:
        draw_map(out, plane, groups, title=title)
    kept = "" if plane.share is None else f"; the plane keeps {plane.share:.0%} of the vectors' variance"
    screen.done(f"{out}: {len(rows):,} texts{kept}")


def answer(
    *,
    question: str = argument("QUESTION", "The question, in quotation marks."),
    texts: options.TextOptions,
    n: options.Count = 5,
    json_file: options.JsonFile = None,
    sentences: bool | None = option(None, "Cut texts into sentences: yes for text files, no for tables."),
    weight: float = option(4.0, "Weight of similar words against common ones; 0: BM25 alone."),
    model: options.ModelOptions,
) -> None:
    """Rank the passages of a file by how well they answer a question: common words (BM25) and similar words.

    Example:  elmokit answer "Who wrote Emma?" novels.txt
    """
    from elmokit.tasks.answer import Answers

    table, column = texts.open()
    passages = _passages(table, column, table.kind == "txt" if sentences is None else sentences)
    screen.end_notes()
    if not passages:
        raise InputError(f"{texts.source}: no passages in it.")
    best = Answers(model.load(), [passage for _, passage in passages], weight=weight).best(question, n=n)
    numbers = [passages[one.place][0] for one in best]
    rows = [
        (str(number), *(f"{x:.2f}" for x in (a.score, a.bm25, a.coverage)), shorten(a.passage, 300, placeholder="…"))
        for number, a in zip(numbers, best, strict=True)
    ]
    screen.table(["row", "score", "BM25", "coverage", "passage"], rows)
    options.write_json(json_file, [{"row": row, **asdict(one)} for row, one in zip(numbers, best, strict=True)])


def _passages(table: Table, column: str, cut: bool) -> list[tuple[int, str]]:
    """The number of the row and the passage. Sentences of a text file may run over its lines."""
    from elmokit.text.sentences import split_sentences

    if table.kind != "txt":
        rows = ((row.number, row.values[column]) for row in table.rows([column]))
        return [(number, part) for number, text in rows for part in (split_sentences(text) if cut else [text])]
    lines = [row.values[column] for row in table.rows()]
    if not cut:
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    passages, whole, start, line = [], "\n".join(lines), 0, 1
    for sentence in split_sentences(whole):
        place = whole.index(sentence, start)
        line += whole.count("\n", start, place)
        passages.append((line, " ".join(sentence.split())))
        line, start = line + sentence.count("\n"), place + len(sentence)
    return passages


def summarise(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    n: options.Count = 3,
    relevance: float = option(0.7, "From 0 to 1: how much being central counts against not repeating."),
    json_file: options.JsonFile = None,
    model: options.ModelOptions,
) -> None:
    """Summarise by choosing sentences: a whole text file, printed, or each row of a table, into a table.

    Example:  elmokit summarise article.txt -n 3
    """
    from elmokit.tasks.summarise import summarise as choose

    summaries: list[dict[str, Any]] = []

    def summary(number: int, text: str) -> list[str]:
        chosen = choose(elmo, text, n=n, relevance=relevance)
        if json_file is not None:
            summaries.append({"row": number, "sentences": [asdict(one) for one in chosen]})
        return [" ".join(one.sentence.split()) for one in chosen]

    table, column = texts.open()
    if table.kind == "txt":
        whole, elmo = "\n".join(row.values[column] for row in table.rows()), model.load()
        for sentence in summary(1, whole):
            screen.say(sentence)
    else:
        checked, elmo = options.RowResults(table, [column]), model.load()
        results = lambda rows: [[" ".join(summary(row.number, row.values[column]))] for row in rows]  # noqa: E731
        checked.write(out, ["summary"], results, block=16)
    options.write_json(json_file, summaries)


def _points(vectors: options.EncoderOptions, words: list[str], *, center: bool = True) -> Any:
    from elmokit.tasks.similar import directions, mean_of

    encoded = vectors.encode(words)
    return directions(encoded, mean=mean_of(encoded) if center else None)


def _number_of_clusters(text: str) -> int | None:
    number = options.number_or("--clusters", text, "auto", int)
    if number != "auto" and number < 1:
        raise ConfigError(f'--clusters is {text!r}; expected a number of 1 or more, or "auto".')
    return None if number == "auto" else number


def _clustered(
    points: Any, words: list[str], n_clusters: int | None, seed: int
) -> tuple[list[int], list[str], float | None]:
    """The cluster of each text, the label of each cluster, and the silhouette if it chose their number."""
    from elmokit.tasks.cluster import cluster_texts, cluster_words, looks_english

    clusters = cluster_texts(points, n_clusters, seed=seed)
    english = looks_english(words)
    if not english:
        screen.note("the texts do not look English, the only language scikit-learn has stop words for: names keep them")
    names = cluster_words(words, clusters.numbers, stop_words="english" if english else None)
    return clusters.numbers.tolist(), [" ".join(of_one) for of_one in names], clusters.silhouette
