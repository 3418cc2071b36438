"""How commands declare their options: one by one in a signature, or in dataclasses that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer
from typer.core import TyperCommand

_SHOWN = {int: "N", float: "NUMBER", str: "TEXT"}  # options without a metavar
_EMPTY = inspect.Parameter.empty
F = TypeVar("F", bound=Callable[..., Any])


def option(default: Any, help: str, *names: str, **settings: Any) -> Any:
    """Declare an option: its default (... if it is required), its help, and its names if not that of the parameter."""
    return _declared(default, typer.Option(*names, help=help, **settings))


def argument(metavar: str, help: str = "", default: Any = ...) -> Any:
    """Declare an argument by its place on the command line."""
    return _declared(default, typer.Argument(metavar=metavar, help=help or None))


def _declared(default: Any, info: Any) -> Any:
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata={"declared": info})
    return field(default=MISSING if default is ... else default, metadata={"declared": info})


class Commands(typer.Typer):
    """A typer app whose commands may take dataclasses of options (see `elmokit.cli.options`).

    Every field of such a parameter becomes an option; those that a class with `shown_last` declares come last in the
    help. A default of the parameter replaces the defaults of the fields. A command that needs arguments prints its help
    if it gets none.
    """

    def __init__(self, help: str, **settings: Any) -> None:
        super().__init__(help=help, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """Register a function as a command; see `typer.Typer.command`."""
        register = super().command

        def decorate(function: F) -> F:
            flat = with_flat_options(function)
            parameters = inspect.signature(flat).parameters.values()
            needs_some = any(one.default is _EMPTY for one in parameters)
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
    groups: dict[str, type] = {}
    flat: list[inspect.Parameter] = []
    last: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            groups[name] = hint
            of_fields = get_type_hints(hint, include_extras=True)
            for one in fields(hint):
                home = next(kind for kind in reversed(hint.__mro__) if one.name in inspect.get_annotations(kind))
                place = last if "shown_last" in vars(home) else flat
                default = getattr(parameter.default, one.name, _EMPTY)
                place.append(_parameter(one.name, of_fields[one.name], one, default))
        else:
            flat.append(_parameter(name, hint, parameter.default))

    @functools.wraps(function)
    def call(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
        return function(**values)

    flat += last
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call


def _parameter(name: str, hint: Any, declared: Any, default: Any = _EMPTY) -> inspect.Parameter:
    """A parameter for typer; `declared` is a plain default, or what `option` and `argument` return."""
    if isinstance(declared, Field):
        hint = Annotated[hint, declared.metadata["declared"]] if declared.metadata else hint
        factory = declared.default_factory
        declared = declared.default if factory is MISSING else factory()
        declared = _EMPTY if declared is MISSING else declared
    kind, *infos = get_args(hint) if get_args(hint)[1:] else (hint,)
    for info in infos:
        if isinstance(info, typer.models.OptionInfo) and info.metavar is None:
            info.metavar = next((text for of, text in _SHOWN.items() if of in (kind, *get_args(kind))), None)
    default = declared if default is _EMPTY else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
