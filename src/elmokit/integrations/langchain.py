"""LangChain: an `Embeddings` for its vector stores, retrievers and chains. Only langchain-core is needed.

The asynchronous methods are LangChain's own, which call these in a thread.
"""

from collections.abc import Sequence
from pathlib import Path

from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.errors import needing

with needing("langchain-core", "langchain", "ElmoEmbeddings"):
    from langchain_core.embeddings import Embeddings


class ElmoEmbeddings(Embeddings):
    """Texts → lists of numbers, alike for documents and queries; of length 1, as stores that take inner products need.

    Example:
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> store = InMemoryVectorStore.from_texts(["The battery died.", "We walked home."], ElmoEmbeddings())
        >>> store.similarity_search("My battery died again.", k=1)[0].page_content
        'The battery died.'
    """

    def __init__(self, elmo: Elmo | str | Path = "default", *, encoding: Encoding = Encoding(normalize=True)) -> None:
        self.elmo = elmo if isinstance(elmo, Elmo) else Elmo.load(elmo)
        self.encoding = encoding

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of texts as lists of numbers."""
        vectors: list[list[float]] = self.elmo.encode(texts, self.encoding, show_progress=False).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one text, the same as among documents."""
        return self.embed_documents([text])[0]
