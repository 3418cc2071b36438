"""The training loop: it learns, it loses nothing, it stops with a clear word."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.training.loop import Trainer, snapshots
from elmokit.training.options import PRESETS, TrainingOptions, get_preset
from elmokit.training.sources import Corpus, open_store
from unit.training.runs import sentences, tiny_config, tiny_options

TESTS = Path(__file__).resolve().parents[2]


def trainer(corpus, folder, *, config=None, **changes):
    config = config or tiny_config()
    texts = Corpus(files=[corpus], heldout_every=20, n_processes=1)
    store = open_store(texts, folder / "store", tokenizer=config.tokenizer)
    options = tiny_options(**changes)
    return Trainer(config, options, store, store.vocabulary(max_size=options.vocabulary_size), folder)


def unigram_perplexity(store):
    counts = store.counts[store.counts > 0].astype(float)
    counts = np.append(counts, store.n_texts("train"))  # the end of each text is predicted too
    chances = counts / counts.sum()
    return math.exp(-(chances * np.log(chances)).sum())


def test_perplexity_falls_well_below_the_unigrams(corpus_file, tmp_path):
    run = trainer(corpus_file, tmp_path / "run", n_words=12_000, evaluate_words=12_000)
    report = run.fit()
    for direction in ("forward", "backward", "mean"):
        assert report.heldout[direction] < 0.45 * unigram_perplexity(run.stream.store)


LETTERS = {
    "Devanagari": "कखगघचछजझटठडढतथदधनपफबभमयरल",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщ",
    "Chinese": "的一是不了人我在有他这中大来上国个到说们为子和你地",
}


@pytest.mark.parametrize("alphabet", LETTERS)
def test_nothing_is_english(alphabet, tmp_path):
    (tmp_path / "c.txt").write_text("\n".join(sentences(700, letters=LETTERS[alphabet])), encoding="utf-8")
    run = trainer(tmp_path / "c.txt", tmp_path / "run", n_words=7_000, evaluate_words=7_000)
    assert run.fit().heldout["mean"] < 0.6 * unigram_perplexity(run.stream.store)


def test_proteins_residue_by_residue(tmp_path):
    rng = np.random.default_rng(0)
    motif = "MKVLAAGIWT"
    texts = ["".join(motif[(start + i) % 10] for i in range(30)) for start in rng.integers(10, size=300)]
    (tmp_path / "p.txt").write_text("\n".join(texts))
    config = replace(tiny_config(), tokenizer="characters")
    run = trainer(tmp_path / "p.txt", tmp_path / "run", config=config, n_words=6_000, evaluate_words=6_000)
    assert run.fit().heldout["mean"] < 2.5


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def final_weights(run):
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


@pytest.mark.parametrize("stop_after", [1, 7, 12])
def test_a_resumed_run_equals_an_uninterrupted_one(corpus_file, tmp_path, stop_after):
    whole = trainer(corpus_file, tmp_path / "whole", dropout=0.2)
    whole.fit(report_seconds=0.0)
    first = trainer(corpus_file, tmp_path / "cut", dropout=0.2)

    def stop(report):
        first._stop = report.step >= stop_after

    with pytest.raises(KeyboardInterrupt):
        first.fit(stop, report_seconds=0.0)
    second = trainer(corpus_file, tmp_path / "cut", dropout=0.2)
    assert second.resume()
    assert second.step == stop_after
    second.fit(report_seconds=0.0)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name, tensor in final_weights(whole).items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


RUN = """
    import sys, time, warnings
    sys.path[:0] = [{tests!r}]
    from unit.training.test_loop import trainer
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    run = trainer(Path({corpus!r}), Path({folder!r}), save_minutes=0.0, **{changes!r})
    run.resume()
    run.fit(lambda report: time.sleep({pause}), report_seconds=0.0)
"""


def start_run(corpus, folder, pause=0.0, **changes):
    code = textwrap.dedent(RUN).format(
        tests=str(TESTS), corpus=str(corpus), folder=str(folder), pause=pause, changes=changes
    )
    errors = folder.with_suffix(".errors").open("w")
    with errors:
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.DEVNULL, stderr=errors)


def wait_for_snapshot(process, folder, n=1):
    for _ in range(2400):  # importing takes long on a busy machine
        if len(snapshots(folder)) >= n or process.poll() is not None:
            return
        time.sleep(0.05)


def test_kill_minus_nine_loses_nothing(corpus_file, tmp_path):
    whole = start_run(corpus_file, tmp_path / "whole", dropout=0.1)
    assert whole.wait(120) == 0, (tmp_path / "whole.errors").read_text()
    killed = start_run(corpus_file, tmp_path / "cut", pause=0.05, dropout=0.1)
    wait_for_snapshot(killed, tmp_path / "cut", n=2)
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL
    again = start_run(corpus_file, tmp_path / "cut", dropout=0.1)
    assert again.wait(120) == 0, (tmp_path / "cut.errors").read_text()
    ends = [snapshots(tmp_path / name)[-1] for name in ("whole", "cut")]
    assert ends[0].name == ends[1].name
    from safetensors.torch import load_file

    one, other = map(load_file, ends)
    assert all(torch.equal(one[name], other[name]) for name in one if name.startswith(("model.", "optimizer.")))


def test_sigterm_saves_and_ends(corpus_file, tmp_path):
    run = start_run(corpus_file, tmp_path / "run", pause=0.05, n_words=10**7)
    wait_for_snapshot(run, tmp_path / "run")
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) != 0
    assert "KeyboardInterrupt" in (tmp_path / "run.errors").read_text()
    steps = len(losses(tmp_path / "run"))
    assert snapshots(tmp_path / "run")[-1].name == f"step-{steps:09d}.safetensors"


def test_only_the_newest_snapshots_are_kept_and_a_damaged_one_is_passed_over(corpus_file, tmp_path):
    run = trainer(corpus_file, tmp_path / "run", save_minutes=0.0, keep=2)
    run.fit()
    kept = snapshots(tmp_path / "run")
    assert len(kept) == 2
    kept[-1].write_bytes(kept[-1].read_bytes()[:1000])
    again = trainer(corpus_file, tmp_path / "run")
    assert again.resume()
    assert again.step == int(kept[0].stem.removeprefix("step-"))


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_snapshot(corpus_file, tmp_path):
    run = trainer(corpus_file, tmp_path / "run", save_minutes=0.0)

    def spoil(report):
        if report.step == 4:
            run.options = replace(run.options, save_minutes=9.0)  # what follows is not saved
            with torch.no_grad():
                run.model.bilm.forward_layers.layer(0).weight_hh.fill_(math.nan)

    with pytest.raises(TrainingError, match=r"nan.*step 4.*lower learning rate"):
        run.fit(spoil, report_seconds=0.0)
    again = trainer(corpus_file, tmp_path / "run")
    assert again.resume()
    assert math.isfinite(sum(float(p.detach().sum()) for p in again.model.parameters()))


def test_a_full_disk_keeps_the_last_snapshot(corpus_file, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted as root")
    try:
        run = trainer(corpus_file, disk, n_words=300, evaluate_words=10**6)
        run.save()
        (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - 20_000))
        with pytest.raises(OutputError, match=r"(step-|best).*No space left"):
            run.fit()
        assert [path.name for path in snapshots(disk)] == ["step-000000000.safetensors"]
        assert trainer(corpus_file, disk).resume()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_fresh_softmax_is_fitted_before_the_bilm_moves(corpus_file, tmp_path):
    run = trainer(corpus_file, tmp_path / "run", frozen_words=600, n_words=1200)
    start = final_weights(run)
    moved = []
    run.fit(
        lambda r: moved.append((r.n_words, _differs(run, start, "bilm."), _differs(run, start, "soft"))),
        report_seconds=0,
    )
    assert all(not bilm and softmax for n, bilm, softmax in moved if n < 600)
    assert all(bilm for n, bilm, _ in moved if n > 700)


def _differs(run, start, prefix):
    return any(not torch.equal(t, start[n]) for n, t in run.model.state_dict().items() if n.startswith(prefix))


def test_clipped_models_train_too(corpus_file, tmp_path):
    config = tiny_config(cell_clip=3.0)
    run = trainer(corpus_file, tmp_path / "run", config=config, n_words=6000, evaluate_words=6000)
    assert run.fit().heldout["mean"] < 0.7 * unigram_perplexity(run.stream.store)


def test_gradient_accumulation_counts_every_window(corpus_file, tmp_path):
    run = trainer(corpus_file, tmp_path / "run", gradient_accumulation_steps=3, n_words=600)
    report = run.fit()
    assert report.step * 3 * 4 * 8 >= report.n_words >= 600


def test_perplexity_is_the_mean_of_all_held_out_words(corpus_file, tmp_path):
    """With all-zero output vectors every word has chance 1/V: perplexity V, whatever the batches."""
    run = trainer(corpus_file, tmp_path / "run")
    with torch.no_grad():
        run.model.softmax.weight.zero_()
    for max_windows in (1, 1000):
        perplexity, _ = run.heldout_scores(max_windows)
        assert perplexity["mean"] == pytest.approx(run.model.softmax.weight.shape[0], rel=1e-4)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_a_step(name, corpus_file, tmp_path):
    preset = get_preset(name)
    store = open_store(
        Corpus(files=[corpus_file], n_processes=1), tmp_path / "store", tokenizer=preset.config.tokenizer
    )
    options = replace(preset.options, batch_size=2, bptt=2, segment=4, n_words=1, vocabulary_size=40, n_negatives=10)
    run = Trainer(preset.config, options, store, store.vocabulary(max_size=40), tmp_path)
    start = final_weights(run)
    run._windows, run._parallel = run.stream.windows(), run.model
    run.take_step()
    assert all(torch.isfinite(p).all() for p in run.model.parameters())
    assert _differs(run, start, "bilm.forward_layers.1") == (run.options.warmup < 10**6)


def test_settings_that_make_no_sense_are_refused():
    for changes, said in (
        ({"segment": 9}, "multiple of bptt"),
        ({"optimizer": "sgd"}, "adamw"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(ConfigError, match=said):
            TrainingOptions(**({"bptt": 8, "segment": 16} | changes))
    with pytest.raises(ConfigError, match="tiny"):
        get_preset("huge")


def test_two_processes_take_the_steps_of_one(corpus_file, tmp_path):
    alone = trainer(corpus_file, tmp_path / "one", dropout=0.0)
    alone.fit(report_seconds=0.0)
    texts = Corpus(files=[corpus_file], heldout_every=20, n_processes=1)
    open_store(texts, tmp_path / "two" / "store", tokenizer="default")
    code = textwrap.dedent("""
        import sys
        sys.path[:0] = [{tests!r}]
        from pathlib import Path
        from unit.training.runs import tiny_config, tiny_options
        from elmokit.training.loop import Trainer, process_group
        from elmokit.training.store import CorpusStore
        folder = Path({folder!r})
        store = CorpusStore(folder / "store")
        with process_group("cpu") as group:
            options, vocabulary = tiny_options(dropout=0.0), store.vocabulary(max_size=40)
            run = Trainer(tiny_config(), options, store, vocabulary, folder, group=group)
            run.fit(report_seconds=0.0)
    """).format(tests=str(TESTS), folder=str(tmp_path / "two"))
    (tmp_path / "two.py").write_text(code)
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "two.py")],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=2e-4)
    from safetensors.torch import load_file

    one, two = (load_file(snapshots(tmp_path / name)[-1]) for name in ("one", "two"))
    for name in one:
        if name.startswith(("model.", "state.")):
            torch.testing.assert_close(two[name], one[name], rtol=2e-2, atol=2e-3)
