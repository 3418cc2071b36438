"""`ElmoEmbeddings` against langchain-core itself: stores, retrievers, asynchronous calls."""

import asyncio

import numpy as np
import pytest

from elmokit import Elmo, Encoding
from elmokit.errors import TextError

pytest.importorskip("langchain_core", reason="langchain-core is not installed (extra langchain)")
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from elmokit.integrations.langchain import ElmoEmbeddings

TEXTS = ["the cat sat", "a dog ran away", "it broke again", ""]


def test_the_vectors_are_those_of_elmo_as_plain_numbers(model):
    embeddings = ElmoEmbeddings(model, encoding=Encoding("mean+max", "all", normalize=True))
    expected = Elmo.load(model).encode(TEXTS, pooling="mean+max", layers="all", normalize=True)
    found = embeddings.embed_documents(TEXTS)
    assert isinstance(embeddings, Embeddings)
    assert isinstance(found[0][0], float)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query(TEXTS[0]), found[0], rtol=1e-5)
    assert embeddings.embed_documents([]) == []
    assert ElmoEmbeddings(Elmo.load(model)).embed_query("") == [0.0] * 12


def test_asynchronous_calls_give_the_same(model):
    embeddings = ElmoEmbeddings(model)

    async def both():
        return await asyncio.gather(embeddings.aembed_documents(TEXTS), embeddings.aembed_query(TEXTS[0]))

    documents, query = asyncio.run(both())
    np.testing.assert_allclose(documents, embeddings.embed_documents(TEXTS), rtol=1e-5)
    np.testing.assert_allclose(query, documents[0], rtol=1e-5)


def test_a_store_and_a_chain_find_the_text_itself_first(model):
    store = InMemoryVectorStore(ElmoEmbeddings(model))
    store.add_texts(TEXTS[:3], metadatas=[{"number": i} for i in range(3)])
    for i, text in enumerate(TEXTS[:3]):
        ((document, score),) = store.similarity_search_with_score(text, k=1)
        assert (document.page_content, document.metadata["number"]) == (text, i)
        assert score == pytest.approx(1, abs=1e-4)
    chain = store.as_retriever(search_kwargs={"k": 2}) | RunnableLambda(lambda found: [d.page_content for d in found])
    assert chain.invoke("the cat sat")[0] == "the cat sat"
    assert asyncio.run(chain.ainvoke("it broke again"))[0] == "it broke again"


def test_what_is_no_text_is_named(model):
    with pytest.raises(TextError, match=r"texts\[1\]"):
        ElmoEmbeddings(model).embed_documents(["a", None])
