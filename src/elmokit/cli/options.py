"""Options that several commands share, spelled and explained once, and what their words mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Table
    from elmokit.elmo import Elmo

T = TypeVar("T")

BLOCK = 512
"""Texts that are read, encoded and written together."""

Model = Annotated[str, typer.Option("--model", help='The model: "default" or a folder with a checkpoint.')]
Precision = Annotated[
    str,
    typer.Option(help='"float32", "bfloat16", "int8" (extra "torch"); "auto": what the processor does well.'),
]
Device = Annotated[str, typer.Option(help='"cpu"; "cuda" or "cuda:N" (extra "torch").')]
Layers = Annotated[
    str,
    typer.Option(help='"mix", "all" (side by side), a number (0 is the word itself), or shares such as "0.2,0.3,0.5".'),
]
Pooling = Annotated[
    str,
    typer.Option(help='"mean", "max", "mean+max", "first", "last", "first+last" or "sif" (frequent words weigh less).'),
]
BadRows = Annotated[
    str,
    typer.Option(
        help='A row that can\'t be used: "stop", "skip" it, or "keep" a missing text as an empty one.',
        metavar="stop|skip|keep",
    ),
]
Encoding = Annotated[str, typer.Option(help="Of the input's characters, for instance cp1252.")]
Format = Annotated[
    str | None, typer.Option("--format", help="Of the input, if its name does not tell: csv, tsv, jsonl, parquet, txt.")
]
Delimiter = Annotated[str | None, typer.Option(help="Between the fields of a CSV file; a comma if not given.")]


def table(
    screen: Screen, source: str, *, bad_rows: str, encoding: str, format: str | None, delimiter: str | None
) -> Table:
    """The input of a command; rows left out are told on the screen."""
    from elmokit.data.tables import Table

    return Table(
        source=source,
        format=format,  # type: ignore[arg-type]
        encoding=encoding,
        delimiter=delimiter,
        bad_rows=bad_rows,  # type: ignore[arg-type]
        on_skip=screen.note,
    )


def check_all_rows(table: Table, columns: Sequence[str]) -> int | None:
    """Read a file once for nothing but its errors: the last row's is told before hours of work, not after.

    Args:
        table: the input.
        columns: that will be read.

    Returns:
        the number of rows that will be used; None for standard input, which can be read only once.
    """
    import dataclasses

    from elmokit.data.streams import STDIN

    if str(table.source) == STDIN:
        return None
    return sum(1 for _ in dataclasses.replace(table, on_skip=None).rows(columns))


def parse_layers(text: str) -> Any:
    """What `--layers` says, as `Elmo.encode` takes it.

    Args:
        text: a word, a number, or numbers with commas.

    Returns:
        a string, an integer or a tuple of numbers.

    Raises:
        ConfigError: none of them.

    Example:
        >>> parse_layers("all"), parse_layers("2"), parse_layers("0.5, 0.5")
        ('all', 2, (0.5, 0.5))
    """
    from elmokit.errors import ConfigError

    if text in ("mix", "all"):
        return text
    try:
        return tuple(float(part) for part in text.split(",")) if "," in text else int(text)
    except ValueError:
        raise ConfigError(
            f'--layers is {text!r}; expected "mix", "all", a layer\'s number, or shares such as "0.2,0.3,0.5".'
        ) from None


def blocks(items: Iterable[T], size: int = BLOCK) -> Iterator[list[T]]:
    """Cut a stream into lists.

    Args:
        items: any number of them.
        size: items in a list.

    Yields:
        lists of that size, the last one possibly shorter.

    Example:
        >>> list(blocks("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    block: list[T] = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def load_model(screen: Screen, model: str, *, device: str, precision: str) -> Elmo:
    """The model, with a word on the precision where it was left to us."""
    from elmokit.elmo import Elmo
    from elmokit.runtime.precision import choose_precision

    if precision == "auto":
        chosen, reason = choose_precision(device)
        screen.note(f"precision {chosen}: {reason}")
    return Elmo.load(model, device=device, precision=precision)
