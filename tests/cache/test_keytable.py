import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teller.cache.keytable import KeyTable

# few different top bits, so that the keys crowd
KEYS = st.builds(lambda top, low: (top << 55) | low, st.sampled_from([0, 1, 128, 255]), st.integers(0, 300))


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**31 - 1)), max_size=600))
@settings(max_examples=50)
def test_it_does_what_a_dict_does(pairs):
    table, model = KeyTable(), {}
    for key, row in pairs:
        table.set(key, row)
        model[key] = row
    assert len(table) == len(model)
    assert all(table.get(key) == row for key, row in model.items())
    assert table.get(5 << 40) == -1


@pytest.mark.parametrize("top", [0, 1 << 62, (1 << 63) - 1_001])
def test_keys_that_were_chosen_to_collide_are_still_found(top):
    table = KeyTable()
    for at in range(1_000):
        table.set(top + at, at)
    assert all(table.get(top + at) == at for at in range(1_000))


def test_filling_it_at_once_is_the_same():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**63, 20_000)
    keys[5] = keys[3]
    table = KeyTable()
    table.replace_all(keys, np.arange(20_000, dtype=np.int32))
    assert table.get(int(keys[3])) == 5
    assert all(table.get(int(keys[at])) == at for at in range(100, 20_000, 37))
    assert len(table) == 19_999
