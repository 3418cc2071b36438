"""elmokit: contextual vectors of whole words from character-level biLMs (ELMo, Peters et al. 2018)."""

__version__ = "0.1.0"
