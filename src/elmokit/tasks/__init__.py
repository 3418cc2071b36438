"""Vectors → answers: classifiers with honest reports, small and plain, without PyTorch."""
