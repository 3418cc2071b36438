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
from elmokit.tasks.tagging import cache  # noqa: E402
from elmokit.tasks.tagging.bioes import mistakes, rewrite  # noqa: E402
from elmokit.tasks.tagging.cache import by_sentence, cached_layers, mean_and_scale  # noqa: E402
from elmokit.tasks.tagging.network import batches  # noqa: E402
from elmokit.tasks.tagging.tagger import Tagger  # noqa: E402
from unit.tasks.hostile import hostile  # noqa: E402
from unit.tasks.tagged import WordLayers, sentences  # noqa: E402
from unit.tiny_models import tiny_elmo  # noqa: E402

WORDS, TAGS = sentences(120)
DEV = sentences(30, seed=1)
SMALL = {"hidden_width": 12, "epochs": 6, "dropout": 0.2, "learning_rate": 0.02, "batch_size": 16}


@pytest.fixture(scope="module")
def tagger():
    return Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS, dev=DEV)


def weights(tagger):
    return {name: tensor.numpy().copy() for name, tensor in tagger._network.state_dict().items()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_it_learns(tagger):
    words, tags = sentences(60, seed=2)
    scores = tagger.evaluate(words, tags)
    assert scores.spans.f1 > 0.95
    assert [one.label for one in scores.labels] == ["LOC", "PER"]
    assert tagger.scheme_ == "IOB2"
    assert tagger.report_.best_score > 0.95
    assert sum(tagger.layer_weights_) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("scheme", ["IOB1", "BIOES"])
def test_tags_come_back_in_the_scheme_they_came_in(scheme):
    taught = [rewrite(tags, scheme) for tags in TAGS]
    made = Tagger(WordLayers(), **SMALL).fit(WORDS, taught, dev=(DEV[0], [rewrite(t, scheme) for t in DEV[1]]))
    assert made.scheme_ == scheme
    predicted = made.predict(DEV[0])
    assert all(mistakes(tags, scheme) == [] for tags in predicted)
    assert made.evaluate(DEV[0], [rewrite(tags, scheme) for tags in DEV[1]]).accuracy > 0.95


def test_parts_of_speech_and_one_layer():
    parts = [["NAME" if tag.endswith("PER") else "X" for tag in tags] for tags in TAGS]
    made = Tagger(WordLayers(), layers=0, **SMALL).fit(WORDS, parts)
    assert made.scheme_ is None
    assert made.evaluate(WORDS, parts).accuracy > 0.95
    assert made.evaluate(WORDS, parts).spans is None
    assert made.layer_weights_ == (1.0,)


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
    again = Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS, dev=DEV)
    assert same(weights(tagger), weights(again))
    assert torch.equal(before, torch.get_rng_state())
    other = {"hidden_width": 12, "epochs": 1, "seed": 1}
    assert not same(weights(tagger), weights(Tagger(WordLayers(), **other).fit(WORDS, TAGS, dev=DEV)))


def test_the_best_epoch_is_kept_and_training_stops_when_nothing_gets_better():
    reports = []
    options = {"hidden_width": 8, "epochs": 30, "patience": 2, "learning_rate": 0.05, "batch_size": 16, "dropout": 0}
    made = Tagger(WordLayers(), **options).fit(WORDS, TAGS, dev=DEV, on_epoch=reports.append)
    assert made.score(*DEV) == pytest.approx(max(report.score for report in reports))
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

    run, reports, others = tmp_path / "run", [], []
    with pytest.raises(StopHere):
        Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS, dev=DEV, folder=run, on_epoch=stop)
    Tagger(WordLayers(), **SMALL).fit(WORDS[1:], TAGS[1:], dev=DEV, folder=run, on_epoch=others.append)
    assert others[0].epoch == 1, "other data begin anew"
    resumed = Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS, dev=DEV, folder=run, on_epoch=reports.append)
    assert same(weights(tagger), weights(resumed))
    assert reports[0].epoch == epochs + 1
    for path in run.iterdir():
        path.write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="complete snapshot"):
        Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS, dev=DEV, folder=run)


def test_vectors_come_back_by_sentence(tmp_path):
    elmo = WordLayers()
    stored = cached_layers(elmo, WORDS, [0, 1], folder=tmp_path)
    assert not any(tmp_path.iterdir()), "a temporary file"
    expected = next(iter(elmo.encode_words_stream([WORDS[5]], layers="each"))).vectors[:2]
    np.testing.assert_allclose(by_sentence(stored, WORDS)[5], expected, rtol=1e-3)
    assert len(by_sentence(cached_layers(elmo, WORDS[:9], [0, 1]), WORDS[:9])) == 9
    mean, scale = mean_and_scale(stored)
    whole = stored.astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean(0), atol=1e-2)
    np.testing.assert_allclose(scale, whole.std(0), rtol=1e-3)


def test_a_full_disk_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="Free some space"):
        Tagger(WordLayers(), **SMALL).fit(WORDS, TAGS)
    with pytest.raises(OutputError):
        cached_layers(WordLayers(), WORDS, [0], folder=tmp_path)
    assert not any(tmp_path.iterdir())


def test_what_is_saved_comes_back(tagger, tmp_path):
    tagger.save(tmp_path / "m", metadata={"word": 0})
    assert sorted(os.listdir(tmp_path / "m")) == ["tagger.json", "tagger.safetensors"]
    back = Tagger.load(tmp_path / "m", WordLayers())
    assert back.predict(DEV[0]) == tagger.predict(DEV[0])
    assert (back.scheme_, back.report_, back._settings()) == ("IOB2", tagger.report_, tagger._settings())
    assert json.loads((tmp_path / "m/tagger.json").read_text())["metadata"] == {"word": 0}


def test_another_model_and_damaged_files_are_refused(tagger, tmp_path):
    with pytest.raises(MissingFile, match=r"tagger\.json"):
        Tagger.load(tmp_path, WordLayers())
    tagger.save(tmp_path)
    with pytest.raises(CheckpointError, match="other weights"):
        Tagger.load(tmp_path, WordLayers(seed=1))
    with pytest.raises(CheckpointError, match="other weights, settings"):
        Tagger.load(tmp_path, WordLayers(dim=32))
    config = json.loads((tmp_path / "tagger.json").read_text())
    config["hidden_width"] = 9
    (tmp_path / "tagger.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"tagger\.json: the array .lstm.weight_hh_l0. has the shape"):
        Tagger.load(tmp_path, WordLayers())


def test_broken_tags_are_repaired_with_a_warning():
    broken = [["I-PER" if tag == "B-PER" and n < 2 else tag for tag in tags] for n, tags in enumerate(TAGS)]
    assert broken != TAGS
    with pytest.warns(UserWarning, match="the rules of IOB2 and w"):
        made = Tagger(WordLayers(), **SMALL).fit(WORDS, broken, dev=DEV)
    assert made.score(*DEV) > 0.9


def test_tags_without_labels():
    bare = [["O" if tag == "O" else tag[0] for tag in tags] for tags in TAGS]
    made = Tagger(WordLayers(), **SMALL).fit(WORDS, bare)
    assert {tag for tags in made.predict(DEV[0]) for tag in tags} == {"B", "I", "O"}


def test_with_a_real_model():
    made = Tagger(tiny_elmo(), hidden_width=8, epochs=2).fit(WORDS[:40], TAGS[:40])
    assert [len(tags) for tags in made.predict(DEV[0])] == [len(tags) for tags in DEV[1]]


def test_wrong_arguments_are_named():
    elmo = WordLayers()
    with pytest.raises(ConfigError, match="0 to 2"):
        Tagger(elmo, layers=3)
    with pytest.raises(ConfigError, match="'BIOES'"):
        Tagger(elmo, scheme="BILOU")
    with pytest.raises(ConfigError, match="epochs"):
        Tagger(elmo, epochs=0)
    with pytest.raises(ConfigError, match="dropout"):
        Tagger(elmo, dropout=1)
    with pytest.raises(InputError, match="call fit"):
        Tagger(elmo).predict([["a"]])
    with pytest.raises(InputError, match="2 sentences but tags of 1"):
        Tagger(elmo).fit([["a"], ["b"]], [["O"]])
    with pytest.raises(InputError, match="sentence 1 has 1 words but 2 tags"):
        Tagger(elmo).fit([["a"], ["b"]], [["O"], ["O", "O"]])
    with pytest.raises(InputError, match="it takes two different tags"):
        Tagger(elmo).fit([["a"]] * 20, [["NN"]] * 20)
    with pytest.raises(InputError, match="others to choose the best epoch by"):
        Tagger(elmo).fit([["a"], []], [["O"], []])
    with pytest.raises(InputError, match="1 sentences with words; some are needed"):
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


def test_hostile_values_are_refused_with_the_name_of_the_folder(tmp_path):
    Tagger(WordLayers(), hidden_width=4, epochs=1).fit(WORDS[:30], TAGS[:30]).save(tmp_path)
    texts = hostile(tmp_path, "tagger", lambda: Tagger.load(tmp_path, WordLayers()).predict([["Ann", "sees"]]))
    assert [text for text in texts if str(tmp_path) not in text] == []


def test_a_folder_may_not_name_an_address(tagger, tmp_path):
    tagger.save(tmp_path)
    config = json.loads((tmp_path / "tagger.json").read_text())
    config["model"]["source"] = "http://127.0.0.1:9/model.zip"
    (tmp_path / "tagger.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="--model"):
        Tagger.load(tmp_path)


def test_sentences_are_encoded_in_one_call(monkeypatch):
    elmo, calls = WordLayers(), []
    encode = elmo.encode_words_stream
    monkeypatch.setattr(elmo, "encode_words_stream", lambda x, **more: calls.append(len(x)) or encode(x, **more))
    made = Tagger(elmo, hidden_width=4, epochs=1).fit(WORDS * 6, TAGS * 6, dev=DEV)
    made.predict(WORDS * 6)
    assert calls == [720, 30, 720]
