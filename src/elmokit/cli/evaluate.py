"""`elmokit evaluate`: a model over the standard sets → a table and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.evaluation import Evaluation
    from elmokit.evaluation.encoders import Encoder


def evaluate(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="The folder with the sets, each in a folder of its name.")],
    model: options.Model = "default",
    sets: Annotated[str, typer.Option(help='Names with commas, as in "tweets,MR,WiC"; all if not given.')] = "",
    json_file: Annotated[str | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    pooling: options.Pooling = "mean",
    layers: options.Layers = "all",
    balance: Annotated[bool, typer.Option(help="Give rare classes more weight (SentEval does not).")] = False,
    baseline: Annotated[bool, typer.Option(help="Show TF-IDF beside.")] = True,
    sentence_transformers: Annotated[
        list[str] | None,
        typer.Option("--sentence-transformers", help="A model folder to show beside; may be repeated."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A text file to give the perplexity of; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
) -> None:
    """Run a model over the standard sets, beside baselines and published figures.

    Logistic regression on frozen vectors, as SentEval does it; figures in per cent. The files that are
    expected are listed in the documentation of elmokit.evaluation.sets; missing sets are named.

    Example:  elmokit evaluate --data ../shared/data --sets tweets,MR,TREC --json out.json
    """
    from elmokit import evaluation
    from elmokit.elmo import Elmo

    screen: Screen = ctx.obj
    names = [name.strip() for name in sets.split(",") if name.strip()] or None
    encoders: list[Encoder] = [
        evaluation.ElmoEncoder(Elmo.load(model), pooling=pooling, layers=options.parse_layers(layers))
    ]
    encoders += [evaluation.SentenceTransformersEncoder(folder) for folder in sentence_transformers or ()]
    encoders += [evaluation.TfidfEncoder()] if baseline else []
    with screen.progress() as advance:
        found = evaluation.evaluate(
            encoders,
            data,
            sets=names,
            class_weight="balanced" if balance else None,
            seed=seed,
            on_stage=advance,
        )
    perplexities = _perplexities(model, text or ())
    _show(screen, found, perplexities)
    if json_file is not None:
        facts = {"model": model, "pooling": pooling, "layers": layers, **found.to_dict(), "perplexity": perplexities}
        _write(json_file, facts)


def _perplexities(model: str, files: Any) -> dict[str, dict[str, float]]:
    if not files:
        return {}
    from dataclasses import asdict

    from elmokit import checkpoints
    from elmokit.elmo import EMBEDDED
    from elmokit.evaluation.perplexity import perplexity

    checkpoint = checkpoints.load(EMBEDDED if model == "default" else model)
    return {file: asdict(perplexity(checkpoint, file)) for file in files}


def _show(screen: Screen, found: Evaluation, perplexities: dict[str, dict[str, float]]) -> None:
    from rich.table import Table

    from elmokit.evaluation import SETS

    table = Table(title="per cent; [M] published figure from memory, not verified; [V2] seen in a second listing")
    for column in ("set", "metric"):
        table.add_column(column)
    for encoder in found.encoders:
        table.add_column(encoder, justify="right")
    table.add_column("ELMo, published", justify="right")
    shown = {result.set for result in found.results}
    for one in SETS:
        if one.name in shown:
            values = [found.value(one.name, encoder) for encoder in found.encoders]
            published = "" if one.published is None else f"{one.published.value:.1f} [{one.published.mark}]"
            table.add_row(one.name, one.metric, *("–" if v is None else f"{v:.1f}" for v in values), published)
    if shown:
        screen.table(table)
    for skipped in found.skipped:
        who = f" ({skipped.encoder})" if skipped.encoder else ""
        screen.say(f"skipped: {skipped.set}{who}: {skipped.reason}")
    for file, figures in perplexities.items():
        screen.say(
            f"{file}: perplexity {figures['mean']:.1f} (forward {figures['forward']:.1f}, backward"
            f" {figures['backward']:.1f}), {figures['n_words']:,} words, {100 * figures['unknown']:.1f} % unknown"
        )


def _write(path: str, value: Any) -> None:
    import json

    from elmokit.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
