import numpy as np
import pytest
from tests.cache.cache_stage import FEE, SCOPE, Stage, approved, money, served

from teller.cache.guards import Guards
from teller.cache.judge import CertifiedJudge
from teller.cache.live_regions import LiveRegions
from teller.cache.verifier import SKETCH_BYTES, Verifier, pair_facts, verifier_for
from teller.engines.minilm import _GRAPH_VERSION, WEIGHTS_SHA256, MiniLm
from teller.engines.scripted import ScriptedEmbedder
from teller.errors import StoreCorrupt
from teller.training.pairs import make_pairs
from teller.turn import MissReason, Question


@pytest.fixture(scope="module")
def verifier():
    return Verifier()


def some_tokens(count: int, seed: int = 0) -> np.ndarray:
    tokens = np.random.default_rng(seed).normal(size=(count, 384)).astype(np.float32)
    return tokens / np.linalg.norm(tokens, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [0, 1, 7, 15, 16, 200])
def test_a_sketch_fits_and_gives_back_what_it_was_made_from(verifier, count):
    tokens = some_tokens(count)
    sketch = verifier.sketch(tokens)
    assert len(sketch) <= SKETCH_BYTES
    back, projected = verifier.unsketch(sketch), verifier.project(tokens)
    assert len(back) == min(count, 15)
    if count <= 15:
        assert np.abs(back - np.clip(projected, -0.5, 0.5)).max(initial=0.0) <= 1 / 30 + 1e-6


def test_equal_questions_are_alike_whatever_the_side(verifier):
    reading = Guards().read(Question("how do I order a new card"))
    tokens = verifier.project(some_tokens(7))
    kept = verifier.unsketch(verifier.sketch(some_tokens(7)))
    facts = pair_facts(reading, reading, 1.0)
    assert verifier.log_odds(tokens, kept, facts) > 0.0
    assert verifier.log_odds(tokens, kept, facts) == pytest.approx(verifier.log_odds(kept, tokens, facts), abs=0.2)


def test_a_file_without_weights_is_refused(tmp_path):
    for name, data in (("a.npz", b"no"), ("b.npz", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StoreCorrupt, match=r"training\.verifier"):
            Verifier(tmp_path / name)
    with pytest.raises(StoreCorrupt):
        Verifier(tmp_path / "absent.npz")


def test_it_reads_the_vectors_of_one_embedder_in_either_precision(verifier):
    made_for = f"minilm-{WEIGHTS_SHA256[:12]}-{_GRAPH_VERSION}"
    assert all(verifier.reads(f"{made_for}-{precision}", 384) for precision in ("int8", "fp32"))
    assert not verifier.reads(f"{made_for}-int8", 96)
    assert not verifier.reads(f"{made_for}-int8-0123456789ab", 384)  # moved by LoRA matrices
    assert verifier_for("scripted-384", 384) is verifier_for("", 0) is None


@pytest.mark.parametrize("dim", [96, 384])
async def test_with_another_embedder_rules_and_consensus_decide_alone(dim):
    embedder = ScriptedEmbedder(dim=dim)
    judge = CertifiedJudge(LiveRegions(max_false_hits=0.2), verifier=verifier_for(embedder.name, dim))
    cache = await Stage(embedder=embedder, judge=judge).open()
    await cache.offer(FEE, approved("Three percent."), SCOPE)
    await cache.offer(money("100.00 GBP", "what does a transfer of 100 pounds cost"), approved("One pound."), SCOPE)

    assert await served(cache, "what is the fee for paying abroad?") == "Three percent."
    assert await served(cache, "fee for paying abroad") != "Three percent."  # one neighbour is not enough
    other = money("250.00 GBP", "what does a transfer of 250 pounds cost")
    assert await served(cache, other) == MissReason.VALUES_DIFFER

    for begin in ("please", "say", "hello", "now", "well", "so"):
        await cache.offer(Question(f"{begin} what is the fee for paying abroad"), approved("Three percent."), SCOPE)
    assert await served(cache, "what is that fee for paying abroad") == "Three percent."


@pytest.mark.engine
def test_pairs_from_frames_never_trained_on_are_told_apart(verifier, tmp_path):
    embedder, guards = MiniLm(tmp_path), Guards()
    said: dict[bool, list[float]] = {True: [], False: []}
    for pair in make_pairs(240, seed=77, held_out=True):
        (here, tokens), (there, others) = embedder._embed_tokens(pair.first), embedder._embed_tokens(pair.second)
        readings = [guards.read(Question(text)) for text in (pair.first, pair.second)]
        facts = pair_facts(*readings, float(here @ there))
        kept = verifier.unsketch(verifier.sketch(others))
        said[pair.same].append(verifier.log_odds(verifier.project(tokens), kept, facts))
    assert np.mean(np.array(said[True]) > 0.5) >= 0.5
    assert np.mean(np.array(said[False]) > 0.5) <= 0.1
