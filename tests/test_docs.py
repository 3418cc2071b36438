"""The documentation is run: code blocks, commands, links; pages made from the code equal the code."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import elmokit

ROOT = Path(__file__).resolve().parent.parent
try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

PACKAGE = Path(elmokit.__file__).parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/*.md")])
RUN_PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "quickstart.md",
    ROOT / "docs" / "pairs.md",
    ROOT / "docs" / "tag.md",
    ROOT / "docs" / "language-model.md",
    ROOT / "docs" / "similarity.md",
    ROOT / "docs" / "summaries-and-answers.md",
    ROOT / "docs" / "integrations.md",
    ROOT / "examples" / "README.md",
]
BLOCK = re.compile(r"(?P<skip><!-- not run: .+? -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
LEFT_OUT = ("pip install -c",)  # the test command: it is what runs this


def blocks(page, *kinds):
    return [
        match["text"]
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match["kind"] in kinds and not match["skip"]
    ]


def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "dev" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def desk(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in RUN_PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run_from_top_to_bottom(page, desk):
    namespace = {}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), namespace)


def commands_of(page):
    """The `elmokit` commands of a page; of a chained line, its last."""
    for text in blocks(page, "bash", "console"):
        for line in text.splitlines():
            if not any(part in line for part in LEFT_OUT):
                command = line.split("&&")[-1].strip().removeprefix(".venv/bin/")
                if command.startswith("elmokit "):
                    yield command


@pytest.mark.parametrize(
    "page", [p for p in RUN_PAGES if blocks(p, "bash", "console")], ids=lambda p: f"{p.parent.name}-{p.name}"
)
def test_commands_run_from_top_to_bottom(page, desk):
    commands = list(commands_of(page))
    assert commands
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    for command in commands:
        line = [sys.executable, "-m", "elmokit", *shlex.split(command)[1:]]
        done = subprocess.run(line, capture_output=True, text=True, encoding="utf-8", timeout=300, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_readmes_first_command_installs_and_does_the_main_job():
    first = blocks(ROOT / "README.md", "bash")[0].strip()
    assert "\n" not in first
    install, command = ".venv/bin/pip install '.[tasks]'", ".venv/bin/elmokit classify train "
    assert first.startswith(f"python -m venv .venv && {install} && {command}")


def test_the_readme_names_every_extra():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"`elmokit\[(\w+)\]`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == set(declared) - {"test", "docs"}  # those two are for whoever works on elmokit itself


def test_the_run_for_ci_calls_the_readmes_test_command():
    last = blocks(ROOT / "README.md", "bash")[-1].strip()
    *install, test = (part.strip().removeprefix(".venv/bin/") for part in last.split("&&"))
    script = (ROOT / ".ci" / "run").read_text()
    assert f".ci-venv/bin/{test}\n" in script
    assert install[-1] == "pip install -c constraints.txt '.[test]'"
    assert "pip install -q --no-compile -c constraints.txt '.[test]'" in script


def test_the_tree_in_the_guide_is_the_real_one():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert guide == make_docs().with_tree(guide), "run: python dev/make_docs.py"


def test_every_command_and_option_is_documented():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == make_docs().command_page(), "run: python dev/make_docs.py"


def test_the_page_of_checkpoints_is_the_catalogue():
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    assert page == make_docs().checkpoint_page(), "run: python dev/make_docs.py"


def test_every_command_explains_itself_with_an_example():
    for name, command in make_docs().commands().items():
        assert f"Example:  {name}" in command.help, name
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, f"{name} {parameter.name}"


def test_the_changelog_names_every_command():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in make_docs().commands():
        assert name.removeprefix("elmokit ") in text, name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_files_that_pages_name_exist(page):
    for name in re.findall(r"`((?:tests|dev|benchmarks|docs)/[\w/.]+|\.ci/\w+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_commands_on_all_pages_are_real():
    real = set(make_docs().commands())
    for page in PAGES:
        for text in blocks(page, "console"):
            for line in text.splitlines():
                words = line.split()
                if words[:1] == ["elmokit"]:
                    assert {" ".join(words[:2]), " ".join(words[:3])} & real, f"{page.name}: {line}"
