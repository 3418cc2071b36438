"""`elmokit embed`: a column of texts → a file of vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from elmokit.cli.screen import Screen
    from elmokit.corpora.outputs import WriteVectors
    from elmokit.corpora.tables import Row


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
    shard_format: Annotated[str, typer.Option(help="Of those files: npz, npy, parquet, h5, csv or jsonl.")] = "npz",
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
    moment, the same command goes on where it was.

    Example:  elmokit embed tweets.csv --column tweet --output features.npz
    """
    from elmokit.corpora.outputs import vector_file

    screen: Screen = ctx.obj
    start = time.monotonic()
    allennlp = _allennlp_layers(format, {"all": every, "top": top, "average": average})
    format = None if allennlp is not None else format
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    columns = [column] if id_column is None else [column, id_column]
    chosen = options.parse_layers(layers)
    _check_apart(source, output)
    total = options.check_all_rows(table, columns)
    elmo = options.load_model(screen, model, device=device, precision=precision)
    if allennlp is not None:
        n_texts = _write_allennlp(elmo, (row.values[column] for row in table.rows(columns)), output, allennlp)
        screen.end_notes("rows left out")
        screen.say(f"{output}: AllenNLP's layout, {n_texts:,} texts, in {time.monotonic() - start:.1f} s")
        return

    about = {"model": elmo.name, "layers": layers, "pooling": None if words else pooling, "normalize": normalize}
    write_block = _block_writer(
        elmo, column, id_column, words=words, pooling=pooling, layers=chosen, normalize=normalize
    )
    dim = _width(elmo, words=words, pooling=pooling, layers=chosen)
    if shard_rows is not None:
        job: dict[str, Any] = {
            "input": _checksum(source),
            "columns": columns,
            "bad_rows": bad_rows,
            "words": words,
            **about,
        }
        job |= {"precision": elmo.precision, "first_numbers": _first_numbers(elmo), "shard_rows": shard_rows}
        for path, rows in _missing_shards(screen, output, job, shard_format, table.rows(columns), total):
            with vector_file(path, dim=dim, about=about) as write:
                for block in options.blocks(rows):
                    write_block(write, block)
        screen.end_notes("rows left out")
        return
    n_texts = 0
    with vector_file(output, dim=dim, about=about) as write, screen.progress() as advance:
        for rows in options.blocks(table.rows(columns)):
            write_block(write, rows)
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    what = "vectors of the words of " if words else ""
    screen.say(f"{output}: {what}{n_texts:,} texts, {dim} numbers each, in {time.monotonic() - start:.1f} s")


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


def _block_writer(
    elmo: Any, column: str, id_column: str | None, *, words: bool, pooling: str, layers: Any, normalize: bool
) -> Callable[[WriteVectors, Sequence[Row]], None]:
    """A function that encodes rows and writes their vectors with what belongs beside them."""

    def side(rows: Sequence[Row], repeats: Sequence[int] | None = None) -> dict[str, Any]:
        times = [1] * len(rows) if repeats is None else repeats
        kept: dict[str, Any] = {"row": [row.number for row, n in zip(rows, times, strict=True) for _ in range(n)]}
        if id_column is not None:
            kept["id"] = [row.values[id_column] for row, n in zip(rows, times, strict=True) for _ in range(n)]
        return kept

    def write_texts(write: WriteVectors, rows: Sequence[Row]) -> None:
        texts = [row.values[column] for row in rows]
        write(side(rows), elmo.encode(texts, pooling=pooling, layers=layers, normalize=normalize, show_progress=False))

    def write_words(write: WriteVectors, rows: Sequence[Row]) -> None:
        import numpy as np

        features = elmo.encode_words([row.values[column] for row in rows], layers=layers, show_progress=False)
        found = [features[i] for i in range(len(rows))]
        kept = side(rows, [len(text.words) for text in found])
        kept["word"] = [word for text in found for word in text.words]
        for name, end in (("start", 0), ("end", 1)):
            kept[name] = [int(place[end]) for text in found if text.offsets is not None for place in text.offsets]
        write(kept, np.concatenate([text.vectors for text in found]))

    return write_words if words else write_texts


def _missing_shards(
    screen: Screen, folder: str, job: Mapping[str, Any], format: str, rows: Iterable[Row], total: int | None
) -> Iterator[tuple[Path, list[Row]]]:
    """The shards that are not there yet: where to write each, and its rows."""
    from elmokit.corpora.shards import open_shards

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

    from elmokit.corpora.shards import checksum
    from elmokit.corpora.streams import STDIN
    from elmokit.errors import ConfigError

    if source == STDIN:
        raise ConfigError("--shard-rows needs an input that can be read again; standard input can't. Give a file.")
    return checksum(Path(source))


def _first_numbers(elmo: Any) -> list[float]:
    """What tells one model from another: the beginning of a fixed text's vector."""
    return [round(float(x), 3) for x in elmo.encode(["Tell me which model you are ."])[0, :8]]


def _check_apart(source: str, output: str) -> None:
    from pathlib import Path

    from elmokit.errors import ConfigError

    if Path(source).exists() and Path(output).exists() and Path(source).samefile(output):
        raise ConfigError(f"--output {output} is the input itself, which it would replace; give another name.")


def _width(elmo: Any, *, words: bool, pooling: str, layers: Any) -> int:
    if words:
        return int(elmo.encode_words([["word"]], layers=layers)[0].vectors.shape[1])
    return int(elmo.encode([], pooling=pooling, layers=layers, show_progress=False).shape[1])
