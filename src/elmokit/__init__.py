"""elmokit: contextual vectors of whole words from character-level biLMs (ELMo, Peters et al. 2018).

    texts ──────▶ words ──────────▶ character ids ──▶ layers (L, T, 2P) ──▶ vectors ──────▶ answers
            text.tokens      text.char_ids      runtime │            runtime.pooling     tasks
                                                        │
    files ──────▶ Checkpoint(config, tensors) ──────────┘              Elmo joins all of this: start in elmo.py
            checkpoints             ▲
    corpus ─────────────────────────┘
            data, training (nn)

Names are loaded when they are first used, so `import elmokit` costs next to nothing.

Example:
    ``Elmo.load().encode(["Stick to your plan.", "The stick broke."])``
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elmokit.checkpoints import Checkpoint
    from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig, LayerMix
    from elmokit.elmo import Elmo
    from elmokit.encoding import Encoding
    from elmokit.errors import ElmoKitError
    from elmokit.features import Features, WordVectors
    from elmokit.index import WordIndex
    from elmokit.runtime import State
    from elmokit.tasks.classify import MultiLabelClassifier, TextClassifier
    from elmokit.tasks.language_model import LanguageModel
    from elmokit.tasks.pairs.classifier import SentencePairs
    from elmokit.tasks.tagging.tagger import Tagger
    from elmokit.tasks.vectorizer import ElmoVectorizer

__version__ = "0.1.0"

__all__ = ["BiLSTMConfig", "CharCNNConfig", "Checkpoint", "Elmo", "ElmoConfig", "ElmoKitError", "ElmoVectorizer"]
__all__ += ["Encoding", "Features", "LanguageModel", "LayerMix", "MultiLabelClassifier", "SentencePairs", "State"]
__all__ += ["Tagger", "TextClassifier", "WordIndex", "WordVectors", "__version__"]

_EXPORTS = {
    "checkpoints": ["Checkpoint"],
    "config": ["BiLSTMConfig", "CharCNNConfig", "ElmoConfig", "LayerMix"],
    "elmo": ["Elmo"],
    "encoding": ["Encoding"],
    "errors": ["ElmoKitError"],
    "features": ["Features", "WordVectors"],
    "index": ["WordIndex"],
    "runtime": ["State"],
    "tasks.classify": ["MultiLabelClassifier", "TextClassifier"],
    "tasks.language_model": ["LanguageModel"],
    "tasks.pairs.classifier": ["SentencePairs"],
    "tasks.tagging.tagger": ["Tagger"],
    "tasks.vectorizer": ["ElmoVectorizer"],
}
_HOMES = {name: f"elmokit.{module}" for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'elmokit' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
