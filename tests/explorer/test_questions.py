"""The explorer's questions over a real socket: answers, limits, headers, hostile input."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra server")

import elmokit
from elmokit.server import explorer
from elmokit.server.app import PAGE_HEADERS

PAGE = Path(elmokit.__file__).parent / "server" / "page"
TEXTS = ["I read it.", "Can you read this letter?", "They read, and read."]


def ask(address, path, question=None):
    """Status and answer."""
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_about_tells_model_views_and_limits(elmo, address, indexed):
    status, about = ask(address, "/explorer/about")
    assert status == 200
    assert (about["model"], about["dim"], about["index"]) == (elmo.name, elmo.dim, None)
    assert [view["name"] for view in about["views"]] == ["characters", "syntax", "meaning", "layer mix"]
    assert ask(indexed, "/explorer/about")[1]["index"]["occurrences"] == 18


@pytest.mark.parametrize(
    "text", ["", " ", "I  read\tit. ", "don't 😀👍🏽 naïve", "<img src=x onerror=alert(1)>", "नमस्ते दुनिया"]
)
def test_a_sentence_is_cut_and_nothing_of_it_lost(address, text):
    _, answer = ask(address, "/explorer/read", {"texts": [text]})
    (sentence,) = answer["sentences"]
    assert "".join(gap + word for gap, word in sentence["pieces"]) + sentence["tail"] == text
    assert all(word and not word.isspace() for _, word in sentence["pieces"])


def test_an_occurrence_has_neighbours_a_map_and_senses(elmo, address):
    status, answer = ask(address, "/explorer/word", {"texts": TEXTS, "sentence": 0, "word": 1})
    assert status == 200
    places = [(one["sentence"], one["word"]) for one in answer["occurrences"]]
    assert places == [(0, 1), (1, 2), (2, 1), (2, 4)]
    assert len(answer["views"]) == elmo.n_layers + 1
    assert all(len(view["points"]) == 4 for view in answer["views"])
    assert sum(sense["size"] for sense in answer["senses"]) == 4
    for view in answer["neighbours"]["same"]:
        assert sorted((one["sentence"], one["word"]) for one in view) == places[1:]


def test_what_the_index_holds_comes_onto_the_map(address, indexed):
    question = {"texts": TEXTS, "sentence": 0, "word": 1, "with_index": True}
    _, answer = ask(indexed, "/explorer/word", question)
    own, other = answer["occurrences"][:4], answer["occurrences"][4:]
    assert all(one["sentence"] is not None for one in own)
    assert [one["before"] + one["text"] + one["after"] for one in other] == [
        "He read the news this morning.",
        "Could you read it to me?",
    ]
    assert all(len(view["points"]) == 6 for view in answer["views"])
    _, without = ask(address, "/explorer/word", question)
    assert len(without["occurrences"]) == 4


def test_the_index_answers_with_occurrences_in_three_parts(address, indexed):
    question = {"texts": ["I read the news yesterday."], "sentence": 0, "word": 1}
    status, answer = ask(indexed, "/explorer/index", question)
    assert status == 200
    first = answer["neighbours"][0]
    assert (first["before"], first["text"], first["document"]) == ("He ", "read", "news.txt")
    scores = [one["score"] for one in answer["neighbours"]]
    assert scores == sorted(scores, reverse=True)
    status, answer = ask(address, "/explorer/index", question)
    assert status == 404
    assert "--db" in answer["error"]["message"]


def test_a_comparison_has_a_cosine_per_pair_of_words(elmo, address):
    _, answer = ask(address, "/explorer/compare", {"texts": TEXTS[:2]})
    assert (answer["first"], answer["second"][:3]) == (["I", "read", "it", "."], ["Can", "you", "read"])
    assert len(answer["views"]) == elmo.n_layers + 1
    assert answer["views"][0][1][2] == pytest.approx(1.0, abs=1e-3)
    _, answer = ask(address, "/explorer/compare", {"texts": ["", TEXTS[1]]})
    assert answer["first"] == []


@pytest.mark.parametrize(
    ("path", "question", "status"),
    [
        ("word", {"texts": TEXTS, "sentence": 3, "word": 0}, 400),
        ("word", {"texts": TEXTS, "sentence": 0, "word": 4}, 400),
        ("word", {"texts": TEXTS, "sentence": -1, "word": 0}, 400),
        ("word", {"texts": TEXTS, "sentence": 0}, 400),
        ("word", {"texts": [], "sentence": 0, "word": 0}, 400),
        ("index", {"texts": ["a"], "sentence": 0, "word": 10**30}, 404),
        ("read", {"texts": ["a"] * (explorer.MAX_TEXTS + 1)}, 400),
        ("read", {"texts": ["a" * (explorer.MAX_CHARACTERS + 1)]}, 400),
        ("read", {"texts": ["a " * 1000] * 7}, 413),
        ("read", {"texts": "one"}, 400),
        ("read", {"texts": [1]}, 400),
        ("read", [], 400),
        ("compare", {"texts": ["a"]}, 400),
    ],
)
def test_wrong_questions_are_refused_with_a_sentence(address, path, question, status):
    found, answer = ask(address, f"/explorer/{path}", question)
    assert found == status
    assert answer["error"]["message"]


def test_too_many_words_are_refused_in_words(address):
    _, answer = ask(address, "/explorer/read", {"texts": ["a " * 1000] * 7})
    assert answer["error"]["message"] == "More than 6,000 words; send fewer at once."


@pytest.mark.parametrize("path", ["read", "compare"])
def test_halves_of_characters_do_no_harm(address, path):
    status, answer = ask(address, f"/explorer/{path}", {"texts": ["a \ud800 b", "\udc00"]})
    assert status == 400
    assert answer["error"]["message"]


def test_every_part_of_the_page_is_served_with_its_headers(address):
    for name in ["", *(f"page/{path.name}" for path in PAGE.iterdir())]:
        with urllib.request.urlopen(f"{address}/{name}", timeout=30) as answer:
            body = answer.read()
            for header, value in PAGE_HEADERS.items():
                assert answer.headers[header] == value, (name, header)
        assert body == (PAGE / (name.removeprefix("page/") or "index.html")).read_bytes()
    policy = PAGE_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "../explorer.py", "%2e%2e/explorer.py", "..%2fexplorer.py", "__init__.py"]
)
def test_nothing_else_is_served(address, name):
    assert ask(address, f"/page/{name}")[0] == 404


def test_the_page_names_no_other_place():
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "//www.w3.org/2000/svg"}, path.name
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert not re.search(r"\bstyle=", text), "the policy forbids inline styles"
