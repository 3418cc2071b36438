"""The `elmokit` command: parse, call one library function, print.

Every failure becomes one paragraph on standard error and an exit code: 1 for an error, 2 for a wrong command line, 130
after Ctrl-C, 143 after SIGTERM, 141 when the reader of our output is gone. Nothing heavy is imported before a command.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from elmokit.errors import ElmoKitError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    arguments, debug = _without(arguments, "--debug")
    arguments, quiet = _without(arguments, "--quiet", "-q")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a label that the terminal can't show is no reason to fail
    with _ending_on_sigterm(), one_paragraph(debug=debug):
        from elmokit.cli.app import build
        from elmokit.cli.screen import screen

        screen.quiet, screen.n_notes = quiet, 0
        code = build(arguments)(arguments, prog_name="elmokit", standalone_mode=False)
        if sys.stdout is not None:  # it may have been closed
            sys.stdout.flush()
        if code == 130:  # how newer parsers hand Ctrl-C on
            raise KeyboardInterrupt
        raise SystemExit(code or 0)


def _without(arguments: Sequence[str], *names: str) -> tuple[list[str], bool]:
    """Remove an option that may stand anywhere before "--"; also tell whether it was there."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument not in names]
    return [*kept, *arguments[end:]], len(kept) < end


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the command with code 143; left behind, this would keep forked workers of a caller from ending."""

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextmanager
def one_paragraph(*, debug: bool) -> Iterator[None]:
    """Turn exceptions into one paragraph on standard error and an exit code."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        raise SystemExit(141) from None
    except (Exception, KeyboardInterrupt) as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong command line, which prints itself
            error.show()
            raise SystemExit(error.exit_code) from None
        if debug:
            traceback.print_exc()
        message, code = _told(error, debug=debug)
        print(f"elmokit: {message}", file=sys.stderr)  # noqa: T201 -- the one place where errors are printed
        raise SystemExit(code) from None


def _told(error: BaseException, *, debug: bool) -> tuple[str, int]:
    """What people are told of an error, and the exit code."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":  # the parser's name for Ctrl-C
        return "interrupted; nothing half-written is left behind.", 130
    if isinstance(error, ElmoKitError):
        return str(error), 1
    if isinstance(error, OSError):
        full = " The disk is full: free some space or write elsewhere." if error.errno == errno.ENOSPC else ""
        return f"{error}.{full}", 1
    if isinstance(error, MemoryError):
        return "not enough memory: give fewer or shorter texts at once, or a smaller model.", 1
    hint = "" if debug else " Run again with --debug and report what it shows."  # a bug of ours
    return f"this should not have happened ({type(error).__name__}: {error}).{hint}", 1
