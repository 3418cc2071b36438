"""Options that several commands share, declared once: single options, and groups of them as dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Table
    from elmokit.elmo import Elmo
    from elmokit.encoding import Encoding as TextEncoding

Source = Annotated[
    str,
    typer.Argument(metavar="FILE", help='CSV, TSV, JSON lines, Parquet or text file, also compressed; "-" for stdin.'),
]
TextColumn = Annotated[str, typer.Option("--text", "--column", "-c", help="Column with the texts.", metavar="COLUMN")]
IdColumn = Annotated[
    str | None, typer.Option("--id", help="Column that identifies the rows; copied to the output.", metavar="COLUMN")
]
TableOut = Annotated[
    str,
    typer.Option(
        "--out", "--output", "-o", help='Output table: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.', metavar="FILE"
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random numbers.")]
Count = Annotated[int, typer.Option("-n", "-k", help="Number of results to show.", min=1)]
JsonFile = Annotated[str | None, typer.Option("--json", help="Also write the results to this file.", metavar="FILE")]

ModelName = Annotated[
    str, typer.Option("--model", help='"default", a folder with a checkpoint, or a published model.', metavar="MODEL")
]
Precision = Annotated[
    str,
    typer.Option("--precision", help='"float32", "bfloat16" or "auto".', metavar="PRECISION"),
]
Device = Annotated[
    str,
    typer.Option("--device", help='"cpu", "cuda", "cuda:N" or "mps"; GPUs need the extra "torch".', metavar="DEVICE"),
]
Threads = Annotated[int | None, typer.Option("--threads", help="Number of CPU threads; all cores if not given.", min=1)]
Layers = Annotated[
    str,
    typer.Option(
        "--layers",
        help='"mix", "all" (concatenated), layer numbers such as "2" or "1,2" (0: token layer), weights "0.2,0.3,0.5".',
        metavar="LAYERS",
    ),
]
Pooling = Annotated[
    str,
    typer.Option(
        "--pooling", help='"mean", "max", "mean+max", "first", "last", "first+last" or "sif".', metavar="POOLING"
    ),
]
BadRows = Annotated[
    str,
    typer.Option(
        "--bad-rows",
        help='Rows that can\'t be used: "stop", "skip" them, or "keep" missing texts as empty ones.',
        metavar="stop|skip|keep",
    ),
]
Encoding = Annotated[str, typer.Option("--encoding", help="Character encoding of the input, for instance cp1252.")]
FORMAT_HELP = "Format of the input if its name does not tell: csv, tsv, jsonl, parquet or txt."
Format = Annotated[str | None, typer.Option("--input-format", "--format", help=FORMAT_HELP, metavar="FORMAT")]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", help=r'Field delimiter of a CSV file, "\t" for tabs.', metavar="CHARACTER")
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The table has no header; its columns are called 1, 2, and so on.")
]


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read the input table."""

    bad_rows: BadRows = "stop"
    encoding: Encoding = "utf-8"
    format: Format = None
    delimiter: Delimiter = None
    no_header: NoHeader = False

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
    precision: Precision = "float32"
    threads: Threads = None

    def load(self, screen: Screen, model: str | None = None) -> Elmo:
        """Load the model."""
        from elmokit.elmo import Elmo
        from elmokit.runtime.precision import choose_precision

        if self.precision == "auto":
            chosen, reason = choose_precision(self.device)
            screen.note(f"precision {chosen}: {reason}")
        return Elmo.load(
            self.model if model is None else model,
            device=self.device,
            precision=self.precision,
            n_threads=self.threads,
        )


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """Which vectors to compute."""

    pooling: Pooling = "mean"
    layers: Layers = "mix"

    def encoding(self, *, normalize: bool = False) -> TextEncoding:
        """The options as one value."""
        from elmokit.encoding import Encoding, holds_weights

        layers = parse_layers(self.layers)
        if holds_weights(layers):
            return Encoding(pooling=self.pooling, layer_weights=layers, normalize=normalize)
        return Encoding(pooling=self.pooling, layers=layers, normalize=normalize)


READING = ReadingOptions()
MODEL = ModelOptions()
VECTORS = VectorOptions()
"""The defaults of the groups."""


def check_all_rows(table: Table, columns: Sequence[str]) -> int | None:
    """Read the whole input once, so that errors in its last row come before hours of work."""
    import dataclasses

    from elmokit.data.streams import STDIN

    if str(table.source) == STDIN:
        return None
    return sum(1 for _ in dataclasses.replace(table, on_skip=None).rows(columns))


def parse_layers(text: str) -> Any:
    """Parse the value of `--layers`."""
    from elmokit.errors import ConfigError

    if text in ("mix", "all"):
        return text
    try:
        if "," not in text:
            return int(text)
        number = float if "." in text else int
        return tuple(number(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f'--layers is {text!r}; expected "mix", "all", numbers such as "2" or "1,2", or weights "0.2,0.3,0.5".'
        ) from None
