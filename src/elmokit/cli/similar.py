"""`elmokit similar` and `elmokit duplicates`: the similar texts of a file."""

from __future__ import annotations

from typing import Any

from elmokit.cli import options, texts
from elmokit.cli.commands import option
from elmokit.cli.screen import Screen
from elmokit.data.streams import STDIN


def similar(
    screen: Screen,
    *,
    source: options.Source,
    query: list[str] | None = option(None, "Find texts similar to this one; may be repeated."),
    out: options.TableOut = "-",
    n: options.Count = 10,
    text: options.TextColumn = "text",
    center: texts.Centering = True,
    vectors: options.VectorOptions,
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Find the texts most similar to the queries, or, without queries, to each text of the file.

    Exact: every pair is compared. The file's vectors are held in memory (2.5 KB a text).

    Example:  elmokit similar tweets.csv --text tweet --query "my screen broke" --out like.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.tasks.similar import directions, mean_of, nearest

    rows, words = texts.read_texts(screen, reading, source, text)
    elmo, encoding, bar = model.load(screen), vectors.encoding(), screen.show_progress
    encoded = elmo.encode(words, encoding, show_progress=bar)
    mean = mean_of(encoded) if center else None
    among = asked = directions(encoded, mean=mean)
    if query:
        asked = directions(elmo.encode(query, encoding, show_progress=bar), mean=mean)
    nearby = nearest(asked, among, n, skip_self=not query)
    names: list[Any] = list(query) if query else [row.number for row in rows]
    with table_file(out, ["query" if query else "row", "rank", "similar_row", "cosine", "text"]) as write:
        for name, numbers, cosines in zip(names, nearby.rows.tolist(), nearby.cosines.tolist(), strict=True):
            for rank, (number, cosine) in enumerate(zip(numbers, cosines, strict=True), 1):
                write([name, rank, rows[number].number, round(cosine, 4), words[number]])
    if out != STDIN:
        screen.done(f"{out}: {nearby.rows.shape[1]} texts for each of {len(names):,}")


def duplicates(
    screen: Screen,
    *,
    source: options.Source,
    out: options.TableOut = "-",
    threshold: float = option(0.95, "Texts with a cosine above this are near-duplicates."),
    text: options.TextColumn = "text",
    center: texts.Centering = True,
    vectors: options.VectorOptions,
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Find groups of near-duplicates: texts linked by pairs whose cosine is above a threshold.

    Example:  elmokit duplicates tweets.csv --text tweet --threshold 0.97 --out groups.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.tasks.similar import directions, distinct_rows, duplicate_groups, mean_of

    rows, words = texts.read_texts(screen, reading, source, text)
    encoded = model.load(screen).encode(words, vectors.encoding(), show_progress=screen.show_progress)
    groups = duplicate_groups(directions(encoded, mean=mean_of(encoded) if center else None), threshold=threshold)
    with table_file(out, ["group", "row", "text"]) as write:
        for number, group in enumerate(groups, 1):
            for place in group:
                write([number, rows[place].number, words[place]])
    left = len(distinct_rows(len(rows), groups))
    screen.note(f"{source}: {len(groups):,} groups; {left:,} of {len(rows):,} texts are left if each keeps its first")
