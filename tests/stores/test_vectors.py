"""Embedders that remember."""

import numpy as np
import pytest

from teller.engines.scripted import ScriptedEmbedder
from teller.stores.vectors import KeptVectors, RecentVectors

TEXTS = ["lost card", "loan rate", "open an account"]


async def test_kept_vectors_are_read_back_by_the_next_process(tmp_path):
    first, second = ScriptedEmbedder(), ScriptedEmbedder()
    made = await KeptVectors(first, tmp_path).embed(TEXTS)

    again = await KeptVectors(second, tmp_path).embed([*TEXTS, "new"])

    assert second.asked == ["new"]
    np.testing.assert_allclose(again[:3], made, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("cut", [1, 100, 777])
async def test_a_record_that_was_cut_off_is_made_again(tmp_path, cut):
    await KeptVectors(ScriptedEmbedder(), tmp_path).embed(TEXTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    embedder = ScriptedEmbedder()

    await KeptVectors(embedder, tmp_path).embed(TEXTS)
    third = ScriptedEmbedder()
    await KeptVectors(third, tmp_path).embed(TEXTS)

    assert embedder.asked
    assert third.asked == []


async def test_a_question_is_embedded_once_for_vector_and_tokens():
    embedder = ScriptedEmbedder()
    recent = RecentVectors(embedder)
    vector, _ = await recent.embed_tokens("lost card")

    again = await recent.embed(["lost card"])

    assert embedder.asked == ["lost card"]
    np.testing.assert_array_equal(again[0], vector)


async def test_only_the_last_texts_are_remembered():
    embedder = ScriptedEmbedder()
    recent = RecentVectors(embedder, keep=2)
    for text in [*TEXTS, TEXTS[0]]:
        await recent.embed([text])

    assert len(embedder.asked) == 4
