"""Corpora → a checkpoint (extra `torch`).

    sources → store (numbers of words) → stream (windows) → objective (biLM + softmax) → loop → snapshots → checkpoint

`train` makes a biLM from text, `tune` goes on with one; `PRESETS` holds the sizes by name.
"""

from elmokit.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401
except ImportError as error:  # pragma: no cover - exercised in a virtual environment without PyTorch
    raise MissingExtra("PyTorch", "torch", "training") from error

from elmokit.training.options import Report, TrainingOptions
from elmokit.training.presets import PRESETS, Preset, get_preset
from elmokit.training.run import Corpus, train, tune

__all__ = ["PRESETS", "Corpus", "Preset", "Report", "TrainingOptions", "get_preset", "train", "tune"]
