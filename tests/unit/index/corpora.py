"""Small corpora and a small model for the tests of the index: a tiny random biLM, whose vectors depend on spelling and
neighbours as a real one's do."""

import os

from unit.tiny_models import tiny_elmo

SENTENCES = [
    "The bank lends money to farmers.",
    "We sat on the bank of the river.",
    "Money in the bank earns nothing.",
    "A boat lay on the muddy bank.",
    "Farmers sold the boat for money!",
    "🙂 Nothing \ud800 odd happens to the river.",
    "THE RIVER BANK FLOODED.",
    "It is what it is.",
]


def model():
    return tiny_elmo(n_threads=1)


def write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def many_lines(n):
    words = ["bank", "river", "money", "boat", "farmer", "flood", "loan", "water", "stone", "credit"]
    return [
        f"The {words[i % 10]} and {words[(i * 7 + 3) % 10]} saw number {i} of {words[(i // 3) % 10]}." for i in range(n)
    ]


def content(index):
    """All that an index holds, as a set that does not depend on how it was written."""
    sentences = {}
    for block in index._store.scan("sentences", ["id", "source", "row", "document", "text", "vector"]):
        for i, number in enumerate(block["id"].tolist()):
            place = tuple(block[name][i] for name in ("source", "document", "text"))
            sentences[number] = (*place, int(block["row"][i]), block["vector"][i].tobytes())
    rows = []
    for block in index._store.scan("occurrences", ["word", "sentence", "start", "end", "document", "length", "vector"]):
        for i, number in enumerate(block["sentence"].tolist()):
            place = tuple(int(block[name][i]) for name in ("start", "end"))
            rows.append(
                (block["word"][i], sentences[number], *place, float(block["length"][i]), block["vector"][i].tobytes())
            )
    assert len(set(rows)) == len(rows), "an occurrence stands twice"
    return set(rows), set(sentences.values())


def environment():
    import elmokit

    source = os.path.dirname(os.path.dirname(elmokit.__file__))
    tests = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, tests, os.environ.get("PYTHONPATH", "")])}
