"""The biLM as a language model: surprisal and perplexity of texts, words for gaps, substitutes."""

from elmokit.tasks.language_model.model import LanguageModel
from elmokit.tasks.language_model.predictions import Candidate, Substitute, Surprisal

__all__ = ["Candidate", "LanguageModel", "Substitute", "Surprisal"]
