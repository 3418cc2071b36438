"""Every option is declared once, old spellings work, and the groups arrive whole."""

import json
import signal

import numpy as np
import pytest
import typer.main

from elmokit import Elmo
from elmokit.cli import main
from elmokit.cli.app import build, with_flat_options
from elmokit.cli.options import ModelOptions, ReadingOptions, VectorOptions
from elmokit.encoding import Encoding


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def commands(command=None, name=""):
    command = command or typer.main.get_command(build())
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
    for key, child in (children or {}).items():
        yield from commands(child, f"{name} {key}".strip())


ALL = dict(commands())
MAX = VectorOptions(pooling="max", layers="mix")


def test_the_same_option_has_the_same_short_forms_everywhere():
    shown = {}
    for command in ALL.values():
        for parameter in command.params:
            for option in parameter.opts:
                if option in ("--input-format", "--delimiter", "--no-header", "--threads"):
                    shown.setdefault(option, set()).add((parameter.help, parameter.default))
    assert {option: len(kinds) for option, kinds in shown.items()} == dict.fromkeys(shown, 1)


def test_options_arrive_as_groups():
    def command(source: str, *, vectors: VectorOptions = MAX, model: ModelOptions):
        return source, vectors, model

    flat = with_flat_options(command)
    assert flat(source="a", pooling="sif", layers="1,2", model="m", device="cpu", precision="auto", threads=2) == (
        "a",
        VectorOptions(pooling="sif", layers="1,2"),
        ModelOptions(model="m", precision="auto", threads=2),
    )
    assert flat.__signature__.parameters["pooling"].default == "max"


def test_layers_select_and_weigh():
    assert VectorOptions(layers="1,2").encoding() == Encoding(layers=(1, 2))
    assert VectorOptions(layers="0.5,0.25,0.25").encoding() == Encoding(layer_weights=(0.5, 0.25, 0.25))
    assert ReadingOptions().bad_rows == "stop"


@pytest.fixture
def tweets(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,tweet\nx,so happy\ny,it broke\n")
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--column", "tweet", "--output"],
        ["-c", "tweet", "-o"],
        ["--text", "tweet", "--threads", "1", "--layers", "0.2,0.3,0.5", "--out"],
    ],
)
def test_old_spellings_of_embed(tweets, tmp_path, options, capsys):
    run("embed", tweets, *options, tmp_path / "o.npz")
    assert np.load(tmp_path / "o.npz")["features"].shape[0] == 2
    assert "2 texts" in capsys.readouterr().out


def test_embed_gives_all_texts_to_the_model_at_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("".join(f"text {i}\n" for i in range(1500)))
    calls = []
    encode_stream = Elmo.encode_stream

    def counted(self, texts, *arguments, **settings):
        calls.append(len(texts))
        return encode_stream(self, texts, *arguments, **settings)

    monkeypatch.setattr(Elmo, "encode_stream", counted)
    run("embed", tmp_path / "a.txt", "--out", tmp_path / "o.npz")
    assert calls == [1500]
    assert np.load(tmp_path / "o.npz")["row"].tolist() == list(range(1, 1501))


def test_the_format_of_the_output_and_of_the_input(tweets, tmp_path, capsys):
    run("-q", "embed", tweets, "--text", "tweet", "--out", tmp_path / "vectors", "--format", "npy")
    assert np.load(tmp_path / "vectors").shape[0] == 2
    tabs = tmp_path / "b.dat"
    tabs.write_text('text\tlabel\n"one line\nand another"\t1\n')
    for option in ("--input-format", "--format"):  # as in version 0.1
        run("-q", "embed", tabs, option, "csv", "--delimiter", r"\t", "--out", tmp_path / "o.npz")
        assert np.load(tmp_path / "o.npz")["row"].tolist() == [1]
    assert capsys.readouterr().out == ""
    lone = tmp_path / "c.csv"
    lone.write_text("so happy\nit broke\n")
    run("-q", "embed", lone, "--no-header", "--out", tmp_path / "o.npz")
    assert np.load(tmp_path / "o.npz")["row"].tolist() == [1, 2]


def test_shards_of_another_format_are_another_job(tweets, tmp_path, capsys):
    run("embed", tweets, "--text", "tweet", "--out", tmp_path / "s", "--shard-rows", 1, "--shard-format", "npy")
    manifest = (tmp_path / "s" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(manifest[0])["job"]["format"] == "npy"
    run("embed", tweets, "--text", "tweet", "--out", tmp_path / "s", "--shard-rows", 1, code=1)
    assert "was started with format 'npy', but now it is 'npz'" in capsys.readouterr().err


def test_examples_are_copied_once(tmp_path, capsys):
    run("examples", tmp_path / "e")
    copied = capsys.readouterr().out.split()
    assert str(tmp_path / "e" / "product_tweets.csv") in copied
    (tmp_path / "e" / "product_tweets.csv").write_text("mine")
    run("examples", tmp_path / "e")
    assert (tmp_path / "e" / "product_tweets.csv").read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


def test_a_command_gives_the_handler_of_sigterm_back():
    before = signal.getsignal(signal.SIGTERM)
    for arguments, code in ((["--version"], 0), (["info", "no-such-folder"], 1)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        assert signal.getsignal(signal.SIGTERM) == before
