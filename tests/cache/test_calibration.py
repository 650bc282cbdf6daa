import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.cache.calibration import Record, calibrate, calibration_body, upper_bound
from teller.cache.judge import Region
from teller.cache.live_regions import LiveRegions
from teller.cache.monitor import HitMonitor
from teller.errors import InputError


def world(count: int, seed: int) -> list[Record]:
    """Opinions whose claims are too bold by a known amount."""
    rng = np.random.default_rng(seed)
    claims = rng.beta(4.0, 0.3, count)
    right = rng.random(count) > error_at(claims)
    return [
        Record("public", float(claim), bool(good), f"answer {answer}")
        for claim, good, answer in zip(claims, right, rng.integers(0, 500, count), strict=True)
    ]


def error_at(claims: np.ndarray) -> np.ndarray:
    return 0.001 + 0.25 * (1.0 - claims) ** 0.8


def true_share(region: Region) -> float:
    claims = np.random.default_rng(12345).beta(4.0, 0.3, 200_000)
    return float(error_at(claims[claims >= region.min_probability]).mean())


def test_a_certificate_holds_as_often_as_it_says():
    regions = [calibrate(world(4_000, seed))["public"].region for seed in range(80)]
    opened = [region for region in regions if region]
    broken = sum(true_share(region) > 0.01 for region in opened)
    assert len(opened) >= 40, "the evidence is plenty: the procedure must have power"
    assert broken <= 8, "at most 5 % of 80, and what chance allows"


def test_a_class_without_enough_evidence_is_closed_and_says_what_it_takes():
    few = [Record("fees", 0.99, True, f"a{at}") for at in range(300)]
    found = calibrate(few)["fees"]
    assert found.region is None
    assert "it takes" in found.reason
    plenty = [Record("fees", 0.99, True, f"a{at}") for at in range(3_000)]
    opened = calibrate(plenty)["fees"]
    assert opened.region == Region(0.99, opened.region.bound)
    assert opened.region.bound <= 0.01
    assert opened.test_hits > 1_000
    assert opened.test_wrong == 0


def test_hits_bind_the_limit_and_not_requests():
    hopeless = [Record("public", 0.0, False, f"h{at}") for at in range(20_000)]
    bad = [Record("public", 0.9, at % 20 > 0, f"a{at}") for at in range(2_000)]
    assert calibrate(hopeless + bad)["public"].region is None


def test_calibration_is_deterministic_and_the_order_of_records_does_not_matter():
    records = world(5_000, 3)
    assert calibrate(records) == calibrate(records[::-1])


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, math.nan, 2.0])
def test_impossible_limits_are_refused(limit):
    with pytest.raises(InputError):
        calibrate(world(10, 0), max_false_hits=limit)
    with pytest.raises(InputError):
        calibrate(world(10, 0), confidence=limit)


def test_empty_and_impossible_records_are_refused():
    with pytest.raises(InputError, match="no labelled opinions"):
        calibrate([])
    with pytest.raises(InputError, match="nan"):
        calibrate([Record("public", math.nan, True, "a")])


@given(st.integers(0, 60), st.integers(1, 4_000))
def test_the_exact_limit_is_above_the_share_and_tightens_with_evidence(wrong, hits):
    wrong = min(wrong, hits)
    assert wrong / hits <= upper_bound(wrong, hits, 0.95) <= 1.0
    assert upper_bound(wrong, 2 * hits, 0.95) <= upper_bound(wrong, hits, 0.95)


def test_the_exact_limit_agrees_with_known_values():
    assert upper_bound(0, 3_000, 0.95) == pytest.approx(1 - 0.05 ** (1 / 3_000), rel=1e-6)
    assert upper_bound(1, 10, 0.95) == pytest.approx(0.39416, abs=1e-4)


def test_a_live_region_widens_on_good_answers_and_narrows_on_bad_ones():
    widths = {}
    for name, offset in (("good", 0.0), ("bad", 2.0)):
        regions, rng = LiveRegions(), np.random.default_rng(1)
        for odds in rng.normal(2.0, 2.5, 4_000):
            claim = 1.0 / (1.0 + math.exp(-odds))
            right = bool(rng.random() < 1.0 / (1.0 + math.exp(-(odds - offset))))
            served = claim >= regions.region("public").min_probability
            regions.answered("public", claim, None if served else right)
        widths[name] = regions.region("public").min_probability
    assert widths["good"] < widths["bad"]
    assert regions.region("never asked").min_probability == pytest.approx(0.99)


def test_a_live_region_keeps_the_share_of_wrong_hits_under_its_limit():
    regions, rng, hits, wrong = LiveRegions(), np.random.default_rng(7), 0, 0
    for odds in rng.normal(3.0, 2.5, 20_000):
        claim = 1.0 / (1.0 + math.exp(-odds))
        right = bool(rng.random() < 1.0 / (1.0 + math.exp(-(0.8 * odds - 0.5))))
        served = claim >= regions.region("public").min_probability
        hits, wrong = hits + served, wrong + (served and not right)
        regions.answered("public", claim, None if served else right)
    assert hits > 1_000
    assert wrong / hits <= 0.01


def test_a_young_cache_is_held_no_tighter_than_an_old_one():
    widths = []
    for count in (640, 20_000):
        regions, rng = LiveRegions(), np.random.default_rng(7)
        for odds in rng.normal(3.0, 2.5, count):
            claim = 1.0 / (1.0 + math.exp(-odds))
            right = bool(rng.random() < claim)
            served = claim >= regions.region("public").min_probability
            regions.answered("public", claim, None if served else right)
        widths.append(regions.region("public").min_probability)
    assert widths[0] == pytest.approx(widths[1], abs=0.005)


def watched(max_false_hits: float = 0.01) -> HitMonitor:
    monitor = HitMonitor()
    certificates = calibrate([Record("public", 0.95, True, f"a{at}") for at in range(4_000)])
    monitor.calibrate(calibration_body(certificates, max_false_hits=max_false_hits, confidence=0.95))
    return monitor


def test_a_class_without_a_calibration_is_closed():
    assert HitMonitor().region("public") is None
    assert watched().region("fees") is None
    assert watched().region("public").min_probability == 0.95


def test_bad_answers_close_a_class_within_300_checks():
    closed = []
    for seed in range(60):
        monitor, rng = watched(), np.random.default_rng(seed)
        for check in range(300):
            monitor.observe("public", bool(rng.random() > 0.06), 0.95)
            if monitor.region("public") is None:
                closed.append(check)
                break
    assert len(closed) >= 57


def test_a_class_at_its_limit_is_almost_never_closed_however_often_one_looks():
    alarms = 0
    for seed in range(60):
        monitor, rng = watched(), np.random.default_rng(seed)
        for _ in range(600):
            monitor.observe("public", bool(rng.random() > 0.01), 0.95)
        alarms += monitor.region("public") is None
    assert alarms <= 7, "5 % of 60, and what chance allows"


def test_wrong_hits_near_the_edge_tighten_a_class_instead_of_closing_it():
    monitor = watched()
    for _ in range(200):
        monitor.observe("public", True, 0.9999)
    for _ in range(30):
        monitor.observe("public", False, 0.951)
    region = monitor.region("public")
    assert region is not None
    assert region.min_probability > 0.951
    assert region.bound < 0.1


def test_what_was_observed_survives_dump_and_load():
    monitor, other = watched(), watched()
    for at in range(50):
        monitor.observe("public", at % 9 > 0, 0.96)
    other.load(monitor.dump())
    assert other.region("public") == monitor.region("public")
    assert other.bound("public") == monitor.bound("public") < 1.0
    other.load({})
    assert other.bound("public") == 1.0


def test_a_calibration_of_another_form_is_refused():
    with pytest.raises(InputError, match="calibrate again"):
        HitMonitor().calibrate({"name": "regions"})
