"""What a run was begun with: resuming with other options is refused by name, and two runs at once too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError, TrainingError
from elmokit.files import write_json
from elmokit.reading import read_json
from elmokit.text.vocab import Vocabulary
from elmokit.training.options import TrainingOptions

IDENTITY = "identity.json"
FORMAT = 2
FIXED_OPTIONS: tuple[str, ...] = ("batch_size", "bptt", "segment", "vocabulary_size", "n_negatives", "optimizer")
FIXED_OPTIONS += ("gradient_accumulation_steps", "seed", "loss_weights", "temperature", "teacher_words")
"""Options that shape states, order, vocabulary or losses. The others may change when a run is resumed."""


def identity_of(
    config: ElmoConfig, options: TrainingOptions, weights: Mapping[str, float], teacher: str | None
) -> dict[str, Any]:
    """What must stay the same while a run is resumed, as JSON values by name."""
    values: dict[str, Any] = {"format": FORMAT}
    values |= {f"model: {name}": value for name, value in config.to_dict().items() if name != "word_table"}
    values |= {f"option: {name}": asdict(options)[name] for name in FIXED_OPTIONS}
    values |= {"word table": bool(config.word_table), "teacher": teacher}
    values["weights of sources"] = {name: float(weight) for name, weight in sorted(weights.items())}
    return dict(json.loads(json.dumps(values)))


def check_identity(folder: Path, identity: Mapping[str, Any], *, begun: bool) -> None:
    """Refuse to resume a run that was begun with other values (ConfigError); store those of a run not yet begun.

    TrainingError: the stored file is damaged, or the run was begun by an older elmokit.
    """
    path = folder / IDENTITY
    if not begun:
        write_json(path, identity, indent=2)
        return
    stored = read_json(path, what="identity of a training run", error=TrainingError) if path.exists() else {}
    if stored.get("format") != FORMAT:
        raise TrainingError(
            f"{folder.parent}: the run in this folder was begun by an older elmokit (0.1.0 or before), whose"
            " snapshots this one can't continue. Finish it with that version, or train anew in another folder (a"
            " finished model can be tuned further: `elmokit tune`)."
        )
    differing = [name for name, value in identity.items() if stored.get(name) != value]
    if differing:
        name = differing[0]
        more = f" ({len(differing) - 1} more differ)" if differing[1:] else ""
        raise ConfigError(
            f"{folder.parent}: can't be resumed with another {name}: the run has {stored.get(name)!r}, now it is"
            f" {identity[name]!r}{more}. Resume with the values it began with, or choose another folder."
        )


def check_vocabulary(kept: Path, given: str | Path | None, known_words: Sequence[str] = ()) -> None:
    """Refuse another vocabulary, `given` now, than that `kept` by the run (ConfigError).

    `known_words` are those that a model with a word table adds to it.
    """
    if given is None or not kept.exists():
        return
    words, before = Vocabulary.from_file(given).extended(known_words).words, Vocabulary.from_file(kept).words
    if words != before:
        raise ConfigError(
            f"{given}: another vocabulary ({len(words):,} words) than the one that the run began with"
            f" ({len(before):,} words). Resume without it, or choose another folder."
        )
