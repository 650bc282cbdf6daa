import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_bert import write_tiny_bert

from teller.engines.sentence_encoder import SentenceEncoder
from teller.errors import EngineUnavailable

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("tiny"))


async def test_vectors_are_those_of_the_library(folder):
    from sentence_transformers import SentenceTransformer

    texts = ["How do I block my card?", "", "what is the fee"]
    wanted = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(await SentenceEncoder(str(folder)).embed(texts), wanted, atol=1e-6)


async def test_calls_at_once_do_not_disturb_one_another(folder):
    engine = SentenceEncoder(str(folder))
    texts = [f"what is the fee {number}" for number in range(12)]
    together = await engine.embed(texts)
    apart = await asyncio.gather(*(engine.embed([text]) for text in texts))
    np.testing.assert_allclose(np.concatenate(apart), together, atol=1e-5)


def test_the_name_changes_with_the_weights(folder, tmp_path):
    names = {SentenceEncoder(str(path)).name for path in (folder, folder, write_tiny_bert(tmp_path, seed=1))}
    assert len(names) == 2
    assert all(name.startswith("encoder-") for name in names)


def test_nothing_asks_the_network_unless_that_is_allowed(folder, no_network):
    SentenceEncoder(str(folder))
    SentenceEncoder(str(folder), allow_downloads=True)  # it is here: there is nothing to fetch
    for name in ("teller-tests/no-such-model", "no-such-model"):
        with pytest.raises(EngineUnavailable, match="model no-such-model cannot be loaded: give the folder"):
            SentenceEncoder(name)
    assert no_network == []


def test_a_model_is_fetched_where_that_is_allowed(tmp_path, no_network, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="model no-such-model cannot be loaded"):
        SentenceEncoder("teller-tests/no-such-model", allow_downloads=True)
    assert no_network


@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_a_folder_that_is_no_model_is_refused(folder, tmp_path, damage):
    if damage == "cut":
        for path in folder.rglob("*"):
            target = tmp_path / path.relative_to(folder)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes()[: 500 if path.suffix == ".safetensors" else None])
    with pytest.raises(EngineUnavailable, match="cannot be loaded"):
        SentenceEncoder(str(tmp_path))


def test_a_missing_package_says_what_to_install(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'teller\[transformers\]'"):
        SentenceEncoder(str(folder))
