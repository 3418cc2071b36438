"""`elmokit senses`: the senses of a word in an indexed corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli.index import Folder

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def senses(
    ctx: typer.Context,
    word: Annotated[str, typer.Argument(help="The word.")],
    db: Folder,
    n_senses: Annotated[int | None, typer.Option("--senses", help="How many; chosen by itself if not given.")] = None,
    examples: Annotated[int, typer.Option(help="Sentences shown for each, at most 5.")] = 3,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write the senses to this file.")] = None,
) -> None:
    """Show the senses of a word: groups of occurrences that are alike, with typical neighbours and sentences.

    Example:  elmokit senses read --db corpus.index
    """
    from rich.table import Table

    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    found = WordIndex.open(db).senses(word, n_senses=n_senses)
    apart = "" if found.silhouette is None else f", silhouette {found.silhouette:.2f}"
    table = Table(title=f"{found.word}: {found.count:,} occurrences, {found.looked_at:,} looked at{apart}")
    for name in ("sense", "share", "beside it", "examples"):
        table.add_column(name, justify="right" if name == "share" else "left")
    for sense in found:
        shown = "\n".join(occurrence.marked() for occurrence in sense.examples[:examples])
        beside = ", ".join(sense.collocates[:5])
        table.add_row(f"{sense.number}  {sense.name}", f"{sense.share:.0%}", beside, shown, end_section=True)
    screen.table(table)
    if json_file is not None:
        _write_json(json_file, found.to_dict())


def _write_json(path: str, value: object) -> None:
    import json

    from elmokit.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
