"""Text classification (extra `tasks`): classifiers for one or several labels per text, their report, their files."""

from elmokit.errors import MissingExtra

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise MissingExtra("scikit-learn", "tasks", "text classification") from error

from elmokit.tasks.classify.classifier import TextClassifier as TextClassifier
from elmokit.tasks.classify.multilabel import MultiLabelClassifier as MultiLabelClassifier
