"""What a run is made of, kept in its folder: resuming with other options is refused by name, two runs at once too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.files import atomic_path
from elmokit.reading import read_json
from elmokit.text.vocab import Vocabulary
from elmokit.training.options import TrainingOptions

IDENTITY = "identity.json"
FIXED_OPTIONS = ("n_rows", "unroll", "segment", "vocabulary_size", "n_negatives", "optimizer", "accumulate", "seed")
"""Options that shape states, order or vocabulary. The others may change when a run is resumed."""


def identity_of(config: ElmoConfig, options: TrainingOptions, weights: Mapping[str, float]) -> dict[str, Any]:
    """What must stay the same while a run is resumed.

    Args:
        config: of the biLM.
        options: how to train.
        weights: how often each source is read.

    Returns:
        JSON values by name.
    """
    values = {f"model: {name}": value for name, value in config.to_dict().items() if name != "word_table"}
    values |= {f"option: {name}": asdict(options)[name] for name in FIXED_OPTIONS}
    values["weights of sources"] = {name: float(weight) for name, weight in sorted(weights.items())}
    return dict(json.loads(json.dumps(values)))


def check_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to resume a run with another model, other options or other weights; keep what a new run is made of.

    Args:
        folder: of the run.
        identity: from `identity_of`.

    Raises:
        ConfigError: names what differs, with both values.
        TrainingError: the kept file is damaged.
    """
    path = folder / IDENTITY
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        return
    kept = read_json(path, what="identity of a training run", error=TrainingError)
    differing = [name for name, value in identity.items() if kept.get(name) != value]
    if differing:
        name = differing[0]
        more = f" ({len(differing) - 1} more differ)" if differing[1:] else ""
        raise ConfigError(
            f"{folder.parent}: can't be resumed with another {name}: the run has {kept.get(name)!r}, now it is"
            f" {identity[name]!r}{more}. Resume with the values it began with, or choose another folder."
        )


def check_vocabulary(kept: Path, given: str | Path | None, known_words: Sequence[str] = ()) -> None:
    """Refuse another vocabulary than the one that a run began with.

    Args:
        kept: the run's own file.
        given: the file named now, if any.
        known_words: words that a model with a word table adds to it.

    Raises:
        ConfigError: they hold different words.
    """
    if given is None or not kept.exists():
        return
    words, before = Vocabulary.from_file(given).extended(known_words).words, Vocabulary.from_file(kept).words
    if words != before:
        raise ConfigError(
            f"{given}: another vocabulary ({len(words):,} words) than the one that the run began with"
            f" ({len(before):,} words). Resume without it, or choose another folder."
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder: a second process that trains in it is refused. The system frees it when the process ends.

    Args:
        folder: of the run; exists.

    Raises:
        OutputError: another process trains there.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder.parent}: another process is training in this folder; wait for it, or choose another folder."
            ) from None
        yield
