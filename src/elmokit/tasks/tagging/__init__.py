"""Tagging of words: names, chunks, parts of speech (extra `torch`)."""
