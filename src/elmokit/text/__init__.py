"""Text → words → character ids, with Python and NumPy only."""
