"""A biLM is tuned with the classes: part by part, the same for a seed, whole after a stop, and never with another."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from elmokit import Elmo, checkpoints
from elmokit.errors import CheckpointError, ConfigError, TrainingError
from elmokit.fitting import FitOptions, fit, remove_snapshots
from elmokit.tasks.classify import TextClassifier, finetune_head
from elmokit.tasks.classify.evaluate import fit_and_report
from elmokit.tasks.classify.finetune_head import FinetuneHead
from unit.tasks.encoders import WordHash
from unit.tiny_models import CONFIG, tiny_checkpoint

TEXTS = [f"{word} {filler}" for filler in "abcdefgh" for word in ("good", "fine", "bad", "poor")]
LABELS = [int(text.split()[0] in ("good", "fine")) for text in TEXTS]
WORDS = [tuple(text.split()) for text in TEXTS]


@pytest.fixture(scope="module")
def elmo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    checkpoints.save(tiny_checkpoint(), folder)
    return Elmo.load(folder)


@pytest.fixture(scope="module")
def learned(elmo):
    return TextClassifier(elmo, head=FinetuneHead(epochs=120)).fit(TEXTS, LABELS)


def head(**options):
    return FinetuneHead(start=tiny_checkpoint, epochs=4, **options)


def test_it_learns_and_the_bilm_moves(learned, elmo):
    assert learned.evaluate(TEXTS, LABELS).accuracy > 0.7
    tuned, start = learned.pipeline_["head"].checkpoint(), elmo.checkpoint()
    moved = {name for name, array in tuned.tensors.items() if np.abs(array - start.tensors[name]).max() > 1e-6}
    assert moved == set(start.tensors), "all parts joined"
    assert tuned.layer_mix.weights != (0.0, 0.0, 0.0)


def test_a_texts_score_does_not_depend_on_its_batch(learned):
    texts = [*TEXTS[:4], "a " * 60, "", "unknown"]
    together = learned.predict_proba(texts)
    np.testing.assert_allclose(together, [learned.predict_proba([text])[0] for text in texts], atol=1e-6)


def test_saved_it_comes_back_whole_and_its_bilm_is_a_model_like_any_other(tmp_path, learned, elmo):
    learned.save(tmp_path)
    loaded = TextClassifier.load(tmp_path, elmo)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), learned.predict_proba(TEXTS), atol=1e-7)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    tuned = Elmo.load(tmp_path / "bilm")
    assert tuned.layer_mix == learned.pipeline_["head"].checkpoint().layer_mix
    assert tuned.encode(["good a"]).shape == (1, elmo.dim)


def test_another_model_or_another_tuned_bilm_is_refused(tmp_path, learned, elmo):
    learned.save(tmp_path / "one")
    checkpoints.save(tiny_checkpoint(seed=1), tmp_path / "other")
    with pytest.raises(CheckpointError, match="other weights"):
        TextClassifier.load(tmp_path / "one", Elmo.load(tmp_path / "other"))
    checkpoints.save(tiny_checkpoint(seed=1), tmp_path / "one" / "bilm")
    with pytest.raises(CheckpointError, match="not the biLM that the head"):
        TextClassifier.load(tmp_path / "one", elmo)


def test_a_model_with_a_word_table_is_tuned_with_it(tmp_path):
    words = ("<S>", "</S>", "<UNK>", "good", "bad", "a")
    start = tiny_checkpoint(replace(CONFIG, word_table=len(words)), words=words)
    one = FinetuneHead(start=lambda: start, epochs=4).fit(WORDS, LABELS)
    tuned = one.checkpoint()
    assert np.abs(tuned.tensors["word_table.weight"] - start.tensors["word_table.weight"]).max() > 1e-6
    checkpoints.save(tuned, tmp_path)
    assert Elmo.load(tmp_path).encode(["good a"]).shape == (1, start.config.dim)


def test_a_seed_gives_one_result():
    one, same = (head().fit(WORDS, LABELS).predict_proba(WORDS) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(head(seed=1).fit(WORDS, LABELS).predict_proba(WORDS) - one).max() > 1e-4


class Stop(Exception):
    """What happens in the middle."""


@pytest.mark.parametrize("stop_at", [1, 3, 7])
def test_a_training_that_was_stopped_goes_on_to_the_same_end(tmp_path, stop_at, monkeypatch):
    whole = head(batch_size=16).fit(WORDS, LABELS).predict_proba(WORDS)
    step, taken = torch.optim.AdamW.step, []

    def stopping(optimizer, *arguments):
        taken.append(1)
        if len(taken) == stop_at:
            raise Stop
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", stopping)
    with pytest.raises(Stop):
        head(batch_size=16, snapshots=tmp_path / "run").fit(WORDS, LABELS)
    stop_at, taken[:] = 0, []
    again = head(batch_size=16, snapshots=tmp_path / "run").fit(WORDS, LABELS)
    np.testing.assert_array_equal(again.predict_proba(WORDS), whole)
    assert len(taken) in (8, 6, 2), "it went on after the last whole epoch"
    done = head(batch_size=16, snapshots=tmp_path / "run")
    taken[:] = []
    np.testing.assert_array_equal(done.fit(WORDS, LABELS).predict_proba(WORDS), whole)
    assert not taken, "there is nothing left to learn"


def test_other_texts_classes_or_options_have_their_own_snapshot(tmp_path):
    names = set()
    for change in ({}, {"seed": 3}):
        one = head(batch_size=32, snapshots=tmp_path, **change)
        for labels in (LABELS, LABELS[::-1]):
            one.fit(WORDS, labels)
            names.add(len(list(tmp_path.iterdir())))
    assert names == {1, 2, 3, 4}
    for path in tmp_path.iterdir():
        path.write_bytes(b"cut")
    with pytest.raises(TrainingError, match="complete snapshot"):
        one.fit(WORDS, LABELS)


def test_long_arrays_that_differ_in_the_middle_have_their_own_snapshot(tmp_path):
    texts = np.array([("good", "a")] * 3000, dtype=object)
    other = texts.copy()
    other[1500] = ("bad", "a")
    assert repr(texts) == repr(other)
    identities = {head(snapshots=tmp_path)._snapshots(X, np.zeros(1))["identity"] for X in (texts, other)}
    assert len(identities) == 2


def test_parts_join_from_the_top_and_learn_more_slowly_below():
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    moved, data = [], torch.ones(8, 2)

    def loss(net, rows):
        return torch.nn.functional.cross_entropy(net(data[rows]), torch.from_numpy(rows % 2))

    def look(_report):
        now = network.state_dict()
        moved.append({name[0] for name, tensor in before.items() if not torch.equal(tensor, now[name])})

    fit(
        lambda: network,
        FitOptions(n_epochs=6, slow_down=2.0),
        batches=lambda rng: [rng.permutation(8)],
        loss=loss,
        score=lambda net: -float(loss(net, np.arange(8))),
        parts=lambda net: [list(layer.parameters()) for layer in reversed(net)],
        on_epoch=look,
    )
    assert moved == [{"2"}, {"2", "1"}, {"2", "1", "0"}, {"2", "1", "0"}, {"2", "1", "0"}, {"2", "1", "0"}]


def test_the_report_judges_it(tmp_path, elmo):
    classifier = TextClassifier(elmo, head=FinetuneHead(tmp_path, epochs=2))
    report = fit_and_report(classifier, TEXTS, LABELS, baselines=False)
    assert report.entries[0].C is None
    assert len(list(tmp_path.iterdir())) == 2, "one of the rows to learn from, one of all"
    remove_snapshots(tmp_path)
    assert not tmp_path.exists()
    json.dumps(report.to_dict())


def test_what_can_not_be_tuned_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="no biLM to start from"):
        TextClassifier(WordHash(), head="finetune").fit(TEXTS, LABELS)
    with pytest.raises(ConfigError, match="n_epochs ≥ 1"):
        TextClassifier(WordHash(), head=FinetuneHead(epochs=0)).fit(TEXTS, LABELS)
    monkeypatch.setattr(finetune_head, "LONGEST", 2)
    fitted = head().fit(WORDS, LABELS)
    long, cut = [("good", "a", "bad")], [("good", "a")]
    np.testing.assert_array_equal(fitted.predict_proba(long), fitted.predict_proba(cut))
