"""`elmokit embed` and `elmokit clean`: a column of texts → a file of vectors, or the column cleaned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elmokit
from elmokit.blocks import blocks
from elmokit.cli import options
from elmokit.cli.app import option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError, InputError
from elmokit.progress import progress_bar

if TYPE_CHECKING:
    from elmokit.data.tables import Table
    from elmokit.integrations.ray import Actors
    from elmokit.tasks.embed import VectorSpec, VectorWriter

ALLENNLP = "allennlp-hdf5"
_FORMATS_HELP = (
    'Format of the output if its name does not tell: npz, npy, parquet; or "allennlp-hdf5",'
    " the layout of `allennlp elmo`, with words cut at white space."
)
_SHARDS_HELP = "Write a folder of files with this many texts each; resumes after an interruption."


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What to write where, which layers `--format allennlp-hdf5` holds, and where the work is done."""

    out: str = option(..., "Output: .npz, .npy, .parquet; a folder with --shard-rows.", "--out", "--output", "-o")
    output_format: str | None = option(None, _FORMATS_HELP, "--format", "--shard-format", metavar="FORMAT")
    shard_rows: int | None = option(None, _SHARDS_HELP, min=1)
    every: bool = option(False, "All layers (--format allennlp-hdf5).", "--all")
    top: bool = option(False, "The top layer (--format allennlp-hdf5).", "--top")
    average: bool = option(False, "The mean of the layers (--format allennlp-hdf5).", "--average")
    engine: str = option("local", '"local", or "ray": RAY_ADDRESS, else all cores (extra "ray").', metavar="local|ray")
    actors: str | None = option(None, 'Ray workers that hold the model: "4", or a range such as "1:16".')

    def allennlp(self) -> str | None:
        """The layers for AllenNLP's format, or None for any other format; ConfigError for no choice or several."""
        flags = {"all": self.every, "top": self.top, "average": self.average}
        chosen = [name for name, given in flags.items() if given]
        if len(chosen) != (self.output_format == ALLENNLP):
            raise ConfigError(f"--format {ALLENNLP} needs exactly one of --all, --top, --average; other formats none.")
        return chosen[0] if chosen else None

    def on_ray(self) -> Actors | None:
        """The number of actors, if Ray does the work."""
        if self.engine == "local" and self.actors is None:
            return None
        numbers = [] if self.actors is None else self.actors.split(":")
        if self.engine != "ray" or len(numbers) > 2 or not all(map(str.isdecimal, numbers)):
            given = f"--engine is {self.engine!r}, --actors {self.actors!r}"
            raise ConfigError(f'{given}; expected --engine local, or --engine ray with --actors N or a range "1:16".')
        from elmokit.integrations.ray import Actors

        return Actors(at_least=int(numbers[0]), at_most=int(numbers[-1])) if numbers else Actors()


def embed(
    *,
    texts: options.TextOptions,
    output: OutputOptions,
    id_column: options.IdColumn = None,
    words: bool = option(False, "One vector per word instead of one per text.", "--words"),
    vectors: options.VectorOptions,
    normalize: bool = option(False, "Scale text vectors to length 1.", "--normalize"),
    model: options.ModelOptions,
) -> None:
    """Write the vectors of texts, or of their words, to a file.

    The file holds a matrix "features" and, for each vector, the number of its row in the input ("row", from 1); with
    --words also the word and its place in the text (Features.load reads such .npz files). The vector of an
    empty text is zeros (--bad-rows keep).

    With --shard-rows the output is a folder of such files and their list, manifest.jsonl. If the command is killed,
    run it again: it resumes where it stopped. With --engine ray a cluster fills that folder from one FILE or from a
    quoted pattern such as 'tweets/*.parquet'; rows left out are listed in bad-rows.jsonl.

    Example:  elmokit embed tweets.csv --text tweet --out features.npz
    """
    from elmokit.tasks.embed import VectorSpec, VectorWriter

    if output.output_format in ("csv", "tsv", "jsonl", "txt"):  # as in version 0.1
        screen.note(f"--format {output.output_format} is taken as the format of the input: write --input-format.")
        texts, output = replace(texts, format=output.output_format), replace(output, output_format=None)
    allennlp = output.allennlp()
    start, (table, text), actors = time.monotonic(), texts.open(), output.on_ray()
    encoding = vectors.encoding(normalize=normalize)
    spec = VectorSpec(model=model.model, words=words, encoding=encoding, **model.where())
    if actors is not None:
        if allennlp is not None:
            raise ConfigError("--format allennlp-hdf5 is a single file; a cluster can't write it: use --engine local.")
        written = _embed_on_ray(table, output, spec, {"column": text, "id_column": id_column}, actors)
    else:
        if Path(texts.source).exists() and Path(output.out).exists() and Path(texts.source).samefile(output.out):
            raise ConfigError(f"--out {output.out} is the input itself; choose another name.")
        names = [text, *([id_column] if id_column else [])]
        n_rows = options.check_all_rows(table, names)
        elmo = model.load()
        writer = VectorWriter(elmo, spec, column=text, id_column=id_column)
        if allennlp is not None:
            written = _write_allennlp(elmo, table, text, output.out, allennlp)
        elif output.shard_rows is not None:
            written = _write_shards(writer, table, names, output, n_rows)
        else:
            how: dict[str, Any] = {"format": output.output_format, "show_progress": screen.show_progress}
            n_texts = writer.write_file(output.out, table.rows(names), n_rows=n_rows, **how)
            written = f"{'word vectors of ' if words else ''}{n_texts:,} texts, {writer.dim} numbers each"
    screen.end_notes()
    screen.done(f"{output.out}: {written}, in {time.monotonic() - start:.1f} s")


def clean(
    *,
    texts: options.TextOptions,
    out: options.TableOut = "-",
    steps: str = option(
        "urls,punctuation,lowercase,digits,spaces",
        "Steps in order, separated by commas: urls, punctuation, lowercase, digits, spaces, lemmas.",
    ),
    into: str | None = option(None, "New column for the cleaned text; without it, the text is replaced."),
) -> None:
    """Clean a column of texts; all other columns stay as they are.

    A character-level model often works better on uncleaned texts: compare before you clean.

    Example:  elmokit clean tweets.csv --text tweet --into clean_tweet --out clean.csv
    """
    from elmokit.text import cleaning

    recipe = cleaning.check_recipe(options.split_names(steps))
    table, column = texts.open()
    rows = table.rows()
    first = next(rows, None)
    names = list(first.values) if first is not None else [column]
    if column not in names:
        raise InputError(f"{texts.source}: no column {column!r}; the columns are {', '.join(map(repr, names))}.")
    target = into or column
    lines = (
        list({**row.values, target: cleaning.clean(row.values[column], recipe)}.values())
        for row in chain([first] if first else [], rows)
    )
    names = names if target in names else [*names, target]
    options.write_table(out, names, lines)
    screen.end_notes()


def _write_shards(
    writer: VectorWriter, table: Table, columns: list[str], output: OutputOptions, n_rows: int | None
) -> str:
    from elmokit.data.shards import InputFile, open_shards

    format, size = output.output_format or "npz", output.shard_rows or 1
    read, n_texts = InputFile.of(table.source), 0
    job = {"input": read.sha256, "columns": columns, "bad_rows": table.bad_rows, **writer.identity()}
    job |= {"shard_rows": size, "format": format}
    bar = progress_bar("texts", total=n_rows, show=screen.show_progress)
    with open_shards(output.out, job=job, suffix=f".{format}") as shards, bar as advance:
        if shards.n_rows or shards.damaged:
            screen.note(f"resuming: {shards.n_rows:,} texts are done")
        for name in shards.damaged:
            screen.note(f"{name} is damaged and is written again")
        for number, some in enumerate(blocks(table.rows(columns), size)):
            if not shards.has(number):
                with shards.write(number, n_rows=len(some)) as path:
                    writer.write_file(path, some)
                    read.check_unchanged()
            n_texts += len(some)
            advance(len(some))
        read.check_unchanged()
    return f"{n_texts:,} texts in {-(-n_texts // size):,} files"


def _write_allennlp(elmo: elmokit.Elmo, table: Table, column: str, out: str, layers: str) -> str:
    from elmokit.compat.allennlp_embedder import write_allennlp_hdf5

    def embed_batch(batch: list[list[str]]) -> list[Any]:
        return [text.vectors for text in elmo.encode_words(batch, layers="each", show_progress=False)]

    texts = (row.values[column] for row in table.rows([column]))
    return f"AllenNLP's layout, {write_allennlp_hdf5(texts, out, embed_batch, output_format=layers):,} texts"


def _embed_on_ray(
    table: Table, output: OutputOptions, spec: VectorSpec, columns: Mapping[str, Any], actors: Actors
) -> str:
    from elmokit.integrations.ray import BAD_ROWS, embed_files

    with progress_bar("texts", total=None, show=screen.show_progress) as advance:
        how: dict[str, Any] = {"part_rows": output.shard_rows or 4096, "part_format": output.output_format or "parquet"}
        how |= {"actors": actors, "on_part": lambda part: advance(part.n_rows)}
        done = embed_files(table, output.out, spec, **columns, **how)
    for name in done.damaged:
        screen.note(f"{name} was damaged and was written again")
    if done.n_bad:
        screen.note(f"{done.n_bad:,} rows left out: see {output.out}/{BAD_ROWS}")
    before = f", {done.n_parts_before:,} of them from an earlier run" if done.n_parts_before else ""
    return f"{done.n_texts:,} texts in {done.n_parts:,} files{before}"
