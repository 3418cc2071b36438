"""`Checkpoint`: a configuration and the arrays that fit it, whatever file they came from. And what formats share.

Its constructor makes all checks; readers and users of checkpoints need none of their own.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import CheckpointError
from elmokit.text.vocab import MAXTERMID, read_words

Tensors = Mapping[str, NDArray[Any]]
Storage = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, eq=False)
class Softmax:
    """The language model's output layer, shared by both directions: weight (V, P) and bias (V,)."""

    weight: NDArray[Any]
    bias: NDArray[Any]

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise CheckpointError(
                f"the softmax has a weight of shape {self.weight.shape} and a bias of shape {self.bias.shape}; expected"
                " (words, projection) and (words,)."
            )


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A biLM as arrays, with what was stored beside it.

    Args:
        config: sizes and kinds of the layers.
        tensors: exactly the names and shapes of `config.tensor_shapes()`, of a floating type.
        layer_mix: how its layers are summed by default.
        words, word_counts: vocabulary of the softmax or of the word table, by id; how often training saw each.
        softmax: the language model's output layer, where it was kept.
        name, metadata: shown to people; what is known of its training and origin, as JSON values.
        whitening: the matrix (2P, 2P) of `Elmo.fit_whitening`, where one was fitted.

    Raises CheckpointError if a tensor is missing, left over, or of another shape, or if words or softmax do not fit.

    Example:
        >>> config = ElmoConfig(char_cnn=None, n_words=3, projection_width=4)
        >>> zeros = {name: np.zeros(shape, np.float32) for name, shape in config.tensor_shapes().items()}
        >>> Checkpoint(config, zeros, words=("<S>", "</S>")).config.dim
        8
    """

    config: ElmoConfig
    tensors: Tensors
    layer_mix: LayerMix = field(default_factory=LayerMix)
    words: tuple[str, ...] | None = None
    word_counts: tuple[int, ...] | None = None
    softmax: Softmax | None = None
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    whitening: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        check_shapes(self.tensors, self.config.tensor_shapes(), needed_by="the configuration")
        if self.whitening is not None:
            check_shapes({"whitening": self.whitening}, {"whitening": 2 * (self.config.dim,)}, needed_by="the model")
        for name, array in self.arrays.items():
            if array.dtype.kind != "f":
                raise CheckpointError(f"{name} has the type {array.dtype}; expected floating-point numbers.")
        self.layer_mix.shares(self.config.n_layers)
        self._check_words()

    @property
    def arrays(self) -> Tensors:
        """The tensors, and the whitening where there is one."""
        return self.tensors if self.whitening is None else {**self.tensors, "whitening": self.whitening}

    def _check_words(self) -> None:
        if self.softmax is not None and self.softmax.weight.shape[1] != self.config.projection_width:
            raise CheckpointError(
                f"the softmax has rows of width {self.softmax.weight.shape[1]}, but the model's projection is"
                f" {self.config.projection_width} wide: are both of one model?"
            )
        table = self.tensors.get("word_table.weight")
        tied = table is None or self.softmax is None or self.softmax.weight is table
        if not tied and not np.array_equal(self.softmax.weight, table):  # type: ignore[union-attr, arg-type]
            raise CheckpointError("the softmax's weight is not the word table; a model with a word table ties them.")
        if table is not None and self.words is None:
            raise CheckpointError("the model has a word table, but no vocabulary that names its rows.")
        if self.words is None:
            return
        if self.word_counts is not None and len(self.word_counts) != len(self.words):
            raise CheckpointError(f"{len(self.words)} words but {len(self.word_counts)} counts.")
        wanted = {} if self.softmax is None else {"softmax": len(self.softmax.weight)}
        if self.config.n_words:
            wanted["word table"] = self.config.n_words - 1
        if self.config.word_table:
            wanted["word table"] = self.config.word_table
        for place, n_words in wanted.items():
            if len(self.words) != n_words:
                raise CheckpointError(
                    f"the vocabulary has {len(self.words)} words, but the {place} has {n_words} rows:"
                    " is it the vocabulary that the model was trained with?"
                )


def check_shapes(arrays: Tensors, expected: Mapping[str, tuple[int, ...]], *, needed_by: str, place: str = "") -> None:
    """Compare the names and shapes of arrays with the expected ones; `needed_by` and `place` are for the errors."""
    for name, shape in expected.items():
        if name not in arrays:
            raise CheckpointError(f"{place}{name} {shape} is missing; {needed_by} needs it: are both of one model?")
        if (actual := arrays[name].shape) != shape:
            raise CheckpointError(
                f"{place}{name} has the shape {actual}; {needed_by} needs {shape}: are both of one model?"
            )
    if left_over := sorted(set(arrays) - set(expected)):
        shape = arrays[left_over[0]].shape
        raise CheckpointError(
            f"{place}{left_over[0]} {shape} is left over ({len(left_over)} in all); {needed_by} has no place for it:"
            " are both of one model?"
        )


def digest_of(checkpoint: Checkpoint) -> str:
    """SHA-256 of the tensors by name, and of the words where the model reads whole words."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(checkpoint.tensors[name], dtype="<f4").data)
    if checkpoint.config.n_words or checkpoint.config.word_table:
        digest.update(json.dumps(checkpoint.words).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class CheckpointFiles:
    """A file or folder, and the weights where a pair was given; the softmax can be most of a small model's numbers."""

    path: Path
    weights: Path | None = None
    with_softmax: bool = True

    @property
    def folder(self) -> Path:
        """The folder itself, or the one the file lies in."""
        return self.path if self.path.is_dir() else self.path.parent

    def has(self, name: str) -> bool:
        """Whether the path is a folder with a file of that name."""
        return self.path.is_dir() and (self.path / name).is_file()

    def files(self, *suffixes: str) -> list[Path]:
        """The folder's own files with one of these endings, sorted; the file alone where it is none."""
        if not self.path.is_dir():
            return [self.path] if self.path.name.endswith(suffixes) else []
        return sorted(p for p in self.path.iterdir() if p.name.endswith(suffixes) and p.is_file())


@dataclass(frozen=True)
class Format:
    """A format of checkpoints: how to know (which is cheap), read and maybe write it, into a folder and a storage."""

    name: str
    title: str
    recognise: Callable[[CheckpointFiles], bool]
    read: Callable[[CheckpointFiles], Checkpoint]
    write: Callable[[Checkpoint, Path, Storage], None] | None = None


def vocabulary_beside(
    options_path: Path, *, needed: bool
) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None, dict[str, str]]:
    """Read the vocabulary in the same folder: `vocab.txt.gz`, `vocab.txt` or the first other `vocab*.txt`.

    One in another encoding than UTF-8 is left out where it is not needed, which the third value says, for the metadata.
    """
    folder = options_path.parent
    for path in (folder / "vocab.txt.gz", folder / "vocab.txt", *sorted(folder.glob("vocab*.txt"))):
        if path.is_file():
            try:
                return *read_words(path, skip=(MAXTERMID,)), {}
            except CheckpointError as error:
                if needed or not isinstance(error.__cause__, UnicodeDecodeError):
                    raise
                return None, None, {"vocabulary": f"left out, {str(error).removeprefix(f'{path}: ')}"}
    return None, None, {}
