"""The benchmark of few labels and misspelt texts: its copies and its files."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from quality_curves import curve_point, topics, with_wrong_letters


def test_a_tenth_of_the_letters_is_changed_and_nothing_else():
    text = "Plain words, 12 of them! " * 200
    wrong = with_wrong_letters(text, seed=1)
    letters = np.array([c.isalpha() for c in text])
    changed = np.array([a != b for a, b in zip(text, wrong, strict=True)])
    assert not changed[~letters].any()
    assert 0.07 < changed[letters].mean() < 0.12  # a letter may be replaced by itself
    assert with_wrong_letters(text, seed=1) == wrong != with_wrong_letters(text, seed=2)


def test_topic_files_are_read(tmp_path):
    news, titles, labels = (tmp_path / name for name in ("test.csv", "titles.txt", "labels.txt"))
    news.write_text('"3","Oil falls","Prices, again"\n"2","Cup final","They ""won"""\n', encoding="utf-8")
    titles.write_text("How to page a query?\nSubversion clients?\n", encoding="utf-8")
    labels.write_text("18\n3\n", encoding="utf-8")
    sets = topics(news, [titles, labels])
    assert sets["AG News"].texts[1] == 'Cup final They "won"'
    assert sets["StackOverflow"].targets.tolist() == ["18", "3"]
    assert topics(None, None) == {}


def test_a_point_of_the_curve_is_the_mean_over_seeds(tmp_path):
    class Told:
        name = "told"

        def texts(self, texts):
            return np.array([[float("good" in text)] for text in texts])

    news = tmp_path / "test.csv"
    news.write_text("".join(f'"{i % 2}","t","{("bad", "good")[i % 2]} {i}"\n' for i in range(200)), encoding="utf-8")
    point = curve_point("AG News", topics(news, None)["AG News"], Told(), 20)
    assert point == {"set": "AG News", "encoder": "told", "labels": 20, "accuracy": 100.0, "sd": 0.0}
