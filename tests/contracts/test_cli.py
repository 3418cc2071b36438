"""The commands as people run them: real processes, real files, and every way in which they can go wrong."""

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet
import pytest
import typer.main

from elmokit.checkpoints import save
from elmokit.cli import main
from elmokit.cli.app import build
from unit.tiny_models import tiny_checkpoint

TWEETS = [
    (7, "0", "so happy with my new #phone :)"),
    (9, "1", "it broke, again"),
    (4, "0", "नमस्ते 😀"),
    (5, "1", 'they said "no refund"\nwow'),
]


@pytest.fixture
def tweets(tmp_path):
    return write(tmp_path / "tweets.csv", TWEETS)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "label", "tweet"), *rows])
    return str(path)


def many(path, n=60, label=lambda i: i % 3 == 0):
    """Messages that can be told apart, so that a classifier has something to learn."""
    rows = [
        (i, int(label(i)), ("broken awful crash" if i % 3 == 0 else "happy thanks love") + f" {i}") for i in range(n)
    ]
    return write(path, rows)


ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(*arguments, code=0, **options):
    options = {"capture_output": True, "text": True, "env": ENVIRONMENT, "timeout": 120, **options}
    done = subprocess.run([sys.executable, "-m", "elmokit", *map(str, arguments)], **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def fails(*arguments, code=1, **options):
    """The one paragraph on standard error."""
    done = run(*arguments, code=code, **options)
    assert done.stderr.startswith("elmokit: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# what works


def test_embed_writes_what_the_library_computes(tmp_path, tweets, model):
    from elmokit.elmo import Elmo

    out = tmp_path / "features.npz"
    done = run("embed", tweets, "--column", "tweet", "--id", "id", "--output", out, "--model", model)
    expected = Elmo.load(model).encode([text for _, _, text in TWEETS])
    data = np.load(out)
    np.testing.assert_allclose(data["features"], expected, rtol=1e-5, atol=1e-7)
    assert data["row"].tolist() == [1, 2, 3, 4]
    assert data["id"].tolist() == ["7", "9", "4", "5"]
    assert json.loads(str(data["about"]))["model"] == Elmo.load(model).name
    assert "4 texts, 12 numbers each" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_embed_in_another_precision(tmp_path, tweets, model, precision):
    from elmokit.elmo import Elmo

    out = tmp_path / "features.npy"
    done = run("embed", tweets, "--column", "tweet", "-o", out, "--model", model, "--precision", precision)
    expected = Elmo.load(model, precision=precision).encode([text for _, _, text in TWEETS])
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-5, atol=1e-7)
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_embed_writes_every_format(tmp_path, tweets, model, suffix):
    from elmokit.elmo import Elmo

    out = tmp_path / f"features{suffix}"
    options = ["--layers", "all", "--pooling", "mean+max", "--normalize", "--model", model]
    run("embed", tweets, "--column", "tweet", "-o", out, *options)
    texts = [text for _, _, text in TWEETS]
    expected = Elmo.load(model).encode(texts, layers="all", pooling="mean+max", normalize=True)
    np.testing.assert_allclose(matrix(out), expected, rtol=1e-4, atol=1e-6)


def matrix(path):
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        return np.load(path)["features"]
    return np.array(pyarrow.parquet.read_table(path)["features"].to_pylist())


def test_embed_words(tmp_path, tweets, model):
    from elmokit.elmo import Elmo
    from elmokit.features import Features

    out = tmp_path / "words.npz"
    run("embed", tweets, "--column", "tweet", "-o", out, "--words", "--layers", "0", "--model", model)
    texts = [text for _, _, text in TWEETS]
    loaded, expected = Features.load(out), Elmo.load(model).encode_words(texts, layers=0)
    assert [text.words for text in loaded] == [text.words for text in expected]
    for found, right, text in zip(loaded, expected, texts, strict=True):
        np.testing.assert_allclose(found.vectors, right.vectors, rtol=1e-5)
        assert [text[start:end] for start, end in found.offsets] == list(found.words)
    data = np.load(out)
    assert data["row"].tolist() == [i for i, text in enumerate(expected, start=1) for _ in text.words]
    assert data["word"].tolist() == [word for text in expected for word in text.words]


def test_embed_reads_standard_input(tmp_path, model):
    out = tmp_path / "a.npy"
    run("embed", "-", "--input-format", "txt", "-o", out, "--model", model, input="one\ntwo\n")
    assert np.load(out).shape == (2, 12)


def test_empty_texts_can_be_kept_as_zeros(tmp_path, model):
    out = tmp_path / "a.npy"
    path = write(tmp_path / "a.csv", [(1, 0, "a"), (2, 0, "")])
    run("embed", path, "-c", "tweet", "-o", out, "--bad-rows", "keep", "--model", model)
    features = np.load(out)
    assert features[0].any()
    assert not features[1].any()


def test_rows_left_out_are_named(tmp_path, model):
    out = tmp_path / "a.npz"
    path = write(tmp_path / "a.csv", [(1, 0, "a"), *((i, 0, "") for i in range(2, 9)), (9, 0, "b")])
    done = run("embed", path, "-c", "tweet", "-o", out, "--bad-rows", "skip", "--model", model)
    assert np.load(out)["row"].tolist() == [1, 9]
    assert "row 2 (line 3) left out: 'tweet' is empty" in done.stderr
    assert done.stderr.count("left out:") == 5
    assert "7 rows left out in all" in done.stderr


def test_classify_from_table_to_submission(tmp_path, model):
    train, folder, report = many(tmp_path / "train.csv"), tmp_path / "model", tmp_path / "report.json"
    options = ["--text", "tweet", "--label", "label", "--folds", "3", "--json", report, "--model", model]
    done = run("classify", "train", train, "--out", folder, *options)
    for word in ("F1 of 1", "weighted F1", "accuracy", "3 folds", "TF-IDF of words", "TF-IDF of characters", "±"):
        assert word in done.stdout
    facts = json.loads(report.read_text())
    assert facts["n_train"] == 48
    assert [entry["name"] for entry in facts["entries"]] == ["elmokit", "TF-IDF of words", "TF-IDF of characters"]
    assert facts["entries"][0]["held_out"]["accuracy"] > 0.7

    out = tmp_path / "submission.csv"
    run("classify", "predict", folder, train, "--out", out)
    lines = list(csv.reader(out.read_text().splitlines()))
    assert lines[0] == ["id", "label"]
    assert [line[0] for line in lines[1:]] == [str(i) for i in range(60)]
    right = sum(line[1] == str(int(i % 3 == 0)) for i, line in enumerate(lines[1:]))
    assert right > 50

    printed = run("classify", "predict", folder, train, "--proba").stdout.splitlines()
    assert printed[0] == "id,label,probability_0,probability_1"
    assert all(abs(sum(float(p) for p in line.split(",")[2:]) - 1) < 1e-5 for line in printed[1:])
    assert "weighted F1" in run("info", folder, "--all").stdout


def test_strange_labels_and_a_poor_terminal(tmp_path, model):
    labels = ["[bold]नहीं :smile:", "x" * 200]
    train = write(
        tmp_path / "a.csv", [(i, labels[i % 3 == 0], f"{'bad' if i % 3 == 0 else 'good'} {i}") for i in range(30)]
    )
    options = ["--text", "tweet", "--out", tmp_path / "m", "--model", model, "--no-baseline"]
    done = run("classify", "train", train, *options, env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"})
    assert "[bold]" in done.stdout
    assert ":smile:" in done.stdout
    run("classify", "train", train, *options, env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"})
    run("classify", "predict", tmp_path / "m", train, "--out", tmp_path / "b.csv")
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= set(labels)


def test_predictions_do_not_depend_on_the_order(tmp_path, model):
    train = many(tmp_path / "train.csv")
    run("classify", "train", train, "--text", "tweet", "--out", tmp_path / "m", "--model", model, "--no-baseline", "-q")
    rows = [(i, 0, f"{i} thanks") for i in range(9)]
    forwards = run("classify", "predict", tmp_path / "m", write(tmp_path / "a.csv", rows)).stdout.splitlines()
    backwards = run("classify", "predict", tmp_path / "m", write(tmp_path / "b.csv", rows[::-1])).stdout.splitlines()
    assert sorted(forwards) == sorted(backwards)


def test_clean(tmp_path, tweets):
    out = tmp_path / "clean.csv"
    run("clean", tweets, "-c", "tweet", "--into", "clean", "-o", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tweet"] for row in rows] == [text for _, _, text in TWEETS]
    assert rows[0]["clean"] == "so happy with my new phone"
    assert run("clean", tweets, "-c", "tweet").stdout.startswith("id,label,tweet\n")


def test_quiet_means_nothing_but_errors(tmp_path, tweets, model):
    done = run("embed", tweets, "-c", "tweet", "-o", tmp_path / "a.npy", "--model", model, "--quiet")
    assert done.stdout == done.stderr == ""
    assert "no column" in fails("embed", tweets, "-c", "x", "-o", tmp_path / "b.npy", "-q")


COMMANDS = (["embed"], ["clean"], ["info"], ["classify", "train"], ["classify", "predict"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command):
    assert f"Example:  elmokit {' '.join(command)}" in run(*command, "--help").stdout


def commands(command=None, name=()):
    """The whole name of every command, and the command."""
    command = command or typer.main.get_command(build())
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
    for key, child in (children or {}).items():
        yield from commands(child, (*name, key))


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in commands()])
def test_help_shows_arguments_as_people_read_them(name, command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    shown = [one.metavar if one.required else f"[{one.metavar}]" for one in arguments]
    assert " ".join(text.split("\n\n")[0].split()) == " ".join(["Usage: elmokit", *name, "[OPTIONS]", *shown])
    rows = [line.split("  ")[1] for line in text.partition("Arguments:\n")[2].partition("\n\n")[0].splitlines()]
    assert [row for row in rows if row] == [one.metavar for one in arguments]
    assert not re.search(r"<\w+>", text.partition("Arguments:")[2])


def test_help_names_every_command():
    text = run("--help").stdout
    assert all(command[0] in text for command in COMMANDS)
    assert run("--version").stdout.count(".") == 2


def test_starting_is_cheap():
    heavy = "numpy|torch|h5py|rich|safetensors|pyarrow"
    code = (
        "import sys, elmokit.cli.app; elmokit.cli.app.build()\n"
        f"print([name for name in sys.modules if name.split('.')[0] in '{heavy}'.split('|')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout == "[]\n"


# what goes wrong


def test_a_wrong_line_is_explained():
    done = run("embed", "a.csv", code=2)
    assert "--output" in done.stderr
    assert "No such command" in run("embde", code=2).stderr


def test_a_missing_file(tmp_path, model):
    assert "none.csv: no such file" in fails("embed", "none.csv", "-c", "tweet", "-o", tmp_path / "a.npz")
    assert "no such file" in fails("classify", "train", "none.csv", "--out", tmp_path / "m")
    assert "classifier.json" in fails("classify", "predict", tmp_path, "none.csv")
    assert fails("info", tmp_path / "none")


def test_a_missing_column_names_those_that_exist(tmp_path, tweets):
    message = fails("embed", tweets, "-c", "tweets", "-o", tmp_path / "a.npz")
    assert "the columns are 'id', 'label', 'tweet'. Did you mean 'tweet'?" in message
    assert "'label'" in fails("clean", tweets, "-c", "text")
    assert os.listdir(tmp_path) == ["tweets.csv"]


BAD_TABLES = {
    "encoding": (b"tweet\nfine\ncaf\xe9\n", "row 2 (line 3): byte 0xe9"),
    "quotes": (b'tweet\n"never closed\nb\n', "row 1 (line 2): a quotation mark opens and never closes"),
    "fields": (b"tweet\na,b\n", "row 1 (line 2): 2 fields, but the header has 1"),
    "empty text": (b"tweet,id\n ,1\n", "row 1 (line 2): 'tweet' is empty"),
    "empty file": (b"", "the file is empty"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_stop_before_anything_is_written(tmp_path, kind):
    data, message = BAD_TABLES[kind]
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    assert message in fails("embed", path, "-c", "tweet", "-o", tmp_path / "a.npz")
    assert os.listdir(tmp_path) == ["a.csv"]


def test_labels_that_teach_nothing(tmp_path):
    options = ["--text", "tweet", "--out", tmp_path / "m"]
    one = many(tmp_path / "one.csv", label=lambda i: 1)
    assert "60 rows, 1 different values of 'label'; it takes two" in fails("classify", "train", one, *options)
    missing = write(tmp_path / "nan.csv", [(1, 0, "a"), (2, "NaN", "b"), (3, "", "c")])
    assert "row 2 (line 3): 'label' is NaN" in fails("classify", "train", missing, *options)
    ids = many(tmp_path / "ids.csv")
    assert "is it the column with the labels" in fails("classify", "train", ids, *options, "--label", "id")
    assert "keep makes no sense" in fails("classify", "train", ids, *options, "--bad-rows", "keep")
    assert "0 rows" in fails("classify", "train", write(tmp_path / "none.csv", []), *options)
    assert not (tmp_path / "m").exists()


def test_options_that_make_no_sense(tmp_path, tweets, model):
    common = ["embed", tweets, "-c", "tweet", "--model", model, "-o"]
    assert "'top'" in fails(*common, tmp_path / "a.npz", "--layers", "top")
    assert "pooling" in fails(*common, tmp_path / "a.npz", "--pooling", "median")
    assert "is no format for vectors" in fails(*common, tmp_path / "a.xls")
    assert "'guess'" in fails(*common, tmp_path / "a.npz", "--bad-rows", "guess")
    train = many(tmp_path / "train.csv")
    options = ["classify", "train", train, "--text", "tweet", "--out", tmp_path / "m", "--model", model]
    assert "test_size" in fails(*options, "--test-size", "1.5")
    assert "folds" in fails(*options, "--folds", "1")
    assert "--C" in fails(*options, "--C", "strong")
    assert "'soap'" in fails(*options, "--cleaning", "soap")


def test_another_model_is_refused(tmp_path, model):
    train = many(tmp_path / "train.csv")
    run("classify", "train", train, "--text", "tweet", "--out", tmp_path / "m", "--model", model, "--no-baseline")
    other = tmp_path / "other"
    save(tiny_checkpoint(seed=1, name="other"), other)
    assert "other weights" in fails("classify", "predict", tmp_path / "m", train, "--model", other)


def test_outputs_that_can_not_be_written(tmp_path, tweets, model):
    common = ["embed", tweets, "-c", "tweet", "--model", model, "-o"]
    assert "does not exist; create it first" in fails(*common, tmp_path / "none" / "a.npz")
    (tmp_path / "file").write_text("")
    train = many(tmp_path / "train.csv")
    out = tmp_path / "file" / "m"
    options = ["classify", "train", train, "--text", "tweet", "--model", model, "--out"]
    assert "can't be created" in fails(*options, out)
    assert "can't be created" in fails(*options, tmp_path / "m", "--json", tmp_path / "file" / "report.json")
    fails(*options, tmp_path / "m" / "deep", "--test-size", "7")
    assert "the input itself" in fails("embed", tweets, "-c", "tweet", "--model", model, "-o", tweets)
    (tmp_path / "folder.npz").mkdir()
    assert "can't be written" in fails(*common, tmp_path / "folder.npz")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.npz", "train.csv", "tweets.csv"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path, tweets, model):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "can't be written" in fails("embed", tweets, "-c", "tweet", "--model", model, "-o", locked / "a.npz")


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_full_disk(tmp_path, tiny_disk, model, suffix):
    path = many(tmp_path / "many.csv", 3000)
    message = fails("embed", path, "-c", "tweet", "--model", model, "-o", tiny_disk / f"a{suffix}")
    assert "can't be written" in message
    assert "No space left on device" in message
    assert os.listdir(tiny_disk) == []


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_may_not_grow(tmp_path, model, suffix):
    path = many(tmp_path / "many.csv", 3000)
    out = tmp_path / "out"
    out.mkdir()
    message = fails(
        "embed", path, "-c", "tweet", "--model", model, "-o", out / f"a{suffix}",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert "can't be written" in message
    assert os.listdir(out) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path, model, sent, code):
    out = tmp_path / "out"
    out.mkdir()
    command = [
        sys.executable,
        "-m",
        "elmokit",
        "embed",
        "-",
        "--input-format",
        "txt",
        "--model",
        model,
        "-o",
        out / "a.npz",
    ]
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a background shell ignores it
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen(command, **pipes, **listening) as process:
        process.stdin.write("some text\n" * 600)
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not os.listdir(out) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert os.listdir(out), "it never began to write"
        time.sleep(0.2)
        process.send_signal(sent)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == code, message
    assert os.listdir(out) == []
    assert "Traceback" not in message
    if sent == signal.SIGINT:
        assert message.strip() == "elmokit: interrupted; nothing half-written is left behind."


def test_a_reader_that_goes_away(tmp_path):
    path = many(tmp_path / "many.csv", 20_000)
    command = f"'{sys.executable}' -m elmokit clean '{path}' -c tweet | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout == "id,label,tweet\n"
    assert done.stderr == ""


def test_debug_shows_the_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "elmokit", "clean", "none.csv", "--debug"],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith(").\n")


def test_the_tutorials_tweets(tmp_path, shared):
    """The tutorial's commands on a part of the tutorial's data, with the embedded model."""
    from elmokit.elmo import EMBEDDED

    if not EMBEDDED.is_dir():
        pytest.skip("this tree has no embedded model")
    lines = (shared / "data/tweets/train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    part = tmp_path / "part.csv"
    part.write_text("".join(lines[:701]), encoding="utf-8")
    options = ["--text", "tweet", "--label", "label", "--bad-rows", "skip", "--json", tmp_path / "report.json"]
    run("classify", "train", part, "--out", tmp_path / "m", *options, timeout=600)
    report = json.loads((tmp_path / "report.json").read_text())
    scores = {entry["name"]: entry["held_out"]["classes"][1]["f1"] for entry in report["entries"]}
    assert scores["elmokit"] > 0.6, scores
    test = tmp_path / "test.csv"
    test.write_text("".join((shared / "data/tweets/test.csv").read_text(encoding="utf-8").splitlines(True)[:3]))
    run("classify", "predict", tmp_path / "m", test, "--out", tmp_path / "sub.csv", "--bad-rows", "skip")
    assert (tmp_path / "sub.csv").read_text().startswith("id,label\n7921,")
