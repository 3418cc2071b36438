"""`elmokit index`: build an index of a corpus's words in context, and search it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

Folder = Annotated[str, typer.Option("--db", help="The folder of the index.")]
Count = Annotated[int, typer.Option("-n", "-k", help="Number of results to show.")]
Exact = Annotated[bool, typer.Option("--exact", help="Compare everything, without the nearest-neighbor index.")]

app = Commands(
    no_args_is_help=True, rich_markup_mode=None, help="Index the words of a corpus in context, and search the index."
)


@app.command(no_args_is_help=True)
def build(
    ctx: typer.Context,
    sources: Annotated[list[str], typer.Argument(metavar="FILE…", help="Text (a sentence per line) or tables.")],
    db: Folder,
    column: options.TextColumn = "text",
    document: Annotated[
        str | None, typer.Option("--document", help="A column that names each row's document; else the file's name.")
    ] = None,
    words: Annotated[
        str, typer.Option(help='Which words: "content", "all", or a list with commas, as in "bank,read".')
    ] = "content",
    layers: options.Layers = "mix",
    model: options.ModelName = "default",
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Index the words of a corpus in context. Run it again to resume an interrupted run, or to add new rows.

    Example:  elmokit index build corpus.txt --db corpus.index
    """
    from pathlib import Path

    from elmokit.index import WordIndex
    from elmokit.index.description import FILE

    screen: Screen = ctx.obj
    tables = [reading.table(screen, source) for source in sources]
    columns = [column] if document is None else [column, document]
    counts = [options.check_all_rows(table, columns) for table in tables]
    total = None if None in counts else sum(count for count in counts if count is not None)
    made = (Path(db) / FILE).exists()
    chosen = words if words in ("content", "all") else [word.strip() for word in words.split(",") if word.strip()]
    index = (
        WordIndex.open(db) if made else WordIndex.create(db, model, layers=options.parse_layers(layers), words=chosen)
    )
    done_before = {str(table.source): index.last_row(str(table.source)) for table in tables}
    for source, row in done_before.items():
        if row:
            screen.note(f"{source}: {row:,} rows are in the index; going on after them")
    if total is not None:
        total = max(total - sum(done_before.values()), 0)
    with screen.progress() as advance:
        n_added = index.build(
            tables, column=column, document=document, on_progress=lambda what, done, _: advance(what, done, total)
        )
    screen.end_notes("rows left out")
    screen.done(f"{db}: {n_added:,} occurrences added; {len(index):,} in {index.n_sentences:,} sentences")


@app.command()
def info(ctx: typer.Context, db: Folder) -> None:
    """Show what an index contains.

    Example:  elmokit index info --db corpus.index
    """
    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    for name, value in WordIndex.open(db).about().items():
        screen.say(
            f"{name}: {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{name}: {value}"
        )


@app.command(no_args_is_help=True)
def similar(
    ctx: typer.Context,
    word: Annotated[str, typer.Argument(help="The word.")],
    db: Folder,
    context: Annotated[
        str | None, typer.Option("--context", help="A text with the word; default: the mean of the word in the corpus.")
    ] = None,
    k: Count = 10,
    exact: Exact = False,
) -> None:
    """Find words that are used like a word, in a context or in general.

    Example:  elmokit index similar bank --context "We sat on the bank of the river." --db corpus.index
    """
    from rich.table import Table

    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    table = Table(title=f"used like {word!r}" + ("" if context is None else f" in: {context}"))
    for name in ("word", "sense", "similarity", "count", "example"):
        table.add_column(name, justify="right" if name in ("similarity", "count") else "left")
    for near in WordIndex.open(db).most_similar(word, context=context, topn=k, exact=exact):
        example = near.occurrences[0].marked() if near.occurrences else ""
        table.add_row(near.word, near.sense_name, f"{near.similarity:.3f}", f"{near.count:,}", example)
    screen.table(table)


@app.command(no_args_is_help=True)
def sentences(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="The text.")],
    db: Folder,
    k: Count = 10,
    exact: Exact = False,
) -> None:
    """Find the sentences of the corpus most similar to a text.

    Example:  elmokit index sentences "They walked by the water." --db corpus.index
    """
    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    for found in WordIndex.open(db).search_sentences(text, k=k, exact=exact):
        screen.say(f"{found.similarity:.3f}  {found.document}:{found.row}  {found.text}")


@app.command(no_args_is_help=True)
def delete(
    ctx: typer.Context,
    document: Annotated[str, typer.Argument(help="Its name: the file's, or the value of --document.")],
    db: Folder,
) -> None:
    """Delete a document from an index.

    Example:  elmokit index delete corpus.txt --db corpus.index
    """
    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    screen.done(f"{db}: {WordIndex.open(db).delete(document):,} sentences deleted")


@app.command()
def optimize(ctx: typer.Context, db: Folder) -> None:
    """Merge small files, free deleted space, update the search index.

    Example:  elmokit index optimize --db corpus.index
    """
    from elmokit.index import WordIndex

    screen: Screen = ctx.obj
    index = WordIndex.open(db)
    index.optimize()
    screen.done(f"{db}: {index.about()['bytes']:,} bytes")


@app.command(no_args_is_help=True)
def export(
    ctx: typer.Context,
    output: Annotated[str, typer.Argument(metavar="FILE", help="Output file in word2vec's format: .txt or .bin.")],
    db: Folder,
    min_count: Annotated[int, typer.Option(help="Leave out words that occur less often.")] = 5,
) -> None:
    """Write a vector per word, the mean of its occurrences, for gensim and others.

    Example:  elmokit index export vectors.bin --db corpus.index
    """
    from elmokit.index import WordIndex
    from elmokit.integrations.gensim import save_word_means

    screen: Screen = ctx.obj
    means: Any = WordIndex.open(db).means(min_count=min_count)
    save_word_means(means.words, means.vectors, output)
    screen.done(f"{output}: {len(means.words):,} words")
