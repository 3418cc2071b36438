"""HTTP around `Elmo`, behind the extra `server`: an API in OpenAI's shape, and the explorer page.

gate ─▶ routes (embeddings, words, similar) ─▶ service: cut, count ─▶ batches: one thread owns the model
"""
