"""What entries teach about likeness."""

import numpy as np
import pytest

from teller.cache.metric import Metric, is_due, learn, sample
from teller.errors import InputError

DIM = 16


def entries(answers: int, each: int, seed: int = 0):
    """Entries whose answers differ along four directions, and whose wording varies more along four others."""
    rng = np.random.default_rng(seed)
    answer_ids = [f"answer {at % answers}" for at in range(answers * each)]
    means = rng.normal(size=(answers, 4))
    rows = np.zeros((len(answer_ids), DIM))
    rows[:, :4] = means[np.arange(len(rows)) % answers] + 0.2 * rng.normal(size=(len(rows), 4))
    rows[:, 4:8] = 3.0 * rng.normal(size=(len(rows), 4))
    rows[:, 8:] = 0.1 * rng.normal(size=(len(rows), 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), answer_ids


def share_of_nearest_with_the_same_answer(cosines, answer_ids):
    np.fill_diagonal(cosines, -np.inf)
    answers = np.array(answer_ids)
    return float((answers[cosines.argmax(axis=1)] == answers).mean())


def test_entries_that_it_did_not_learn_from_are_nearer_to_those_with_the_same_answer():
    vectors, answer_ids = entries(answers=20, each=30)
    asked, right = entries(answers=20, each=4)
    metric = learn(vectors, answer_ids, learned_from=len(vectors))
    before = share_of_nearest_with_the_same_answer(asked @ asked.T, right)
    after = share_of_nearest_with_the_same_answer(metric.cosines(asked), right)
    assert before < 0.3
    assert after > before + 0.2


def test_what_only_wording_varies_in_is_told_from_what_answers_differ_in():
    vectors, answer_ids = entries(answers=20, each=30)
    weights = np.linalg.norm(learn(vectors, answer_ids, learned_from=1).directions, axis=1)
    assert weights[:4].min() > 3.0 * weights[4:8].max()


@pytest.mark.parametrize(("answers", "each"), [(9, 40), (400, 1), (200, 2)])
def test_few_answers_or_lone_entries_teach_nothing(answers, each):
    assert learn(*entries(answers, each), learned_from=1) is None


def test_answers_that_differ_by_chance_alone_teach_little_or_nothing():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    taught = learn(vectors, [f"answer {at % 20}" for at in range(600)], learned_from=600)
    assert taught is None or taught.directions.shape[1] < DIM


def test_it_is_the_same_after_the_log():
    metric = learn(*entries(20, 20), learned_from=400)
    once = Metric.unpack(metric.packed(), DIM, 400)
    twice = Metric.unpack(once.packed(), DIM, 400)
    assert np.array_equal(once.directions, twice.directions)
    assert once.directions == pytest.approx(metric.directions, abs=1e-3)
    assert once.learned_from == 400


@pytest.mark.parametrize("packed", [b"", b"\0" * 31, b"\0\x7e" * DIM], ids=["nothing", "a part", "not a number"])
def test_bytes_that_are_no_directions_are_refused(packed):
    with pytest.raises(InputError):
        Metric.unpack(packed, DIM, 400)


def test_a_vector_across_every_direction_is_like_nothing():
    metric = Metric(np.eye(DIM, 2, dtype=np.float32), 300)
    cosines = metric.cosines(np.eye(DIM, dtype=np.float32)[[0, 1, 5]])
    assert cosines == pytest.approx(np.diag([1.0, 1.0, 0.0]))


def test_a_partition_learns_when_it_has_grown_enough():
    assert [is_due(299, 0), is_due(300, 0), is_due(330, 300), is_due(345, 300)] == [False, True, False, True]


def test_enough_entries_are_enough_and_come_from_everywhere():
    few, many = np.arange(20_000), np.arange(90_000)
    assert np.array_equal(sample(few), few)
    assert len(sample(many)) == 18_000
    assert sample(many)[-1] >= 89_995
