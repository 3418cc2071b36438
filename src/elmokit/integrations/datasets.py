"""Hugging Face datasets: add columns of vectors, in batches and several processes, cached between runs.

`datasets` caches the result of `map` under a hash of the pickled function; ours changes with the model alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elmokit.data.tables import require_columns
from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, needing

AnyDataset = TypeVar("AnyDataset")


@dataclass(frozen=True, eq=False)
class EmbedColumns:
    """A function for `dataset.map(…, batched=True)` that turns columns of texts into columns of vectors.

    `columns` maps a column of texts to the new column. The model must come from `Elmo.load`, so that other processes
    can load it too.
    """

    elmo: Elmo
    columns: Mapping[str, str]
    encoding: Encoding = Encoding()
    fingerprint: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self.elmo.fingerprint)

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float32]]:
        """Return the new columns of a batch. Shapes (N, D)."""
        return {
            new: self.elmo.encode(batch[column], self.encoding, show_progress=False)
            for column, new in self.columns.items()
        }


def add_embeddings(
    dataset: AnyDataset,
    columns: str | Mapping[str, str] = "text",
    *,
    elmo: Elmo | str | Path = "default",
    encoding: Encoding = Encoding(),
    batch_size: int = 1000,
    num_proc: int | None = None,
) -> AnyDataset:
    """Add columns of vectors, float32 and of fixed width, from the cache if they were computed before.

    `dataset` is a `Dataset`, `DatasetDict`, `IterableDataset` or `IterableDatasetDict`; `columns` the column of texts
    (the new column is NAME_elmo), or {column of texts: new column}; `elmo` a model, or what `Elmo.load` takes.
    `batch_size` rows are encoded together, by `num_proc` processes (not for streamed data sets).

    Raises InputError for a column that does not exist, ConfigError for a new one that exists, TextError for a text
    that is none.

    Example:
        >>> import datasets
        >>> table = datasets.Dataset.from_dict({"text": ["so happy", "it broke"]})
        >>> add_embeddings(table).column_names
        ['text', 'text_elmo']
    """
    named = {columns: f"{columns}_elmo"} if isinstance(columns, str) else dict(columns)
    embed = EmbedColumns(elmo if isinstance(elmo, Elmo) else Elmo.load(elmo), named, encoding)
    options = {"batch_size": batch_size} | ({} if num_proc is None else {"num_proc": num_proc})
    if isinstance(dataset, dict):  # DatasetDict, IterableDatasetDict
        return type(dataset)({name: _mapped(part, embed, **options) for name, part in dataset.items()})
    mapped: AnyDataset = _mapped(dataset, embed, **options)
    return mapped


def _mapped(dataset: Any, embed: EmbedColumns, **options: Any) -> Any:
    with needing("datasets", "datasets", "add_embeddings"):
        from datasets import Features, Sequence, Value
    existing = dataset.column_names  # a stream may not know them, nor its features
    for column, new in embed.columns.items() if existing is not None else ():
        require_columns([column], existing, "the data set: ")
        if new in existing:
            raise ConfigError(f"the column {new!r} exists already; choose another name for the new one.")
    if dataset.features is not None:
        vector = Sequence(Value("float32"), length=embed.elmo.width(embed.encoding))
        options["features"] = Features({**dataset.features, **dict.fromkeys(embed.columns.values(), vector)})
    return dataset.map(embed, batched=True, **options)
