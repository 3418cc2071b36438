"""`elmokit embed --shard-rows` through every fault: afterwards the folder is that of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from elmokit.checkpoints import save
from elmokit.data.shards import MANIFEST, open_shards
from elmokit.errors import OutputError
from unit.tiny_models import tiny_checkpoint

N_TEXTS, SHARD = 4000, 100


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A model and texts, and what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("job")
    save(tiny_checkpoint(), folder / "model")
    rng = random.Random(0)
    texts = [" ".join(f"word{rng.randrange(300)}" for _ in range(rng.randrange(1, 12))) for _ in range(N_TEXTS)]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    finish(folder, folder / "undisturbed")
    return folder


def start(job, out, *options, source=None):
    command = [sys.executable, "-m", "elmokit", "embed", str(source or job / "texts.txt"), "--output", str(out)]
    command += ["--model", str(job / "model"), "--shard-rows", str(SHARD), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(job, out, *options, code=0, source=None):
    process = start(job, out, *options, source=source)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    return stdout + stderr


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def vectors(folder):
    return np.concatenate([np.load(path)["features"] for path in sorted(folder.glob("part-*.npz"))])


def rows(folder):
    return np.concatenate([np.load(path)["row"] for path in sorted(folder.glob("part-*.npz"))])


def assert_undisturbed(job, folder):
    assert rows(folder).tolist() == list(range(1, N_TEXTS + 1))
    assert np.array_equal(vectors(folder), vectors(job / "undisturbed"))
    assert not list(folder.glob(".part-*"))
    listed = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()[1:]]
    assert {line["shard"] for line in listed} == set(range(N_TEXTS // SHARD))


def wait_for_shards(process, folder, n):
    for _ in range(2000):
        if len(list(folder.glob("part-*"))) >= n or process.poll() is not None:
            return
        time.sleep(0.01)


def test_the_shards_are_the_one_file_in_pieces(job, tmp_path):
    options = ["embed", str(job / "texts.txt"), "--model", str(job / "model"), "--output", str(tmp_path / "all.npy")]
    subprocess.run([sys.executable, "-m", "elmokit", *options], check=True, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "all.npy"), vectors(job / "undisturbed"))


def test_killed_again_and_again(job, tmp_path):
    out, rng = tmp_path / "out", random.Random(1)
    for n in range(1, 40, 12):
        process = start(job, out)
        wait_for_shards(process, out, n)
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = len(list(out.glob("part-*")))
    assert before
    assert "resuming" in finish(job, out)
    assert_undisturbed(job, out)


def test_what_is_done_is_not_done_again(job, tmp_path):
    out = tmp_path / "out"
    finish(job, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert f"resuming: {N_TEXTS:,} texts are done" in finish(job, out)
    assert {path: path.stat().st_mtime_ns for path in out.glob("part-*")} == before


@pytest.mark.parametrize("fault", ["cut", "changed", "lost", "half a line", "no last line"])
def test_after_a_power_cut(job, tmp_path, fault):
    out = tmp_path / "out"
    finish(job, out)
    last, manifest = sorted(out.glob("part-*"))[-1], out / MANIFEST
    data = bytearray(last.read_bytes())
    if fault == "cut":
        last.write_bytes(data[: len(data) // 2])
    elif fault == "changed":
        data[len(data) // 2] ^= 1
        last.write_bytes(data)
    elif fault == "lost":
        last.unlink()
    elif fault == "half a line":
        manifest.write_bytes(manifest.read_bytes()[:-30])
    else:
        manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    said = finish(job, out)
    assert (f"{last.name} is damaged" in said) == (fault in ("cut", "changed", "lost"))
    assert_undisturbed(job, out)
    assert f"{N_TEXTS:,} texts are done" in finish(job, out)


def test_two_runs_at_once(job, tmp_path):
    out = tmp_path / "out"
    with open_shards(out, job={"any": 1}, suffix=".npz"):
        assert "another run is using" in finish(job, out, code=1)
    for path in out.iterdir():
        path.unlink()
    first, second = start(job, out), start(job, out)
    first.communicate(timeout=120), second.communicate(timeout=120)
    assert 0 in (first.returncode, second.returncode)
    finish(job, out)
    assert_undisturbed(job, out)


def test_another_input_model_or_setting_is_refused(job, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other.txt"
    finish(job, out)
    other.write_text((job / "texts.txt").read_text() + "one more\n")
    before = contents(out)
    assert "started with input" in finish(job, out, source=other, code=1)
    assert "started with pooling 'mean', but now it is 'max'" in finish(job, out, "--pooling", "max", code=1)
    save(tiny_checkpoint(seed=5), tmp_path / "model")
    assert "started with fingerprint" in finish(job, out, "--model", str(tmp_path / "model"), code=1)
    assert contents(out) == before


def test_standard_input_cannot_go_on(job, tmp_path):
    assert "standard input can't" in finish(job, tmp_path / "out", "--input-format", "txt", source="-", code=1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk(job, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        said = finish(job, disk / "out", code=1)
        assert "No space left" in said
        there = len(list((disk / "out").glob("part-*")))
        assert 0 < there < N_TEXTS // SHARD
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert "resuming" in finish(job, disk / "out")
        assert_undisturbed(job, disk / "out")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), open_shards(tmp_path / "file" / "out", job={}, suffix=".npz"):
        pass
