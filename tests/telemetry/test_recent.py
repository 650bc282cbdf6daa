"""What the last minutes look like, against counting by hand."""

import pytest
from tests.telemetry.records import lookup, turn

from teller.telemetry import Telemetry
from teller.telemetry.recent import WINDOW_S, Recent, quantile_ms
from teller.telemetry.table import BUCKETS_S
from teller.turn import MissReason, Source, Tier, Toggle, ToggleRecord


class Watched:
    """Telemetry that is told things and looked at, at times that the test names."""

    def __init__(self):
        self.telemetry = Telemetry()
        self.recent = Recent()

    def tell(self, *, hits=0, misses=0, reason=MissReason.TOO_FAR, turns=0, **changes):
        recorder = self.telemetry.recorder
        for _ in range(hits):
            recorder.lookup_finished(lookup(Tier.SEMANTIC))
        for _ in range(misses):
            recorder.lookup_finished(lookup(reason))
        for _ in range(turns):
            recorder.turn_finished(turn(**changes))

    async def look(self, at):
        return self.recent.look(await self.telemetry.up_to_date(), at)


@pytest.fixture
def watched():
    return Watched()


async def test_only_what_came_since_the_window_began_counts_and_the_rest_is_since_the_start(watched):
    watched.tell(hits=90, misses=10)
    await watched.look(0.0)
    watched.tell(hits=1, misses=3)
    view = await watched.look(10.0)
    assert (view["cache"]["hits"], view["cache"]["misses"], view["cache"]["hit_rate"]) == (1, 3, 0.25)
    assert view["cache"]["since_start"] == {"hits": 91, "misses": 13, "hit_rate": 0.875}
    assert view["cache"]["by_tier"] == {"exact": 0, "semantic": 1}
    assert view["cache"]["by_reason"] == {"too_far": 3}
    assert view["window_s"] == 10.0


async def test_the_window_moves_on_and_forgets(watched):
    await watched.look(0.0)
    watched.tell(misses=5)
    for second in range(1, int(WINDOW_S) + 20):
        view = await watched.look(float(second))
    assert view["cache"]["misses"] == 0
    assert view["window_s"] <= WINDOW_S + 5


async def test_turns_a_second_are_of_the_last_seconds(watched):
    assert (await watched.look(0.0))["turns"]["per_s"] is None
    watched.tell(turns=100, source=Source.MODEL)
    await watched.look(20.0)
    watched.tell(turns=20, source=Source.TOOL)
    view = await watched.look(30.0)
    assert view["turns"]["per_s"] == pytest.approx(2.0)
    assert view["turns"]["by_source"] == {"model": 100, "tool": 20}
    assert view["turns"]["total"] == 120


async def test_waiting_times_are_read_off_the_buckets(watched):
    await watched.look(0.0)
    watched.tell(turns=9, timings_ms={"cache": 1.0, "speak": 40.0}, answered_ms=3.0)
    watched.tell(turns=1, timings_ms={"cache": 1.0, "speak": 900.0}, answered_ms=3.0)
    sound = (await watched.look(5.0))["times"]["first_sound"]
    assert sound["turns"] == 10
    assert 25 < sound["p50_ms"] < 50
    assert 500 < sound["p95_ms"] <= 1_000


def test_a_percentile_lies_within_its_bucket_in_proportion():
    counts = [0] * (len(BUCKETS_S) + 1)
    counts[BUCKETS_S.index(0.1)] = 4  # between 50 and 100 ms
    assert quantile_ms(counts, 0.5) == pytest.approx(75.0)
    assert quantile_ms([0] * len(counts), 0.5) is None
    beyond = [*[0] * len(BUCKETS_S), 3]
    assert quantile_ms(beyond, 0.5) == 1_000 * BUCKETS_S[-1]


async def test_generated_answers_that_were_not_grounded_are_counted(watched):
    await watched.look(0.0)
    watched.tell(turns=3, source=Source.MODEL, grounded=True)
    watched.tell(turns=1, source=Source.APPROVED, grounded=False)
    assert (await watched.look(5.0))["grounding"] == {"checked": 4, "failed": 1}


async def test_classes_adapters_and_logs_are_as_they_were_read(watched):
    async def read():
        return [
            ("teller_cache_class_open", ("public",), 1),
            ("teller_cache_class_open", ("product",), 0),
            ("teller_cache_class_certified", ("public",), 1),
            ("teller_cache_certified_bound_ratio", ("public",), 0.008),
            ("teller_adapter_info", ("lora@1", "live"), 1.0),
            ("teller_adapter_info", ("lora@2", "canary"), 1.0),
            ("teller_adapter_served", (), 1),
            ("teller_adapter_canary_share_ratio", (), 0.1),
            ("teller_turn_log_shed_total", (), 7),
            ("teller_calls_active", (), 3),
        ]

    watched.telemetry.watch(read)
    view = await watched.look(0.0)
    assert view["cache"]["classes"] == [
        {"class": "public", "open": True, "certified": 1, "bound": 0.008, "observed": None},
        {"class": "product", "open": False, "certified": None, "bound": None, "observed": None},
    ]
    assert view["adapters"] == {"live": "lora@1", "canary": "lora@2", "share": 0.1, "served": True}
    assert view["log"]["shed"] == 7
    assert view["calls"]["active"] == 3


async def test_the_latest_toggles_are_remembered(watched):
    for number in range(20):
        watched.telemetry.recorder.adapter_toggled(
            ToggleRecord(number, Toggle.ENABLE, None, f"lora@{number}", "ann", "")
        )
    await watched.look(0.0)
    remembered = [one.after for one in watched.telemetry.toggles]
    assert remembered[-1] == "lora@19"
    assert len(remembered) == 8
