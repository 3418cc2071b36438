"""Install the wheel into an empty environment and see what a user gets: size, start-up time, vectors, the main job.

The main job needs the extra `tasks`, which is installed after the plain checks. Arguments: the environment's folder,
the wheel. Prints the figures that the README quotes. After the install the network is taken away, where the system
lets us (`unshare -n`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

MAX_MB, MAX_IMPORT_S, MAX_HELP_S, MAX_JOB_S = 200, 0.3, 0.7, 120
BARE = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"}
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def main(venv: Path, wheel: Path) -> None:
    """Run all checks; a failed one ends the script."""
    python = venv / "bin" / "python"
    run([str(python), "-m", "pip", "install", "-q", str(wheel)])
    packages = next((venv / "lib").glob("python*/site-packages"))
    names = {path.name.split("-")[0].lower() for path in packages.iterdir()}
    expect(not names & {"torch", "scipy", "sklearn", "pandas"}, f"no heavy packages: {sorted(names)}")
    size = sum(
        path.stat().st_size
        for top in packages.iterdir()
        if top.name.split("-")[0] not in BARE
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file() and not path.is_symlink()
    )
    expect(size < MAX_MB * 1e6, f"site-packages: {size / 1e6:.0f} MB (limit {MAX_MB})")
    away = venv.parent
    shutil.copy(EXAMPLES / "product_tweets.csv", away)
    shutil.copy(EXAMPLES / "product_tweets_test.csv", away)
    elmokit = [str(venv / "bin" / "elmokit")]
    run([str(python), "-c", "import elmokit"], cwd=away)
    took = min(run([str(python), "-c", "import elmokit"], cwd=away) for _ in range(3))
    expect(took < MAX_IMPORT_S, f'python -c "import elmokit": {took:.2f} s, process included (limit {MAX_IMPORT_S})')
    took = min(run([*elmokit, "--help"], cwd=away, quiet=True) for _ in range(3))
    expect(took < MAX_HELP_S, f"elmokit --help: {took:.2f} s (limit {MAX_HELP_S})")
    (away / "ten.txt").write_text("one line of ten, with a few words in it\n" * 10)
    command = [*elmokit, "embed", "ten.txt", "--output", "ten.npz"]
    print(f"elmokit embed, ten lines: {min(run(offline(command), cwd=away) for _ in range(3)):.2f} s")
    train = ["classify", "train", "product_tweets.csv", "--text", "tweet", "--label", "label", "--out", "model"]
    refused = subprocess.run([*elmokit, *train], cwd=away, check=False, capture_output=True, text=True)
    expect(
        refused.returncode != 0 and "pip install 'elmokit[tasks]'" in refused.stderr,
        "classify without the extra names the install line",
    )
    run([str(python), "-m", "pip", "install", "-q", f"elmokit[tasks] @ {wheel.resolve().as_uri()}"])
    took = run(offline([*elmokit, *train]), cwd=away)
    expect(took < MAX_JOB_S, f"the main job, offline: {took:.1f} s (limit {MAX_JOB_S})")
    predict = ["classify", "predict", "model", "product_tweets_test.csv", "--out", "submission.csv"]
    run(offline([*elmokit, *predict]), cwd=away)
    lines = (away / "submission.csv").read_text().splitlines()
    expect(len(lines) == 101 and lines[0] == "id,label", "the submission has its rows")


def offline(command: list[str]) -> list[str]:
    """The command without a network, where the system lets us take it away."""
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [unshare, "-n", *command]
    print("(no unshare -n here: the network stays)")
    return command


def run(command: list[str], *, cwd: Path | None = None, quiet: bool = False) -> float:
    """Seconds that a command took; a failure ends the script."""
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL if quiet else None)
    return time.perf_counter() - start


def expect(held: bool, what: str) -> None:
    """Print a check, and end where it failed."""
    print(f"{'ok  ' if held else 'FAIL'} {what}", flush=True)
    if not held:
        raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
