"""How commands declare their options: one by one in a signature, or in dataclasses that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from elmokit.cli.screen import Screen

_SHOWN = {int: "N", float: "NUMBER", str: "TEXT"}
"""How the types of options without a metavar are shown."""

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
    """A typer app whose commands may take a `Screen` and dataclasses of options (see `elmokit.cli.options`).

    Every field of such a parameter becomes an option. A default of the parameter replaces the defaults of the fields.
    """

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """Register a function as a command; see `typer.Typer.command`."""
        register = super().command(name, **settings)

        def decorate(function: F) -> F:
            register(with_flat_options(function))
            return function

        return decorate


def with_flat_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of typer's context and single options that calls `function` with its screen and its dataclasses."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    flat: list[inspect.Parameter] = []

    def add(name: str, hint: Any, default: Any) -> None:
        if isinstance(default, Field):
            hint, default = Annotated[hint, default.metadata["declared"]], _default(default)
        kind, *infos = get_args(hint) if get_args(hint)[1:] else (hint,)
        for info in infos:
            if isinstance(info, typer.models.OptionInfo) and info.metavar is None:
                shown = (text for of, text in _SHOWN.items() if of in (kind, *get_args(kind)))
                info.metavar = next(shown, None)
        flat.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))

    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name, Any)
        if hint is Screen:
            add("ctx", typer.Context, inspect.Parameter.empty)
        elif isinstance(hint, type) and is_dataclass(hint):
            groups[name] = hint
            of_fields = get_type_hints(hint, include_extras=True)
            for one in fields(hint):
                info = one.metadata.get("declared")
                shown = Annotated[of_fields[one.name], info] if info is not None else of_fields[one.name]
                default = parameter.default
                add(one.name, shown, _default(one) if default is parameter.empty else getattr(default, one.name))
        else:
            add(name, hint, parameter.default)

    @functools.wraps(function)
    def call(**values: Any) -> Any:
        if "ctx" in values:
            values["screen"] = values.pop("ctx").obj
        for name, group in groups.items():
            values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
        return function(**values)

    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call


def _default(one: Field[Any]) -> Any:
    if one.default is not MISSING:
        return one.default
    return inspect.Parameter.empty if one.default_factory is MISSING else one.default_factory()
