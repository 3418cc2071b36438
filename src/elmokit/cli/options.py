"""Options that several commands share, declared once: single options, and groups of them as dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from elmokit.cli.commands import option
from elmokit.cli.screen import Screen
from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError

if TYPE_CHECKING:
    from elmokit.data.tables import Table
    from elmokit.elmo import Elmo
    from elmokit.encoding import Encoding as TextEncoding

Source = Annotated[
    str,
    typer.Argument(metavar="FILE", help='CSV, TSV, JSON lines, Parquet or text file, also compressed; "-" for stdin.'),
]
TextColumn = Annotated[str, Option("--text", "--column", "-c", help="Column with the texts.", metavar="COLUMN")]
IdColumn = Annotated[
    str | None, Option("--id", help="Column that identifies the rows; copied to the output.", metavar="COLUMN")
]
TABLE_OUT_HELP = 'Output table: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.'
TableOut = Annotated[str, Option("--out", "--output", "-o", help=TABLE_OUT_HELP, metavar="FILE")]
Seed = Annotated[int, Option("--seed", help="Seed of the random numbers.")]
Count = Annotated[int, Option("-n", "-k", help="Number of results to show.", min=1)]
JsonFile = Annotated[str | None, Option("--json", help="Also write the results to this file.", metavar="FILE")]
ModelName = Annotated[
    str, Option("--model", help='"default", a folder with a checkpoint, or a published model.', metavar="MODEL")
]
MovedModel = Annotated[str | None, Option("--model", help="The ELMo model, if it has moved.", metavar="MODEL")]
DEVICE_HELP = '"cpu", "cuda", "cuda:N" or "mps"; GPUs need the extra "torch".'
Device = Annotated[str, Option("--device", help=DEVICE_HELP, metavar="DEVICE")]
Threads = Annotated[int | None, Option("--threads", help="Number of CPU threads; all cores if not given.", min=1)]
LAYERS_HELP = '"mix", "all" (concatenated), layer numbers such as "2" or "1,2" (0: token layer), weights "0.2,0.3,0.5".'
Layers = Annotated[str, Option("--layers", help=LAYERS_HELP, metavar="LAYERS")]
Encoding = Annotated[str, Option("--encoding", help="Character encoding of the input, for instance cp1252.")]
FORMAT_HELP = "Format of the input if its name does not tell: csv, tsv, jsonl, parquet or txt."
BAD_ROWS_HELP = 'Rows that can\'t be used: "stop", "skip" them, or "keep" missing texts as empty ones.'


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read the input table."""

    bad_rows: str = option("stop", BAD_ROWS_HELP, "--bad-rows", metavar="stop|skip|keep")
    encoding: Encoding = "utf-8"
    format: str | None = option(None, FORMAT_HELP, "--input-format", "--format", metavar="FORMAT")
    delimiter: str | None = option(None, r'Field delimiter of a CSV file, "\t" for tabs.', metavar="CHARACTER")
    no_header: bool = option(False, "The table has no header; its columns are called 1, 2, and so on.", "--no-header")

    def table(self, screen: Screen, source: str) -> Table:
        """The input table of a command; rows that are left out are reported on the screen."""
        from elmokit.data.tables import Table

        return Table(
            source=source,
            format=self.format,  # type: ignore[arg-type]
            encoding=self.encoding,
            delimiter=None if self.delimiter is None else self.delimiter.replace("\\t", "\t"),
            header=not self.no_header,
            bad_rows=self.bad_rows,  # type: ignore[arg-type]
            on_skip=screen.note,
        )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model to use, and on what."""

    model: ModelName = "default"
    device: Device = "cpu"
    precision: str = option("float32", '"float32", "bfloat16" or "auto".', metavar="PRECISION")
    threads: Threads = None

    def load(self, screen: Screen) -> Elmo:
        """Load the model."""
        from elmokit.elmo import Elmo

        if self.precision == "auto":
            from elmokit.runtime.backends import choose_precision

            chosen, reason = choose_precision(self.device)
            screen.note(f"precision {chosen}: {reason}")
        return Elmo.load(self.model, device=self.device, precision=self.precision, n_threads=self.threads)


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """Which vectors to compute."""

    pooling: str = option("mean", '"mean", "max", "mean+max", "first", "last", "first+last", "sif".', metavar="POOLING")
    layers: Layers = "mix"

    def encoding(self, *, normalize: bool = False) -> TextEncoding:
        """The options as one value."""
        from elmokit.encoding import Encoding, holds_weights

        layers = parse_layers(self.layers)
        if holds_weights(layers):
            return Encoding(pooling=self.pooling, layer_weights=layers, normalize=normalize)
        return Encoding(pooling=self.pooling, layers=layers, normalize=normalize)


def check_all_rows(table: Table, columns: Sequence[str]) -> int | None:
    """Read the whole input once, so that errors in its last row come before hours of work; the number of rows."""
    if str(table.source) == STDIN:
        return None
    return sum(1 for _ in dataclasses.replace(table, on_skip=None).rows(columns))


def parse_layers(text: str) -> Any:
    """Parse the value of `--layers`."""
    if text in ("mix", "all"):
        return text
    try:
        if "," not in text:
            return int(text)
        number = float if "." in text else int
        return tuple(number(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--layers is {text!r}; expected {LAYERS_HELP}") from None


def split_names(text: str) -> list[str]:
    """The names in a value such as "urls, spaces"."""
    return [name.strip() for name in text.split(",") if name.strip()]
