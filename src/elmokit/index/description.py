"""`index.json`: how an index was made (model, layers, words kept, mean vector), and the centering of its vectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import EMBEDDED, Elmo
from elmokit.encoding import Encoding, Layers
from elmokit.errors import CheckpointError, ConfigError, MissingFile
from elmokit.files import write_json
from elmokit.index.kept_words import word_test
from elmokit.reading import read_json, reading

FILE = "index.json"
Vectors = NDArray[np.float32]

_FORMAT = 2
_MAX_DIM = 1 << 20


def scaled(vectors: NDArray[Any]) -> tuple[Vectors, Vectors]:
    """Vectors scaled to length 1 (zeros stay zeros), and the lengths they had. (…, d) → (…, d) and (…)."""
    lengths = np.linalg.norm(vectors, axis=-1)
    units = vectors / np.where(lengths > 0, lengths, 1)[..., None]
    return units.astype(np.float32), lengths.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Centering:
    """A mean (d,) to subtract from vectors; reversible, so that indexes of two corpora can be compared around one mean.

    The vectors of a biLM point roughly the same way, so cosines of unrelated words are far from 0. Subtracting the mean
    of the first words indexed mends that (figures: `benchmarks/quality_senses.py`). Source: Mu & Viswanath 2018
    (arXiv:1702.01417) for words, Ethayarajh 2019 (arXiv:1909.00512) for ELMo.
    """

    mean: Vectors

    def units(self, vectors: Vectors) -> tuple[Vectors, Vectors]:
        """Center vectors (n, d) and scale them to length 1; returns also the lengths they had, (n,)."""
        return scaled(vectors - self.mean)

    def raw(self, units: Vectors, lengths: Vectors) -> Vectors:
        """Undo `units`. (n, d) and (n,) → (n, d)."""
        return units * lengths[:, None] + self.mean


@dataclass(frozen=True)
class Description:
    """How an index was made."""

    model: str  # name, for people
    source: str  # what `Elmo.load` takes to find the model
    fingerprint: str  # `Elmo.fingerprint` of the model
    layers: Layers
    words: str | tuple[str, ...]  # "content", "all" or a list of words
    dim: int  # width of a vector, d
    mean: tuple[float, ...] | None = None  # what is subtracted, d numbers; None until the first sentences are added

    def __post_init__(self) -> None:
        """Raise ValueError for a value that no index has."""
        words = self.words if isinstance(self.words, tuple) else (self.words,)
        if not all(isinstance(text, str) for text in (self.model, self.source, self.fingerprint, *words)):
            raise ValueError("model, source, fingerprint or words are something else than texts")
        if not isinstance(self.dim, int) or not 0 < self.dim <= _MAX_DIM:
            raise ValueError(f"dim is {self.dim!r}")
        Encoding(layers=self.layers)
        word_test(self.words)
        if self.mean is not None:
            mean = np.asarray(self.mean, dtype=np.float64)
            if mean.shape != (self.dim,) or not np.isfinite(mean).all():
                raise ValueError(f"mean is not {self.dim} finite numbers")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read the description of an index and check its values. Raises MissingFile or CheckpointError."""
        path = folder / FILE
        if not path.is_file():
            raise MissingFile(f"{path}: no such file; expected a folder that `elmokit index build` wrote.")
        values = read_json(path, what="description of an index")
        if values.pop("format", None) != _FORMAT:
            raise CheckpointError(f"{path}: not of format {_FORMAT}: another version wrote it; build the index again.")
        with reading(path, what="description of an index"):
            fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            try:
                return cls(**fields)
            except ConfigError as error:
                raise ValueError(str(error)) from None

    def write(self, folder: Path) -> None:
        """Write the description, whole or not at all. Raises OutputError."""
        write_json(folder / FILE, {"format": _FORMAT, **asdict(self)})

    @property
    def centering(self) -> Centering:
        """The centering of the vectors."""
        return Centering(np.zeros(self.dim, np.float32) if self.mean is None else np.array(self.mean, np.float32))

    def load_model(self, folder: Path, **options: Any) -> Elmo:
        """Load the model that the index names, with options of `Elmo.load`. Strangers wrote it: nothing is fetched."""
        if "://" in self.source or self.source.startswith("hf:"):
            raise CheckpointError(
                f"{folder}: this index was made with a model from {self.source!r}, which is not fetched unasked;"
                " load the model and pass it: WordIndex.open(folder, elmo=Elmo.load(...))."
            )
        elmo = Elmo.load(self.source or EMBEDDED, **options)
        self.check(elmo, folder)
        return elmo

    def check(self, elmo: Elmo, folder: Path) -> None:
        """Refuse another model than the one the index was made with. Device and precision may differ."""
        if elmo.fingerprint != self.fingerprint:
            raise CheckpointError(
                f"{folder}: this index was made with the model {self.model!r} (fingerprint {self.fingerprint[:12]});"
                f" the one given is {elmo.name!r} ({elmo.fingerprint[:12]}). Use its own model, or build it again."
            )
