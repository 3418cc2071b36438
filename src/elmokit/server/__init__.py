"""HTTP around `Elmo`, behind the extra `server`: the explorer page and what it asks."""
