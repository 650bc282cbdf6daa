"""What logged turns amount to, against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.turn_stage import ENABLED, NEW, OLD, START, composed, hit, lookup_of, write

from teller.errors import InputError
from teller.stores.turn_figures import cache_hits, share_limits
from teller.stores.turn_reader import Span, TurnReader
from teller.stores.turn_speed import Times, measure_speed
from teller.turn import Answer, DataClass, MissReason, Source, Tier

MINUTE = Span(START, START + 60)
PRODUCT = Answer("6.5 %", Source.APPROVED, "rates.loan", DataClass.PRODUCT)


@pytest.fixture
def log(tmp_path):
    """Writes records and opens a reader; closes it in the end."""
    readers = []

    def opened(*records):
        write(tmp_path / "turns.sqlite", *records)
        readers.append(TurnReader(tmp_path / "turns.sqlite"))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close()


def test_hits_and_misses_are_counted_by_class_tier_and_reason(log):
    found = cache_hits(
        log(
            hit(1, Tier.EXACT),
            hit(2),
            hit(3, data_class=DataClass.PRODUCT),
            composed(4),
            composed(5, answer=PRODUCT, miss_reason=MissReason.NOT_ELIGIBLE),
            composed(6, answer=Answer("12 pounds", Source.TOOL, "fee"), miss_reason=None),
        ),
        MINUTE,
    )
    assert (found.turns, found.hits, found.misses) == (6, 3, 2)
    assert found.hit_rate == pytest.approx(0.6)
    assert found.hit_rate_eligible == pytest.approx(0.75)
    assert found.by_reason == {"too_far": 1, "not_eligible": 1}
    assert found.by_source == {"cache": 3, "model": 1, "approved": 1, "tool": 1}
    assert dict(found.by_class["public"].by_tier) == {"exact": 1, "semantic": 1}
    assert (found.by_class["product"].hits, found.by_class["product"].misses) == (1, 1)


def test_time_saved_is_hits_times_what_composing_takes_longer(log):
    found = cache_hits(log(hit(0), hit(0), composed(0)), MINUTE)
    public = found.by_class["public"]
    assert public.hit_ms == pytest.approx(5.0)  # redact 1, cache 4
    assert public.composed_ms == pytest.approx(510.0)  # redact 1, cache 9, generate 500
    assert found.saved_s == pytest.approx(2 * 0.505)
    assert found.saved_tokens == pytest.approx(2 * 40)


def test_what_a_turn_waited_for_others_counts_as_answering(log):
    reader = log(composed(0, answered_ms=1_100.0))
    assert cache_hits(reader, MINUTE).by_class["public"].composed_ms == pytest.approx(1_000.0)


def test_time_saved_is_unknown_where_nothing_was_composed(log):
    reader = log(hit(1), composed(2, answer=Answer("I do not know.", Source.REFUSED, "policy.not_covered")))
    assert cache_hits(reader, MINUTE).saved_s is None


def test_nothing_saved_is_nothing_not_unknown(log):
    assert cache_hits(log(composed(1)), MINUTE).saved_s == 0.0


def test_no_turns_have_no_rate(log):
    found = cache_hits(log(), MINUTE)
    assert (found.turns, found.hits, found.hit_rate, found.saved_s) == (0, 0, None, 0.0)


def test_a_lookup_whose_turn_never_ended_counts_and_does_not_change_means(log):
    cut_off = [lookup_of(hit(2)), lookup_of(composed(3))]
    found = cache_hits(log(hit(1), *cut_off), MINUTE)
    assert (found.turns, found.unfinished, found.hits, found.misses) == (1, 2, 2, 1)
    assert found.by_class["unknown"].misses == 1
    assert found.by_class["public"].hit_ms == pytest.approx(5.001)


def test_a_range_holds_its_begin_and_not_its_end(log):
    found = cache_hits(log(hit(-1), hit(0), hit(59), hit(60)), MINUTE, slots=2)
    assert found.hits == 2
    assert found.hits_by_slot == [1, 1]
    assert MINUTE.before == Span(START - 60, START)


def test_slots_add_up_to_the_whole(log):
    reader = log(*(hit(number) if number % 3 else composed(number) for number in range(60)))
    whole, parts = cache_hits(reader, MINUTE, slots=1), cache_hits(reader, MINUTE, slots=7)
    assert sum(parts.hits_by_slot) == whole.hits == 40
    assert sum(parts.lookups_by_slot) == 60


def test_a_share_has_limits_on_both_sides():
    assert share_limits(0, 0) is None
    low, high = share_limits(95, 100)
    assert (low, high) == pytest.approx((0.8882, 0.9785), abs=1e-4)  # Wilson 1927, as in the textbooks' table
    assert share_limits(0, 5)[0] == 0.0
    assert share_limits(5, 5)[1] == pytest.approx(1.0)


def test_each_adapter_version_has_its_own_turns_and_checks(log):
    records = [composed(number, grounded=number != 3) for number in range(10)]
    records += [composed(30 + number, adapter=NEW) for number in range(5)] + [hit(50, adapter=NEW), ENABLED]
    found = measure_speed(log(*records), MINUTE, slots=6)
    old, new = found.adapters[OLD], found.adapters[NEW]
    assert (old.turns, old.generated, old.grounded) == (10, 10, 9)
    assert (new.turns, new.generated, new.grounded) == (6, 5, 5)
    assert old.tokens_per_s == pytest.approx(80.0)  # 40 pieces in 500 ms
    assert old.by_slot.tolist() == [10, 0, 0, 0, 0, 0]
    assert (new.first_at, new.last_at) == (START + 30, START + 50)
    assert found.toggles == [ENABLED]


def test_waiting_times_are_told_by_source_and_stage(log):
    found = measure_speed(log(hit(1), composed(2), composed(3)), MINUTE)
    assert found.by_source["model"].turns("generate") == 2
    assert found.by_source["cache"].turns("generate") == 0
    assert found.by_source["cache"].percentile("generate", 50) is None
    assert found.by_source["model"].percentile("generate", 50) == pytest.approx(500.0, rel=0.01)
    assert found.by_source["cache"].percentile("whole turn", 50) == pytest.approx(155.0, rel=0.01)
    assert found.busy_s == pytest.approx(0.155 + 2 * 0.66, abs=0.01)


def test_a_turn_that_was_broken_off_is_counted_and_its_wait_is_no_answer_time(log):
    nothing = Answer("", Source.BROKEN_OFF, "")
    found = measure_speed(log(composed(1), composed(2, answer=nothing, interrupted=True)), MINUTE)
    assert (found.turns, list(found.by_source)) == (2, ["model"])
    assert (found.adapters[OLD].turns, found.adapters[OLD].times.turns("generate")) == (2, 1)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=300), st.sampled_from([50, 95, 99]))
def test_percentiles_are_within_one_percent_of_the_exact_ones(spent, level):
    times = Times()
    times.add(np.tile(np.array(spent)[:, None], (1, 11)))
    exact = np.percentile(spent, level, method="inverted_cdf")
    assert times.percentile("answer", level) == pytest.approx(exact, rel=0.0101)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=60))
def test_turns_at_once_are_those_that_overlap(turns):
    from teller.stores.turn_speed import _UnderWay

    turns.sort()
    starts, lengths = (np.array(part, dtype=float) for part in zip(*turns, strict=True))
    by_hand = max(sum(begun <= start < begun + took for begun, took in turns) for start, _ in turns)
    counted, most = _UnderWay(), 0
    for chunk in range(0, len(turns), 7):
        most = max(most, counted.most(starts[chunk : chunk + 7], lengths[chunk : chunk + 7]))
    assert most == by_hand


def test_columns_come_in_the_order_of_their_start_in_chunks(log):
    numbers = [5, 3, 9, 3, 1]
    chunks = list(log(*(composed(number) for number in numbers)).columns(MINUTE, chunk=2))
    assert [len(chunk.id) for chunk in chunks] == [2, 2, 1]
    assert np.concatenate([chunk.started_at for chunk in chunks]).tolist() == [START + n for n in sorted(numbers)]


def test_pages_go_on_after_a_number(log):
    reader = log(*(composed(number) for number in range(5)))
    assert [turn.id for turn in reader.page(2, limit=2)] == [3, 4]
    assert [turn.id for turn in reader.page(1, span=Span(START, START + 3))] == [2, 3]
    assert [turn.id for turn in reader.walk(MINUTE, chunk=2)] == [1, 2, 3, 4, 5]
    assert reader.newest() == 5


def test_a_turn_is_found_by_the_beginning_of_its_id(log):
    reader = log(composed(1), composed(12), composed(2))
    assert reader.turn("turn-2").turn_id == "turn-2"
    assert reader.turn("turn-1").turn_id == "turn-1"  # an id that is whole, though another begins with it
    assert reader.turn("nothing") is None
    with pytest.raises(InputError, match="several turns begin with 'turn'"):
        reader.turn("turn")


def test_a_reader_beside_a_writer_sees_what_is_written(tmp_path):
    path = tmp_path / "turns.sqlite"
    with TurnReader(path) as reader:
        assert reader.bounds() is None
        write(path, composed(1))
        assert reader.newest() == 1
        assert reader.bounds().since == START + 1
