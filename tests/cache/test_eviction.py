import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.cache.eviction import HALF_LIFE_S, Columns, victims, worth


def columns(count: int = 1, **changed) -> Columns:
    usual = {"hits": 1.0, "cost_ms": 100.0, "accuracy": 0.9, "idle_s": 0.0, "size_bytes": 500.0}
    return Columns(
        **{name: np.broadcast_to(changed.get(name, value), count).astype(float) for name, value in usual.items()}
    )


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [("hits", 1, 5), ("cost_ms", 10, 900), ("accuracy", 0.5, 0.9), ("idle_s", 9e6, 5), ("size_bytes", 900, 300)],
)
def test_an_entry_is_worth_more(name, less, more):
    values = worth(columns(2, **{name: np.array([less, more])}))
    assert values[0] < values[1]


def test_an_entry_that_rests_is_worth_half_after_its_half_life():
    fresh, rested = worth(columns(2, idle_s=np.array([0.0, HALF_LIFE_S])))
    assert rested == pytest.approx(fresh / 2)


def test_nothing_goes_while_there_is_room():
    assert len(victims(columns(5), max_entries=5, max_bytes=2_500)) == 0


def test_the_least_worth_go_first():
    assert victims(columns(4, hits=np.array([5, 1, 9, 0])), max_entries=2, max_bytes=10**9).tolist() == [3, 1]


def test_bytes_are_a_limit_too():
    found = victims(columns(3, size_bytes=np.array([100.0, 900.0, 100.0])), max_entries=9, max_bytes=250)
    assert found.tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1_000)), min_size=1, max_size=60),
    st.integers(1, 60),
    st.integers(1, 20_000),
)
def test_afterwards_both_limits_are_kept_and_no_more_went_than_needed(rows, max_entries, max_bytes):
    hits, sizes = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    gone = victims(columns(len(rows), hits=hits, size_bytes=sizes), max_entries=max_entries, max_bytes=max_bytes)
    left = np.delete(sizes, gone)
    assert len(left) <= max_entries
    assert left.sum() <= max_bytes
    if len(gone):
        before_last = np.delete(sizes, gone[:-1])
        assert len(before_last) > max_entries or before_last.sum() > max_bytes
