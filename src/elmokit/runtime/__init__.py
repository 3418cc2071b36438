"""Checkpoint arrays and words → layers, without gradients: what `Elmo.encode` runs on. Start in `engine.py`."""

from elmokit.runtime.engine import Engine
from elmokit.runtime.state import State

__all__ = ["Engine", "State"]
