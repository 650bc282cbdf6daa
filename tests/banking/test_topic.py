import numpy as np
import pytest

from teller.banking.topic import RIDGE, TopicGate, nearest


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


def test_the_nearest_rows_are_found_nearest_first():
    asked = THERE[7]
    found = nearest(THERE, asked, least=-1.0, most=5)

    assert np.array_equal(found[0], asked)
    assert (found @ asked).tolist() == pytest.approx(sorted((THERE @ asked).tolist(), reverse=True)[:5], abs=1e-5)


def test_rows_that_are_farther_than_asked_for_are_left_out():
    assert len(nearest(THERE, THERE[7], least=0.9999, most=5)) == 1
    assert nearest(THERE, -THERE[7], least=0.5, most=5).shape == (0, 16)
    assert nearest(THERE[:0], THERE[7], least=-1.0, most=5).shape == (0, 16)
