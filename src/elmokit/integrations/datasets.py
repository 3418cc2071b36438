"""Hugging Face datasets: ELMo vectors as columns, by batches, in several processes, from the cache the next time.

`datasets` caches the outcome of `map` under the hash of the pickled function. Ours pickles to names, options and the
mark of the model's vectors (not its weights), so the hash is the same in every run and another with other weights, even
where they lie in the same folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.errors import ConfigError, MissingExtra

AnyDataset = TypeVar("AnyDataset")


@dataclass(frozen=True, eq=False)
class EmbedColumns:
    """A function for `dataset.map(…, batched=True)`: a batch's columns of texts → columns of vectors.

    Args:
        elmo: the model; made by `Elmo.load`, so that other processes can open it.
        columns: column of texts → name of the column of its vectors.
        pooling: as in `Elmo.encode`.
        layers: as in `Elmo.encode`.
        normalize: as in `Elmo.encode`.

    Raises:
        ConfigError: pooling or layers that the model does not have; no columns.

    Example:
        >>> embed = EmbedColumns(Elmo.load(), {"text": "elmo"})
        >>> embed({"text": ["so happy", "it broke"]})["elmo"].shape == (2, embed.dim)
        True
    """

    elmo: Elmo
    columns: Mapping[str, str]
    pooling: str = "mean"
    layers: Layers = "mix"
    normalize: bool = False
    dim: int = field(init=False)
    mark: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.columns:
            raise ConfigError("no columns were named; give the column of texts, for instance columns='text'.")
        object.__setattr__(self, "dim", self._encode([""]).shape[1])
        object.__setattr__(self, "mark", _mark(self.elmo))

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float32]]:
        """Vectors of a batch.

        Args:
            batch: columns by name.

        Returns:
            new columns by name. Shape (rows, d) each.

        Raises:
            TextError: a text that is missing or no string; says which of the batch.
        """
        return {new: self._encode(batch[column]) for column, new in self.columns.items()}

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.elmo.encode(
            texts, pooling=self.pooling, layers=self.layers, normalize=self.normalize, show_progress=False
        )


def _mark(elmo: Elmo) -> str:
    """What tells the model's weights from others in a fingerprint; none for a model in memory, which has none.

    Of the stored arrays, not of vectors: those may differ in their last bits between processes.
    """
    try:
        tensors = elmo.checkpoint().tensors
    except ConfigError:
        return ""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def add_embeddings(
    dataset: AnyDataset,
    columns: str | Mapping[str, str] = "text",
    *,
    elmo: Elmo | str | Path = "default",
    pooling: str = "mean",
    layers: Layers = "mix",
    normalize: bool = False,
    batch_size: int = 1000,
    num_proc: int | None = None,
) -> AnyDataset:
    """Add columns of vectors, float32 and of fixed width.

    Args:
        dataset: a `Dataset`, a `DatasetDict`, or a streamed `IterableDataset` or `IterableDatasetDict`.
        columns: the column of texts, whose vectors go to the column NAME_elmo; or {column of texts: new column}.
        elmo: the model, or its name or folder as in `Elmo.load`.
        pooling: as in `Elmo.encode`.
        layers: as in `Elmo.encode`.
        normalize: as in `Elmo.encode`.
        batch_size: rows that are read together; bounds the memory, changes no vector.
        num_proc: processes; not for streamed ones.

    Returns:
        the dataset with its new columns; from the cache where it was made before.

    Raises:
        MissingExtra: datasets is not installed.
        ConfigError: a column that is not there, or one that is there already; several processes for a stream.
        TextError: a text that is missing or no string.

    Example:
        >>> import datasets
        >>> table = datasets.Dataset.from_dict({"text": ["so happy", "it broke"]})
        >>> add_embeddings(table).column_names
        ['text', 'text_elmo']
    """
    named = {columns: f"{columns}_elmo"} if isinstance(columns, str) else dict(columns)
    opened = elmo if isinstance(elmo, Elmo) else Elmo.load(elmo)
    embed = EmbedColumns(opened, named, pooling=pooling, layers=layers, normalize=normalize)
    made: AnyDataset = _mapped(dataset, embed, batch_size, num_proc)
    return made


def _mapped(dataset: Any, embed: EmbedColumns, batch_size: int, num_proc: int | None) -> Any:
    try:
        from datasets import IterableDataset
    except ImportError:
        raise MissingExtra("datasets", "datasets", "add_embeddings") from None
    if isinstance(dataset, dict):  # DatasetDict, IterableDatasetDict
        return type(dataset)({name: _mapped(part, embed, batch_size, num_proc) for name, part in dataset.items()})
    _check_columns(dataset.column_names, embed)
    if not isinstance(dataset, IterableDataset):
        options: dict[str, Any] = {"num_proc": num_proc, "desc": "ELMo"}
    elif num_proc is None:
        options = {}
    else:
        raise ConfigError("a streamed dataset is read in one process; leave num_proc out.")
    features = _features(dataset.features, embed)
    return dataset.map(embed, batched=True, batch_size=batch_size, features=features, **options)


def _check_columns(there: Sequence[str] | None, embed: EmbedColumns) -> None:
    """A stream may not know its columns (None)."""
    for column, new in embed.columns.items():
        if there is not None and column not in there:
            raise ConfigError(f"no column is called {column!r}; the dataset has {', '.join(map(repr, there))}.")
        if there is not None and new in there:
            raise ConfigError(f"the column {new!r} is there already; give the new one another name.")


def _features(there: Any, embed: EmbedColumns) -> Any:
    """The old columns and the new ones, float32 lists of one length; None where a stream does not know its own."""
    if there is None:
        return None
    from datasets import Features, Sequence, Value

    return Features({**there, **{new: Sequence(Value("float32"), length=embed.dim) for new in embed.columns.values()}})
