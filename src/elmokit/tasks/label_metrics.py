"""`LabelMetrics`: how well one class, label or kind of span is recognised."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """Precision, recall, F1 (0 where undefined) and number of true rows or spans of a label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
