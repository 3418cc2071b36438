"""`elmokit score`, `elmokit fill` and `elmokit substitutes`: the language model inside a biLM."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import elmokit
from elmokit.blocks import SizedStream
from elmokit.cli import options
from elmokit.cli.app import argument, option
from elmokit.cli.screen import screen
from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError

if TYPE_CHECKING:
    from elmokit.perplexity import Surprisal

TEXT = argument("TEXT", "The text, in quotation marks.")
_TEXT_COLUMNS = ("words", "unknown", "forward", "backward", "mean")
_WORD_COLUMNS = ("place", "word", "known", "forward", "backward", "mean")


def score(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    id_column: options.IdColumn = None,
    words: bool = option(False, "Write a row per word, with its surprisals.", "--words"),
    unit: str = option("bits", "Unit of surprisals; perplexity has none.", metavar="nats|bits"),
    json_file: options.JsonFile = None,
    model: options.ModelName = "default",
    threads: options.Threads = None,
) -> None:
    """Compute how well a language model predicts texts: the perplexity of each, or the surprisal of every word.

    "forward" is given the words before, "backward" the words after; "mean" is the mean of both surprisals. Words
    outside the model's vocabulary count as <UNK>, as in bilm-tf, and are marked. The last line printed is the
    perplexity of the whole file.

    Example:  elmokit score tweets.csv --text tweet --out scores.csv
    """
    from elmokit.perplexity import PER_NAT, PerplexityMeter

    if unit not in PER_NAT:
        raise ConfigError(f"--unit is {unit!r}; expected 'nats' or 'bits'.")
    table, column = texts.open()
    columns = [column, *([id_column] if id_column else [])]
    total = options.check_all_rows(table, columns)
    language_model, meter = elmokit.LanguageModel.load(model, n_threads=threads), PerplexityMeter()
    read: deque[object] = deque()  # names of the rows whose surprisals are not written yet

    def stream() -> Iterator[str]:
        for row in table.rows(columns):
            read.append(row.values[id_column] if id_column else row.number)
            yield row.values[column]

    def lines() -> Iterator[list[object]]:
        sized = stream() if total is None else SizedStream(stream(), total)
        for surprisal in language_model.surprisal(sized, show_progress=screen.show_progress):
            surprisal.add_to(meter)
            name = read.popleft()
            for values in _word_rows(surprisal, PER_NAT[unit]) if words else [_text_row(surprisal)]:
                yield [name, *values]

    options.write_table(out, [id_column or "row", *(_WORD_COLUMNS if words else _TEXT_COLUMNS)], lines())
    screen.end_notes()
    if meter.n_predicted.any():
        whole = meter.result
        options.write_json(json_file, asdict(whole))
        perplexities = f"perplexity {whole.forward:.1f} forward, {whole.backward:.1f} backward, {whole.mean:.1f} mean"
        counts = f"{whole.n_words:,} words, {whole.unknown:.1%} outside the vocabulary"
        (screen.note if out == STDIN else screen.say)(f"{texts.source}: {perplexities}; {counts}")


def _text_row(surprisal: Surprisal) -> list[object]:
    whole = surprisal.perplexity
    return [whole.n_words, surprisal.n_unknown, *(round(x, 3) for x in (whole.forward, whole.backward, whole.mean))]


def _word_rows(surprisal: Surprisal, scale: float) -> Iterator[list[object]]:
    s = surprisal
    columns = zip(s.words, s.known, s.forward, s.backward, s.mean, strict=True)
    for place, (word, known, *values) in enumerate(columns, 1):
        yield [place, word, int(known), *(round(float(value) * scale, 4) for value in values)]


def fill(
    *,
    text: str = TEXT,
    n: options.Count = 10,
    json_file: options.JsonFile = None,
    model: options.ModelName = "default",
    threads: options.Threads = None,
) -> None:
    """Show the most probable words for a gap, written ___ ; without a gap, the most probable next words.

    Both directions are combined as p(word | before) · p(word | after) / p(word) ^ ½.

    Example:  elmokit fill "Thank you very ___ for your help."
    """
    from elmokit.tasks.language_model import GAP

    language_model = elmokit.LanguageModel.load(model, n_threads=threads)
    candidates = language_model.fill(text, n=n) if GAP in text else language_model.next_words(text, n=n)
    options.write_json(json_file, [vars(one) for one in candidates])
    rows = [(c.word, f"{c.probability:.1%}", f"{c.forward:.2f}", f"{c.backward:.2f}") for c in candidates]
    screen.table(["word", "probability", "forward, nats", "backward, nats"], rows)


def substitutes(
    *,
    text: str = TEXT,
    word: str = argument("WORD", "The word of the text to replace."),
    n: options.Count = 10,
    json_file: options.JsonFile = None,
    model: options.ModelName = "default",
    threads: options.Threads = None,
) -> None:
    """Show words that could replace a word: probable in its place, and with a similar vector there.

    Example:  elmokit substitutes "The movie was great fun." movie
    """
    replacements = elmokit.LanguageModel.load(model, n_threads=threads).substitutes(text, word, n=n)
    options.write_json(json_file, [vars(one) for one in replacements])
    rows = [(r.word, f"{r.score:.4f}", f"{r.probability:.1%}", f"{r.cosine:.2f}") for r in replacements]
    screen.table(["word", "score", "probability", "cosine"], rows)
