import numpy as np
import pytest

from teller.banking.topic import RIDGE, TopicGate


def around(middle: int, count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(scale=0.3, size=(count, 16)).astype(np.float32)
    rows[:, middle] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


HERE, THERE = around(0, 300, 1), around(1, 40, 2)


def test_what_is_like_either_side_is_told_apart():
    gate = TopicGate(HERE, THERE)

    assert gate.score(around(0, 1, 3)[0]) > 0.5
    assert gate.score(around(1, 1, 4)[0]) < -0.5


def test_the_gate_is_the_ridge_regression_of_the_side_on_rows_in_which_both_sides_weigh_the_same():
    rows = np.vstack([HERE, THERE]).astype(np.float64)
    side = np.array([1.0] * len(HERE) + [-1.0] * len(THERE))
    root = np.sqrt(np.array([0.5 / len(HERE)] * len(HERE) + [0.5 / len(THERE)] * len(THERE)))[:, None]
    middle = (root**2).T @ rows
    padded = np.vstack([root * (rows - middle), np.sqrt(RIDGE) * np.eye(16)])
    weights = np.linalg.lstsq(padded, np.concatenate([root[:, 0] * side, np.zeros(16)]), rcond=None)[0]
    asked = around(0, 1, 5)[0]

    assert TopicGate(HERE, THERE).score(asked) == pytest.approx(((asked - middle) @ weights).item(), abs=1e-5)


def test_the_nearest_of_the_questions_that_are_no_business_of_the_bank_is_found():
    assert TopicGate(HERE, THERE).nearest_off_topic(THERE[7]) == pytest.approx(1.0, abs=1e-6)
