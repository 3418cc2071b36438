"""Compile the loops of the biLM while a wheel is built, where that can be done; without them the wheel is pure Python.

The library uses no other one, not even C's, so a wheel that holds it runs on every Linux of its processor (hence the
tag "manylinux"). No compiler, another system, or ELMOKIT_NATIVE=0: a wheel for all, which computes in NumPy.
`python hatch_build.py` compiles into the source tree, for those who changed the C file.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "src" / "elmokit" / "runtime" / "kernels" / "bilm.c"
LIBRARY = SOURCE.with_suffix(".so")
TAG = "py3-none-manylinux_2_17_x86_64"
FLAGS = (
    *("-O3", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16", "-mfma"),
    *("-shared", "-fPIC", "-nostdlib", "-ffreestanding", "-fno-tree-loop-distribute-patterns"),
    *("-Wall", "-Wextra", "-Wl,--build-id=none", "-s"),
)


def compile_kernels() -> str | None:
    """Compile; returns why that was not done, None where it was."""
    LIBRARY.unlink(missing_ok=True)
    if os.environ.get("ELMOKIT_NATIVE", "1") == "0":
        return "ELMOKIT_NATIVE is 0"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"they are for Linux on x86-64, not for {sys.platform} on {platform.machine()}"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return "no C compiler was found"
    made = LIBRARY.with_suffix(f".so.{os.getpid()}")
    command = [*compiler.split(), *FLAGS, "-o", made.name, SOURCE.name]
    done = subprocess.run(command, cwd=SOURCE.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        made.unlink(missing_ok=True)
        return f"{compiler} failed: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}"
    made.replace(LIBRARY)
    return None


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called as a script
    BuildHookInterface = object


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg,misc]
    """What hatchling calls before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and tell hatchling what came of it."""
        reason = compile_kernels()
        if reason is None:
            build_data.update(pure_python=False, tag=TAG)
            build_data["artifacts"].append(str(LIBRARY.relative_to(Path(__file__).parent)))
        else:
            self.app.display_warning(f"elmokit is built without its compiled loops: {reason}")


if __name__ == "__main__":
    sys.exit(compile_kernels())
