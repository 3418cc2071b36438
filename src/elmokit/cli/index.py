"""`elmokit index`, `elmokit senses` and `elmokit shift`: an index of a corpus's words in context, and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands
from elmokit.cli.texts import write_json

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.index import WordIndex

Folder = Annotated[str, typer.Option("--db", help="The folder of the index.", metavar="DIR")]
Exact = Annotated[bool, typer.Option("--exact", help="Compare everything, without the nearest-neighbor index.")]
Word = Annotated[str, typer.Argument(help="The word.")]

app = Commands(
    no_args_is_help=True, rich_markup_mode=None, help="Index the words of a corpus in context, and search the index."
)


def _open(db: str) -> WordIndex:
    from elmokit.index import WordIndex

    return WordIndex.open(db)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


@app.command(no_args_is_help=True)
def build(
    ctx: typer.Context,
    sources: Annotated[list[str], typer.Argument(metavar="FILE…", help="Text (a sentence per line) or tables.")],
    db: Folder,
    column: options.TextColumn = "text",
    document: Annotated[
        str | None, typer.Option("--document", help="Column with each row's document. Default: the file's name.")
    ] = None,
    words: Annotated[
        str, typer.Option(help='Words to keep: "content", "all", or a list with commas, such as "bank,read".')
    ] = "content",
    layers: options.Layers = "mix",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Index the words of a corpus in context. Run it again to resume an interrupted run, or to add new rows.

    Example:  elmokit index build corpus.txt --db corpus.index
    """
    from pathlib import Path

    from elmokit.index import WordIndex
    from elmokit.index.description import FILE, Description

    screen: Screen = ctx.obj
    tables = [reading.table(screen, source) for source in sources]
    columns = [column] if document is None else [column, document]
    counts = [options.check_all_rows(table, columns) for table in tables]
    total = None if None in counts else sum(count for count in counts if count is not None)
    folder = Path(db)
    if (folder / FILE).exists():
        described = Description.read(folder)
        elmo = described.load_model(folder, device=model.device, precision=model.precision, n_threads=model.threads)
        index = WordIndex.open(folder, elmo=elmo)
    else:
        kept = words if words in ("content", "all") else _words(words)
        index = WordIndex.create(folder, model.load(screen), layers=options.parse_layers(layers), words=kept)
    done_before = {str(table.source): index.last_row(str(table.source)) for table in tables}
    for source, row in done_before.items():
        if row:
            screen.note(f"{source}: {row:,} rows are in the index; resuming after row {row:,}")
    if total is not None:
        total = max(total - sum(done_before.values()), 0)
    with screen.progress() as advance:
        n_added = index.build(
            tables, column=column, document=document, on_progress=lambda what, done, _: advance(what, done, total)
        )
    screen.end_notes("rows left out")
    screen.done(f"{db}: {n_added:,} occurrences added; {len(index):,} in {index.n_sentences:,} sentences")


@app.command()
def info(
    ctx: typer.Context,
    db: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an index contains.

    Example:  elmokit index info --db corpus.index
    """
    import json

    screen: Screen = ctx.obj
    values = _open(db).about()
    if as_json:
        screen.say(json.dumps(values, indent=2, ensure_ascii=False))
        return
    for name, value in values.items():
        screen.say(f"{name}: {value:,}" if type(value) is int else f"{name}: {value}")


@app.command(no_args_is_help=True)
def similar(
    ctx: typer.Context,
    word: Word,
    db: Folder,
    context: Annotated[
        str | None, typer.Option("--context", help="A text with the word. Default: the word's mean over the corpus.")
    ] = None,
    k: options.Count = 10,
    exact: Exact = False,
    json_file: options.JsonFile = None,
) -> None:
    """Find words that are used like a word, in a context or in general.

    Example:  elmokit index similar bank --context "We sat on the bank of the river." --db corpus.index
    """
    from dataclasses import asdict

    from rich.table import Table

    screen: Screen = ctx.obj
    table = Table(title=f"used like {word!r}" + ("" if context is None else f" in: {context}"))
    for name in ("word", "sense", "similarity", "count", "example"):
        table.add_column(name, justify="right" if name in ("similarity", "count") else "left")
    neighbours = _open(db).most_similar(word, context=context, topn=k, exact=exact)
    for near in neighbours:
        example = near.occurrences[0].marked() if near.occurrences else ""
        table.add_row(near.word, near.sense_name, f"{near.similarity:.3f}", f"{near.count:,}", example)
    screen.table(table)
    write_json(json_file, [asdict(near) for near in neighbours])


@app.command(no_args_is_help=True)
def sentences(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="The text.")],
    db: Folder,
    k: options.Count = 10,
    exact: Exact = False,
    json_file: options.JsonFile = None,
) -> None:
    """Find the sentences of the corpus most similar to a text.

    Example:  elmokit index sentences "They walked by the water." --db corpus.index
    """
    from dataclasses import asdict

    screen: Screen = ctx.obj
    matches = _open(db).search_sentences(text, k=k, exact=exact)
    for one in matches:
        screen.say(f"{one.similarity:.3f}  {one.document}:{one.row}  {one.text}")
    write_json(json_file, [asdict(one) for one in matches])


@app.command(no_args_is_help=True)
def delete(
    ctx: typer.Context,
    document: Annotated[str, typer.Argument(help="Its name: the file's, or the value of --document.")],
    db: Folder,
) -> None:
    """Delete a document from an index.

    Example:  elmokit index delete corpus.txt --db corpus.index
    """
    screen: Screen = ctx.obj
    screen.done(f"{db}: {_open(db).delete(document):,} sentences deleted")


@app.command()
def optimize(ctx: typer.Context, db: Folder) -> None:
    """Merge small files, free deleted space, update the search index.

    Example:  elmokit index optimize --db corpus.index
    """
    screen: Screen = ctx.obj
    index = _open(db)
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
    from elmokit.integrations.gensim import save_word_means

    screen: Screen = ctx.obj
    means = _open(db).means(min_count=min_count)
    save_word_means(means.words, means.vectors, output)
    screen.done(f"{output}: {len(means.words):,} words")


def senses(
    ctx: typer.Context,
    word: Word,
    db: Folder,
    n_senses: Annotated[int | None, typer.Option("--senses", help="Number of senses. Default: automatic.")] = None,
    examples: Annotated[int, typer.Option(help="Sentences shown for each sense, at most 5.")] = 3,
    json_file: options.JsonFile = None,
) -> None:
    """Show the senses of a word: groups of similar occurrences, with typical neighbours and sentences.

    Example:  elmokit senses read --db corpus.index
    """
    from rich.table import Table

    screen: Screen = ctx.obj
    result = _open(db).senses(word, n_senses=n_senses)
    score = "" if result.silhouette is None else f", silhouette {result.silhouette:.2f}"
    table = Table(title=f"{result.word}: {result.count:,} occurrences, {result.looked_at:,} looked at{score}")
    for name in ("sense", "share", "beside it", "examples"):
        table.add_column(name, justify="right" if name == "share" else "left")
    for sense in result:
        shown = "\n".join(occurrence.marked() for occurrence in sense.examples[:examples])
        beside = ", ".join(sense.collocates[:5])
        table.add_row(f"{sense.number}  {sense.name}", f"{sense.share:.0%}", beside, shown, end_section=True)
    screen.table(table)
    write_json(json_file, result.to_dict())


def shift(
    ctx: typer.Context,
    db: Annotated[list[str], typer.Option("--db", help="The folders of the two indexes: --db A --db B.")],
    words: Annotated[str, typer.Option(help="Words to compare, with commas. Default: all frequent ones.")] = "",
    min_count: Annotated[int, typer.Option(help="Occurrences that a word must have in each.")] = 10,
    by: Annotated[str, typer.Option(help="Order.", metavar="excess|apd|prt")] = "excess",
    k: options.Count = 20,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Also write all: .csv, .tsv, .jsonl, .parquet.")
    ] = None,
) -> None:
    """Show which words two corpora use most differently.

    apd is the average distance of a use in A from a use in B, prt the distance of the mean uses; excess is apd beyond
    how much uses differ within each corpus, near 0 for a word that did not change.

    Example:  elmokit shift --db novels.index --db tweets.index
    """
    from rich.table import Table

    from elmokit.data.outputs import table_file
    from elmokit.errors import ConfigError
    from elmokit.index import shift as compare

    screen: Screen = ctx.obj
    if len(db) != 2:
        raise ConfigError(f"--db was given {len(db)} times; expected two indexes: --db A --db B.")
    changes = compare(_open(db[0]), _open(db[1]), words=_words(words) or None, min_count=min_count, by=by)
    names = ("word", "count A", "count B", "apd", "prt", "within A", "within B", "excess")
    table = Table(title=f"A: {db[0]}, B: {db[1]}; {len(changes):,} words")
    for name in names:
        table.add_column(name, justify="left" if name == "word" else "right")
    rows = [(c.word, c.count_a, c.count_b, c.apd, c.prt, c.within_a, c.within_b, c.excess) for c in changes]
    for word, *numbers in rows[:k]:
        table.add_row(str(word), *(f"{n:,}" if isinstance(n, int) else f"{n:.3f}" for n in numbers))
    screen.table(table)
    if out is not None:
        with table_file(out, [name.replace(" ", "_").lower() for name in names]) as write:
            for row in rows:
                write(row)
