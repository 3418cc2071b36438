"""Memory does not grow with the corpus: a run on ten times the text peaks within a tenth of the small one's."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from unit.training.runs import sentences

TESTS = Path(__file__).resolve().parents[2]
MEASURE = """
    import resource, sys
    sys.path[:0] = [{tests!r}]
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from unit.training.runs import tiny_config, tiny_options
    from elmokit.training import Corpus, train
    options = tiny_options(n_words=60_000, batch_size=64, evaluate_words=60_000)
    train(Corpus(files=[{corpus!r}], n_processes=1), Path({out!r}), config=tiny_config(), options=options)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(corpus, out):
    code = textwrap.dedent(MEASURE).format(tests=str(TESTS), corpus=str(corpus), out=str(out))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_ten_times_the_corpus_in_the_same_memory(tmp_path):
    peaks = []
    for name, n in (("small", 60_000), ("large", 600_000)):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(sentences(n)) + "\n")
        peaks.append(peak_memory(path, tmp_path / name))
    assert peaks[1] < 1.1 * peaks[0], peaks
