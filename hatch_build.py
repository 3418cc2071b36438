"""Compile the loops of the biLM while a wheel is built, once for each instruction set of the target processor.

The library depends on no other one, so a wheel holds it for every Linux of its processor (manylinux and musllinux).
Without a compiler, on other systems, or with ELMOKIT_NATIVE=0, the wheel is for all systems and computes in NumPy; the
reason is shown and kept in `kernels/missing.txt`. `python hatch_build.py` compiles into the source tree.
CC and CFLAGS name another compiler, ELMOKIT_TARGET another target than this machine ("linux-aarch64").
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
KERNELS = ROOT / "src/elmokit/runtime/kernels"
MISSING = KERNELS / "missing.txt"
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
X86 = {"plain": (), "avx2": ("-mavx2", "-mfma"), "avx512": AVX512, "avx512_bf16": (*AVX512, "-mavx512bf16")}
LEVELS: dict[str, dict[str, tuple[str, ...]]] = {"x86_64": X86, "aarch64": {"neon": ()}}
TAGS = {
    "linux-x86_64": "py3-none-manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    "linux-aarch64": "py3-none-manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    "darwin-x86_64": "py3-none-macosx_10_13_x86_64",
    "darwin-aarch64": "py3-none-macosx_11_0_arm64",
    "win32-x86_64": "py3-none-win_amd64",
}
COMPILE = (
    *("-O3", "-std=gnu11", "-ffreestanding", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),  # exact: no contraction, no errno
)
LINK = {
    "linux": ("-shared", "-nostdlib", "-Wl,--build-id=none", "-Wl,--no-undefined", "-s"),
    "darwin": ("-dynamiclib",),
    "win32": ("-shared", "-nostdlib", "-fuse-ld=lld", "-Wl,/noentry"),
}


def target() -> str:
    """What to compile for, as "system-processor"."""
    machine = platform.machine().lower()
    if sys.platform == "darwin" and "-arch " in os.environ.get("ARCHFLAGS", ""):  # set by cibuildwheel
        machine = os.environ["ARCHFLAGS"].split("-arch ")[1].split()[0]
    if sys.platform == "win32":
        machine = sysconfig.get_platform().removeprefix("win-")
    processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return os.environ.get("ELMOKIT_TARGET") or f"{sys.platform}-{processor}"


def library(where: str) -> Path:
    """Where the library goes."""
    return KERNELS / ("bilm.dll" if where.startswith("win32") else "bilm.so")


def compile_kernels() -> str | None:
    """Compile and link; returns why that was not done, None where it was."""
    where, named = target(), os.environ.get("CC", "")
    system, _, processor = where.partition("-")
    library(where).unlink(missing_ok=True)
    if os.environ.get("ELMOKIT_NATIVE", "1") == "0":
        return "ELMOKIT_NATIVE is 0"
    if where not in TAGS:
        return f"they are for {', '.join(TAGS)}; this is {where}"
    names = ("clang",) if system == "win32" else ("cc", "gcc", "clang")  # others align the stack too little on Windows
    command = (named or next(filter(shutil.which, names), "")).split()
    if not command or not shutil.which(command[0]):
        return f"no C compiler was found (CC is {named!r}); gcc 10 or clang 12, or later, will do"
    flags = [*COMPILE, *os.environ.get("CFLAGS", "").split()]
    flags += ["-fPIC"] if system != "win32" else []
    flags += ["-arch", "arm64" if processor == "aarch64" else processor] if system == "darwin" else []
    with tempfile.TemporaryDirectory(dir=KERNELS) as folder:
        sources = {"processor": ["processor.c"]}
        sources |= {name: [*options, f"-DLEVEL={name}", "bilm.c"] for name, options in LEVELS[processor].items()}
        objects = {f"{folder}/{name}.o": options for name, options in sources.items()}
        calls = [[*flags, "-c", *options, "-o", path] for path, options in objects.items()]
        made = Path(folder) / library(where).name
        for call in [*calls, [*flags, *LINK[system], "-o", str(made), *objects]]:
            done = subprocess.run([*command, *call], cwd=KERNELS, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{command[0]} failed: {(done.stderr.strip().splitlines() or [str(done.returncode)])[-1]}"
        made.replace(library(where))
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
        made = MISSING if reason else library(target())
        MISSING.unlink(missing_ok=True)
        if reason is None:
            build_data.update(pure_python=False, tag=TAGS[target()])
        else:
            MISSING.write_text(reason + "\n", encoding="utf-8")
            self.app.display_warning(f"elmokit is built without its compiled loops and will use NumPy: {reason}")
        build_data["artifacts"].append(str(made.relative_to(ROOT)))


if __name__ == "__main__":
    sys.exit(compile_kernels())
