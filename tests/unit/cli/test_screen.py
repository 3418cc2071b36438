"""Progress shows on a terminal, only there, and only when the work lasts; notes are counted, not repeated for ever."""

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from elmokit.blocks import blocks
from elmokit.cli.options import parse_layers
from elmokit.cli.screen import Screen
from elmokit.errors import ConfigError
from elmokit.progress import progress_bar


def seen_on_a_terminal(code):
    """What a process prints to a terminal on its standard error."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = os.fork()
    if process == 0:
        os.dup2(terminal, 2)
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-c", code])
    os.close(terminal)
    printed = b""
    while True:
        try:
            data = os.read(controller, 4096)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        printed += data
    os.close(controller)
    assert os.waitpid(process, 0)[1] == 0
    return printed.decode()


WORK = """
import time
from elmokit.cli.screen import Screen
from elmokit.progress import progress_bar
with progress_bar("encoding texts", total={n}, show=Screen(quiet={quiet}).show_progress) as advance:
    for i in range({n}):
        time.sleep(0.1)
        advance(1)
"""


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_bar_appears_for_work_that_lasts():
    assert "encoding texts" in seen_on_a_terminal(WORK.format(quiet=False, n=25))
    assert seen_on_a_terminal(WORK.format(quiet=False, n=1)) == ""
    assert seen_on_a_terminal(WORK.format(quiet=True, n=25)) == ""


def test_no_bar_where_nobody_looks(capsys):
    with progress_bar("texts", total=2, show=Screen().show_progress) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_notes_are_shown_five_times_and_counted(capsys):
    screen = Screen()
    for i in range(7):
        screen.note(f"row {i} left out")
    screen.end_notes()
    assert capsys.readouterr().err.splitlines()[-2:] == ["row 4 left out", "7 rows left out in all"]
    screen.note("again")
    screen.end_notes()
    assert capsys.readouterr().err == "again\n"


def test_quiet_prints_results_only(capsys):
    screen = Screen(quiet=True)
    screen.say("a result")
    screen.done("out.npz: 3 texts")
    screen.note("b")
    screen.end_notes()
    assert capsys.readouterr() == ("a result\n", "")
    assert screen.show_progress is False


def test_tables_fit_80_columns_and_align_numbers(capsys):
    rows = [("a name that is long", "0.5", "word " * 40), ("[b]", "12.25", "x" * 200)]
    Screen(quiet=True).table(["name", "score", "text"], rows, title="t " * 60, caption="the end")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.count("x") for line in lines) == 201
    assert "[b]" in "".join(lines)
    ends = {line.index(number) + len(number) for line in lines for number in ("0.5", "12.25") if number in line}
    assert len(ends) == 1, "numbers are aligned right"


def test_layers_are_understood():
    assert [parse_layers(text) for text in ("mix", "all", "-1", "1,2", "0.5,1")] == ["mix", "all", -1, (1, 2), (0.5, 1)]
    for text in ("top", "", "1,x"):
        with pytest.raises(ConfigError, match="--layers is"):
            parse_layers(text)


def test_streams_are_cut_into_blocks():
    assert list(blocks(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]
    assert list(blocks([], 2)) == []
