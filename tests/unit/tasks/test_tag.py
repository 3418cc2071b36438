"""A tagger learns, gives valid tags in the scheme it was taught, comes back from disk and from an interruption."""

import json
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elmokit.errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    InputError,
    MissingFile,
    OutputError,
    TextError,
    TrainingError,
)
from elmokit.tasks import vector_store  # noqa: E402
from elmokit.tasks.bio import mend, mistakes  # noqa: E402
from elmokit.tasks.tag import Tagger  # noqa: E402
from elmokit.tasks.tag_options import TagOptions  # noqa: E402
from elmokit.tasks.tag_training import batches  # noqa: E402
from elmokit.tasks.vector_store import VectorStore  # noqa: E402
from unit.tasks.tagged import WordLayers, sentences  # noqa: E402
from unit.tiny_models import tiny_elmo  # noqa: E402

WORDS, TAGS = sentences(120)
DEV = sentences(30, seed=1)
SMALL = TagOptions(hidden_width=12, n_epochs=6, dropout=0.2, learning_rate=0.02, batch_size=16)


@pytest.fixture(scope="module")
def tagger():
    return Tagger(WordLayers(), options=SMALL).fit(WORDS, TAGS, dev=DEV)


def weights(tagger):
    return {name: tensor.numpy().copy() for name, tensor in tagger._learned.network.state_dict().items()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_it_learns(tagger):
    words, tags = sentences(60, seed=2)
    scores = tagger.evaluate(words, tags)
    assert scores.spans.f1 > 0.95
    assert [one.label for one in scores.labels] == ["LOC", "PER"]
    assert tagger.scheme_ == "IOB2"
    assert tagger.report_.best > 0.95
    assert sum(tagger.layer_shares_) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("scheme", ["IOB1", "BIOES"])
def test_tags_come_back_in_the_scheme_they_came_in(scheme):
    taught = [mend(tags, scheme) for tags in TAGS]
    made = Tagger(WordLayers(), options=SMALL).fit(WORDS, taught, dev=(DEV[0], [mend(t, scheme) for t in DEV[1]]))
    assert made.scheme_ == scheme
    predicted = made.predict(DEV[0])
    assert all(mistakes(tags, scheme) == [] for tags in predicted)
    assert made.evaluate(DEV[0], [mend(tags, scheme) for tags in DEV[1]]).accuracy > 0.95


def test_parts_of_speech_and_one_layer():
    parts = [["NAME" if tag.endswith("PER") else "X" for tag in tags] for tags in TAGS]
    made = Tagger(WordLayers(), layers=0, options=SMALL).fit(WORDS, parts)
    assert made.scheme_ is None
    assert made.evaluate(WORDS, parts).accuracy > 0.95
    assert made.evaluate(WORDS, parts).spans is None
    assert made.layer_shares_ == (1.0,)


def test_predictions_do_not_depend_on_the_batch(tagger):
    words = [*sentences(40, seed=3)[0], [], ["Ann"] * 300]
    whole = tagger.predict(words)
    assert [len(tags) for tags in whole] == [len(of_one) for of_one in words]
    assert whole == [tagger.predict([of_one])[0] for of_one in words]
    assert whole[::-1] == tagger.predict(words[::-1])
    assert tagger.predict([]) == []


def test_a_seed_makes_the_same_tagger_and_leaves_the_callers_randomness_alone(tagger):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = Tagger(WordLayers(), options=SMALL).fit(WORDS, TAGS, dev=DEV)
    assert same(weights(tagger), weights(again))
    assert torch.equal(before, torch.get_rng_state())
    other = TagOptions(hidden_width=12, n_epochs=1, seed=1)
    assert not same(weights(tagger), weights(Tagger(WordLayers(), options=other).fit(WORDS, TAGS, dev=DEV)))


def test_the_best_epoch_is_kept_and_training_stops_when_nothing_gets_better():
    reports = []
    options = TagOptions(hidden_width=8, n_epochs=30, patience=2, learning_rate=0.05, batch_size=16, dropout=0)
    made = Tagger(WordLayers(), options=options).fit(WORDS, TAGS, dev=DEV, on_report=reports.append)
    assert made.evaluate(*DEV).figure == pytest.approx(max(report.figure for report in reports))
    assert len(reports) == reports[-1].best_epoch + 2 < 30
    assert [report.stopped for report in reports] == [False] * (len(reports) - 1) + [True]
    assert [report.epoch for report in reports] == list(range(1, len(reports) + 1))


class StopHere(Exception):
    pass


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tagger, tmp_path, epochs):
    def stop(report):
        if report.epoch == epochs:
            raise StopHere

    run, elmo = tmp_path / "run", WordLayers()
    with pytest.raises(StopHere):
        Tagger(elmo, options=SMALL).fit(WORDS, TAGS, dev=DEV, folder=run, on_report=stop)
    n_encoded, reports = elmo.n_encoded, []
    with pytest.raises(TrainingError, match="--resume"):
        Tagger(elmo, options=SMALL).fit(WORDS, TAGS, dev=DEV, folder=run)
    with pytest.raises(TrainingError, match="other sentences"):
        Tagger(elmo, options=SMALL).fit(WORDS[1:], TAGS[1:], dev=DEV, folder=run, resume=True)
    elmo.n_encoded = 0
    resumed = Tagger(elmo, options=SMALL).fit(WORDS, TAGS, dev=DEV, folder=run, resume=True, on_report=reports.append)
    assert same(weights(tagger), weights(resumed))
    assert reports[0].epoch == epochs + 1
    assert n_encoded > 150
    assert not run.exists(), "vectors and snapshot are gone when the training has ended"


def test_vectors_are_found_again_after_an_interruption(tmp_path):
    elmo, said = WordLayers(), []
    for _ in range(2):
        store = VectorStore.open(
            tmp_path / "a.f16", elmo, WORDS, layers=[0, 1], on_progress=lambda *at: said.append(at)
        )
    assert elmo.n_encoded == len(WORDS) + 2, "the sentences once, and the probe twice"
    assert said[-1] == (120, 120)
    expected = next(iter(elmo.encode_words_stream([WORDS[5]], layers="each"))).vectors[:2]
    np.testing.assert_allclose(store.of(5), expected, rtol=1e-3)
    other = VectorStore.open(tmp_path / "a.f16", elmo, WORDS[:9], layers=[0, 1])
    assert len(other.lengths) == 9
    mean, scale = store.mean_and_scale()
    whole = np.concatenate([store.of(i) for i in range(120)], axis=1).astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean(1), atol=1e-2)
    np.testing.assert_allclose(scale, whole.std(1), rtol=1e-3)


def test_a_full_disk_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_store.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="make room"):
        Tagger(WordLayers(), options=SMALL).fit(WORDS, TAGS)
    store = tmp_path / "a.f16"
    with pytest.raises(OutputError):
        VectorStore.open(store, WordLayers(), WORDS, layers=[0])
    assert not store.exists()


def test_what_is_saved_comes_back(tagger, tmp_path):
    tagger.save(tmp_path / "m", facts={"word": 0})
    assert sorted(os.listdir(tmp_path / "m")) == ["tag.json", "tag.safetensors"]
    back = Tagger.load(tmp_path / "m", WordLayers())
    assert back.predict(DEV[0]) == tagger.predict(DEV[0])
    assert (back.scheme_, back.report_, back.options) == ("IOB2", tagger.report_, SMALL)
    assert json.loads((tmp_path / "m/tag.json").read_text())["facts"] == {"word": 0}


def test_another_model_and_damaged_files_are_refused(tagger, tmp_path):
    with pytest.raises(MissingFile, match=r"tag\.json"):
        Tagger.load(tmp_path, WordLayers())
    tagger.save(tmp_path)
    with pytest.raises(CheckpointError, match="same shape but other weights"):
        Tagger.load(tmp_path, WordLayers(seed=1))
    with pytest.raises(CheckpointError, match="made differently"):
        Tagger.load(tmp_path, WordLayers(dim=32))
    config = json.loads((tmp_path / "tag.json").read_text())
    config["options"]["hidden_width"] = 9
    (tmp_path / "tag.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="do not fit together"):
        Tagger.load(tmp_path, WordLayers())


def test_broken_tags_are_mended_with_a_warning():
    broken = [["I-PER" if tag == "B-PER" and n < 2 else tag for tag in tags] for n, tags in enumerate(TAGS)]
    assert broken != TAGS
    with pytest.warns(UserWarning, match="the rules of IOB2 and w"):
        made = Tagger(WordLayers(), options=SMALL).fit(WORDS, broken, dev=DEV)
    assert made.evaluate(*DEV).figure > 0.9


def test_tags_without_labels():
    bare = [["O" if tag == "O" else tag[0] for tag in tags] for tags in TAGS]
    made = Tagger(WordLayers(), options=SMALL).fit(WORDS, bare)
    assert {tag for tags in made.predict(DEV[0]) for tag in tags} == {"B", "I", "O"}


def test_with_a_real_model():
    made = Tagger(tiny_elmo(), options=TagOptions(hidden_width=8, n_epochs=2)).fit(WORDS[:40], TAGS[:40])
    assert [len(tags) for tags in made.predict(DEV[0])] == [len(tags) for tags in DEV[1]]


def test_a_damaged_snapshot_is_told(tmp_path):
    (tmp_path / "snapshot.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="not a whole snapshot"):
        Tagger(WordLayers(), options=SMALL).fit(WORDS, TAGS, folder=tmp_path, resume=True)


def test_wrong_arguments_are_named():
    elmo = WordLayers()
    with pytest.raises(ConfigError, match="0 to 2"):
        Tagger(elmo, layers=3)
    with pytest.raises(ConfigError, match="'BIOES'"):
        Tagger(elmo, scheme="BILOU")
    with pytest.raises(ConfigError, match="n_epochs"):
        TagOptions(n_epochs=0)
    with pytest.raises(ConfigError, match="dropout"):
        TagOptions(dropout=1)
    with pytest.raises(InputError, match="call fit"):
        Tagger(elmo).predict([["a"]])
    with pytest.raises(InputError, match="2 sentences but tags of 1"):
        Tagger(elmo).fit([["a"], ["b"]], [["O"]])
    with pytest.raises(InputError, match="sentence 1 has 1 words but 2 tags"):
        Tagger(elmo).fit([["a"], ["b"]], [["O"], ["O", "O"]])
    with pytest.raises(InputError, match="it takes two tags"):
        Tagger(elmo).fit([["a"]] * 20, [["NN"]] * 20)
    with pytest.raises(InputError, match="it takes two at least"):
        Tagger(elmo).fit([["a"], []], [["O"], []])
    with pytest.raises(InputError, match="to judge by"):
        Tagger(elmo).fit([["a"]], [["NN"]], dev=([], []))
    with pytest.raises(TextError):
        Tagger(elmo).fit(["a b"], [["O", "O"]])


def test_batches_hold_every_sentence_once_and_bounded_words():
    lengths = np.array([0, 5, 3, 9000, 2, 5, 700] * 20)
    for order in (None, np.random.default_rng(0)):
        found = list(batches(lengths, 16, order))
        assert sorted(np.concatenate(found).tolist()) == np.flatnonzero(lengths).tolist()
        assert all(len(rows) * lengths[rows].max() <= 8192 or len(rows) == 1 for rows in found)
    assert list(batches(np.array([0]), 4, None)) == []
