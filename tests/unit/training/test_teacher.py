"""A teacher's vectors: computed once, resumable, learned beside the language model, and kept by plain `encode`."""

import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import load
from elmokit.errors import ConfigError, InputError, MissingExtra, MissingFile, TrainingError
from elmokit.training import Corpus, train
from elmokit.training import teacher as teacher_file
from elmokit.training.loop import Trainer
from elmokit.training.sources import open_store
from elmokit.training.teacher import TeacherTargets, build_targets, open_teacher
from unit.training.runs import NOUNS, VERBS, sentences, tiny_config, tiny_options

WORDS = (*NOUNS, *VERBS, "the", ".")
WORD_VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 12)).astype(np.float32)


def encode(texts):
    """A toy teacher: a sum of word vectors."""
    return np.stack([sum(WORD_VECTORS[WORDS.index(word)] for word in text.split()) for text in texts])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    lines = list(sentences(1500))
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "texts.npy", encode(lines).astype(np.float16))
    np.save(folder / "arrays" / "words.npy", WORD_VECTORS)
    (folder / "arrays" / "words.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def corpus(folder):
    return Corpus(files=[folder / "corpus.txt"], heldout_every=20, n_processes=1)


def start(folder, out, *, teacher="arrays", config=None, resume=False, on_report=None, **changes):
    options = tiny_options(**({"batch_size": 16, "n_words": 12_000, "evaluate_words": 4_000} | changes))
    return train(
        corpus(folder),
        out,
        config=config or tiny_config(),
        options=options,
        teacher=folder / teacher,
        resume=resume,
        on_report=on_report,
    )


@pytest.mark.parametrize("word_table", [0, 1])
def test_similarity_to_the_teacher_rises_and_perplexity_falls(folder, tmp_path, word_table):
    reports = []
    config = replace(tiny_config(), word_table=word_table)
    report = start(folder, tmp_path / "m", config=config, on_report=reports.append)
    measured = [r for r in reports if r.heldout]
    assert report.teacher_similarity > 0.8 > measured[0].teacher_similarity - 0.3
    assert measured[-1].heldout["mean"] < 0.8 * measured[0].heldout["mean"]
    checkpoint = load(tmp_path / "m")
    assert checkpoint.layer_mix.weights is not None
    assert len(set(checkpoint.layer_mix.weights)) > 1, "the mix was learned"
    assert set(checkpoint.tensors) == set(checkpoint.config.tensor_shapes()), "the heads are gone"
    assert checkpoint.config.word_table == (len(checkpoint.words) if word_table else 0)
    texts = list(sentences(60, seed=5))
    own, wanted = Elmo(checkpoint).encode(texts, normalize=True), encode(texts)
    wanted = wanted - wanted.mean(0)
    upper = np.triu_indices(len(texts), 1)
    likeness = (wanted @ wanted.T)[upper]
    assert np.corrcoef((own @ own.T)[upper], likeness)[0, 1] > 0.6, "plain encode has the teacher's similarities"


def test_a_resumed_run_equals_an_undisturbed_one(folder, tmp_path, monkeypatch):
    start(folder, tmp_path / "whole", n_words=3000)
    take_step, steps = Trainer.take_step, []

    def stopping(trainer):
        steps.append(1)
        trainer._stop = len(steps) == 9
        return take_step(trainer)

    monkeypatch.setattr(Trainer, "take_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        start(folder, tmp_path / "cut", n_words=3000)
    start(folder, tmp_path / "cut", n_words=3000, resume=True)
    whole, cut = load(tmp_path / "whole"), load(tmp_path / "cut")
    assert whole.layer_mix == cut.layer_mix
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(array, cut.tensors[name])


def test_vectors_that_were_interrupted_are_computed_to_the_same_end(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_file, "_BLOCK", 100)
    store = open_store(corpus(folder), tmp_path / "store", tokenizer="default")
    settings = {"max_words": 50, "max_word_width": 24, "seed": 0}
    calls = []

    def build(name, stop_at=None):
        def counting(texts):
            calls.append(len(texts))
            if stop_at is not None and len(calls) == stop_at:
                raise KeyboardInterrupt
            return encode(texts)

        build_targets(teacher_file.Teacher(identity="toy", encode=counting), store, tmp_path / name, **settings)

    build("whole")
    n_calls, calls[:] = len(calls), []
    with pytest.raises(KeyboardInterrupt):
        build("cut", stop_at=8)
    calls[:] = []
    build("cut")
    assert 2 < len(calls) < n_calls - 4
    calls[:] = []
    build("cut")
    assert not calls, "all is there"
    whole, cut = (TeacherTargets(tmp_path / name, store) for name in ("whole", "cut"))
    numbers = np.arange(store.n_texts("train"))
    np.testing.assert_array_equal(whole.texts("train", numbers), cut.texts("train", numbers))
    np.testing.assert_allclose(np.linalg.norm(whole.texts("train", numbers), axis=1), 1, atol=1e-6)
    assert not whole.texts("train", np.array([-1])).any()
    assert whole.words(np.arange(store.n_spellings)).any(axis=1).sum() == len(WORDS)


def test_a_text_keeps_its_similarities(folder, tmp_path):
    store = open_store(corpus(folder), tmp_path / "store", tokenizer="default")
    build_targets(open_teacher(folder / "arrays"), store, tmp_path / "t", max_words=50, max_word_width=24, seed=0)
    targets = TeacherTargets(tmp_path / "t", store)
    numbers = np.arange(200)
    vectors = targets.texts("train", numbers)
    same = [[store.text("train", i) == store.text("train", j) for i in numbers] for j in numbers]
    assert ((vectors @ vectors.T > 0.999) >= np.array(same)).all()


def test_time_is_kept_and_texts_without_vectors_teach_words_alone(folder, tmp_path):
    store = open_store(corpus(folder), tmp_path / "store", tokenizer="default")
    build_targets(
        open_teacher(folder / "arrays"), store, tmp_path / "t", max_words=50, max_word_width=24, seed=0, seconds=0.0
    )
    targets = TeacherTargets(tmp_path / "t", store)
    assert not targets.texts("train", np.arange(100)).any()
    report = start(folder, tmp_path / "m", minutes=0.0002, n_words=10**9)
    assert report.step <= 2


def test_another_teacher_or_weight_is_refused_on_resume(folder, tmp_path):
    start(folder, tmp_path / "m", n_words=100)
    with pytest.raises(ConfigError, match="another teacher"):
        start(folder, tmp_path / "m", n_words=200, resume=True, teacher="arrays/texts.npy")
    with pytest.raises(ConfigError, match="loss_weights"):
        start(folder, tmp_path / "m", n_words=200, resume=True, loss_weights={"text": 9.0})


def test_what_is_no_teacher_is_refused(folder, tmp_path):
    with pytest.raises(MissingFile):
        open_teacher(tmp_path / "none")
    with pytest.raises(InputError, match=r"modules\.json"):
        open_teacher(tmp_path)
    np.save(tmp_path / "texts.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(ConfigError, match="one vector per text"):
        start(folder, tmp_path / "m", teacher=str(tmp_path / "texts.npy"))
    np.save(tmp_path / "texts.npy", np.zeros(3, np.int64))
    with pytest.raises(InputError, match="floating-point"):
        open_teacher(tmp_path)
    (tmp_path / "texts.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="NumPy array"):
        open_teacher(tmp_path / "texts.npy")
    np.save(tmp_path / "words.npy", WORD_VECTORS)
    (tmp_path / "words.txt").write_text("one\n")
    (tmp_path / "texts.npy").unlink()
    with pytest.raises(InputError, match="1 lines"):
        open_teacher(tmp_path)
    bad = encode(list(sentences(1500)))
    bad[7] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(InputError, match="not finite"):
        start(folder, tmp_path / "m", teacher=str(tmp_path / "bad.npy"))


def test_damaged_vectors_are_our_error(folder, tmp_path):
    start(folder, tmp_path / "m", n_words=100)
    where = tmp_path / "m" / "run" / "teacher"
    state = json.loads((where / "teacher.json").read_text())
    for path, data in (("texts.i8", b"x"), ("words.npz", b"no"), ("teacher.json", b"{")):
        whole = (where / path).read_bytes()
        (where / path).write_bytes(data)
        with pytest.raises(TrainingError, match="teacher"):
            start(folder, tmp_path / "m", n_words=200, resume=True)
        (where / path).write_bytes(whole)
    assert state["complete"]


def test_a_sentence_transformers_folder_is_read_through_its_library(folder, tmp_path, monkeypatch):
    (tmp_path / "st").mkdir()
    (tmp_path / "st" / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[compare\]"):
        open_teacher(tmp_path / "st")

    class SentenceTransformer:
        def __init__(self, folder, device, local_files_only):
            assert local_files_only

        def encode(self, texts, batch_size, show_progress_bar):
            return encode(texts)

    library = types.SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    report = start(folder, tmp_path / "m", teacher=str(tmp_path / "st"), n_words=600)
    assert report.teacher_similarity is not None


def test_word_vectors_alone_teach_words(folder, tmp_path):
    rows = [f"{word} {' '.join(map(str, row))}" for word, row in zip(WORDS, WORD_VECTORS, strict=True)]
    (tmp_path / "v.vec").write_text(f"{len(rows)} 12\n" + "\n".join(rows) + "\n")
    report = start(folder, tmp_path / "m", teacher=str(tmp_path / "v.vec"), n_words=1000)
    assert report.teacher_similarity is None
    assert report.heldout["mean"] < 40
