"""`elmokit score`, `elmokit fill` and `elmokit substitutes`: what the language model inside a biLM says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options, texts

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.tasks.score import TextScore

Words = Annotated[str, typer.Argument(metavar="TEXT", help="The text, in quotation marks.")]
Count = Annotated[int, typer.Option("-n", help="How many words are shown.")]


def score(
    ctx: typer.Context,
    source: texts.Source,
    out: texts.TableOut = "-",
    text: texts.TextColumn = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="A column that names the rows.")] = None,
    words: Annotated[bool, typer.Option("--words", help="A row per word, with its surprisals.")] = False,
    unit: Annotated[str, typer.Option(metavar="nats|bits", help="Of surprisals. Perplexity has none.")] = "bits",
    model: options.Model = "default",
    bad_rows: options.BadRows = "stop",
    encoding: options.Encoding = "utf-8",
    format: options.Format = None,
    delimiter: options.Delimiter = None,
) -> None:
    """Tell how well a language model predicts texts: perplexity of each, or the surprisal of every word.

    Forward is given the words before, backward given the words after; "mean" is of both surprisals. Words outside
    the model's vocabulary count as <UNK>, as in bilm-tf, and are marked. The last line is the whole file's perplexity.

    Example:  elmokit score tweets.csv --text tweet --out scores.csv
    """
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.errors import ConfigError
    from elmokit.tasks.language_model import LanguageModel
    from elmokit.tasks.score import PER_NAT, Totals, score_texts

    screen: Screen = ctx.obj
    if unit not in PER_NAT:
        raise ConfigError(f"--unit is {unit!r}; expected 'nats' or 'bits'.")
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    text = texts.column_of(table, text)
    columns = [text, *([id_column] if id_column else [])]
    total = options.check_all_rows(table, columns)
    language_model, totals, n_texts = LanguageModel.load(model), Totals(), 0
    names = [id_column or "row", *(_WORD_COLUMNS if words else _TEXT_COLUMNS)]
    with table_file(out, names) as write, screen.progress() as advance:
        for rows in options.blocks(table.rows(columns)):
            scores = score_texts(language_model, [row.values[text] for row in rows])
            for row, found in zip(rows, scores, strict=True):
                totals.add(found)
                name = row.values[id_column] if id_column else row.number
                for values in _word_rows(found, PER_NAT[unit]) if words else [_text_row(found)]:
                    write([name, *values])
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if n_texts:
        whole = totals.perplexity
        line = (
            f"{source}: perplexity {whole.forward:.1f} forward, {whole.backward:.1f} backward, {whole.mean:.1f} mean;"
            f" {whole.n_words:,} words, {whole.unknown:.1%} outside the vocabulary"
        )
        screen.note(line) if out == STDIN else screen.say(line)


_TEXT_COLUMNS = ("words", "unknown", "forward", "backward", "mean")
_WORD_COLUMNS = ("place", "word", "known", "forward", "backward", "mean")


def _text_row(score: TextScore) -> list[object]:
    whole = score.perplexity
    n_unknown = int((~score.known).sum())
    return [whole.n_words, n_unknown, *(round(value, 3) for value in (whole.forward, whole.backward, whole.mean))]


def _word_rows(score: TextScore, scale: float) -> list[list[object]]:
    columns = zip(score.words, score.known, score.forward, score.backward, score.mean, strict=True)
    return [
        [place, word, int(known), *(round(float(value) * scale, 4) for value in values)]
        for place, (word, known, *values) in enumerate(columns, 1)
    ]


def fill(
    ctx: typer.Context,
    text: Words,
    n: Count = 10,
    direction: Annotated[
        str, typer.Option(metavar="both|forward|backward", help="Which words are looked at: before the gap, after it.")
    ] = "both",
    model: options.Model = "default",
) -> None:
    """Show the likeliest words for a gap, written ___ ; without a gap, the likeliest next words.

    Both directions are combined as p(word | before) · p(word | after) / p(word) ^ ½.

    Example:  elmokit fill "Thank you very ___ for your help."
    """
    from rich.table import Table

    from elmokit.tasks.fill_in import GAP, fill_in, next_words
    from elmokit.tasks.language_model import LanguageModel

    screen: Screen = ctx.obj
    language_model = LanguageModel.load(model)
    if GAP in text:
        found = fill_in(language_model, text, n=n, direction=direction)  # type: ignore[arg-type]
    else:
        found = next_words(language_model, text, n=n)
    shown = Table("word", "probability", "forward, nats", "backward, nats")
    for one in found:
        shown.add_row(one.word, f"{one.probability:.1%}", f"{one.forward:.2f}", f"{one.backward:.2f}")
    screen.table(shown)


def substitutes(
    ctx: typer.Context,
    text: Words,
    word: Annotated[str, typer.Argument(metavar="WORD", help="The word of the text to replace.")],
    n: Count = 10,
    model: options.Model = "default",
) -> None:
    """Show words that could stand in a word's place: likely there, and with a similar vector there.

    Example:  elmokit substitutes "The movie was great fun." movie
    """
    from rich.table import Table

    from elmokit.tasks.language_model import LanguageModel
    from elmokit.tasks.substitutes import substitutes as find

    screen: Screen = ctx.obj
    shown = Table("word", "score", "probability", "cosine")
    for one in find(LanguageModel.load(model), text, word, n=n):
        shown.add_row(one.word, f"{one.score:.4f}", f"{one.probability:.1%}", f"{one.cosine:.2f}")
    screen.table(shown)
