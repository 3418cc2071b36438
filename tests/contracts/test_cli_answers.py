"""The commands on language model, similarity, summaries and answers, on real files; in this process, for speed."""

import csv
import io
import json

import numpy as np
import pytest

from elmokit.checkpoints import save
from elmokit.tasks.language_model import LanguageModel
from unit.tasks.test_language_model import checkpoint
from unit.tiny_models import tiny_checkpoint

TEXTS = ["the cat sat", "the cat sat", "a dog, שלום!", "the the the", "sat on the cat", "</script>"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save(checkpoint(word_counts=(0, 0, 7, 50, 20, 10)), folder)
    return str(folder)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "t", "kind"), *((f"r{i}", t, i % 2) for i, t in enumerate(TEXTS))])
    return str(path)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_score(here, tmp_path, table, model):
    done = here("score", table, "--text", "t", "--id", "id", "--model", model, "--json", tmp_path / "whole.json")
    assert json.loads((tmp_path / "whole.json").read_text())["n_words"] > 6
    rows = rows_of(done.out)
    expected = [score.perplexity for score in LanguageModel.load(model).surprisal(TEXTS)]
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(6)]
    assert [float(row["mean"]) for row in rows] == pytest.approx([one.mean for one in expected], abs=1e-3)
    assert [int(row["unknown"]) for row in rows] == [0, 0, 5, 0, 1, 4]
    assert "outside the vocabulary" in done.err
    out = tmp_path / "words.jsonl"
    here("score", table, "--text", "t", "--words", "--unit", "bits", "--out", out, "--model", model)
    words = [json.loads(line) for line in out.read_text().splitlines()]
    first = next(LanguageModel.load(model).surprisal(TEXTS))
    assert [row["word"] for row in words[:3]] == ["the", "cat", "sat"]
    assert [row["forward"] for row in words[:3]] == pytest.approx(first.forward / np.log(2), abs=1e-3)


def test_fill_and_substitutes(here, model, tmp_path):
    for command in (("fill", "the cat"), ("substitutes", "the cat sat", "cat")):
        here(*command, "-n", 2, "--json", tmp_path / "words.json", "--model", model)
        assert [sorted(one)[-1] for one in json.loads((tmp_path / "words.json").read_text())] == ["word"] * 2
    assert {"the", "cat", "sat"} <= set(here("fill", "the ___ sat", "--model", model).out.split())
    assert "probability" in here("fill", "the cat", "--model", model).out
    shown = here("substitutes", "the cat sat", "cat", "--model", model).out
    assert "sat" in shown
    assert "cosine" in shown


def test_similar(here, table, model):
    rows = rows_of(here("similar", table, "--text", "t", "-n", 2, "--model", model).out)
    assert len(rows) == 12
    assert (rows[0]["similar_row"], rows[2]["similar_row"]) == ("2", "1")
    assert float(rows[0]["cosine"]) == pytest.approx(1, abs=1e-3)
    asked = rows_of(here("similar", table, "--text", "t", "--query", TEXTS[4], "-n", 1, "--model", model).out)
    assert [(row["query"], row["similar_row"], row["text"]) for row in asked] == [(TEXTS[4], "5", TEXTS[4])]


def test_duplicates(here, table, model):
    done = here("duplicates", table, "--text", "t", "--threshold", "0.999", "--model", model)
    assert [(row["group"], row["row"]) for row in rows_of(done.out)] == [("1", "1"), ("1", "2")]
    assert "5 of 6 texts" in done.err


def test_cluster_and_map(here, tmp_path, table, model):
    pytest.importorskip("sklearn")
    out = tmp_path / "groups.csv"
    assert "in 2 clusters" in here("cluster", table, "--text", "t", "-k", 2, "--out", out, "--model", model).out
    rows = rows_of(out.read_text(encoding="utf-8"))
    assert [row["text"] for row in rows] == TEXTS
    assert {row["cluster"] for row in rows} == {"1", "2"}
    assert rows[0]["cluster"] == rows[1]["cluster"]
    page = tmp_path / "map.html"
    assert (
        "of the vectors' variance"
        in here("map", table, "--text", "t", "--out", page, "--colour", "kind", "--model", model).out
    )
    assert '</script>"' not in page.read_text(encoding="utf-8")
    here("map", table, "--text", "t", "--out", tmp_path / "again.html", "-k", 2, "--model", model)
    pytest.importorskip("matplotlib")
    here("map", table, "--text", "t", "--out", tmp_path / "map.png", "--model", model)
    assert (tmp_path / "map.png").stat().st_size > 1000


ARTICLE = "The cat sat. The cat sat on\nthe mat. Dogs ran away!\n\nNobody saw the dog."


def test_summarise(here, tmp_path, model):
    file = tmp_path / "article.txt"
    file.write_text(ARTICLE)
    chosen = tmp_path / "chosen.json"
    printed = here("-q", "summarise", file, "-n", 2, "--model", model, "--json", chosen).out.splitlines()
    sentences = json.loads(chosen.read_text())[0]["sentences"]
    assert [" ".join(one["sentence"].split()) for one in sentences] == printed
    whole = ["The cat sat.", "The cat sat on the mat.", "Dogs ran away!", "Nobody saw the dog."]
    assert len(printed) == 2
    assert set(printed) <= set(whole)
    lines = tmp_path / "articles.jsonl"
    lines.write_text(json.dumps({"text": ARTICLE}) + "\n" + json.dumps({"text": "One."}) + "\n")
    rows = rows_of(here("summarise", lines, "-n", 9, "--model", model).out)
    assert [row["summary"] for row in rows] == [" ".join(whole), "One."]


def test_answer(here, tmp_path, table, model):
    file, out = tmp_path / "article.txt", tmp_path / "answers.json"
    file.write_text(ARTICLE)
    assert "mat" in here("answer", "Who sat on the mat?", file, "-n", 1, "--json", out, "--model", model).out
    assert [(row["row"], row["passage"]) for row in json.loads(out.read_text())] == [(1, "The cat sat on the mat.")]
    assert "שלום" in here("answer", "dog", table, "--text", "t", "--weight", 0, "-n", 1, "--model", model).out
    here("answer", "Nobody?", file, "--no-sentences", "-n", 1, "--json", out, "--model", model)
    assert json.loads(out.read_text())[0]["row"] == 4


def test_mistakes_are_told_in_one_paragraph(here, tmp_path, table, model):
    def told(*arguments):
        message = here(*arguments, code=1).err
        assert message.startswith("elmokit: ")
        assert message.count("\n") == 1
        return message

    bare = tmp_path / "bare"
    save(tiny_checkpoint(), bare)
    (tmp_path / "empty.txt").write_text("")
    assert "no softmax" in told("score", table, "--text", "t", "--model", bare)
    assert "'nats' or 'bits'" in told("score", table, "--unit", "bytes", "--model", model)
    assert "no column 'text'" in told("similar", table, "--model", model)
    assert "2 gaps" in told("fill", "___ ___", "--model", model)
    assert "not in the text" in told("substitutes", "the cat", "dog", "--model", model)
    assert ".html or .png" in told("map", table, "--out", "map.svg", "--model", model)
    assert '"auto"' in told("cluster", table, "-k", "few", "--out", "x.csv", "--model", model)
    assert "no passages" in told("answer", "Who?", tmp_path / "empty.txt", "--model", model)
