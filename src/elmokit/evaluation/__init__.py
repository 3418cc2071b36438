"""The standard sets → a table: how good a model's vectors are, beside baselines and published figures.

    folder of sets ─ sets.SETS (which files, which reader) ─▶ examples ─ encoder ─▶ vectors ─ protocol ─▶ a figure

Start with `evaluate`. The sets are not ours and are not shipped: give the folder they lie in (docs of the files in
`elmokit.evaluation.sets`); those that are missing are named as skipped, with the reason.
"""

from __future__ import annotations

from elmokit.evaluation.encoders import ElmoEncoder, SentenceTransformersEncoder, TfidfEncoder
from elmokit.evaluation.run import Evaluation, Result, Skipped, evaluate
from elmokit.evaluation.sets import SETS, EvaluationSet

__all__ = [
    "SETS",
    "ElmoEncoder",
    "Evaluation",
    "EvaluationSet",
    "Result",
    "SentenceTransformersEncoder",
    "Skipped",
    "TfidfEncoder",
    "evaluate",
]
