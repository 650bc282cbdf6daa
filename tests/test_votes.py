import numpy as np
import pytest

from teller.votes import vote_weights


def weights(similarities, vectors):
    rows = np.array(vectors, np.float32)
    return vote_weights(np.array(similarities, np.float32), rows @ rows.T)


def test_a_lone_neighbour_weighs_what_it_would_as_a_gaussian_process_of_one():
    assert weights([0.7], [[1, 0]])[0] == pytest.approx(np.exp(-0.3 / 0.6) / 1.3, rel=1e-5)


def test_neighbours_that_are_alike_share_one_weight():
    alone = weights([0.7], [[1, 0]])
    twins = weights([0.7, 0.7], [[1, 0], [1, 0]])
    assert twins[0] == pytest.approx(twins[1])
    assert alone[0] < twins.sum() < 1.2 * alone[0]


def test_three_near_copies_do_not_outvote_two_neighbours_from_different_sides():
    copies = [[1, 0, 0], [0.999, 0.0447, 0], [0.999, 0, 0.0447]]
    apart = [[0, 1, 0], [0, 0, 1]]
    found = weights([0.8] * 5, copies + apart)
    assert found[3:].sum() > 1.5 * found[:3].sum()
