"""`elmokit index`, `elmokit senses` and `elmokit shift`: an index of a corpus's words in context, and its answers."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Option

import elmokit
from elmokit.cli import options
from elmokit.cli.app import Commands, argument, option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError
from elmokit.progress import progress_bar

Folder = Annotated[str, Option("--db", help="The folder of the index.", metavar="DIR")]
WORD = argument("WORD", "The word.")

app = Commands("Index the words of a corpus in context, and search the index.")


@app.command()
def build(
    *,
    sources: list[str] = argument("FILE…", "Text (a sentence per line) or tables."),
    db: Folder,
    column: options.TextColumn = "text",
    document: str | None = option(None, "Column with each row's document. Default: the file's name."),
    words: str = option("content", 'Words to keep: "content", "all", or a list with commas, such as "bank,read".'),
    layers: options.Layers = "mix",
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Index the words of a corpus in context. Run it again to resume an interrupted run, or to add new rows.

    Example:  elmokit index build corpus.txt --db corpus.index
    """
    from elmokit.index.description import FILE

    tables = [reading.table(source) for source in sources]
    columns = [column] if document is None else [column, document]
    counts = [options.check_all_rows(table, columns) for table in tables]
    folder = Path(db)
    kept = words if words in ("content", "all") else options.split_names(words)
    if (folder / FILE).exists():
        index = _opened(folder, kept, layers, model)
    else:
        index = elmokit.WordIndex.create(folder, model.load(), layers=options.parse_layers(layers), words=kept)
    before = {table.source: index.last_row(str(table.source)) for table in tables}
    for source, row in before.items():
        if row:
            screen.note(f"{source}: {row:,} rows are in the index; resuming after row {row:,}")
    total = None if None in counts else max(sum(filter(None, counts)) - sum(before.values()), 0)
    with progress_bar("sentences", total=total, show=screen.show_progress) as advance:
        n_added = index.build(tables, column=column, document=document, on_progress=advance)
    screen.end_notes()
    screen.done(f"{db}: {n_added:,} occurrences added; {len(index):,} in {index.n_sentences:,} sentences")


def _opened(folder: Path, words: str | Sequence[str], layers: str, model: options.ModelOptions) -> "elmokit.WordIndex":
    """The index that is there; ConfigError if an option that is not the default differs from what it was made with."""
    from elmokit.index.description import Description
    from elmokit.index.kept_words import kept_words

    described = Description.read(folder)
    numbers = elmokit.Encoding(layers=options.parse_layers(layers)).layers
    for name, value, default in (("layers", numbers, "mix"), ("words", kept_words(words), "content")):
        if value not in (default, there := getattr(described, name)):
            raise ConfigError(f"{folder}: was made with --{name} {there}, not {value}; leave --{name} out.")
    as_before = model.model in ("default", described.source)
    elmo = described.load_model(folder, **model.where()) if as_before else model.load()
    return elmokit.WordIndex.open(folder, elmo=elmo)


@app.command()
def similar(
    *,
    word: str = WORD,
    db: Folder,
    context: str | None = option(None, "A text with the word. Default: the word's mean over the corpus."),
    k: options.Count = 10,
    json_file: options.JsonFile = None,
) -> None:
    """Find words that are used like a word, in a context or in general.

    Example:  elmokit index similar bank --context "We sat on the bank of the river." --db corpus.index
    """
    neighbours = elmokit.WordIndex.open(db).most_similar(word, context=context, topn=k)
    examples = [near.occurrences[0].marked() if near.occurrences else "" for near in neighbours]
    shown = zip(neighbours, examples, strict=True)
    rows = [(x.word, x.sense_name, f"{x.similarity:.3f}", f"{x.count:,}", example) for x, example in shown]
    title = f"used like {word!r}" + ("" if context is None else f" in: {context}")
    screen.table(["word", "sense", "similarity", "count", "example"], rows, title=title)
    options.write_json(json_file, [asdict(near) for near in neighbours])


@app.command()
def sentences(
    *,
    text: str = argument("TEXT", "The text."),
    db: Folder,
    k: options.Count = 10,
    json_file: options.JsonFile = None,
) -> None:
    """Find the sentences of the corpus most similar to a text.

    Example:  elmokit index sentences "They walked by the water." --db corpus.index
    """
    matches = elmokit.WordIndex.open(db).search_sentences(text, k=k)
    for one in matches:
        screen.say(f"{one.similarity:.3f}  {one.document}:{one.row}  {one.text}")
    options.write_json(json_file, [asdict(one) for one in matches])


@app.command()
def delete(*, document: str = argument("DOCUMENT", "Its name: the file's, or that of --document."), db: Folder) -> None:
    """Delete a document from an index.

    Example:  elmokit index delete corpus.txt --db corpus.index
    """
    screen.done(f"{db}: {elmokit.WordIndex.open(db).delete(document):,} sentences deleted")


@app.command()
def export(
    *,
    output: str = argument("FILE", "Output file in word2vec's format: .txt or .bin."),
    db: Folder,
    min_count: int = option(5, "Leave out words that occur less often."),
) -> None:
    """Write a vector per word, the mean of its occurrences, for gensim and others.

    Example:  elmokit index export vectors.bin --db corpus.index
    """
    from elmokit.integrations.gensim import save_word_means

    means = elmokit.WordIndex.open(db).means(min_count=min_count)
    save_word_means(means.words, means.vectors, output)
    screen.done(f"{output}: {len(means.words):,} words")


def senses(
    *,
    word: str = WORD,
    db: Folder,
    n_senses: int | None = option(None, "Number of senses. Default: automatic.", "--senses"),
    json_file: options.JsonFile = None,
) -> None:
    """Show the senses of a word: groups of similar occurrences, with typical neighbours and sentences.

    Example:  elmokit senses read --db corpus.index
    """
    result = elmokit.WordIndex.open(db).senses(word, n_senses=n_senses)
    score = "" if result.silhouette is None else f", silhouette {result.silhouette:.2f}"
    rows = []
    for sense in result:
        shown = "\n".join(occurrence.marked() for occurrence in sense.examples[:3])
        rows.append((f"{sense.number}  {sense.name}", f"{sense.share:.0%}", ", ".join(sense.collocates[:5]), shown))
    title = f"{result.word}: {result.count:,} occurrences, {result.looked_at:,} looked at{score}"
    screen.table(["sense", "share", "beside it", "examples"], rows, title=title, gap=True)
    options.write_json(json_file, result.to_dict())


def shift(
    *,
    db: list[str] = option(..., "The folders of the two indexes: --db A --db B."),
    min_count: int = option(10, "Occurrences that a word must have in each."),
    k: options.Count = 20,
    json_file: options.JsonFile = None,
) -> None:
    """Show which words two corpora use most differently.

    apd is the average distance of a use in A from a use in B, prt the distance of the mean uses; excess is apd beyond
    how much uses differ within each corpus, near 0 for a word that did not change.

    Example:  elmokit shift --db novels.index --db tweets.index
    """
    from elmokit.index import shift as compare

    if len(db) != 2:
        raise ConfigError(f"--db was given {len(db)} times; expected two indexes: --db A --db B.")
    changes = compare(*map(elmokit.WordIndex.open, db), min_count=min_count)
    names = ("word", "count A", "count B", "apd", "prt", "within A", "within B", "excess")
    shown = [(c.word, c.count_a, c.count_b, c.apd, c.prt, c.within_a, c.within_b, c.excess) for c in changes[:k]]
    rows = [(word, *(f"{n:,}" if isinstance(n, int) else f"{n:.3f}" for n in numbers)) for word, *numbers in shown]
    screen.table(names, rows, title=f"A: {db[0]}, B: {db[1]}; {len(changes):,} words")
    options.write_json(json_file, [asdict(change) | {"excess": change.excess} for change in changes])
