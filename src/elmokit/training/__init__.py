"""Corpora → a checkpoint: index, stream, objective, loop (extra `torch`)."""
