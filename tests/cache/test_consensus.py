import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.cache.consensus import margin, tally


def neighbourhood(rng: np.random.Generator, count: int):
    vectors = rng.normal(size=(count, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors[0], vectors


def test_the_answer_of_most_near_neighbours_wins():
    similarities = np.array([0.9, 0.88, 0.87], np.float32)
    vectors = np.eye(3, 8, dtype=np.float32) * 0.6 + 0.28
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ballots = tally(similarities, vectors @ vectors.T, ["b", "a", "a"])
    assert [ballot.answer_id for ballot in ballots] == ["a", "b"]
    assert ballots[0].members == (1, 2)
    assert margin(ballots) == pytest.approx(ballots[0].weight - ballots[1].weight)


def test_near_copies_weigh_little_more_than_one():
    one = np.array([[1, 0], [0, 1]], np.float32)
    copies = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    apart = tally(np.array([0.7, 0.7], np.float32), one @ one.T, ["a", "b"])
    crowded = tally(np.array([0.7] * 5, np.float32), copies @ copies.T, ["a", "a", "a", "a", "b"])
    assert margin(apart) == pytest.approx(0.0, abs=1e-6)
    assert crowded[0].answer_id == "a"
    assert crowded[0].weight < 1.5 * apart[0].weight


def test_a_lone_neighbour_has_no_rival_and_counts_by_its_similarity():
    near, far = (tally(np.array([at], np.float32), np.ones((1, 1), np.float32), ["a"]) for at in (0.95, 0.5))
    assert 0.0 < margin(far) < margin(near) < 1.0


@given(st.integers(1, 24), st.integers(0, 10**6))
def test_the_order_of_neighbours_does_not_matter(count, seed):
    rng = np.random.default_rng(seed)
    similarities, vectors = neighbourhood(rng, count)
    answers = [f"a{at % 4}" for at in range(count)]
    turned = rng.permutation(count)
    first = tally(similarities, vectors @ vectors.T, answers)
    second = tally(similarities[turned], (vectors @ vectors.T)[np.ix_(turned, turned)], [answers[at] for at in turned])
    weights = {ballot.answer_id: ballot.weight for ballot in second}
    for ballot in first:
        assert weights[ballot.answer_id] == pytest.approx(ballot.weight, abs=1e-4)
    assert sorted(place for ballot in first for place in ballot.members) == list(range(count))
