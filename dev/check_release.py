"""Check a release: built twice to the same bytes, whole, licensed, small enough, audited, and it runs in empty folders.

    python dev/check_release.py [--out dist] [--python python3.10 --python python3.13 …]

Run it from a clean checkout, in an environment with `dev/release_requirements.txt`. It prints a line per check, leaves
wheel, source archive and bill of materials in OUT, and fails if a check failed. A check that needs what is not here
(the network, a tool) is told as "not checked", which is no success: the release workflow runs where nothing is missing
(`--strict` makes it one more failure).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_WHEEL_MB, MAX_MODEL_MB = 25, 20
KINDS = {".c", ".so", ".py", ".typed", ".json", ".safetensors", ".txt", ".md", ".js", ".css", ".html", ".svg", ""}
KINDS |= {".csv", ".conll", ".ipynb"}  # sample files
FOREIGN = re.compile(rb"@license|@preserve|Copyright \(c\)|\xc2\xa9 ?\d{4}|SPDX-License-Identifier|sourceMappingURL")
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BANDIT_LEFT_OUT = "B101,B104,B105,B311"
"""assert for the type checker; an address that is read, not bound; "50" as a key; a generator that is named random."""


class Checks:
    """What held, what did not, what could not be seen."""

    def __init__(self) -> None:
        self.n = {"ok": 0, "FAIL": 0, "not checked": 0}

    def tell(self, verdict: str, what: str) -> None:
        """Print a line and count it."""
        self.n[verdict] += 1
        print(f"{verdict:12} {what}", flush=True)

    def expect(self, held: bool, what: str) -> None:
        """Tell whether something holds."""
        self.tell("ok" if held else "FAIL", what)

    def command(self, what: str, *command: str | Path) -> None:
        """Tell whether a tool is content."""
        done = run(*command)
        if "No module named" in done.stderr:
            self.tell("not checked", f"{what}: {done.stderr.strip().splitlines()[-1]}")
            return
        self.expect(done.returncode == 0, what)
        if done.returncode:
            print((done.stdout + done.stderr)[-2000:])


def run(*command: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """A command's end, with its output; the source tree out of its reach."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def build(source: Path, out: Path, epoch: str) -> None:
    """Source archive, wheel with the compiled loops, and wheel for all systems, of a tree."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out]
    for kinds, native in ((["--sdist", "--wheel"], "1"), (["--wheel"], "0")):
        done = run(*command, *kinds, source, SOURCE_DATE_EPOCH=epoch, ELMOKIT_NATIVE=native)
        if done.returncode:
            raise SystemExit(f"the build failed:\n{done.stdout}{done.stderr}")


def clean_tree(folder: Path) -> str:
    """The last commit's files in a folder; returns its time in seconds."""
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, "HEAD"], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, folder)
    return run("git", "log", "-1", "--format=%ct", cwd=ROOT).stdout.strip()


def digests(folder: Path) -> dict[str, str]:
    """sha256 by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """Contents by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def strange_files(names: Iterable[str]) -> list[str]:
    """Files in a wheel that are no part of the package."""
    return [
        name
        for name in names
        if Path(name).suffix not in KINDS | ({".dist-info"} if ".dist-info/" in name else set())
        or not re.match(r"elmokit(/|-[\w.]+\.dist-info/)", name)
        or "__pycache__" in name
    ]


def foreign_files(files: Mapping[str, bytes]) -> list[str]:
    """Files that carry another's copyright line, a licence of their own, or the mark of a bundler."""
    return [
        name
        for name, data in files.items()
        if not name.endswith(".safetensors") and "/licenses/" not in name and FOREIGN.search(data)
    ]


def check_wheel(checks: Checks, wheel: Path) -> None:
    """Size, files, licences."""
    files = wheel_files(wheel)
    model = sum(len(data) for name, data in files.items() if name.startswith("elmokit/models/"))
    checks.expect(
        wheel.stat().st_size <= MAX_WHEEL_MB * 1e6, f"wheel {wheel.stat().st_size / 1e6:.1f} MB of {MAX_WHEEL_MB}"
    )
    checks.expect(0 < model <= MAX_MODEL_MB * 1e6, f"embedded model {model / 1e6:.1f} MB of {MAX_MODEL_MB}")
    strange = strange_files(files)
    checks.expect(not strange, f"{len(files)} files, none strange {strange[:5] or ''}")
    licences = {name.rsplit("/", 1)[1] for name in files if ".dist-info/licenses/" in name}
    checks.expect({"LICENSE", "NOTICE"} <= licences, f"licence files: {', '.join(sorted(licences))}")
    foreign = foreign_files(files)
    checks.expect(not foreign, f"nothing vendored {foreign or '(no foreign copyright lines or bundles)'}")
    card = files.get("elmokit/models/default/README.md", b"").lower()
    checks.expect(b"licence" in card, "the embedded model's card names its data's licences")


def check_security(checks: Checks) -> None:
    """Static checks of the package's source."""
    checks.command(
        "ruff S over src", sys.executable, "-m", "ruff", "check", "--select", "S", "--ignore", "S101", ROOT / "src"
    )
    command = [sys.executable, "-m", "bandit", "-q", "-r", "-s", BANDIT_LEFT_OUT, ROOT / "src"]
    checks.command(f"bandit over src (without {BANDIT_LEFT_OUT})", *command)


def check_audit(checks: Checks, packages: Path) -> None:
    """Known vulnerabilities of what the plain install brings."""
    found = run(sys.executable, "-m", "pip_audit", "--path", packages, "--format", "json", "--progress-spinner", "off")
    try:
        audited = json.loads(found.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (found.stderr.strip().splitlines() or ["no answer"])[-1]
        checks.tell("not checked", f"pip-audit: {reason[:120]}")
        return
    skipped = [one["name"] for one in audited if "skip_reason" in one and one["name"] != "elmokit"]
    holes = [f"{one['name']} {hole['id']}" for one in audited for hole in one.get("vulns", [])]
    if holes or not skipped:
        checks.expect(not holes, f"pip-audit of {len(audited)} packages {holes or ''}")
    else:
        checks.tell("not checked", f"pip-audit: the service knows nothing of {', '.join(skipped[:4])} … (no network?)")


def check_bill(checks: Checks, python: Path, target: Path) -> None:
    """A CycloneDX bill of materials of the plain install."""
    done = run(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "-o", target, python)
    if done.returncode:
        checks.tell("not checked", f"bill of materials: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]}")
        return
    parts = json.loads(target.read_text(encoding="utf-8"))["components"]
    names = {part["name"].lower() for part in parts}
    checks.expect(
        {"elmokit", "numpy", "safetensors"} <= names, f"bill of materials: {len(parts)} components, {target.name}"
    )


def install(python: str, wheel: Path, venv: Path) -> Path | None:
    """An empty environment with the wheel; None where that Python or a package is not to be had."""
    if shutil.which(python) is None or run(python, "-m", "venv", venv).returncode:
        return None
    inside = venv / "bin" / "python"
    done = run(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
    if done.returncode:
        print(done.stderr[-1500:])
    return inside if done.returncode == 0 else None


def offline() -> list[str]:
    """What to put before a command to take its network away, where the system lets us."""
    unshare = shutil.which("unshare")
    return [unshare, "-n"] if unshare and run(unshare, "-n", "true").returncode == 0 else []


def start_page(page: Path) -> list[list[str]]:
    """The commands that do, word for word, what a page's blocks say."""
    commands = []
    for skip, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if skip or kind == "text":  # what a block prints
            continue
        commands += [["python", "-c", text]] if kind == "python" else [["bash", "-ec", text]]
    return commands


def check_start_page(checks: Checks, inside: Path, name: str) -> None:
    """The start page, literally, in an empty folder without a network."""
    prefix = offline()
    with tempfile.TemporaryDirectory() as empty:
        path = os.pathsep.join([str(inside.parent), os.environ["PATH"]])
        done = [
            run(*prefix, *command, cwd=Path(empty), PATH=path) for command in start_page(ROOT / "docs" / "index.md")
        ]
    bad = [one.stderr[-800:] for one in done if one.returncode]
    where = "offline" if prefix else "with the network, which can't be taken away here"
    checks.expect(bool(done) and not bad, f"the start page on {name}, {where}: {len(done)} blocks {bad or ''}")


def main() -> None:
    """Run all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", action="append", help="a Python to install the wheel with; may be repeated")
    parser.add_argument("--strict", action="store_true", help="what can't be checked fails too")
    chosen = parser.parse_args()
    checks = Checks()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        desk = Path(name)
        epoch = clean_tree(desk / "tree")
        for number in ("1", "2"):
            build(desk / "tree", desk / number, epoch)
        first, second = digests(desk / "1"), digests(desk / "2")
        checks.expect(len(first) == 3 and first == second, f"built twice, the same bytes: {', '.join(first)}")
        for path in sorted((desk / "1").iterdir()):
            shutil.copy(path, chosen.out)
        pure, native = (next((desk / "1").glob(f"*-{kind}*.whl"), None) for kind in ("any", "manylinux"))
        wheel = native or pure
        if pure is None or wheel is None:
            raise SystemExit(f"no wheel for all systems was built: {sorted(first)}")
        checks.expect(native is not None, "a wheel with the compiled loops")
        checks.command(
            "twine check --strict", sys.executable, "-m", "twine", "check", "--strict", *(desk / "1").iterdir()
        )
        for one in {pure, wheel}:
            checks.command(f"check-wheel-contents {one.name}", sys.executable, "-m", "check_wheel_contents", one)
            check_wheel(checks, one)
        check_security(checks)
        last = None
        for python in chosen.python or [sys.executable]:
            inside = install(python, wheel, desk / f"venv-{Path(python).name}")
            if inside is None:
                checks.tell("not checked", f"{python}: no environment with the wheel can be made")
                continue
            version = run(inside, "-c", "import platform; print('Python', platform.python_version())").stdout.strip()
            check_start_page(checks, inside, version)
            last = inside
        if last is not None:
            check_bill(checks, last, chosen.out / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json")
            check_audit(checks, next((last.parent.parent / "lib").glob("python*/site-packages")))
    print(json.dumps({"checks": checks.n, "sha256": first}))
    raise SystemExit(bool(checks.n["FAIL"] or (chosen.strict and checks.n["not checked"])))


if __name__ == "__main__":
    main()
