"""`ElmoLayer`: the vectors of `Elmo`, gradients where they belong, checkpoints that hold only what was trained."""

import numpy as np
import pytest
import torch
from torch import nn

from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.errors import ConfigError, TextError
from elmokit.integrations.torch import ElmoLayer
from unit.tiny_models import tiny_checkpoint

TEXTS = ["the cat sat", "", "a cat 😀 , again and again"]


def test_the_vectors_are_those_of_elmo(model):
    layer = ElmoLayer(model, dropout=0.0)
    vectors, mask = layer(TEXTS)
    expected = Elmo.load(model).encode_words(TEXTS, layer_weights=[1.0, 1.0, 1.0])
    for row, real, text in zip(vectors.detach().numpy(), mask, expected, strict=True):
        assert int(real.sum()) == len(text.words)
        np.testing.assert_allclose(row[: len(text.words)] * 3, text.vectors, rtol=1e-4, atol=1e-5)
        assert not row[len(text.words) :].any()


def test_texts_words_and_ids_are_one(model):
    layer = ElmoLayer(model, dropout=0.0)
    by_text, _ = layer(["the cat sat", "a cat"])
    by_words, _ = layer([["the", "cat", "sat"], ["a", "cat"]])
    by_ids, _ = layer(layer.char_ids(["the cat sat", "a cat"]))
    assert torch.equal(by_text, by_words)
    assert torch.equal(by_text, by_ids)
    with pytest.raises(TextError, match="expected a list of texts"):
        layer("the cat sat")


@pytest.mark.parametrize("fine_tune", [False, True])
def test_gradients_go_where_they_were_asked(model, fine_tune):
    layer = ElmoLayer(model, fine_tune=fine_tune)
    layer(TEXTS)[0].sum().backward()
    assert layer.layer_mix.weights.grad is not None
    assert (layer.bilm.char_cnn.projection.weight.grad is not None) == fine_tune
    with torch.no_grad():
        assert not layer(TEXTS)[0].requires_grad


@pytest.mark.parametrize(("texts", "place"), [(["a", None], r"texts\[1\]"), (["a", ["b", 3]], r"texts\[1\]\[1\]")])
def test_what_is_no_text_is_refused_with_its_place(model, texts, place):
    with pytest.raises(TextError, match=place):
        ElmoLayer(model)(texts)


def test_dropout_is_for_training_only(model):
    layer = ElmoLayer(model, dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(layer(TEXTS)[0], layer(TEXTS)[0])
    layer.eval()
    assert torch.equal(layer(TEXTS)[0], layer(TEXTS)[0])


class Tagger(nn.Module):
    def __init__(self, model, **options):
        super().__init__()
        self.elmo = ElmoLayer(model, **options)
        self.out = nn.Linear(self.elmo.dim, 2)

    def forward(self, texts):
        vectors, mask = self.elmo(texts)
        return self.out(vectors.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_network_around_it_learns_and_comes_back_from_its_file(model, tmp_path, fine_tune):
    torch.manual_seed(0)
    texts, labels = ["good day", "bad luck", "so good", "bad bad"], torch.tensor([0, 1, 0, 1])
    tagger = Tagger(model, fine_tune=fine_tune, dropout=0.0)
    optimizer = torch.optim.Adam([p for p in tagger.parameters() if p.requires_grad], lr=0.05)
    first = loss = nn.functional.cross_entropy(tagger(texts), labels)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(tagger(texts), labels)
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * first
    torch.save(tagger.state_dict(), tmp_path / "weights.pt")
    kept = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert any(name.startswith("elmo.bilm.") for name in kept) == fine_tune
    again = Tagger(model, fine_tune=fine_tune, dropout=0.0)
    again.load_state_dict(kept)
    assert torch.equal(again(texts), tagger(texts))


def test_weights_of_another_model_are_refused_and_of_the_same_one_elsewhere_taken(model, tmp_path):
    save(tiny_checkpoint(seed=1), tmp_path / "other")
    with pytest.raises(ConfigError, match="belong to the ELMo 'tiny'"):
        Tagger(str(tmp_path / "other")).load_state_dict(Tagger(model).state_dict())
    save(tiny_checkpoint(name="moved"), tmp_path / "same")
    Tagger(str(tmp_path / "same")).load_state_dict(Tagger(model).state_dict())
