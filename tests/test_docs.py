"""The documentation is run: code blocks, commands, links; pages made from the code equal the code."""

import functools
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/**/*.md")]
)
CODE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")  # in prose; it may go on in the next line
OTHER_TOOLS = {"--address", "--head", "--slow", "--nproc-per-node"}  # options of Ray, pytest, torchrun


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "dev" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_docs = functools.cache(lambda: load("make_docs"))
commands = functools.cache(lambda: make_docs().commands())
run_docs = load("run_docs")
RUN_PAGES = [
    p
    for p in run_docs.PAGES
    if p.name not in run_docs.GENERATED and run_docs.find_blocks(p, "python", "console", "bash")
]


def blocks(page, *kinds):
    return run_docs.find_blocks(page, *kinds)


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_page_runs_and_prints_what_it_shows(page):
    command = [sys.executable, str(ROOT / "dev" / "run_docs.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow  # encodes 9,873 tweets
def test_the_tutorial_gives_the_figures_of_its_table(shared, tmp_path, monkeypatch, capsys):
    """The page on the contest's tweets prints what its table states; their labels need the shared data."""
    for name in ("train.csv", "test.csv"):
        if not (shared / "data" / "tweets" / name).is_file():
            pytest.skip(f"{name} of the contest is not in the shared data")
        (tmp_path / name).symlink_to(shared / "data" / "tweets" / name)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in blocks(ROOT / "docs" / "tutorial.md", "python"):
        exec(compile(block, "tutorial.md", "exec"), namespace)
    printed = dict(re.findall(r"^(.+): F1 (.+)$", capsys.readouterr().out, re.MULTILINE))
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (.+?), this page \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(table) == 2
    for name, plain, balanced in table:
        kind = name.split()[0]
        assert float(printed[f"{kind}, class_weight=None"]) == pytest.approx(float(plain), abs=0.002)
        assert float(printed[f"{kind}, class_weight=balanced"]) == pytest.approx(float(balanced), abs=0.002)


def test_outputs_are_compared_but_for_what_varies():
    same = run_docs.same
    assert same("100 texts in 1.7 s", "100 texts in 12 s")
    assert not same("100 texts in 1.7 s", "101 texts in 1.7 s")
    assert same("F1 0.764", "F1 0.765")
    assert not same("F1 0.764", "F1 0.774")
    assert same("a    F1  seconds\n────\nb   0.5      1.0\n", "a    F1  seconds\n────\nb   0.5     22.0\n")
    assert not same("a    F1  seconds\n────\nb   0.5      1.0", "a    F1  seconds\n────\nb   0.7      1.0")


def test_output_is_written_below_its_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    code = "```python\nfor i in range(9):\n    print(i)\n```\n"
    page.write_text(f"{code}\n```text\nold\n```\n\n<!-- output: 2 lines -->\n{code}\n<!-- not run: why -->\n{code}")
    shown = "\n".join(str(i) for i in range(9))
    assert run_docs.run_page(page) == (
        f"{code}\n```text\n{shown}\n```\n\n<!-- output: 2 lines -->\n{code}\n```text\n0\n1\n…\n```\n"
        f"\n<!-- not run: why -->\n{code}"
    )


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
    pages = make_docs().command_pages()
    for name, page in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, f"{name}: run python dev/make_docs.py"
    assert {f"commands/{path.name}" for path in ROOT.glob("docs/commands/*.md")} == set(pages) - {"commands.md"}


def test_the_page_of_checkpoints_is_the_catalogue():
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    assert page == make_docs().checkpoint_page(), "run: python dev/make_docs.py"


def test_every_command_explains_itself_with_an_example():
    for name, command in commands().items():
        assert f"Example:  {name}" in command.help, name
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, f"{name} {parameter.name}"


def test_the_changelog_names_every_command():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in commands():
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


def options_of(command):
    options = (p for p in command.params if p.param_type_name == "option")
    return {name: option for option in options for name in (*option.opts, *option.secondary_opts)}


def parse(words):
    """Assert that the command which the words after `elmokit` name exists, and so do its options and choices."""
    words = [word for word in words if word not in ("--quiet", "-q", "--debug")]
    if words in (["classify"], ["pairs"], ["tag"], ["index"]):
        return
    n = next((n for n in (2, 1) if " ".join(["elmokit", *words[:n]]) in commands()), None)
    assert n, f"no such command: elmokit {' '.join(words)}"
    command = commands()[" ".join(["elmokit", *words[:n]])]
    options = options_of(command)
    for word, value in zip(words[n:], [*words[n + 1 :], ""], strict=False):
        if word.startswith("-") and word != "-" and not word[1:].isdigit():
            name, _, given = word.partition("=")
            assert name in (*options, "--quiet", "-q", "--debug", "--help"), f"{' '.join(words)}: no option {name}"
            choices = getattr(getattr(options.get(name), "type", None), "choices", None)
            if choices and (given or value):
                assert (given or value).strip(".,") in choices, f"{' '.join(words)}: {name} takes {choices}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_commands_in_blocks_and_prose_exist(page):
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:console|bash)\n(.*?)```", text, re.DOTALL):
        for words in run_docs.find_commands(block):
            parse(words)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    known = {name for command in commands().values() for name in options_of(command)}
    for script in ROOT.glob("benchmarks/*.py"):
        known |= set(re.findall(r"add_argument\(\s*\"(--[\w-]+)", script.read_text(encoding="utf-8")))
    for code in CODE.findall(prose):
        words = code.replace("…", " ").split()
        if words[:1] == ["elmokit"] and len(words) > 1 and not words[1].startswith("-"):
            parse(shlex.split(" ".join(words[1:]).replace("'", '"')))
        elif words and words[0].startswith("--"):
            assert words[0].partition("=")[0].strip(",.") in known | OTHER_TOOLS | {"--quiet", "--debug"}, code


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "changes.md"], ids=lambda p: f"{p.parent.name}-{p.name}"
)
def test_names_in_prose_exist(page):
    """`elmokit.tasks.fit` and `Elmo.encode` can be imported, unless their library is missing."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for code in CODE.findall(prose):
        match = re.match(
            r"((?:elmokit|Elmo|Features|TextClassifier|SentencePairs|Tagger|LanguageModel|WordIndex)(?:\.\w+)+)", code
        )
        if match and not code.endswith((".py", ".md")):
            name = match[1] if match[1].startswith("elmokit") else f"elmokit.{match[1]}"
            assert resolves(name), code


def resolves(name):
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("elmokit"):
                return True  # an optional library
            continue
        except ImportError:
            return True
        return functools.reduce(lambda v, part: getattr(v, part, None), parts[n:], value) is not None
    return False


def test_the_image_starts_a_command_that_exists():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    program, *words = json.loads(re.search(r"^ENTRYPOINT (.+)$", lines, re.MULTILINE)[1])
    assert program == "elmokit"
    parse(words)
    extras = re.search(r'"\$wheel\[(\w+)\]"', lines)[1]
    assert extras in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_old_spellings_of_options_still_work():
    page = (ROOT / "docs" / "changes.md").read_text(encoding="utf-8")
    table = page.partition("## Command line")[2].partition("## Python")[0]
    known = {name for command in commands().values() for name in options_of(command)}
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)[2:]
    for old, new in rows:
        for name in re.findall(r"`(--?[\w-]+)`", old if "removed" not in new else ""):
            assert name in known, f"{name} is said to work still"
        for name in re.findall(r"`(--?[\w-]+)`", new):
            assert name in known, name
