"""Where tuning begins: the checkpoint's softmax on a corpus with other words."""

import math
from dataclasses import replace

import numpy as np

from elmokit.checkpoints import Softmax, load
from elmokit.training import Corpus, train, tune
from unit.training.runs import sentences, tiny_config, tiny_options


def test_words_that_the_softmax_does_not_know_begin_no_likelier_than_known_ones(corpus_file, tmp_path):
    train(
        Corpus(files=[corpus_file], heldout_every=20), tmp_path / "first", config=tiny_config(), options=tiny_options()
    )
    start = load(tmp_path / "first")
    low = Softmax(weight=start.softmax.weight, bias=start.softmax.bias - 8)  # the same model, by the softmax's shift
    lines = [
        line.replace("cat", "gnu").replace("dog", "yak").replace("sees", "smells") for line in sentences(900, seed=1)
    ]
    other = tmp_path / "other.txt"
    other.write_text("\n".join(lines) + "\n")
    perplexities = []
    for name, softmax in (("a", start.softmax), ("b", low)):
        reports = []
        tune(
            replace(start, softmax=softmax),
            Corpus(files=[other], heldout_every=20),
            tmp_path / name,
            options=tiny_options(n_words=100),
            on_report=reports.append,
        )
        perplexities.append(reports[0].heldout["mean"])
    assert math.isclose(*perplexities, rel_tol=1e-4)
    assert perplexities[0] < len(load(tmp_path / "a").words)  # better than a guess
    assert np.isfinite(load(tmp_path / "a").softmax.bias).all()
