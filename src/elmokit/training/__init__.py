"""Corpora → a checkpoint (extra `torch`).

    sources → store (numbers of words) → stream (windows) → objective (biLM, softmax, teacher) → loop → checkpoint

`train` makes a biLM from text, and from a teacher's vectors if given; `tune` continues with one; `PRESETS` holds sizes.
"""

from elmokit.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401
except ImportError as error:  # pragma: no cover - exercised in a virtual environment without PyTorch
    raise MissingExtra("PyTorch", "torch", "training") from error

from elmokit.training.options import PRESETS, Preset, TrainingOptions, TrainingReport, get_preset
from elmokit.training.run import train, tune
from elmokit.training.sources import Corpus

__all__ = ["PRESETS", "Corpus", "Preset", "TrainingOptions", "TrainingReport", "get_preset", "train", "tune"]
