"""The fixed state of `state="warm"`: what a little English leaves in the LSTMs, read until it settles."""

from __future__ import annotations

import numpy as np

from elmokit.runtime.batches import State
from elmokit.runtime.engine import Engine

_PASSES = 20
_TEXT = tuple(
    line.split()
    for line in """The house stood at the end of a long road , and nobody had lived there for years .
She opened the window , looked out at the rain , and said nothing .
In 1998 , the company sold more than two million phones in Europe and Asia .
I can't believe how good this new one is !
What do you think we should do about it ?
The results show that the second method is faster , but it needs more memory .
He told them the whole story again , from the beginning , and this time they listened .
It was late when the last train left the station .""".splitlines()
)


def warm_state(engine: Engine) -> State:
    """Read the built-in text until a pass changes the LSTMs' output by less than 0.001, in 20 passes at most.

    Cells without a clip go on counting long after their output is settled, so the output decides.
    """
    state = State.zeros(engine.config, 1)
    for _ in range(_PASSES):
        before = state
        for sentence in _TEXT:
            _, state = engine.step([sentence], state)
        if np.allclose(before.hidden, state.hidden, rtol=0, atol=1e-3):
            break
    return state
