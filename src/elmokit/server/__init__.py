"""HTTP around `Elmo`, behind the extra `server`: an API in OpenAI's shape, and the explorer page.

middleware ─▶ routes (embeddings, words, similar, explorer) ─▶ service: parse, split, write ─▶ batching: the model
"""
