"""Building, adding, deleting, resuming: whatever happens in between, an index holds each occurrence once."""

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from elmokit.data.tables import Table
from elmokit.errors import CheckpointError, ConfigError, InputError, MissingExtra, MissingFile, OutputError, TextError
from elmokit.index import WordIndex, word_index
from elmokit.index.store import Store, arrow_table, schemas
from unit.index.corpora import SENTENCES, content, environment, many_lines, model, write_lines
from unit.tiny_models import tiny_elmo


@pytest.fixture(scope="module")
def elmo():
    return model()


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(word_index, "BLOCK", 8)
    monkeypatch.setattr(word_index, "_CENTERING_TEXTS", 8)


def test_every_kept_word_of_every_sentence_is_there_with_its_place(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo, words="all")
    n_added = index.add(SENTENCES, document="talk")
    assert n_added == len(index) == sum(len(text) for text in elmo.encode_words(SENTENCES))
    assert index.n_sentences == len(SENTENCES)
    assert index.words()["bank"] == 5
    for occurrence in index.occurrences("bank"):
        assert occurrence.surface.lower() == "bank"
        assert SENTENCES[occurrence.row - 1].encode("utf-8", "replace").decode() == occurrence.text


def test_stored_vectors_are_the_models_moved_and_scaled(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo, layers=1)
    index.add(SENTENCES, document="talk")
    words = elmo.encode_words(SENTENCES, layers=1)
    centre = np.concatenate([text.vectors for text in words]).mean(axis=0)
    for block in index._store.scan("occurrences", ["sentence", "start", "length", "vector"]):
        for i, number in enumerate(block["sentence"].tolist()):
            text = words[number]
            raw = text.vectors[text.offsets[:, 0].tolist().index(block["start"][i])]
            found = block["vector"][i] * block["length"][i] + centre
            assert np.abs(found - raw).max() < 2e-3 * np.abs(raw).max() + 1e-3


def test_content_words_all_words_and_lists(tmp_path, elmo):
    kinds = {"content": "content", "all": "all", "list": ["Bank", "river"]}
    found = {}
    for name, words in kinds.items():
        index = WordIndex.create(tmp_path / name, elmo, words=words)
        index.add(SENTENCES, document="talk")
        found[name] = set(index.words())
    assert {"the", "."} <= found["all"] - found["content"]
    assert {"bank", "money", "muddy"} <= found["content"]
    assert found["list"] == {"bank", "river"}


def test_building_again_adds_nothing_and_a_file_that_grew_only_its_new_rows(tmp_path, elmo, small_blocks):
    path = write_lines(tmp_path / "corpus.txt", many_lines(30))
    index = WordIndex.create(tmp_path / "db", elmo)
    n_first = index.build([Table(source=path)])
    assert index.build([Table(source=path)]) == 0
    write_lines(path, many_lines(40))
    n_more = index.build([Table(source=path)])
    assert 0 < n_more < n_first
    whole = WordIndex.create(tmp_path / "whole", elmo)
    whole.build([Table(source=path)])
    assert index.words() == whole.words()


def test_the_way_of_adding_changes_nothing(tmp_path, elmo, small_blocks, monkeypatch):
    path = write_lines(tmp_path / "corpus.txt", many_lines(50))
    found = []
    for block in (8, 50, 1000):
        monkeypatch.setattr(word_index, "BLOCK", block)
        index = WordIndex.create(tmp_path / str(block), elmo)
        index.build([Table(source=path)])
        found.append(content(index))
    assert found[0] == found[1] == found[2]


KILLED = """
import os, signal, sys
from pathlib import Path
from elmokit.data.tables import Table
from elmokit.index import WordIndex, word_index
from unit.index.corpora import model
word_index.BLOCK = word_index._CENTERING_TEXTS = 8
folder, corpus, when = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
index = WordIndex.open(folder, elmo=model()) if folder.exists() else WordIndex.create(folder, model())
n_adds = 0
for table in index._store._tables.values():
    def add(data, table=table, plain=table.add):
        global n_adds
        n_adds += 1
        if n_adds == when:
            os.kill(os.getpid(), signal.SIGKILL)
        plain(data)
    table.add = add
index.build([Table(source=corpus)])
"""


def test_a_build_that_was_killed_goes_on_to_exactly_the_same_set(tmp_path, elmo, small_blocks):
    path = write_lines(tmp_path / "corpus.txt", many_lines(40))
    line = [sys.executable, "-c", KILLED, str(tmp_path / "db"), str(path), "4"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=600)
    assert done.returncode == -9, done.stderr
    resumed = WordIndex.open(tmp_path / "db", elmo=elmo)
    assert resumed.n_sentences == 8, "one block was whole, of the second only the occurrences"
    assert len(resumed._store._ids("occurrences", "sentence")) == 16
    resumed.build([Table(source=path)])
    whole = WordIndex.create(tmp_path / "whole", elmo)
    whole.build([Table(source=path)])
    assert content(resumed) == content(whole)


class Stop(BaseException):
    """What a write is broken off with."""


def test_a_build_broken_off_at_any_write_goes_on_to_exactly_the_same_set(tmp_path, elmo, small_blocks):
    path = write_lines(tmp_path / "corpus.txt", many_lines(24))
    whole = WordIndex.create(tmp_path / "whole", elmo)
    whole.build([Table(source=path)])
    for when in range(1, 7):
        index = WordIndex.create(tmp_path / str(when), elmo)
        break_off(index, when)
        with pytest.raises(Stop):
            index.build([Table(source=path)])
        resumed = WordIndex.open(tmp_path / str(when), elmo=elmo)
        resumed.build([Table(source=path)])
        assert content(resumed) == content(whole), when


def break_off(index, when):
    """Let the n-th write to a table fail before it writes."""
    writes = iter(range(1, 1000))
    for table in index._store._tables.values():

        def add(data, plain=table.add):
            if next(writes) == when:
                raise Stop
            plain(data)

        table.add = add


def test_leftovers_of_an_interrupted_block_are_never_shown(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo)
    index.add(SENTENCES, document="talk")
    leftover = {"word": ["bank"], "sentence": [999], "start": [0], "end": [4], "document": ["lost"]}
    vector = np.asarray(index.vector("bank", SENTENCES[0]))[None]
    table = arrow_table(schemas(index.dim)["occurrences"], {**leftover, "length": [1.0], "vector": vector})
    index._store._tables["occurrences"].add(table)
    index.refresh()
    assert all(found.document == "talk" for found in index.occurrences("bank"))
    assert all(found.document == "talk" for found in index.search(vector[0], k=50))
    index.add(["One more bank."], document="talk")
    assert index._store._tables["occurrences"].count_rows("sentence = 999") == 0


def test_delete_takes_one_document_out_and_nothing_else(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo)
    index.add(SENTENCES[:4], document="it's one")
    index.add(SENTENCES[4:], document="two")
    assert index.delete("it's one") == 4
    assert dict(index.documents()) == {"two": 4}
    assert {found.document for found in index.occurrences("bank")} == {"two"}
    with pytest.raises(InputError, match="no document 'three'"):
        index.delete("three")
    index.add(SENTENCES[:4], document="it's one")
    index.optimize()
    assert index.n_sentences == 8


def test_a_table_names_documents_by_a_column(tmp_path, elmo):
    path = tmp_path / "talk.csv"
    path.write_text("who,text\nann,The river bank.\nbob,A money bank.\nann,The boat.\n", encoding="utf-8")
    index = WordIndex.create(tmp_path / "db", elmo)
    index.build([Table(source=path)], document="who")
    assert dict(index.documents()) == {"ann": 2, "bob": 1}


def test_an_open_index_sees_others_writing_when_it_is_refreshed(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo)
    reader = WordIndex.open(tmp_path / "db", elmo=elmo)
    index.add(SENTENCES, document="talk")
    reader.refresh()
    assert reader.words() == index.words()
    assert np.array_equal(reader.vector("bank", "a bank"), index.vector("bank", "a bank"))


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_two_writers_do_not_write_at_once(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo)
    other = WordIndex.open(tmp_path / "db", elmo=elmo)
    with index._store.writing(), pytest.raises(OutputError, match="another process is writing"):
        other.add(SENTENCES, document="talk")
    other.add(SENTENCES, document="talk")


def test_errors_say_what_to_do(tmp_path, elmo, monkeypatch):
    with pytest.raises(MissingFile, match="elmokit index build"):
        WordIndex.open(tmp_path)
    index = WordIndex.create(tmp_path / "db", elmo)
    with pytest.raises(OutputError, match="not empty"):
        WordIndex.create(tmp_path / "db", elmo)
    with pytest.raises(CheckpointError, match="made with the model"):
        WordIndex.open(tmp_path / "db", elmo=tiny_elmo(seed=1))
    for wrong in ({"layers": "each"}, {"words": "verbs"}, {"words": []}):
        with pytest.raises(ConfigError):
            WordIndex.create(tmp_path / "other", elmo, **wrong)
    with pytest.raises(InputError, match="one string"):
        index.add("a string", document="talk")
    with pytest.raises(TextError, match=r"texts\[1\] is a NoneType"):
        index.add(["ok", None], document="talk")
    (tmp_path / "db" / "index.json").write_text('{"format": 7}')
    with pytest.raises(CheckpointError, match="build the index again"):
        WordIndex.open(tmp_path / "db")
    (tmp_path / "db" / "index.json").write_text('{"format": 2, "model": "x"}')
    with pytest.raises(CheckpointError, match="not a readable description of an index"):
        WordIndex.open(tmp_path / "db")
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[index\]"):
        WordIndex.create(tmp_path / "third", elmo)


@pytest.mark.parametrize("left", [(), ("occurrences.lance",), ("occurrences.lance", "sentences.lance")])
def test_an_index_whose_making_was_interrupted_is_made_again(tmp_path, elmo, left):
    WordIndex.create(tmp_path / "db", elmo)
    for path in list((tmp_path / "db").iterdir()):
        if path.name not in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    index = WordIndex.create(tmp_path / "db", elmo)
    index.add(SENTENCES, document="talk")
    assert index.n_sentences == len(SENTENCES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("kept")
    with pytest.raises(OutputError, match="not empty"):
        WordIndex.create(tmp_path / "other", elmo)


def test_an_empty_index_answers_and_waits(tmp_path, elmo):
    index = WordIndex.create(tmp_path / "db", elmo)
    assert index.add([], document="nothing") == 0
    assert index.add(["", "  "], document="nothing") == 0
    assert (len(index), index.n_sentences, dict(index.words())) == (0, 0, {})
    assert index.search(np.ones(index.dim, np.float32)) == []
    assert index.search_sentences("a bank") == []
    assert index.means().vectors.shape == (0, index.dim)


def test_an_index_is_opened_with_its_own_model_alone(tmp_path, elmo):
    first = WordIndex.create(tmp_path / "db", elmo)
    first.add(SENTENCES, document="talk")
    again = WordIndex.open(tmp_path / "db", elmo=elmo)
    assert len(again) == len(first)
    with pytest.raises(CheckpointError, match="made with the model"):
        WordIndex.open(tmp_path / "db", elmo=tiny_elmo(seed=1))
    assert "bank" in again
    assert "BANK" in again
    assert "zebra" not in again
    assert 7 not in again


def test_progress_is_told_within_a_block_and_a_resumed_build_says_where(tmp_path, elmo):
    path = write_lines(tmp_path / "corpus.txt", many_lines(200))
    index = WordIndex.create(tmp_path / "db", elmo)
    told = []
    index.build([Table(source=path)], on_progress=told.append)
    assert told == [1] * 200
    assert index.last_row(str(path)) == 200


def edited(folder, **values):
    described = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**described, **values}))


def test_an_index_of_a_stranger_fetches_nothing(tmp_path, elmo):
    WordIndex.create(tmp_path / "db", elmo).add(SENTENCES, document="talk")
    for address in ("http://127.0.0.1:9/model.zip", "https://example.org/m", "hf:user/model", "ftp://example.org/m"):
        edited(tmp_path / "db", source=address)
        with pytest.raises(CheckpointError, match="not fetched unasked"):
            WordIndex.open(tmp_path / "db").vector("bank", "a bank")
        assert WordIndex.open(tmp_path / "db", elmo=elmo).vector("bank", "a bank").any()


@pytest.mark.parametrize(
    "values",
    [
        {"dim": 0},
        {"dim": "9"},
        {"dim": 10**12},
        {"dim": 7},
        {"mean": [1.0]},
        {"mean": [[1.0]] * 2},
        {"mean": "x"},
        {"layers": "none"},
        {"layers": {"a": 1}},
        {"words": 5},
        {"words": [1, 2]},
        {"words": "verbs"},
        {"source": 5},
        {"fingerprint": None},
        {"new": 1},
    ],
)
def test_a_damaged_description_is_refused(tmp_path, elmo, values):
    WordIndex.create(tmp_path / "db", elmo).add(SENTENCES, document="talk")
    edited(tmp_path / "db", **values)
    with pytest.raises(CheckpointError):
        WordIndex.open(tmp_path / "db", elmo=elmo)


DAMAGED = """
import sys
from elmokit.errors import ElmoKitError
from elmokit.index import WordIndex
from unit.index.corpora import model
elmo = model()
for folder in sys.argv[1:]:
    try:
        index = WordIndex.open(folder, elmo=elmo)
        index.most_similar("bank", context="we sat on the bank", topn=3)
        index.occurrences("bank", limit=5)
        index.search_sentences("money", k=3)
        index.words(), index.documents(), index.means(), index.senses("bank")
    except ElmoKitError as error:
        assert folder in str(error), error
"""


def test_damaged_tables_raise_our_errors_only(tmp_path, elmo):
    WordIndex.create(tmp_path / "db", elmo).add(SENTENCES * 20, document="talk")
    dice, folders = random.Random(0), []
    files = sorted(path.relative_to(tmp_path / "db") for path in (tmp_path / "db").rglob("*") if path.is_file())
    for number in range(24):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "db", folder)
        path = folder / files[number % len(files)]
        data = bytearray(path.read_bytes())
        kind = dice.choice(["flip", "cut", "zero", "remove"])
        if kind == "remove" or not data:
            path.unlink()
        else:
            at = dice.randrange(len(data))
            if kind == "flip":
                data[at] ^= 1 << dice.randrange(8)
            elif kind == "cut":
                del data[at:]
            else:
                data[at : at + 64] = bytes(len(data[at : at + 64]))
            path.write_bytes(data)
        folders.append(str(folder))
    line = [sys.executable, "-c", DAMAGED, *folders]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_new_index_is_made_without_a_warning_on_standard_error(tmp_path, capfd):
    Store(tmp_path / "index", 4, new=True)
    Store(tmp_path / "index", 4, new=True)  # over what an interrupted run left
    assert "will be created" not in capfd.readouterr().err
