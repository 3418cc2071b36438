"""Checkpoint arrays and words → layers, without gradients: what `Elmo.encode` runs on. Start in `engine.py`."""

from elmokit.runtime.batches import State
from elmokit.runtime.engine import Engine

__all__ = ["Engine", "State"]
