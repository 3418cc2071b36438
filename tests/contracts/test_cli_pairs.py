"""`elmokit pairs` as people run it: real processes, real files."""

import csv
import json

import pytest

from contracts.test_cli import fails, run
from elmokit import SentencePairs


@pytest.fixture
def table(tmp_path):
    words = ["cat", "dog", "bird", "fish", "horse", "cow"]
    rows = [("id", "a", "b", "same", "stars")]
    for i in range(72):
        same = i % 2 == 0
        first, second = words[i % 6], words[(i + (0 if same else 1 + i % 5)) % 6]
        rows.append((f"r{i}", f"the {first} is here", f"the {second} is here", int(same), 5.0 if same else 1.5))
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


COLUMNS = ["--first", "a", "--second", "b"]


def test_train_predict_evaluate(tmp_path, table, model):
    folder = tmp_path / "same"
    done = run(
        "pairs",
        "train",
        table,
        *COLUMNS,
        "--label",
        "same",
        "--model",
        model,
        "--out",
        folder,
        "--json",
        tmp_path / "j",
    )
    assert 0 <= json.loads((tmp_path / "j").read_text())["accuracy"] <= 1
    assert "15 rows held out:" in done.stdout
    assert "trained on all 72 rows" in done.stdout
    printed = run("pairs", "predict", folder, table, "--proba").stdout.splitlines()
    assert printed[0] == "id,same,probability_0,probability_1"
    rows = list(csv.reader(printed[1:]))
    assert [row[0] for row in rows] == [f"r{i}" for i in range(72)]
    assert all(abs(float(row[2]) + float(row[3]) - 1) < 1e-5 for row in rows)
    given = list(csv.DictReader(table.read_text().splitlines()))
    known = SentencePairs.load(folder)  # which names its model, a local path
    assert [row[1] for row in rows] == known.predict([(g["a"], g["b"]) for g in given]).tolist()

    told = run("pairs", "evaluate", folder, table, "--json", tmp_path / "scores.json").stdout
    right = sum(row[1] == g["same"] for row, g in zip(rows, given, strict=True)) / 72
    assert json.loads((tmp_path / "scores.json").read_text())["accuracy"] == pytest.approx(right)
    assert f"{right:.3f}" in told


def test_similarity_scores(tmp_path, table, model):
    folder = tmp_path / "stars"
    options = ["--label", "stars", "--kind", "scores", "--layers", "mix", "--parts", "difference"]
    assert "Pearson" in run("pairs", "train", table, *COLUMNS, *options, "--model", model, "--out", folder).stdout
    out = tmp_path / "told.csv"
    assert "72 rows" in run("pairs", "predict", folder, table, "--out", out).stdout
    told = [float(row["stars"]) for row in csv.DictReader(out.read_text().splitlines())]
    assert sum(told[::2]) > sum(told[1::2])
    assert "Pearson" in run("pairs", "evaluate", folder, table).stdout
    assert "'classes' or 'scores'" in fails(
        "pairs", "train", table, *COLUMNS, "--label", "same", "--kind", "x", "--model", model, "--out", folder
    )


@pytest.mark.parametrize("options", [[], ["--method", "cosine", "--no-center"], ["--idf"]])
def test_score(table, model, options):
    done = run("pairs", "score", table, *COLUMNS, "--model", model, "--label", "stars", *options)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["id", "score"]
    assert all(float(row["score"]) == pytest.approx(1, abs=1e-5) for row in rows[::2]), "equal texts"
    assert all(float(row["score"]) < 1 for row in rows[1::2])
    assert "'stars' and score: Pearson" in done.stderr


def test_score_of_standard_input_is_that_of_the_file(table, model):
    with open(table, encoding="utf-8") as file:
        options = ["--input-format", "csv", "--id", "id", *COLUMNS, "--model", model]
        piped = run("pairs", "score", "-", *options, stdin=file)
    assert piped.stdout == run("pairs", "score", table, *COLUMNS, "--model", model).stdout


def test_mistakes_are_told_in_one_paragraph(tmp_path, table, model):
    assert "no column 'sentence1'" in fails("pairs", "score", table, "--model", model)
    assert "--input-format" in fails("pairs", "score", "-", "--model", model)
    assert "pairs.json" in fails("pairs", "predict", tmp_path, table)
    wrong = "row 1: id is 'r0'; expected a number"
    assert wrong in fails("pairs", "score", table, *COLUMNS, "--label", "id", "--model", "no-such-model")
    scores = ["--label", "id", "--kind", "scores", "--out", tmp_path / "m"]
    assert wrong in fails("pairs", "train", table, *COLUMNS, *scores, "--model", "no-such-model")
    options = ["--label", "same", "--model", model, "--out", tmp_path / "m"]
    assert "'skip'" in fails("pairs", "train", table, *COLUMNS, *options, "--bad-rows", "keep")
