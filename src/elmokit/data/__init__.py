"""Files → texts, labels and tables, and back."""
