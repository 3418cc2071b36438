"""Groups of options: a command takes a dataclass, the command line shows its fields as options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

import typer

_SHOWN = {int: "N", float: "NUMBER", str: "TEXT"}
"""How the types of options without a metavar are shown."""

F = TypeVar("F", bound=Callable[..., Any])


class Commands(typer.Typer):
    """A typer app whose commands may take dataclasses of options (see `elmokit.cli.options`).

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
    """A function of single options that calls `function` with its dataclasses."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name, Any)
        if not is_dataclass(hint) or not isinstance(hint, type):
            flat.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))
            continue
        groups[name] = hint
        field_hints = get_type_hints(hint, include_extras=True)
        for field in fields(hint):
            default = field.default if parameter.default is parameter.empty else getattr(parameter.default, field.name)
            flat.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if default is MISSING else default,
                    annotation=field_hints[field.name],
                )
            )

    @functools.wraps(function)
    def call(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return function(**values)

    for parameter in flat:
        _, *settings = get_args(parameter.annotation) or (None,)
        for setting in settings:
            if isinstance(setting, typer.models.OptionInfo) and setting.metavar is None:
                kinds = {*get_args(get_args(parameter.annotation)[0]), get_args(parameter.annotation)[0]}
                setting.metavar = next((text for kind, text in _SHOWN.items() if kind in kinds), None)
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call
