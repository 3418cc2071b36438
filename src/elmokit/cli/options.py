"""What several commands share, declared once: options, groups of them, and what is read and written with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer import Option

import elmokit
from elmokit import files
from elmokit.blocks import blocks
from elmokit.cli.app import option
from elmokit.cli.screen import screen
from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError, InputError
from elmokit.progress import progress_bar

if TYPE_CHECKING:
    from elmokit.data.tables import Row, Table

_SOURCE_HELP = 'CSV, TSV, JSON lines, Parquet or text file, also compressed; "-" for stdin.'
Source = Annotated[str, typer.Argument(metavar="FILE", help=_SOURCE_HELP)]
TextColumn = Annotated[str, Option("--text", "--column", "-c", help="Column with the texts.", metavar="COLUMN")]
IdColumn = Annotated[str | None, Option("--id", help="Column that names the rows in the output.", metavar="COLUMN")]
_TABLES = '.csv, .tsv, .jsonl or .parquet; "-" prints CSV.'
TableOut = Annotated[str, Option("--out", "--output", "-o", help=_TABLES, metavar="FILE")]
Proba = Annotated[bool, Option("--proba", help="Also write the probability of each class.")]
Seed = Annotated[int, Option("--seed", help="Seed of the random numbers.")]
Count = Annotated[int, Option("-n", "-k", help="Number of results to show.", min=1)]
JsonFile = Annotated[str | None, Option("--json", help="Also write the results to this file.", metavar="FILE")]
ModelName = Annotated[str, Option("--model", help='"default", a folder, or a published model.', metavar="MODEL")]
MovedModel = Annotated[str | None, Option("--model", help="The ELMo model, if it has moved.", metavar="MODEL")]
Device = Annotated[str, Option("--device", help='"cpu"; with the extra "torch" "cuda", "cuda:N", "mps".')]
Threads = Annotated[int | None, Option("--threads", help="Number of CPU threads; all cores if not given.", min=1)]
RUN = "run"  # folder of a training's snapshots, in its output folder
LAYERS_HELP = '"mix", "all" (concatenated), layer numbers such as "2" or "1,2" (0: token layer), weights "0.2,0.3,0.5".'
Layers = Annotated[str, Option("--layers", help=LAYERS_HELP, metavar="LAYERS")]
_CENTER = "--center/--no-center", "--centre/--no-centre"
Centering = Annotated[bool, Option(*_CENTER, help="Subtract the mean vector of the file first.")]
Encoding = Annotated[str, Option("--encoding", help="Character encoding of the input, for instance cp1252.")]
_FORMAT_HELP = "Format of the input if its name does not tell: csv, tsv, jsonl, parquet or txt."
_BAD_ROWS_HELP = 'Rows that can\'t be used: "stop", "skip" them, or "keep" missing texts as empty ones.'


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read tables."""

    shown_last: ClassVar = True
    bad_rows: str = option("stop", _BAD_ROWS_HELP, "--bad-rows", metavar="stop|skip|keep")
    encoding: Encoding = "utf-8"
    format: str | None = option(None, _FORMAT_HELP, "--input-format", metavar="FORMAT")
    delimiter: str | None = option(None, r'Field delimiter of a CSV file, "\t" for tabs.', metavar="CHARACTER")
    no_header: bool = option(False, "The table has no header; its columns are called 1, 2, and so on.", "--no-header")

    def table(self, source: str) -> Table:
        """A table; rows that are left out are reported on the screen."""
        from elmokit.data.tables import Table

        delimiter = None if self.delimiter is None else self.delimiter.replace("\\t", "\t")
        how: dict[str, Any] = {"format": self.format, "encoding": self.encoding, "bad_rows": self.bad_rows}
        return Table(source=source, delimiter=delimiter, header=not self.no_header, on_skip=screen.note, **how)


@dataclass(frozen=True, kw_only=True)
class TextOptions(ReadingOptions):
    """A table, its column with texts, and how to read it."""

    source: Source
    text: TextColumn = "text"

    def open(self) -> tuple[Table, str]:
        """The table, and its column with the texts: of a plain text file "text", whatever was asked for."""
        table = self.table(self.source)
        return table, "text" if table.kind == "txt" else self.text

    def read(self, *more: str) -> tuple[list[Row], list[str]]:
        """All usable rows with their texts; `more` are other columns to read."""
        table, column = self.open()
        rows = read_rows(table, [column, *more])
        return rows, [row.values[column] for row in rows]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model to use, and on what."""

    model: ModelName = "default"
    device: Device = "cpu"
    precision: str = option("float32", '"float32", "bfloat16" or "auto".', metavar="PRECISION")
    threads: Threads = None

    def load(self) -> elmokit.Elmo:
        """Load the model."""
        return elmokit.Elmo.load(self.model, **self.where())

    def where(self) -> dict[str, Any]:
        """The arguments of `Elmo.load` that say where and how it computes."""
        return {"device": self.device, "precision": self.precision, "n_threads": self.threads}


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """Which vectors to compute."""

    pooling: str = option("mean", '"mean", "max", "mean+max", "first", "last", "first+last", "sif".', metavar="POOLING")
    layers: Layers = "mix"

    def encoding(self, *, normalize: bool = False) -> elmokit.Encoding:
        """The options as one value."""
        from elmokit.encoding import holds_weights

        layers = parse_layers(self.layers)
        chosen: Any = {"layer_weights" if holds_weights(layers) else "layers": layers}
        return elmokit.Encoding(pooling=self.pooling, normalize=normalize, **chosen)


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(ModelOptions, VectorOptions):
    """Which vectors to compute, with which model, and on what."""

    def encode(self, texts: Sequence[str]) -> Any:
        """The vectors of texts, (N, D)."""
        return self.load().encode(texts, self.encoding(), show_progress=screen.show_progress)


def check_all_rows(table: Table, columns: Sequence[str]) -> int | None:
    """Read the whole input once, so that errors in its last row come before hours of work; the number of rows."""
    if str(table.source) == STDIN:
        return None
    return sum(1 for _ in dataclasses.replace(table, on_skip=None).rows(columns))


def read_rows(table: Table, columns: Sequence[str], *, labels: Sequence[str] = ()) -> list[Row]:
    """Read all usable rows; InputError if there are none."""
    rows = list(table.rows(columns, labels=labels))
    screen.end_notes()
    if not rows:
        raise InputError(f"{table.source}: no usable rows.")
    return rows


def id_of(table: Table, id_column: str | None) -> str | None:
    """The column that names the rows: the one given, else "id" if there is one."""
    has_id = id_column is None and str(table.source) != STDIN and "id" in table.columns()
    return "id" if has_id else id_column


class RowResults:
    """The rows of a table, read once to check them, and a table with their ids (else numbers) and their results."""

    def __init__(self, table: Table, columns: Sequence[str], id_column: str | None = None) -> None:
        self.table, self.id = table, id_of(table, id_column)
        self.columns = [*columns, *([self.id] if self.id else [])]
        self.n_rows = check_all_rows(table, self.columns)

    def write(
        self, out: str, names: Sequence[str], results: Callable[[list[Row]], Iterable[Sequence[Any]]], block: int = 8192
    ) -> None:
        """Write the results, which are computed block by block."""

        def lines() -> Iterator[Sequence[Any]]:
            for rows in blocks(self.table.rows(self.columns), block):
                for row, values in zip(rows, results(rows), strict=True):
                    yield [row.values[self.id] if self.id else row.number, *values]
                advance(len(rows))

        with progress_bar("texts", total=self.n_rows, show=screen.show_progress) as advance:
            n_rows = write_table(out, [self.id or "row", *names], lines())
        screen.end_notes()
        screen.done(f"{out}: {n_rows:,} rows", out)


def with_probabilities(labels: Sequence[Any], probabilities: Any | None) -> list[list[Any]]:
    """Results of rows: a label, and the probability of each class unless that is None, (N, C)."""
    more = [[]] * len(labels) if probabilities is None else probabilities.round(6).tolist()
    return [[label, *values] for label, values in zip(labels, more, strict=True)]


def moved_model(model: str | None) -> elmokit.Elmo | None:
    """The model of `--model` for a saved head; None for the one that the head names."""
    return None if model is None else elmokit.Elmo.load(model)


def trained_on(folder: str, kind: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    """What a saved head records of its training table; `otherwise` where it records nothing of that type."""
    from elmokit.tasks.saved import read_head_config

    saved = read_head_config(folder, kind)["metadata"]
    return otherwise | {x: value for x, value in saved.items() if x in otherwise and type(value) is type(otherwise[x])}


def write_table(out: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a table, whole or not at all, and return the number of rows."""
    from elmokit.data import outputs

    return outputs.write_table(out, names, rows)


def write_json(path: str | None, value: object) -> None:
    """Write results to the file of `--json`, whole or not at all; None writes nothing."""
    if path is not None:
        files.write_json(path, value, indent=2, ensure_ascii=False)


def parse_layers(text: str) -> Any:
    """Parse the value of `--layers`."""
    if text in ("mix", "all"):
        return text
    try:
        number = float if "." in text else int
        return tuple(map(number, text.split(","))) if "," in text else int(text)
    except ValueError:
        raise ConfigError(f"--layers is {text!r}; expected {LAYERS_HELP}") from None


def split_names(text: str) -> list[str]:
    """The names in a value such as "urls, spaces"."""
    return [name.strip() for name in text.split(",") if name.strip()]


def remove_snapshots(out: str) -> None:
    """Remove what only an interrupted training needs from an output folder."""
    folder = Path(out, RUN)
    if folder.is_dir():
        from elmokit.fitting import remove_snapshots

        remove_snapshots(folder)


def number_or(name: str, text: str, word: str, kind: Callable[[str], Any] = float) -> Any:
    """The value of an option that takes a number or one word."""
    try:
        return text if text == word else kind(text)
    except ValueError:
        raise ConfigError(f'{name} is {text!r}; expected a number or "{word}".') from None
