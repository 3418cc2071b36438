"""Rules can be undone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elmokit.checkpoints.mapping import (
    DROP_AXIS,
    PAD_ROW,
    Rule,
    apply_rules,
    change_block,
    reorder_blocks,
    rules_from,
    transpose,
)
from elmokit.checkpoints.tensorflow import TABLE
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig

EXACT = [
    (transpose((2, 0, 1)), (2, 3, 4)),
    (DROP_AXIS, (1, 3)),
    (PAD_ROW, (3, 2)),
    (reorder_blocks((0, 2, 1, 3)), (8, 2)),
    (reorder_blocks((1, 2, 0)), (6,)),
    (change_block(1, 2, np.negative, np.negative), (4, 3)),
]
numbers = st.floats(-10, 10, width=32)


@pytest.mark.parametrize(("step", "shape"), EXACT)
@given(data=st.data())
def test_revert_undoes_apply_bit_for_bit(step, shape, data):
    x = data.draw(arrays(np.float32, shape, elements=numbers))
    y = step.apply(x)
    assert step.revert(y).tobytes() == x.tobytes()
    assert step.keeps_shape == (y.shape == x.shape)


@given(arrays(np.float32, (8,), elements=numbers))
def test_adding_is_stable_after_the_first_rounding(x):
    step = change_block(1, 4, lambda x: x + 1, lambda x: x - 1)
    y = step.apply(x)
    np.testing.assert_array_equal(step.apply(step.revert(y)), y)
    np.testing.assert_allclose(step.revert(y), x, atol=1e-6)


def test_parts_are_taken_apart_and_joined():
    rule = Rule("joined", ("a", "b"), (transpose(),), axis=1)
    shapes = {"a": (4, 2), "b": (4, 3)}
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert rule.their_shape(shapes) == (5, 4)
    ours = rule.apply({"joined": x}, shapes)
    assert {name: array.shape for name, array in ours.items()} == shapes
    np.testing.assert_array_equal(rule.revert(ours), x)


CONFIGS = st.builds(
    lambda n_layers, n_highway, cnn_projection, lstm_projection, words: ElmoConfig(
        projection_width=5,
        char_cnn=None
        if words
        else CharCNNConfig(
            embedding_width=2,
            filters=((1, 2), (2, 3)),
            n_highway=n_highway,
            projection=cnn_projection,
            max_characters=5,
        ),
        n_words=4 if words else 0,
        bilstm=BiLSTMConfig(n_layers=n_layers, cell_width=6 if lstm_projection else 5, projection=lstm_projection),
    ),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(CONFIGS, st.integers(0, 100))
def test_the_published_format_holds_every_model(config, seed):
    rng, shapes = np.random.default_rng(seed), config.tensor_shapes()
    ours = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name in ("char_cnn.embedding.weight", "word_embedding.weight"):
        if name in ours:
            ours[name][0] = 0
    rules = rules_from(TABLE, config)
    theirs = {rule.theirs: rule.revert(ours) for rule in rules}
    assert {name: array.shape for name, array in theirs.items()} == {r.theirs: r.their_shape(shapes) for r in rules}
    back = apply_rules(rules, theirs, shapes)
    assert list(back) == list(ours)
    for name, array in ours.items():
        np.testing.assert_allclose(back[name], array, atol=3e-7, rtol=0, err_msg=name)
