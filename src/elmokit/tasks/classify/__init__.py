"""Text classification (extra `tasks`): classifiers for one or several labels per text, their report, their files."""

from pathlib import Path
from typing import Any

from elmokit.encoding import Encoder
from elmokit.errors import needing

with needing("scikit-learn", "tasks", "text classification"):
    import sklearn  # noqa: F401

from elmokit.tasks.classify.classifier import MultiLabelClassifier as MultiLabelClassifier
from elmokit.tasks.classify.classifier import TextClassifier as TextClassifier
from elmokit.tasks.classify.saved import is_multi_label


def load_any(folder: str | Path, elmo: Encoder | None = None) -> Any:
    """Read a classifier of either kind."""
    kind = MultiLabelClassifier if is_multi_label(folder) else TextClassifier
    return kind.load(folder, elmo)
