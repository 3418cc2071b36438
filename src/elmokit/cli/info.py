"""`elmokit info`: what a model, or a saved classifier, is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def info(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="\"default\", a checkpoint's folder, or a saved classifier's.")
    ] = "default",
) -> None:
    """Show what a model or a saved classifier is made of.

    Example:  elmokit info
    """
    screen: Screen = ctx.obj
    if (Path(model) / "classifier.json").is_file():
        _print(screen, _of_classifier(model))
    else:
        _print(screen, _of_model(model))


def _of_model(model: str) -> dict[str, Any]:
    from elmokit import __version__
    from elmokit.checkpoints import detect
    from elmokit.elmo import Elmo
    from elmokit.runtime.kernels import computed_by

    elmo = Elmo.load(model)
    config = elmo.config
    return {
        "model": elmo.name,
        **({} if model == "default" else {"format": detect(model).title}),
        "parameters": f"{config.n_params:,}",
        "numbers per word": f"{elmo.dim} in each of {elmo.n_layers} layers",
        "words are read as": "whole words" if config.char_cnn is None else "characters",
        "tokenizer": config.tokenizer,
        "computed by": computed_by(),
        "elmokit": __version__,
        **_flat(elmo.metadata),
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Facts within facts as lines of their own; what is no number or short text is left to the model card."""
    lines: dict[str, str] = {}
    for name, value in facts.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            lines.update(_flat(value, f"{label}, "))
        elif isinstance(value, str | int | float) and len(str(value)) <= 200:
            lines[label] = (
                f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            )
    return lines


def _of_classifier(folder: str) -> dict[str, Any]:
    from elmokit.tasks.classify import read_classifier_config

    config = read_classifier_config(folder)
    facts = {
        "classifier": folder,
        "made with": config["model"]["name"],
        "classes": ", ".join(str(label) for label in config["classes"][:20]),
        "pooling": config["pooling"],
        "layers": config["layers"],
        "cleaning": ", ".join(config["cleaning"]) or "none",
        "columns": ", ".join(
            f"{role} {config['facts'][role]!r}" for role in ("text", "label") if role in config["facts"]
        ),
    }
    report = config["facts"].get("report")
    if report:
        scores = report["entries"][0]["held_out"]
        facts["held out"] = f"weighted F1 {scores['weighted_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
    return facts


def _print(screen: Screen, facts: dict[str, Any]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        screen.say(f"{name.ljust(width)}  {value}")
