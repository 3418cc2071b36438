"""`elmokit similar` and `elmokit duplicates`: the similar texts of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options, texts

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def similar(
    ctx: typer.Context,
    source: options.Source,
    query: Annotated[
        list[str] | None, typer.Option("--query", help="Find texts similar to this one; may be repeated.")
    ] = None,
    out: options.TableOut = "-",
    n: options.Count = 10,
    text: options.TextColumn = "text",
    centre: texts.Centering = True,
    vectors: options.VectorOptions = options.VECTORS,
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Find the texts most similar to the queries, or, without queries, to each text of the file.

    Exact: every pair is compared. The file's vectors are held in memory (2.5 KB a text).

    Example:  elmokit similar tweets.csv --text tweet --query "my screen broke" --out like.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.tasks.similar import directions, mean_of, nearest

    screen: Screen = ctx.obj
    column = texts.column_of(table := reading.table(screen, source), text)
    rows = texts.read_rows(screen, table, [column])
    elmo, encoding, bar = model.load(screen), vectors.encoding(), screen.show_progress
    encoded = elmo.encode([row.values[column] for row in rows], encoding, show_progress=bar)
    mean = mean_of(encoded) if centre else None
    among = asked = directions(encoded, mean=mean)
    if query:
        asked = directions(elmo.encode(query, encoding, show_progress=bar), mean=mean)
    nearby = nearest(asked, among, n, skip_self=not query)
    names: list[Any] = list(query) if query else [row.number for row in rows]
    with table_file(out, ["query" if query else "row", "rank", "similar_row", "cosine", "text"]) as write:
        for name, numbers, cosines in zip(names, nearby.rows.tolist(), nearby.cosines.tolist(), strict=True):
            for rank, (number, cosine) in enumerate(zip(numbers, cosines, strict=True), 1):
                write([name, rank, rows[number].number, round(cosine, 4), rows[number].values[column]])
    if out != STDIN:
        screen.done(f"{out}: {nearby.rows.shape[1]} texts for each of {len(names):,}")


def duplicates(
    ctx: typer.Context,
    source: options.Source,
    out: options.TableOut = "-",
    threshold: Annotated[float, typer.Option(help="Texts with a cosine above this are near-duplicates.")] = 0.95,
    text: options.TextColumn = "text",
    centre: texts.Centering = True,
    vectors: options.VectorOptions = options.VECTORS,
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Find groups of near-duplicates: texts linked by pairs whose cosine is above a threshold.

    Example:  elmokit duplicates tweets.csv --text tweet --threshold 0.97 --out groups.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.tasks.similar import directions, distinct_rows, duplicate_groups, mean_of

    screen: Screen = ctx.obj
    column = texts.column_of(table := reading.table(screen, source), text)
    rows = texts.read_rows(screen, table, [column])
    words = [row.values[column] for row in rows]
    encoded = model.load(screen).encode(words, vectors.encoding(), show_progress=screen.show_progress)
    groups = duplicate_groups(directions(encoded, mean=mean_of(encoded) if centre else None), threshold=threshold)
    with table_file(out, ["group", "row", "text"]) as write:
        for number, group in enumerate(groups, 1):
            for place in group:
                write([number, rows[place].number, words[place]])
    left = len(distinct_rows(len(rows), groups))
    screen.note(f"{source}: {len(groups):,} groups; {left:,} of {len(rows):,} texts are left if each keeps its first")
