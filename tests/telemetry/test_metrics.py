"""From records to what is scraped."""

import math
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.telemetry.records import SECRET, lookup, turn

from teller.errors import StoreError
from teller.telemetry import Telemetry
from teller.telemetry.recorder import Recorder
from teller.telemetry.series import Histogram, Number, Series
from teller.telemetry.table import BUCKETS_S, LABELS, METRICS, Kind
from teller.turn import MissReason, Scope, Source, Tier, Toggle, ToggleRecord, TrainingRecord

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


async def scraped(telemetry, accept="") -> dict[tuple, float]:
    """Every sample as (name, label values...) to its number."""
    body, _ = await telemetry.scrape(accept)
    parse = parse_openmetrics if accept else parse_text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


async def test_a_turn_is_counted_with_its_source_stages_and_first_sound():
    telemetry = Telemetry(version="1")
    telemetry.recorder.turn_finished(turn())
    telemetry.recorder.turn_finished(turn(source=Source.MODEL, adapter="loans@0123", grounded=True, pieces=12))

    found = await scraped(telemetry)

    assert found["teller_turns_total", "none", "cache", "bank"] == 1
    assert found["teller_turns_total", "loans@0123", "model", "bank"] == 1
    assert found["teller_stage_seconds_count", "cache"] == 2
    assert found["teller_stage_seconds_bucket", "0.0001", "redact"] == 2
    assert found["teller_first_sound_seconds_sum", "cache"] == pytest.approx(0.0024)
    assert found["teller_answer_seconds_sum", "model"] == pytest.approx(0.0004)
    assert found["teller_grounding_checks_total", "loans@0123", "yes"] == 1
    assert found["teller_generated_pieces_total", "loans@0123"] == 12


async def test_a_turn_that_was_broken_off_is_counted_and_its_wait_is_no_answer_time():
    telemetry = Telemetry()
    telemetry.recorder.turn_finished(turn(interrupted=True))
    telemetry.recorder.turn_finished(turn(source=Source.BROKEN_OFF, interrupted=True, answered_ms=0.0))

    found = await scraped(telemetry)

    assert found["teller_interrupted_turns_total", "cache"] == 1
    assert found["teller_interrupted_turns_total", "broken_off"] == 1
    assert found["teller_turns_total", "none", "broken_off", "bank"] == 1
    assert found["teller_answer_seconds_count", "cache"] == 1
    assert found["teller_answer_seconds_count", "broken_off"] == 0
    assert found["teller_stage_seconds_count", "cache"] == 1


async def test_lookups_refusals_and_training_are_counted():
    telemetry = Telemetry()
    for outcome in (Tier.EXACT, Tier.SEMANTIC, MissReason.TOO_FAR, MissReason.TOO_FAR):
        telemetry.recorder.lookup_finished(lookup(outcome))
    refused = turn(source=Source.REFUSED)
    telemetry.recorder.turn_finished(
        turn(source=Source.REFUSED, answer=refused.answer.__class__("No.", Source.REFUSED, "a", reason="advice"))
    )
    telemetry.recorder.training_advanced(TrainingRecord(0.0, "loans", 3, 10, 2.5, 900.0))

    found = await scraped(telemetry)

    assert found["teller_cache_lookups_total", "public", "exact", "bank"] == 1
    assert found["teller_cache_lookups_total", "none", "too_far", "bank"] == 2
    assert found["teller_cache_lookup_seconds_count", "miss"] == 2
    assert found["teller_refused_answers_total", "advice"] == 1
    assert found["teller_training_loss_nats", "loans"] == 2.5


async def test_toggles_are_counted_refused_ones_too():
    telemetry = Telemetry()
    for toggle in (Toggle.ENABLE, Toggle.ENABLE, Toggle.REFUSE):
        telemetry.recorder.adapter_toggled(ToggleRecord(0.0, toggle, None, "loans@0123", "ann", "released"))

    found = await scraped(telemetry)

    counted = {action: found["teller_adapter_toggles_total", action] for action in ("enable", "refuse", "rollback")}
    assert counted == {"enable": 2, "refuse": 1, "rollback": 0}


async def test_a_clock_that_jumps_back_and_times_that_are_none_make_no_negative_latency():
    telemetry = Telemetry()
    broken = {"redact": -5.0, "cache": math.nan, "speak": math.inf}
    telemetry.recorder.turn_finished(turn(started_at=-1.0, timings_ms=broken, answered_ms=-3.0))

    found = await scraped(telemetry)

    assert found["teller_stage_seconds_sum", "redact"] == 0.0
    assert found["teller_stage_seconds_count", "redact"] == 1
    assert found["teller_stage_seconds_count", "cache"] == 0
    assert all(value >= 0 for value in found.values())


async def test_label_values_out_of_bounds_become_other():
    telemetry = Telemetry()
    for number in range(60):
        telemetry.recorder.turn_finished(turn(scope=Scope(f"bank-{number}", "en-GB")))
    telemetry.recorder.turn_finished(turn(scope=Scope("x" * 5_000, "en-GB"), timings_ms={"invented": 1.0}))

    found = await scraped(telemetry)

    tenants = [key[-1] for key in found if key[0] == "teller_turns_total"]
    assert len(tenants) == LABELS["tenant"].at_most + 1
    assert found["teller_turns_total", "none", "cache", "other"] == 41
    assert found["teller_stage_seconds_count", "other"] == 1


async def test_exemplars_lead_to_the_trace_and_only_openmetrics_has_them():
    telemetry = Telemetry()
    record = turn()
    telemetry.recorder.turn_finished(record)

    body, content_type = await telemetry.scrape(OPENMETRICS)
    families = {family.name: family for family in parse_openmetrics(body.decode())}

    assert content_type.startswith("application/openmetrics-text")
    traces = [sample.exemplar.labels for sample in families["teller_answer_seconds"].samples if sample.exemplar]
    assert traces == [{"trace_id": record.call_id}]
    assert record.call_id not in (await telemetry.scrape())[0].decode()


async def test_nothing_that_was_said_is_scraped():
    telemetry = Telemetry()
    telemetry.recorder.turn_finished(turn())
    telemetry.recorder.turn_finished(turn(source=Source.TOOL))

    for accept in ("", OPENMETRICS):
        body = (await telemetry.scrape(accept))[0].decode()
        assert "Wilhelmina" not in body
        assert SECRET not in body
        assert "customer-4711" not in body


async def test_a_source_of_readings_that_fails_is_left_out_and_comes_back():
    telemetry, is_broken = Telemetry(), True

    async def read():
        if is_broken:
            raise StoreError("the disk is gone")
        return [("teller_cache_entries", (), 5)]

    telemetry.watch(read)
    assert ("teller_cache_entries",) not in await scraped(telemetry)
    is_broken = False
    assert (await scraped(telemetry))["teller_cache_entries",] == 5
    is_broken = True
    assert ("teller_cache_entries",) not in await scraped(telemetry)


async def test_two_bots_in_one_process_count_apart():
    one, other = Telemetry(), Telemetry()
    one.recorder.turn_finished(turn())

    assert ("teller_turns_total", "none", "cache", "bank") in await scraped(one)
    assert ("teller_turns_total", "none", "cache", "bank") not in await scraped(other)


def test_records_that_come_too_fast_are_dropped_and_counted():
    series_less = Recorder((), most_waiting=3)
    for _ in range(5):
        series_less.turn_finished(turn())

    assert series_less.dropped == 2
    assert series_less.fold(2) == 2
    assert series_less.fold() == 1


def test_buckets_hold_what_they_say():
    cell = Histogram()
    for seconds in (0.0001, 0.00011, 10.0, 10.1):
        cell.observe(seconds)

    assert cell.counts[0] == 1
    assert cell.counts[1] == 1
    assert cell.counts[-2:] == [1, 1]
    assert (BUCKETS_S[0], BUCKETS_S[-1]) == (0.0001, 10.0)


def test_a_counter_never_goes_back():
    number = Number(5.0)
    for amount in (-1.0, math.nan, math.inf):
        number.add(amount)

    assert number.value == 5.0


def test_a_metric_wants_a_value_for_each_label():
    with pytest.raises(ValueError, match="teller_turns_total has the labels"):
        Series().number("teller_turns_total", "bank")


def test_the_table_keeps_prometheus_naming_and_bounds_every_label():
    for metric in METRICS.values():
        assert re.fullmatch(r"teller_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)
        assert metric.name.endswith("_seconds") == (metric.kind is Kind.HISTOGRAM)
        assert set(metric.labels) <= set(LABELS)
        assert metric.help.endswith(".")
    for label in LABELS.values():
        assert bool(label.allowed) != bool(label.at_most), label.name
        assert label.name in {name for metric in METRICS.values() for name in metric.labels}
