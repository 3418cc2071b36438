"""Pairs of texts: classes and similarity scores, learned from labels or computed without (extra `tasks`)."""
