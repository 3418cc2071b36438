"""`elmokit score`, `elmokit fill` and `elmokit substitutes`: the language model inside a biLM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elmokit.cli.screen import Screen
    from elmokit.tasks.language_model import Surprisal

Words = Annotated[str, typer.Argument(metavar="TEXT", help="The text, in quotation marks.")]
Count = Annotated[int, typer.Option("-n", help="Number of words to show.")]

_TEXT_COLUMNS = ("words", "unknown", "forward", "backward", "mean")
_WORD_COLUMNS = ("place", "word", "known", "forward", "backward", "mean")


def score(
    ctx: typer.Context,
    source: options.Source,
    out: options.TableOut = "-",
    text: options.TextColumn = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="A column that names the rows.")] = None,
    words: Annotated[bool, typer.Option("--words", help="Write a row per word, with its surprisals.")] = False,
    unit: Annotated[str, typer.Option(metavar="nats|bits", help="Unit of surprisals; perplexity has none.")] = "bits",
    model: options.ModelName = "default",
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Compute how well a language model predicts texts: the perplexity of each, or the surprisal of every word.

    "forward" is given the words before, "backward" the words after; "mean" is the mean of both surprisals. Words
    outside the model's vocabulary count as <UNK>, as in bilm-tf, and are marked. The last line printed is the
    perplexity of the whole file.

    Example:  elmokit score tweets.csv --text tweet --out scores.csv
    """
    from collections import deque

    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.errors import ConfigError
    from elmokit.perplexity import PerplexityMeter
    from elmokit.tasks.language_model import LanguageModel
    from elmokit.tasks.language_model.predictions import PER_NAT

    screen: Screen = ctx.obj
    if unit not in PER_NAT:
        raise ConfigError(f"--unit is {unit!r}; expected 'nats' or 'bits'.")
    table = reading.table(screen, source)
    text = texts.column_of(table, text)
    columns = [text, *([id_column] if id_column else [])]
    total = options.check_all_rows(table, columns)
    language_model, meter, read, n_texts = LanguageModel.load(model), PerplexityMeter(), deque[object](), 0

    def stream() -> Iterator[str]:
        for row in table.rows(columns):
            read.append(row.values[id_column] if id_column else row.number)
            yield row.values[text]

    names = [id_column or "row", *(_WORD_COLUMNS if words else _TEXT_COLUMNS)]
    with table_file(out, names) as write, screen.progress() as advance:
        for n_texts, surprisal in enumerate(language_model.surprisal(stream(), show_progress=False), 1):
            surprisal.add_to(meter)
            name = read.popleft()
            for values in _word_rows(surprisal, PER_NAT[unit]) if words else [_text_row(surprisal)]:
                write([name, *values])
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if n_texts:
        whole = meter.result
        line = (
            f"{source}: perplexity {whole.forward:.1f} forward, {whole.backward:.1f} backward, {whole.mean:.1f} mean;"
            f" {whole.n_words:,} words, {whole.unknown:.1%} outside the vocabulary"
        )
        screen.note(line) if out == STDIN else screen.say(line)


def _text_row(surprisal: Surprisal) -> list[object]:
    whole = surprisal.perplexity
    return [whole.n_words, surprisal.n_unknown, *(round(x, 3) for x in (whole.forward, whole.backward, whole.mean))]


def _word_rows(surprisal: Surprisal, scale: float) -> list[list[object]]:
    s = surprisal
    columns = zip(s.words, s.known, s.forward, s.backward, s.mean, strict=True)
    return [
        [place, word, int(known), *(round(float(value) * scale, 4) for value in values)]
        for place, (word, known, *values) in enumerate(columns, 1)
    ]


def fill(
    ctx: typer.Context,
    text: Words,
    n: Count = 10,
    direction: Annotated[
        str, typer.Option(metavar="both|forward|backward", help="Read the words before the gap, after it, or both.")
    ] = "both",
    model: options.ModelName = "default",
) -> None:
    """Show the most probable words for a gap, written ___ ; without a gap, the most probable next words.

    Both directions are combined as p(word | before) · p(word | after) / p(word) ^ ½.

    Example:  elmokit fill "Thank you very ___ for your help."
    """
    from rich.table import Table

    from elmokit.tasks.language_model import LanguageModel
    from elmokit.tasks.language_model.model import GAP

    screen: Screen = ctx.obj
    language_model = LanguageModel.load(model)
    if GAP in text:
        candidates = language_model.fill(text, n=n, direction=direction)  # type: ignore[arg-type]
    else:
        candidates = language_model.next_words(text, n=n)
    shown = Table("word", "probability", "forward, nats", "backward, nats")
    for one in candidates:
        shown.add_row(one.word, f"{one.probability:.1%}", f"{one.forward:.2f}", f"{one.backward:.2f}")
    screen.table(shown)


def substitutes(
    ctx: typer.Context,
    text: Words,
    word: Annotated[str, typer.Argument(metavar="WORD", help="The word of the text to replace.")],
    n: Count = 10,
    model: options.ModelName = "default",
) -> None:
    """Show words that could replace a word: probable in its place, and with a similar vector there.

    Example:  elmokit substitutes "The movie was great fun." movie
    """
    from rich.table import Table

    from elmokit.tasks.language_model import LanguageModel

    screen: Screen = ctx.obj
    shown = Table("word", "score", "probability", "cosine")
    for one in LanguageModel.load(model).substitutes(text, word, n=n):
        shown.add_row(one.word, f"{one.score:.4f}", f"{one.probability:.1%}", f"{one.cosine:.2f}")
    screen.table(shown)
