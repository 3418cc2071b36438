"""The biLM as torch modules: names, both ways of computing an LSTM, padding, state."""

import numpy as np
import pytest
import torch

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.nn import BiLM, CharCNN, LSTMTower
from elmokit.nn.bilm import LSTMLayer
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids

CNN = CharCNNConfig(embedding_width=4, filters=((1, 4), (3, 8)), n_highway=1)
CONFIGS = {
    "published": ElmoConfig(projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(cell_width=16)),
    "no clips": ElmoConfig(
        projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(cell_width=16, cell_clip=None, projection_clip=None)
    ),
    "no projection": ElmoConfig(
        projection_width=8,
        char_cnn=CNN,
        bilstm=BiLSTMConfig(cell_width=8, projection=False, cell_clip=None, projection_clip=None),
    ),
    "no skip, three layers": ElmoConfig(
        projection_width=8, char_cnn=CNN, bilstm=BiLSTMConfig(cell_width=16, n_layers=3, skip_connections=False)
    ),
    "bare CNN": ElmoConfig(
        projection_width=12,
        char_cnn=CharCNNConfig(
            embedding_width=4, filters=((1, 4), (3, 8)), n_highway=0, projection=False, activation="tanh"
        ),
        bilstm=BiLSTMConfig(cell_width=16),
    ),
    "words": ElmoConfig(projection_width=8, char_cnn=None, n_words=300, bilstm=BiLSTMConfig(cell_width=16)),
}


def ids_of(sentences: list[list[str]], config: ElmoConfig) -> torch.Tensor:
    if config.char_cnn is None:
        rows = [[1, *(2 + len(w) for w in words), 2] for words in sentences]
        width = max(map(len, rows))
        return torch.tensor([row + [0] * (width - len(row)) for row in rows])
    first, last = sentence_boundary_ids()
    rows = [np.concatenate([first[None], words_to_char_ids(words), last[None]]) for words in sentences]
    width = max(map(len, rows))
    padded = [np.pad(row, ((0, width - len(row)), (0, 0))) for row in rows]
    return torch.from_numpy(np.stack(padded).astype(np.int64))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_parameters_have_the_names_and_shapes_of_the_configuration(config):
    state = BiLM(config).state_dict()
    assert {name: tuple(p.shape) for name, p in state.items()} == config.tensor_shapes()


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_sentence_does_not_depend_on_its_neighbours(config):
    torch.manual_seed(0)
    bilm = BiLM(config).double().eval()
    sentences = [["read", "the", "book"], ["a"], [], ["one", "two", "three", "four", "fünf"]]
    together = bilm(ids_of(sentences, config))
    for row, words in enumerate(sentences):
        alone = bilm(ids_of([words], config)).vectors[:, 0]
        torch.testing.assert_close(together.vectors[:, row, : len(words)], alone, rtol=1e-12, atol=1e-12)
        assert not together.vectors[:, row, len(words) :].any()
    assert together.mask.sum(dim=1).tolist() == [3, 1, 0, 5]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("projection", [True, False])
def test_the_fused_lstm_equals_the_loop_with_its_gradients(projection):
    torch.manual_seed(0)
    config = BiLSTMConfig(
        cell_width=12 if projection else 6, projection=projection, cell_clip=None, projection_clip=None
    )
    layer = LSTMLayer(config, 6).double()
    x = torch.randn(3, 7, 6, dtype=torch.float64, requires_grad=True)
    h, c = torch.randn(3, 6).double(), torch.randn(3, config.cell_width).double()
    results = []
    for run in (layer.forward, layer._loop):
        out, last_h, last_c = run(x, h, c, None)
        gradients = torch.autograd.grad((out.sin().sum() + last_c.sum() + last_h.cos().sum()), [x, *layer.parameters()])
        results.append([out, last_h, last_c, *gradients])
    for fused, looped in zip(*results, strict=True):
        torch.testing.assert_close(fused, looped, rtol=1e-9, atol=1e-11)


def test_clips_bound_cells_and_outputs():
    torch.manual_seed(0)
    layer = LSTMLayer(BiLSTMConfig(cell_width=12, cell_clip=0.05, projection_clip=0.01), 6)
    out, h, c = layer(10 * torch.randn(2, 5, 6), torch.zeros(2, 6), torch.zeros(2, 12), None)
    assert float(out.detach().abs().max()) == pytest.approx(0.01) == float(h.detach().abs().max())
    assert float(c.detach().abs().max()) == pytest.approx(0.05)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("clip", [3.0, None])
def test_state_carried_over_a_cut_equals_one_run(clip):
    torch.manual_seed(0)
    tower = LSTMTower(BiLSTMConfig(cell_width=12, cell_clip=clip, projection_clip=clip), 6).double().eval()
    x = torch.randn(2, 9, 6).double()
    whole, end = tower(x)
    first, between = tower(x[:, :4])
    second, end_of_two = tower(x[:, 4:], between)
    for layer, (a, b) in zip(whole, zip(first, second, strict=True), strict=True):
        torch.testing.assert_close(layer, torch.cat([a, b], dim=1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(end.cell, end_of_two.cell, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_rows_of_different_length_hand_on_their_own_final_state():
    config = CONFIGS["no clips"]
    torch.manual_seed(0)
    bilm = BiLM(config).double().eval()
    sentences = [["read", "the", "book"], ["a"]]
    together = bilm(ids_of(sentences, config))
    for row, words in enumerate(sentences):
        alone = bilm(ids_of([words], config))
        for ours, theirs in zip(together.states, alone.states, strict=True):
            torch.testing.assert_close(ours.cell[:, row], theirs.cell[:, 0], rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(ours.hidden[:, row], theirs.hidden[:, 0], rtol=1e-10, atol=1e-12)


def test_leaving_out_equal_windows_changes_nothing():
    torch.manual_seed(0)
    cnn = CharCNN(CNN, 8).double()
    words = ["x" * n for n in range(60)] + ["", "naïve", "👩‍👧" * 3]
    ids = torch.from_numpy(words_to_char_ids(words).astype(np.int64))
    characters = cnn.embedding(ids).transpose(1, 2)
    every_window = torch.cat([torch.relu(c(characters)).amax(dim=2) for c in cnn.convolutions], dim=1)
    torch.testing.assert_close(cnn._maxima(ids), every_window, rtol=1e-12, atol=1e-12)


def test_no_words_at_all_are_no_vectors():
    assert CharCNN(CNN, 8)(torch.zeros(0, 50, dtype=torch.int64)).shape == (0, 8)
