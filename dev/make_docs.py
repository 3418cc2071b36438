"""Write the parts of the documentation that follow from the code: a tree in CONTRIBUTING.md and pages in docs/.

`python dev/make_docs.py` after a file, a module docstring or a command's option has changed; tests/test_docs.py fails
until it was run.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import elmokit

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(elmokit.__file__).parent
COMMANDS_INTRODUCTION = """\
# Commands

Every command takes `--quiet` or `-q` (print results and errors only) and `--debug` (show tracebacks). Exit codes: 0
success, 1 an error with a message, 2 a wrong command line, 130 Ctrl-C. `python dev/make_docs.py` makes these pages."""
CHECKPOINTS_INTRODUCTION = """\
ELMo checkpoints that others published (`python dev/make_docs.py` makes this page from `dev/families.json`).
Addresses are those of the named source and may have changed. Licences are those stated for the weights, not for the
code around them; where it says "not stated", ask the publisher. No publisher gives checksums, so downloads cannot be
verified: `elmokit info` shows the SHA-256 and says "not verified". The tests read each *format* from small models; the
full-size files were not downloaded for this page."""
TREE = re.compile(r"(?<=<!-- tree: made by dev/make_docs.py -->\n```text\n).*?(?=```\n<!-- /tree -->)", re.DOTALL)


def file_tree() -> str:
    """The package's files, each with the first sentence of its docstring."""
    lines = ["src/elmokit/"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda p: (p.parent.parts, p.name != "__init__.py", p.name)):
        if PACKAGE / "examples" in path.parents:  # sample files for users, in a wheel
            continue
        parts = path.relative_to(PACKAGE).parts
        if parts[-1] == "__init__.py" and len(parts) > 1:
            lines.append(f"{'  ' * (len(parts) - 1)}{parts[-2] + '/':<{26 - 2 * len(parts)}}{purpose(path)}")
        else:
            lines.append(f"{'  ' * len(parts)}{parts[-1]:<{24 - 2 * len(parts)}} {purpose(path)}")
    return "\n".join(lines) + "\n"


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;") if len(text) > 90 else text.rstrip(".:;")


def commands() -> dict[str, object]:
    """Every command of the command line by its whole name."""
    typer_main = importlib.import_module("typer.main")
    app = importlib.import_module("elmokit.cli.app").build()

    def walk(command: object, name: str) -> dict[str, object]:
        children = getattr(command, "commands", None)
        if children is None:
            return {name: command}
        return {
            n: c
            for key in sorted(children)
            if not children[key].hidden
            for n, c in walk(children[key], f"{name} {key}").items()
        }

    return walk(typer_main.get_command(app), "elmokit")


def command_pages() -> dict[str, str]:
    """The pages of the commands by name: an overview, and one page for each command or group of commands."""
    rows, pages = [], {}
    for name, command in commands().items():
        group = name.split()[1]
        path = f"commands/{'word-index' if group == 'index' else group}.md"  # index.md would be the overview's address
        purpose = " ".join((command.help or "").strip().split("\n\n")[0].split())
        anchor = "" if len(name.split()) == 2 else "#" + name.replace(" ", "-")
        rows.append(f"| [`{name}`]({path}{anchor}) | {purpose.replace('|', '/')} |")
        page = pages.setdefault(path, [f"# elmokit {group}"])
        if len(name.split()) > 2:
            page += ["", f"## {name}"]
        page += ["", *_paragraphs(command.help or ""), "", "| argument | meaning |", "|---|---|"]
        page += [_row(parameter) for parameter in command.params]
    overview = [*COMMANDS_INTRODUCTION.splitlines(), "", "| command | what it does |", "|---|---|", *rows]
    return {"commands.md": "\n".join(overview) + "\n"} | {n: "\n".join(lines) + "\n" for n, lines in pages.items()}


def _paragraphs(text: str) -> list[str]:
    text, _, example = text.partition("Example:")
    lines = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    joined = "\n\n".join(line for line in lines if line).split("\n")
    return [*joined, "", "```console", " ".join(example.split()), "```"] if example else joined


def _row(parameter: object) -> str:
    names = parameter.opts + parameter.secondary_opts
    shown = names if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]
    default = parameter.default
    told = "" if default is None or default in ("", False, [], ()) or callable(default) else f" (`{default}`)"
    required = " (required)" if parameter.required and parameter.param_type_name == "option" else ""
    meaning = (getattr(parameter, "help", None) or "").replace("|", "\\|")
    return f"| {', '.join(f'`{name}`' for name in shown)} | {meaning}{required}{told} |".replace("`-", "`-")


def checkpoint_page() -> str:
    """docs/checkpoints.md: every published family that was seen, and the names of the catalogue."""
    catalogue = importlib.import_module("elmokit.checkpoints.fetching")
    titles = {form.name: form.title for form in importlib.import_module("elmokit.checkpoints").FORMATS}
    lines = [
        "# Published checkpoints",
        "",
        *CHECKPOINTS_INTRODUCTION.splitlines(),
        "",
        "| models | languages | address, as last seen | format | licence | command |",
        "|---|---|---|---|---|---|",
    ]
    for family in json.loads((ROOT / "dev" / "families.json").read_text("utf-8")):
        address = family["address"]
        if address.startswith("http") and " " not in address:
            address = f"<{address}>"
        form = titles.get(family["format"], "not seen")
        cells = [family["title"], family["languages"], f"{address} ({family['seen']})", form, family["licence"]]
        lines.append(f"| {' | '.join(cells)} | `{family['command']}` |")
    lines += ["", "By name, without an address:", "", "| name | model | language | about |", "|---|---|---|---|"]
    for model in catalogue.CATALOGUE:
        lines.append(f"| `{model.name}` | {model.title} | {model.language or 'none'} | {model.megabytes} MB |")
    lines.append("| `nlpl:NUMBER` | that number of the NLPL repository | many | |")
    lines.append("| `hf:USER/MODEL` | a repository of the Hugging Face Hub | | |")
    return "\n".join(lines) + "\n"


def with_tree(text: str) -> str:
    """CONTRIBUTING.md with the tree as it is now."""
    assert TREE.search(text), "CONTRIBUTING.md has lost the marks of its tree"
    return TREE.sub(lambda _: file_tree(), text)


if __name__ == "__main__":
    guide = ROOT / "CONTRIBUTING.md"
    guide.write_text(with_tree(guide.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs" / "commands").mkdir(exist_ok=True)
    for name, page in command_pages().items():
        (ROOT / "docs" / name).write_text(page, encoding="utf-8")
    (ROOT / "docs" / "checkpoints.md").write_text(checkpoint_page(), encoding="utf-8")
