"""The numbers of a report, against counting by hand."""

import pytest
from tests.stores.turn_stage import ENABLED, NEW, OLD, START, composed, hit, write

from teller.reports.figures import SLOTS, read_figures
from teller.stores.turn_reader import Span, TurnReader
from teller.turn import Answer, DataClass, MissReason, Source, Tier

MINUTE = Span(START, START + 60)


@pytest.fixture
def figures(tmp_path):
    """Logs records and reads the figures of the minute from START."""

    def read(*records, **options):
        write(tmp_path / "turns.sqlite", *records)
        with TurnReader(tmp_path / "turns.sqlite") as reader:
            return read_figures(reader, MINUTE, **options)

    return read


def test_hits_misses_and_savings_add_up_over_time(figures):
    view = figures(hit(0), hit(1), hit(30, data_class=DataClass.PRODUCT), composed(2), composed(31))
    assert (view["turns"], view["cache"]["hits"], view["cache"]["misses"]) == (5, 3, 2)
    assert view["cache"]["hit_rate"] == 0.6
    assert len(view["over_time"]) == SLOTS
    assert sum(one["hits"] for one in view["over_time"]) == 3
    assert view["over_time"][0]["hit_rate"] == 1.0
    # nothing was composed for the class "product": what its hits save is not known
    assert sum(one["saved_s"] for one in view["over_time"]) == pytest.approx(view["cache"]["saved_s"], abs=0.1)
    assert view["cache"]["saved_s"] == pytest.approx(2 * 0.505, abs=0.1)


def test_money_is_tokens_times_their_price(figures):
    view = figures(hit(0), composed(1), token_price=50.0, currency="GBP")
    assert view["cache"]["saved_tokens"] == 40
    assert view["cache"]["saved_money"] == 2.0
    assert view["currency"] == "GBP"


def test_the_period_before_is_beside_the_one_asked_for(figures):
    view = figures(hit(0), composed(-30), composed(-20))
    assert (view["before"]["hits"], view["before"]["misses"]) == (0, 2)


def test_similarity_is_counted_by_what_became_of_the_lookup(figures):
    view = figures(
        hit(0, similarity=0.97),
        hit(1, Tier.EXACT, similarity=1.0),
        composed(2, similarity=0.97, miss_reason=MissReason.VALUES_DIFFER),
        composed(3, similarity=0.96, miss_reason=MissReason.UNCERTAIN),
        composed(4, similarity=-0.3),
        composed(5, similarity=None, miss_reason=MissReason.EMPTY),
    )
    low, high = view["similarity"]
    assert (low["from"], low["too far"]) == (0.0, 1)
    assert (high["from"], high["to"]) == (0.95, 0.975)
    assert (high["semantic hit"], high["guarded"], high["not certain"]) == (1, 1, 1)
    assert high["served"] == pytest.approx(1 / 3, abs=1e-4)


def test_waiting_is_told_by_source(figures):
    view = figures(hit(0), composed(1), composed(2))
    cache, model = view["latency"]
    assert (cache["source"], cache["turns"]) == ("cache", 1)
    assert (model["source"], model["turns"]) == ("model", 2)
    assert cache["p50"] == pytest.approx(5.0, rel=0.02)
    assert model["p95"] == pytest.approx(510.0, rel=0.02)


def test_a_toggle_shows_the_versions_before_and_after_with_their_difference(figures):
    before = [composed(number, grounded=number % 2 == 0) for number in range(40)]
    after = [composed(50 + number / 10, adapter=NEW) for number in range(40)]
    view = figures(*before, *after, ENABLED)
    (toggle,) = view["toggles"]
    assert (toggle["before"], toggle["after"]) == (OLD, NEW)
    assert (toggle["grounded_before"], toggle["grounded_after"]) == (0.5, 1.0)
    low, high = toggle["change_95"]
    assert 0.3 < low < 0.5 < high < 0.7
    shares = {one["adapter"]: one["grounded_share"] for one in view["adapters"]}
    assert shares == {OLD: 0.5, NEW: 1.0}
    assert {one["adapter"] for one in view["adapters_over_time"]} == {OLD, NEW}
    assert sum(one["generated"] for one in view["adapters_over_time"]) == 80


def test_a_change_without_answers_to_compare_has_no_limits(figures):
    (toggle,) = figures(composed(0), ENABLED)["toggles"]
    assert toggle["grounded_after"] is None
    assert toggle["change_95"] is None


def test_a_range_without_turns_is_all_zeros(figures):
    view = figures()
    assert view["turns"] == 0
    assert view["cache"]["hit_rate"] is None
    assert view["similarity"] == view["latency"] == view["adapters"] == view["toggles"] == []


def test_a_hit_takes_part_whatever_its_answer_came_from(figures):
    view = figures(composed(0, answer=Answer("12", Source.TOOL, "fee"), miss_reason=None, grounded=None), hit(1))
    assert view["by_source"] == {"tool": 1, "cache": 1}
    assert view["cache"]["hit_rate"] == 1.0
