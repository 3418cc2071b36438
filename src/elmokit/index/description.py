"""What an index says of itself: one JSON file beside the tables, written when it is made, read when it is opened.

It holds how vectors were made (model, layers, frame) and which words were kept, so that an index can only be asked and
added to in the same way; and, as a saved classifier does, the vector of one fixed sentence, by which another model of
the same shape is found out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.errors import CheckpointError, MissingFile
from elmokit.files import atomic_path
from elmokit.index.frame import Frame

FILE = "index.json"

_FORMAT = 1
_PROBE = "The quick brown fox can't jump over 13 lazy dogs :-( #probe"


@dataclass(frozen=True)
class Description:
    """How an index was made.

    Args:
        model: the model's name, for people.
        source: what `Elmo.load` takes to find it again.
        config_sha256: of what the model is made of.
        layers: which layers the vectors come from.
        words: "content", "all" or a list of words.
        dim: width of a vector, d.
        probe: mean word vector of a fixed sentence, d numbers.
        centre: the frame's centre, d numbers; None until the first sentences came.
    """

    model: str
    source: str
    config_sha256: str
    layers: str | int | tuple[float, ...]
    words: str | tuple[str, ...]
    dim: int
    probe: tuple[float, ...]
    centre: tuple[float, ...] | None = None

    @classmethod
    def of(cls, elmo: Elmo, *, source: str, layers: Layers, words: str | tuple[str, ...]) -> Description:
        """The description of a new index.

        Args:
            elmo: the model.
            source: what `Elmo.load` takes to find it again.
            layers: which layers.
            words: which words are kept.

        Returns:
            the description, without a frame.
        """
        probe = _probe(elmo, layers)
        plain = layers if isinstance(layers, str | int) else tuple(float(weight) for weight in layers)
        return cls(elmo.name, source, _config_hash(elmo), plain, words, len(probe), tuple(probe.tolist()))

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Read the file of an index.

        Args:
            folder: the index.

        Returns:
            the description.

        Raises:
            MissingFile: no index there.
            CheckpointError: a file that is none, or of a later format.
        """
        path = folder / FILE
        if not path.is_file():
            raise MissingFile(f"{path}: no such file; expected a folder that `elmokit index build` wrote.")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("format") != _FORMAT:
                raise CheckpointError(f"{path} is not of format {_FORMAT}; was it written by a later elmokit?")
            return cls(**{name: _plain(value) for name, value in found.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path} describes no index ({error}); build it again.") from None

    def write(self, folder: Path) -> None:
        """Write the file of an index, whole or not at all.

        Args:
            folder: the index.

        Raises:
            OutputError: the folder can't be written.
        """
        with atomic_path(folder / FILE) as path:
            path.write_text(json.dumps({"format": _FORMAT, **asdict(self)}) + "\n", encoding="utf-8")

    @property
    def frame(self) -> Frame:
        """Where vectors are compared; around zero until the first sentences came."""
        centre = np.zeros(self.dim) if self.centre is None else np.array(self.centre)
        return Frame(centre.astype(np.float32))

    def with_frame(self, frame: Frame) -> Description:
        """The same with a frame.

        Args:
            frame: found in the first sentences.

        Returns:
            a new description.
        """
        return replace(self, centre=tuple(frame.centre.tolist()))

    def check(self, elmo: Elmo, folder: Path) -> None:
        """Refuse another model than the index was made with; rounding (bfloat16, int8) may differ.

        Args:
            elmo: the model given.
            folder: the index, for the message.

        Raises:
            CheckpointError: another model.
        """
        if self.config_sha256 == _config_hash(elmo):
            found, probe = _probe(elmo, self.layers), np.array(self.probe)
            if np.linalg.norm(found - probe) <= 0.1 * np.linalg.norm(probe):
                return
            difference = "which has the same shape but other weights"
        else:
            difference = "which is made differently"
        raise CheckpointError(
            f"{folder}: this index was made with the model {self.model!r}; the one given is {elmo.name!r},"
            f" {difference}. Open the index with its own model, or build it again."
        )


def _probe(elmo: Elmo, layers: Layers) -> NDArray[np.float32]:
    return np.asarray(elmo.encode_words([_PROBE], layers=layers, show_progress=False)[0].vectors.mean(axis=0))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _config_hash(elmo: Elmo) -> str:
    config: dict[str, Any] = elmo.config.to_dict()
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
