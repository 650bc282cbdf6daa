"""What every Embedder keeps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_bert import write_tiny_bert

from teller.engines.minilm import MiniLm
from teller.engines.scripted import ScriptedEmbedder
from teller.engines.sentence_encoder import SentenceEncoder
from teller.ports import Embedder

ENGINES = [
    pytest.param(lambda _: ScriptedEmbedder(), id="scripted"),
    pytest.param(lambda home: MiniLm(home), id="minilm-int8", marks=pytest.mark.engine),
    pytest.param(lambda home: MiniLm(home, precision="fp32"), id="minilm-fp32", marks=pytest.mark.engine),
    pytest.param(lambda home: SentenceEncoder(str(write_tiny_bert(home))), id="encoder", marks=pytest.mark.engine),
]


@pytest.fixture(scope="module", params=ENGINES)
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    make: Callable[[Path], Embedder] = request.param
    return make(tmp_path_factory.mktemp("home"))


async def test_vectors_are_float32_rows_of_unit_norm(embedder):
    vectors = await embedder.embed(["How do I block my card?", "", "£5", "a " * 2_000])
    assert vectors.shape == (4, embedder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_no_texts_give_no_rows(embedder):
    assert (await embedder.embed([])).shape == (0, embedder.dim)


async def test_the_same_text_gives_the_same_vector_in_any_company(embedder):
    alone = await embedder.embed(["What does the account cost?"])
    among = await embedder.embed(
        ["x", "What does the account cost?", "A much longer text than the others are, by far."]
    )
    np.testing.assert_allclose(among[1], alone[0], atol=1e-5)


async def test_order_is_kept(embedder):
    texts = ["a long text of many words comes first", "short", "one of middle length", "short"]
    vectors = await embedder.embed(texts)
    np.testing.assert_allclose(vectors[1], vectors[3], atol=1e-5)
    assert vectors[0] @ vectors[1] < 0.99


async def test_like_texts_are_nearer_than_unlike_ones(embedder):
    asked, alike, other = await embedder.embed(
        ["How do I block my card?", "how can I block the card", "When does the branch open on Sunday?"]
    )
    assert asked @ alike > asked @ other


async def test_tokens_come_with_the_vector_of_the_same_pass(embedder):
    vector, tokens = await embedder.embed_tokens("block my card")
    np.testing.assert_allclose(vector, (await embedder.embed(["block my card"]))[0], atol=1e-5)
    assert tokens.shape == (3, embedder.dim)
    assert tokens.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-5)


async def test_any_string_is_embedded_even_half_a_surrogate_pair(embedder):
    vectors = await embedder.embed(["a\ud800b", "\0", "\u202e", "👩‍👩‍👧‍👦" * 300])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(await embedder.embed_tokens("a\udfff")) == 2


async def test_an_empty_text_has_no_tokens(embedder):
    vector, tokens = await embedder.embed_tokens("")
    assert vector.shape == (embedder.dim,)
    assert tokens.shape == (0, embedder.dim)


def test_the_name_identifies_it(embedder):
    assert embedder.name
    assert not set(embedder.name) & set("/\\ :")
