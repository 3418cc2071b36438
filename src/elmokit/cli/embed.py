"""`elmokit embed`: a column of texts → a file of vectors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Row, Table
    from elmokit.integrations.ray import Actors
    from elmokit.tasks.embed import VectorSpec


def embed(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL, Parquet, text, also .gz; or "-".')],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="Where to: .npz, .npy, .parquet, .h5, .csv or .jsonl; a folder with --shard-rows."
        ),
    ],
    column: Annotated[str, typer.Option("--column", "-c", help="The column with the texts.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="A column to keep beside the vectors.")] = None,
    words: Annotated[bool, typer.Option("--words", help="A vector per word instead of one per text.")] = False,
    layers: options.Layers = "mix",
    pooling: options.Pooling = "mean",
    every: Annotated[bool, typer.Option("--all", help="All layers, with --format allennlp-hdf5.")] = False,
    top: Annotated[bool, typer.Option("--top", help="The top layer, with --format allennlp-hdf5.")] = False,
    average: Annotated[bool, typer.Option("--average", help="The layers' mean, with --format allennlp-hdf5.")] = False,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale text vectors to length 1.")] = False,
    model: options.Model = "default",
    precision: options.Precision = "float32",
    device: options.Device = "cpu",
    shard_rows: Annotated[
        int | None,
        typer.Option(help="Write a folder of files with so many texts each; killed, the same command goes on."),
    ] = None,
    shard_format: Annotated[
        str | None,
        typer.Option(help="Of those files: npz (parquet with --engine ray), npy, parquet, h5, csv or jsonl."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help='"local", or "ray": on the cluster RAY_ADDRESS names, else on all cores (extra "ray").'),
    ] = "local",
    actors: Annotated[
        str | None, typer.Option(help='With --engine ray: how many hold the model, "4", or "1:16" as there is work.')
    ] = None,
    bad_rows: options.BadRows = "stop",
    encoding: options.Encoding = "utf-8",
    format: Annotated[
        str | None,
        typer.Option(
            help="Of the input, if its name does not tell: csv, tsv, jsonl, parquet, txt. Or, of the output:"
            " allennlp-hdf5, the layout of `allennlp elmo`, a dataset per text, its words cut at white space."
        ),
    ] = None,
    delimiter: options.Delimiter = None,
) -> None:
    """Write the vectors of texts, or of their words, to a file.

    The file holds a matrix "features" and the number of each text's row in the input ("row", from 1); with --words
    also each word and its place in the text (Features.load reads such .npz and .h5 files). An empty text's vector
    is zeros (--bad-rows keep).

    With --shard-rows the output is a folder of such files with a list of them, manifest.jsonl. Killed at any
    moment, the same command goes on where it was. With --engine ray that folder is filled by a cluster, of one FILE or
    of a quoted pattern such as 'tweets/*.parquet'; rows left out are listed in bad-rows.jsonl.

    Example:  elmokit embed tweets.csv --column tweet --output features.npz
    """
    from elmokit.data.outputs import vector_file
    from elmokit.tasks.embed import VectorSpec, VectorWriter

    screen: Screen = ctx.obj
    start = time.monotonic()
    allennlp = _allennlp_layers(format, {"all": every, "top": top, "average": average})
    format = None if allennlp is not None else format
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    columns = [column] if id_column is None else [column, id_column]
    spec = VectorSpec(
        model=model,
        words=words,
        pooling=pooling,
        layers=options.parse_layers(layers),
        normalize=normalize,
        precision=precision,
        device=device,
    )
    if _on_ray(engine, actors, plainly=allennlp is None):
        parts = {"part_rows": 4096 if shard_rows is None else shard_rows, "part_format": shard_format or "parquet"}
        _embed_on_ray(screen, table, output, spec, {"column": column, "id_column": id_column, **parts}, actors)
        return
    _check_apart(source, output)
    total = options.check_all_rows(table, columns)
    elmo = options.load_model(screen, model, device=device, precision=precision)
    if allennlp is not None:
        n_texts = _write_allennlp(elmo, (row.values[column] for row in table.rows(columns)), output, allennlp)
        screen.end_notes("rows left out")
        screen.say(f"{output}: AllenNLP's layout, {n_texts:,} texts, in {time.monotonic() - start:.1f} s")
        return

    writer = VectorWriter(elmo, spec, column=column, id_column=id_column)
    if shard_rows is not None:
        job = {"input": _checksum(source), "columns": columns, "bad_rows": bad_rows, **writer.identity()}
        job["shard_rows"] = shard_rows
        for path, some in _missing_shards(screen, output, job, shard_format or "npz", table.rows(columns), total):
            writer.write_file(path, some)
        screen.end_notes("rows left out")
        return
    n_texts = 0
    with vector_file(output, dim=writer.dim, about=writer.about) as write, screen.progress() as advance:
        for rows in options.blocks(table.rows(columns)):
            writer.write_block(write, rows)
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    what = "vectors of the words of " if words else ""
    screen.say(f"{output}: {what}{n_texts:,} texts, {writer.dim} numbers each, in {time.monotonic() - start:.1f} s")


def _allennlp_layers(format: str | None, flags: Mapping[str, bool]) -> str | None:
    """Which layers AllenNLP's layout shall hold; None where another layout is meant."""
    from elmokit.errors import ConfigError

    chosen = [name for name, given in flags.items() if given]
    if format != "allennlp-hdf5":
        if chosen:
            raise ConfigError(f"--{chosen[0]} belongs to --format allennlp-hdf5; here say which with --layers.")
        return None
    if len(chosen) != 1:
        raise ConfigError("--format allennlp-hdf5 needs one of --all, --top and --average.")
    return chosen[0]


def _write_allennlp(elmo: Any, texts: Iterable[str], output: str, output_format: str) -> int:
    from elmokit.compat.allennlp_file import write_allennlp_hdf5

    def embed_batch(batch: list[list[str]]) -> list[Any]:
        return [text.vectors for text in elmo.encode_words(batch, layers="each", show_progress=False)]

    return write_allennlp_hdf5(texts, output, embed_batch, output_format=output_format)


def _on_ray(engine: str, actors: str | None, *, plainly: bool) -> bool:
    """Whether a cluster does the work; refuses what does not go together."""
    from elmokit.errors import ConfigError

    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine is {engine!r}; expected 'local' or 'ray'.")
    if engine == "local" and actors is not None:
        raise ConfigError("--actors belongs to --engine ray.")
    if engine == "ray" and not plainly:
        raise ConfigError(
            "--format allennlp-hdf5 is one file, which a cluster can't write together; use --engine local."
        )
    return engine == "ray"


def _embed_on_ray(
    screen: Screen, table: Table, folder: str, spec: VectorSpec, settings: Mapping[str, Any], actors: str | None
) -> None:
    from elmokit.integrations.ray import BAD_ROWS, Actors, embed_files

    start = time.monotonic()
    how_many = Actors() if actors is None else _parse_actors(actors)
    with screen.progress() as advance:
        done = embed_files(
            table,
            folder,
            spec,
            **settings,
            actors=how_many,
            on_part=lambda part: advance("texts", part.n_done, part.n_texts),
        )
    for name in done.damaged:
        screen.note(f"{name} was damaged and was made again")
    if done.n_bad:
        screen.note(f"{done.n_bad:,} rows left out: see {folder}/{BAD_ROWS}")
    before = f", {done.n_parts_before:,} of them there before" if done.n_parts_before else ""
    seconds = time.monotonic() - start
    screen.say(f"{folder}: {done.n_texts:,} texts in {done.n_parts:,} files{before}, in {seconds:.1f} s")


def _parse_actors(text: str) -> Actors:
    from elmokit.errors import ConfigError
    from elmokit.integrations.ray import Actors

    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ConfigError(f'--actors is {text!r}; expected a number, or two such as "1:16".')
    return Actors(at_least=numbers[0], at_most=numbers[-1])


def _missing_shards(
    screen: Screen, folder: str, job: Mapping[str, Any], format: str, rows: Iterable[Row], total: int | None
) -> Iterator[tuple[Path, list[Row]]]:
    """The shards that are not there yet: where to write each, and its rows."""
    from elmokit.data.shards import open_shards

    size: int = job["shard_rows"]
    with open_shards(folder, job=job, suffix=f".{format.lstrip('.')}") as shards, screen.progress() as advance:
        if shards.n_rows or shards.damaged:
            screen.note(f"going on: {shards.n_rows:,} texts are there")
        for name in shards.damaged:
            screen.note(f"{name} is damaged and is made again")
        n_texts = 0
        for number, some in enumerate(options.blocks(rows, size)):
            if not shards.has(number):
                with shards.write(number, n_rows=len(some)) as path:
                    yield path, some
            n_texts += len(some)
            advance("texts", n_texts, total)
        screen.say(f"{folder}: {n_texts:,} texts in {-(-n_texts // size):,} files")


def _checksum(source: str) -> str:
    from pathlib import Path

    from elmokit.data.shards import checksum
    from elmokit.data.streams import STDIN
    from elmokit.errors import ConfigError

    if source == STDIN:
        raise ConfigError("--shard-rows needs an input that can be read again; standard input can't. Give a file.")
    return checksum(Path(source))


def _check_apart(source: str, output: str) -> None:
    from pathlib import Path

    from elmokit.errors import ConfigError

    if Path(source).exists() and Path(output).exists() and Path(source).samefile(output):
        raise ConfigError(f"--output {output} is the input itself, which it would replace; give another name.")
