import numpy as np
import pytest

from elmokit.config import BiLSTMConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.batches import State

CONFIG = ElmoConfig(projection_width=3, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=5))


def numbered(n_rows):
    rows = np.arange(n_rows, dtype=np.float32)[:, None]
    zeros = State.zeros(CONFIG, n_rows)
    return State(zeros.hidden + rows, zeros.cell + rows)


def test_take_copies_rows_in_the_order_asked():
    state = numbered(3)
    taken = state.take([2, 0, 0])
    assert taken.hidden[0, 0, :, 0].tolist() == [2, 0, 0]
    taken.cell[:] = -1
    assert state.cell[1, 1, :, 4].tolist() == [0, 1, 2]


def test_grown_copies_and_adds_rows_of_zeros():
    state = numbered(2)
    grown = state.grown(3, np.float64)
    assert grown.hidden.dtype == np.float64
    assert grown.hidden[0, 0, :, 0].tolist() == [0, 1, 0]
    grown.cell[:] = -1
    assert state.grown(1, np.float32).cell[1, 1, :, 4].tolist() == [0, 1]


def test_check_names_both_shapes():
    other = ElmoConfig(projection_width=4, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=5))
    with pytest.raises(ConfigError, match=r"\(2, 2, 1, 3\).*\(2, 2, 1, 4\)"):
        numbered(1).check(other)
