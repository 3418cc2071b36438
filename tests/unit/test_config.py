"""Configurations: refused when they describe no biLM, and the same after a round through JSON."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix
from elmokit.errors import ConfigError


@st.composite
def configs(draw):
    """Any legal configuration."""
    width = draw(st.integers(1, 40))
    projection = draw(st.booleans())
    clip = st.none() | st.floats(0.1, 10)
    bilstm = BiLSTMConfig(
        n_layers=draw(st.integers(1, 4)),
        cell_width=draw(st.integers(1, 60)) if projection else width,
        projection=projection,
        cell_clip=draw(clip),
        projection_clip=draw(clip),
        skip_connections=draw(st.booleans()),
    )
    if draw(st.booleans()):
        return ElmoConfig(projection_width=width, char_cnn=None, n_words=draw(st.integers(2, 99)), bilstm=bilstm)
    filters = draw(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 20)), min_size=1, max_size=4))
    cnn_projection = draw(st.booleans())
    cnn = CharCNNConfig(
        embedding_width=draw(st.integers(1, 9)),
        filters=tuple(filters) if cnn_projection else ((3, width),),
        n_highway=draw(st.integers(0, 3)),
        activation=draw(st.sampled_from(["relu", "tanh"])),
        max_characters=draw(st.integers(7, 60)),
        projection=cnn_projection,
    )
    words = {"n_words": draw(st.integers(2, 99)), "word_width": draw(st.integers(1, 9))}
    words = words if cnn_projection and draw(st.booleans()) else {}
    return ElmoConfig(projection_width=width, char_cnn=cnn, bilstm=bilstm, tokenizer=draw(st.text(max_size=5)), **words)


@given(configs())
def test_a_configuration_is_the_same_after_a_round_through_json(config):
    assert ElmoConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(configs())
def test_shapes_and_numbers_of_parameters_agree(config):
    shapes = config.tensor_shapes()
    padding = sum(shape[1] for name, shape in shapes.items() if name.endswith("embedding.weight"))
    assert config.n_params == sum(math.prod(shape) for shape in shapes.values()) - padding
    assert config.dim == 2 * config.projection_width
    assert config.n_layers == 1 + config.bilstm.n_layers
    assert all(size >= 1 for shape in shapes.values() for size in shape)
    both = [name.partition("_")[0] for name in shapes if "_layers." in name]
    assert both.count("forward") == both.count("backward") == len(both) // 2


def test_the_published_model_has_its_93_million_parameters():
    assert round(ElmoConfig().n_params / 1e6, 1) == 93.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CharCNNConfig(filters=()), "filters is empty"),
        (lambda: CharCNNConfig(filters=((0, 4),)), "below 1"),
        (lambda: CharCNNConfig(embedding_width=0), "below 1"),
        (lambda: CharCNNConfig(activation="gelu"), "'relu' or 'tanh'"),
        (lambda: CharCNNConfig(filters=((9, 4),), max_characters=8), "must be at least 9"),
        (lambda: BiLSTMConfig(n_layers=0), "below 1"),
        (lambda: BiLSTMConfig(cell_clip=0), "cell_clip is 0"),
        (lambda: BiLSTMConfig(projection_clip=float("nan")), "projection_clip is nan"),
        (lambda: ElmoConfig(projection_width=0), "projection_width is 0"),
        (lambda: ElmoConfig(char_cnn=None), "n_words"),
        (lambda: ElmoConfig(n_words=5), "either char_cnn or n_words"),
        (lambda: ElmoConfig(bilstm=BiLSTMConfig(projection=False)), "projection_width must be 4096, not 512"),
        (lambda: ElmoConfig(char_cnn=CharCNNConfig(projection=False)), "projection_width must be 2048, not 512"),
        (lambda: ElmoConfig.from_dict({"width": 3}), "width"),
        (lambda: ElmoConfig.from_dict({"bilstm": {"layers": 3}}), "layers"),
        (lambda: LayerMix(weights=(1.0, 2.0)).shares(3), "2 weights, but the model has 3 layers"),
    ],
)
def test_what_describes_no_bilm_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=5))
def test_shares_are_the_softmax_and_never_overflow(weights):
    shares = LayerMix(weights=tuple(weights)).shares(len(weights))
    assert math.isclose(sum(shares), 1, rel_tol=1e-9)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[weights.index(max(weights))] == max(shares)


def test_configurations_cannot_be_changed():
    for value in (ElmoConfig(), BiLSTMConfig(), CharCNNConfig(), LayerMix()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.projection = 3
