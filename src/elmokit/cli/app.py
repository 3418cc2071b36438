"""The tree of commands, and how they declare options: one by one, or in dataclasses that several commands share."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from importlib import import_module
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer
from typer.core import TyperCommand

import elmokit

_MODULES = {
    "embed": "embed clean",
    "train": "train tune",
    "index": "senses shift",
    "score": "score fill substitutes",
    "similar": "similar duplicates cluster map summarise summarize answer",
    "info": "info convert push examples",
    "serve": "explore serve",
}
"""Modules and their commands."""
_GROUPS = ("classify", "pairs", "tag", "index")  # modules whose commands have two words
_COMMANDS = {name: module for module, names in _MODULES.items() for name in names.split()}
_FUNCTIONS = {"map": "map_texts", "summarize": "summarise"}  # where a function has another name; American spelling
_SHOWN = {int: "N", float: "NUMBER", str: "TEXT"}  # options without a metavar
_EMPTY = inspect.Parameter.empty
F = TypeVar("F", bound=Callable[..., Any])


def option(default: Any, help: str, *names: str, **settings: Any) -> Any:
    """Declare an option: its default (... if it is required), its help, and its names if not that of the parameter."""
    declared = typer.Option(*names, help=help, **settings)
    return field(default=MISSING if default is ... else default, metadata={"declared": declared})


def argument(metavar: str, help: str = "", default: Any = ...) -> Any:
    """Declare an argument by its place on the command line."""
    declared = typer.Argument(metavar=metavar, help=help or None)
    return field(default=MISSING if default is ... else default, metadata={"declared": declared})


class Commands(typer.Typer):
    """A typer app whose commands may take dataclasses of options (see `elmokit.cli.options`).

    Every field of such a parameter becomes an option; those that a class with `shown_last` declares come last in the
    help. A default of the parameter replaces the defaults of the fields.
    """

    def __init__(self, help: str, **settings: Any) -> None:
        super().__init__(help=help, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """Register a function as a command; see `typer.Typer.command`."""
        register = super().command

        def decorate(function: F) -> F:
            flat = with_flat_options(function)
            needs_some = any(one.default is _EMPTY for one in inspect.signature(flat).parameters.values())
            register(name, cls=_Command, no_args_is_help=needs_some, **settings)(flat)
            return function

        return decorate


class _Command(TyperCommand):
    """Shows an argument in usage and help as FILE; newer versions of typer write {FILE} and FILE <str>."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        arguments = [one for one in self.params if one.param_type_name == "argument"]
        return ["[OPTIONS]", *(f"{one.metavar}" if one.required else f"[{one.metavar}]" for one in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for kind in ("argument", "option"):
            shown = [one for one in self.get_params(ctx) if one.param_type_name == kind]
            records = [(one.metavar, record) for one in shown if (record := one.get_help_record(ctx))]
            if records:
                with formatter.section(f"{kind.title()}s"):
                    formatter.write_dl([(name if kind == "argument" else of, help) for name, (of, help) in records])


def with_flat_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of single options that calls `function` with its dataclasses."""
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    flat: list[inspect.Parameter] = []
    last: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in groups:
            flat.append(_parameter(name, hints[name], parameter.default))
            continue
        of_fields = get_type_hints(groups[name], include_extras=True)
        for one in fields(groups[name]):
            home = next(kind for kind in reversed(groups[name].__mro__) if one.name in inspect.get_annotations(kind))
            default = getattr(parameter.default, one.name, _EMPTY)
            place = last if "shown_last" in vars(home) else flat
            place.append(_parameter(one.name, of_fields[one.name], one, default))

    @functools.wraps(function)
    def call(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
        return function(**values)

    call.__signature__ = inspect.Signature(flat + last)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat + last}
    return call


def _parameter(name: str, hint: Any, declared: Any, default: Any = _EMPTY) -> inspect.Parameter:
    """A parameter for typer; `declared` is a plain default, or what `option` and `argument` return."""
    if isinstance(declared, Field):
        hint = Annotated[hint, declared.metadata["declared"]] if declared.metadata else hint
        declared = _EMPTY if declared.default is MISSING else declared.default
    kind, *infos = get_args(hint) if get_args(hint)[1:] else (hint,)
    for info in infos:
        if isinstance(info, typer.models.OptionInfo) and info.metavar is None:
            info.metavar = next((text for of, text in _SHOWN.items() if of in (kind, *get_args(kind))), None)
    default = declared if default is _EMPTY else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(elmokit.__version__)
        raise typer.Exit


_Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


def _program(version: _Version = False) -> None:
    """Options of the program itself."""


def build(arguments: Sequence[str] = ()) -> Commands:
    """Build the app with the command that `arguments` begin with; with all commands if they begin with none.

    Declaring a command costs more than parsing it, so the others are left out.
    """
    app = Commands(
        "Contextual word vectors (ELMo) and what people do with them, offline, with a model inside.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Every command takes --quiet or -q (print results and errors only) and --debug (show tracebacks)."
        " Example: elmokit info",
    )
    app.callback()(_program)
    names = [*_GROUPS, *_COMMANDS]
    for name in [name for name in names if name in arguments[:1]] or names:
        if name in _GROUPS:
            app.add_typer(import_module(f"elmokit.cli.{name}").app, name=name)
        else:
            command = getattr(import_module(f"elmokit.cli.{_COMMANDS[name]}"), _FUNCTIONS.get(name, name))
            app.command(name, hidden=name == "summarize")(command)
    return app
