"""AllenNLP's calls on our modules: its shapes, vectors, state dict, and not its defects."""

import json

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elmokit.compat.allennlp import Elmo, ElmoEmbedder, batch_to_ids  # noqa: E402
from elmokit.errors import ConfigError, InputError  # noqa: E402
from golden import make_tiny, make_torch, reference  # noqa: E402


def single_layer_weights(layer, n_layers):
    """Scalar mix parameters that choose one layer."""
    return [1.0 if i == layer else -9e10 for i in range(n_layers)]


BATCH = [["The", "cat", "sat", "."], [], ["naïve", "x" * 60]]


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder, and the reference's layers of BATCH with the boundary rows, (L, T + 2, 2P) each."""
    folder = tmp_path_factory.mktemp("model")
    options, arrays = make_tiny.make("skip", folder)
    return folder, [reference.layers(words, options, arrays) for words in BATCH]


def make(folder, n=1, **options):
    options = {"dropout": 0.0} | options
    return Elmo(folder / "options.json", folder / "weights.hdf5", n, **options)


def test_batch_to_ids_as_in_allennlps_tests():
    ids = batch_to_ids([["Hello", "world"], ["!"], ["<S>", "</S>"]])
    assert ids.dtype == torch.int64
    assert ids.shape == (3, 2, 50)
    assert ids[0, 0, :8].tolist() == [259, 73, 102, 109, 109, 112, 260, 261]
    assert ids[1, 1].sum() == 0
    assert ids[2, :, :3].tolist() == [[259, 257, 260], [259, 258, 260]]


def test_representations_and_mask(model):
    folder, layers = model
    found = make(folder, 2, scalar_mix_parameters=[0.1, -0.3, 0.7])(batch_to_ids(BATCH))
    assert found["mask"].tolist() == [[True] * 4, [False] * 4, [True, True, False, False]]
    for representation in found["elmo_representations"]:
        assert representation.shape == (3, 4, 8)
        for row, expected in zip(representation.detach().numpy(), layers, strict=True):
            n = expected.shape[1]
            np.testing.assert_allclose(row[:n], reference.mix(expected, [0.1, -0.3, 0.7], 1.0), atol=2e-6)
            assert not row[n:].any()


def test_four_axes_equal_three(model):
    elmo, ids = make(model[0]), batch_to_ids([*BATCH, ["more"]])
    three = elmo(ids)
    four = elmo(ids.reshape(2, 2, 4, 50))
    assert four["elmo_representations"][0].shape == (2, 2, 4, 8)
    torch.testing.assert_close(four["elmo_representations"][0].reshape(4, 4, 8), three["elmo_representations"][0])
    assert (four["mask"].reshape(4, 4) == three["mask"]).all()


def test_boundaries_can_stay(model):
    found = make(model[0], keep_sentence_boundaries=True, scalar_mix_parameters=single_layer_weights(2, 3))(
        batch_to_ids(BATCH)
    )
    assert found["elmo_representations"][0].shape == (3, 6, 8)
    assert found["mask"].sum(dim=1).tolist() == [6, 2, 4]
    top = found["elmo_representations"][0][0, 1:5].detach().numpy()
    np.testing.assert_allclose(top, model[1][0][2], atol=2e-6)


def test_layer_norm_is_over_the_whole_batch_with_boundaries(model):
    folder, _ = model
    with_norm = make(folder, do_layer_norm=True, keep_sentence_boundaries=True)(batch_to_ids(BATCH))
    layers, mask = [], with_norm["mask"].numpy()
    for k in range(3):
        weights = single_layer_weights(k, 3)
        one = make(folder, keep_sentence_boundaries=True, scalar_mix_parameters=weights)(batch_to_ids(BATCH))
        layer = one["elmo_representations"][0].detach().numpy().astype(np.float64)
        real = layer[mask]
        layers.append((layer - real.mean()) / np.sqrt(real.var() + 1e-12))
    expected = np.mean(layers, axis=0)[mask]
    found = with_norm["elmo_representations"][0].detach().numpy()[mask]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_as_asked(model):
    for requires_grad in (False, True):
        elmo = make(model[0], requires_grad=requires_grad)
        elmo(batch_to_ids(BATCH))["elmo_representations"][0].sum().backward()
        assert elmo.scalar_mix_0.gamma.grad is not None
        assert all((p.grad is not None) == requires_grad for p in elmo._bilm.parameters())
    fixed = make(model[0], scalar_mix_parameters=[0, 0, 1])
    assert not any(p.requires_grad for p in fixed.parameters())


def test_it_trains_inside_a_model(model):
    torch.manual_seed(0)
    elmo = make(model[0], requires_grad=True)
    head = torch.nn.Linear(elmo.get_output_dim(), 1)
    optimiser = torch.optim.Adam([*elmo.parameters(), *head.parameters()], lr=0.02)
    ids, losses = batch_to_ids([["good", "one"], ["bad", "one"]]), []
    for _ in range(30):
        found = elmo(ids)["elmo_representations"][0][:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(found)[:, 0], torch.tensor([1.0, 0.0]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_state_dict_has_allennlps_names_and_values(model, tmp_path):
    theirs = make_torch.archive_state("skip", tmp_path)
    theirs = {n.removeprefix(make_torch.PREFIX): x for n, x in theirs.items() if n.startswith(make_torch.PREFIX)}
    elmo = make(model[0])
    ours = elmo.state_dict()
    assert set(ours) == set(theirs)
    for name, x in ours.items():
        if not name.startswith("scalar_mix"):
            torch.testing.assert_close(x, theirs[name], rtol=0, atol=1e-6)
    other = make(model[0])
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(theirs)
    torch.testing.assert_close(other.scalar_mix_0.gamma.detach(), torch.tensor([1.3]))
    whole = torch.nn.ModuleDict({"elmo": other})
    whole.load_state_dict(torch.nn.ModuleDict({"elmo": elmo}).state_dict())
    left, right = (m(batch_to_ids(BATCH))["elmo_representations"][0] for m in (elmo, other))
    torch.testing.assert_close(left, right)
    with pytest.raises(RuntimeError, match="Missing key"):
        elmo.load_state_dict({"scalar_mix_0.gamma": torch.ones(1)})


def test_what_allennlp_could_not_run(tmp_path):
    for name in ("no_highway", "no_clips", "no_projections", "short_words"):
        options, arrays = make_tiny.make(name, tmp_path / name)
        n = options["char_cnn"]["max_characters_per_token"]
        found = make(tmp_path / name)(batch_to_ids(BATCH, max_characters=n))["elmo_representations"][0]
        expected = reference.layers(BATCH[0], options, arrays).mean(axis=0)
        np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=2e-6)
    make_tiny.make("word_input", tmp_path / "words")
    with pytest.raises(ConfigError, match="does not read bytes"):
        make(tmp_path / "words")
    with pytest.raises(ConfigError, match="2 numbers"):
        make(tmp_path / "no_clips", scalar_mix_parameters=[0, 1])


def golden(shared):
    from golden.test_reference import golden_batches

    return shared / "golden" / "bilm_tf", list(golden_batches(shared / "golden" / "bilm_tf"))


def test_stateful_as_the_original(shared):
    folder, batches = golden(shared)
    pair = folder / "options.json", folder / "lm_weights.hdf5"
    elmo = Elmo(*pair, 1, dropout=0, scalar_mix_parameters=single_layer_weights(2, 3), stateful=True)
    embedder = ElmoEmbedder(*pair, stateful=True)
    for batch, expected in batches:
        found = elmo(batch_to_ids(batch))["elmo_representations"][0].detach().numpy()
        for row, layers, top in zip(found, embedder.embed_batch(batch), expected, strict=True):
            np.testing.assert_allclose(row[: len(top)], top, atol=2e-6)
            np.testing.assert_allclose(layers[-1], top, atol=2e-6)
    before = elmo._states[0].hidden[:, 2].clone()
    elmo(batch_to_ids(batches[0][0][:2]))
    assert torch.equal(elmo._states[0].hidden[:, 2], before)
    elmo.reset_states()
    first = elmo(batch_to_ids(batches[0][0]))["elmo_representations"][0].detach().numpy()
    np.testing.assert_allclose(first[0, : len(batches[0][1][0])], batches[0][1][0], atol=2e-6)


def test_embedder_shapes(model):
    folder, layers = model
    embedder = ElmoEmbedder(folder / "options.json", folder / "weights.hdf5")
    assert embedder.embed_sentence([]).shape == (3, 0, 8)  # AllenNLP: always 1024
    for found, expected in zip(embedder.embed_sentences(BATCH, batch_size=2), layers, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)
    tensors, mask = embedder.batch_to_embeddings(BATCH)
    assert tensors.shape == (3, 3, 4, 8)
    assert mask.sum(dim=1).tolist() == [4, 0, 2]


def test_embed_file(model, tmp_path):
    embedder = ElmoEmbedder(model[0] / "options.json", model[0] / "weights.hdf5")
    lines = ["The cat sat .\n", "naïve " + "x" * 60 + "\n", "The cat sat .\n"]
    for form, shape in (("all", (3, 4, 8)), ("top", (4, 8)), ("average", (4, 8))):
        embedder.embed_file(lines, tmp_path / "a.hdf5", form, batch_size=2)
        with h5py.File(tmp_path / "a.hdf5") as file:
            assert set(file) == {"0", "1", "2", "sentence_to_index"}
            assert file["0"].shape == shape
            assert file["0"].dtype == np.float32
            assert json.loads(file["sentence_to_index"][0]) == {"The cat sat .": "0", lines[1].strip(): "1"}
    embedder.embed_file(lines[:2], tmp_path / "b.hdf5", use_sentence_keys=True)
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert set(file) == {"The cat sat .", lines[1].strip()}
    with pytest.raises(InputError, match="line 2 is blank"):
        embedder.embed_file(["a\n", "\n"], tmp_path / "c.hdf5")
    with pytest.raises(InputError, match=r"line 3.*twice"):
        embedder.embed_file(lines, tmp_path / "c.hdf5", use_sentence_keys=True)
    assert not (tmp_path / "c.hdf5").exists()
