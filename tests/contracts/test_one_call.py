"""Tasks hand all their texts to one call of `encode`, which cuts enough batches to feed every core."""

import csv

import pytest

from elmokit import SentencePairs, Tagger, TextClassifier
from elmokit.cli import main
from elmokit.runtime.engine import Engine
from unit.tiny_models import tiny_elmo

N, N_THREADS = 1200, 4
TEXTS = [f"{'good' if i % 2 else 'bad'} text number {i}" for i in range(N)]
LABELS = [i % 2 for i in range(N)]


@pytest.fixture
def batches_of_calls(monkeypatch):
    """The number of batches that each call of the engine computes."""
    counts, read, map_texts = [], Engine._read, Engine.map

    def counting_read(self, *args):
        counts[-1] += 1
        return read(self, *args)

    def counting_map(self, sentences, *args, **options):
        counts.append(0)
        return map_texts(self, sentences, *args, **options)

    monkeypatch.setattr(Engine, "map", counting_map)
    monkeypatch.setattr(Engine, "_read", counting_read)
    return counts


def embed(folder):
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    tiny_elmo().save(folder / "model")
    arguments = ["embed", str(folder / "texts.csv"), "--text", "text", "--model", str(folder / "model")]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--threads", str(N_THREADS), "--out", str(folder / "out.npz")])


def tag(folder):
    sentences = [text.split() for text in TEXTS]
    tags = [["O", "O", "O", "B-N"] for _ in sentences]
    Tagger(tiny_elmo(n_threads=N_THREADS), epochs=1, hidden_width=4).fit(sentences, tags, dev=(sentences[:1], tags[:1]))


TASKS = {
    "classify": lambda _: TextClassifier(tiny_elmo(n_threads=N_THREADS), C=1.0).fit(TEXTS, LABELS),
    "pairs": lambda _: SentencePairs(tiny_elmo(n_threads=N_THREADS)).fit(
        list(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True)), LABELS
    ),
    "tag": tag,
    "embed": embed,
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_encodes_its_texts_in_one_call_that_feeds_every_thread(task, batches_of_calls, tmp_path):
    TASKS[task](tmp_path)
    large = [n for n in batches_of_calls if n > 1]
    assert len(large) == 1, f"batches of each call: {batches_of_calls}"
    assert large[0] >= N_THREADS
