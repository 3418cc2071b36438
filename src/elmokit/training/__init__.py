"""Corpora → a checkpoint (extra `torch`).

    sources → store (numbers of words) → stream (windows) → objective (biLM, softmax, teacher) → loop → checkpoint

`train` makes a biLM from text, and from a teacher's vectors if given; `tune` continues with one; `PRESETS` holds sizes.
"""

from elmokit.errors import needing

with needing("PyTorch", "torch", "training"):
    import torch as _torch  # noqa: F401

from elmokit.training.options import PRESETS, Preset, TrainingOptions, TrainingReport, get_preset
from elmokit.training.run import train, tune
from elmokit.training.sources import Corpus

__all__ = ["PRESETS", "Corpus", "Preset", "TrainingOptions", "TrainingReport", "get_preset", "train", "tune"]
