"""`evaluate`: every encoder over every set that is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elmokit.errors import InputError, MissingFile
from elmokit.evaluation.encoders import Encoder
from elmokit.evaluation.examples import Pairs, Texts
from elmokit.evaluation.protocols import Figures, judge_pairs, judge_texts, judge_words
from elmokit.evaluation.sets import EvaluationSet, Examples, choose_sets
from elmokit.tasks.logistic import ClassWeight

OnStage = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One figure of the table.

    Args:
        set: name of the set.
        encoder: name of the encoder.
        metric: of `value`.
        value: the figure, in per cent.
        values: other figures by metric, `value` included.
        n_examples: of the set.
        n_test: examples judged.
        chosen: what was chosen inside the training part.
        seconds: encoding and learning.
    """

    set: str
    encoder: str
    metric: str
    value: float
    values: Mapping[str, float]
    n_examples: int
    n_test: int
    chosen: Mapping[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Skipped:
    """A set that was not run, and why. `encoder` is "" where it was not run for any."""

    set: str
    encoder: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Args:
        encoders: names of the encoders, in their order.
        results: in the order of the sets.
        skipped: what was not run.
        class_weight: of the classifiers.
        seed: of the folds.
    """

    encoders: tuple[str, ...]
    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...]
    class_weight: ClassWeight
    seed: int

    def value(self, set: str, encoder: str) -> float | None:
        """One figure, or None where there is none."""
        return next((r.value for r in self.results if (r.set, r.encoder) == (set, encoder)), None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values, with the published figures and their sources beside."""
        names = {result.set for result in self.results}
        published = {
            s.name: {**asdict(s.published), "metric": s.metric, "note": s.note}
            for s in choose_sets(None)
            if s.published is not None and s.name in names
        }
        return {**asdict(self), "published": published}


def evaluate(
    encoders: Sequence[Encoder],
    folder: str | Path,
    *,
    sets: Sequence[str] | None = None,
    class_weight: ClassWeight = None,
    seed: int = 0,
    on_stage: OnStage | None = None,
    on_result: Callable[[Result], None] | None = None,
) -> Evaluation:
    """Run encoders over the standard sets.

    Args:
        encoders: the models and baselines.
        folder: of the sets; see `elmokit.evaluation.sets` for the files.
        sets: names of sets; None for all.
        class_weight: of the classifiers: None as in SentEval, "balanced" weighs rare classes more.
        seed: of the folds.
        on_stage: called with what is being done, steps done and steps in all.
        on_result: called with each result when it is there.

    Returns:
        the results, and what was skipped.

    Raises:
        ConfigError: a set that is not known.
        MissingFile: the folder is not there.

    Example:
        ``evaluate([ElmoEncoder(Elmo.load()), TfidfEncoder()], "data", sets=["MR", "TREC"])``
    """
    if not Path(folder).is_dir():
        raise MissingFile(f"{folder}: no such folder; expected the folder with the evaluation sets.")
    chosen = list(choose_sets(sets))
    results: list[Result] = []
    skipped: list[Skipped] = []
    tell = on_stage or (lambda _what, _done, _total: None)
    for number, one in enumerate(chosen):
        try:
            examples = one.read(Path(folder))
        except (MissingFile, InputError) as error:
            skipped.append(Skipped(one.name, "", str(error)))
            continue
        for place, encoder in enumerate(encoders):
            tell("evaluating", number * len(encoders) + place, len(chosen) * len(encoders))
            start = time.perf_counter()
            figures = _judged(one, encoder, examples, class_weight, seed)
            if figures is None:
                skipped.append(Skipped(one.name, encoder.name, "it has no vectors of words in their context"))
                continue
            results.append(_result(one, encoder, examples, figures, time.perf_counter() - start))
            if on_result is not None:
                on_result(results[-1])
    names = tuple(encoder.name for encoder in encoders)
    return Evaluation(names, tuple(results), tuple(skipped), class_weight, seed)


def _judged(
    one: EvaluationSet, encoder: Encoder, examples: Examples, class_weight: ClassWeight, seed: int
) -> Figures | None:
    if isinstance(examples, Texts):
        return judge_texts(encoder, examples, n_folds=one.n_folds, class_weight=class_weight, seed=seed)
    if isinstance(examples, Pairs):
        return judge_pairs(encoder, examples, class_weight=class_weight, seed=seed)
    return judge_words(encoder, examples)


def _result(one: EvaluationSet, encoder: Encoder, examples: Examples, figures: Figures, seconds: float) -> Result:
    return Result(
        set=one.name,
        encoder=encoder.name,
        metric=one.metric,
        value=round(figures.values[one.metric], 2),
        values={name: round(value, 2) for name, value in figures.values.items()},
        n_examples=len(examples.targets),
        n_test=figures.n_test,
        chosen=figures.chosen,
        seconds=round(seconds, 1),
    )
