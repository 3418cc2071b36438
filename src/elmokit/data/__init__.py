"""Files → texts, labels and tables, and back to files."""
