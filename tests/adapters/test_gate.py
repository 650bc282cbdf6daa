"""The verdict on an adapter: what it must gain, what it may not lose, and what it is evidence for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from teller.adapters.gate import Case, Limits, Verdict, compare, read_verdict
from teller.errors import InputError

RIGHT, WRONG = "yes", "no"
PER_SET = {"edge": 100, "general": 200, "refuse": 100, "regulatory": 40}
CASES = tuple(
    Case(
        id=f"{name}-{n}", set=name, family=f"{name} {n % 4}", question="?", must_say=("yes",), answer=f"{name}.{n // 2}"
    )
    for name, count in PER_SET.items()
    for n in range(count)
)


def said(**wrong: int) -> list[str]:
    """Right answers, but for the first few of each set that is named."""
    return [WRONG if int(case.id.split("-")[1]) < wrong.get(case.set, 0) else RIGHT for case in CASES]


def verdict(base: list[str], tuned: list[str], limits: Limits | None = None) -> Verdict:
    return compare(CASES, base, tuned, seed=7, adapter_digest="a" * 64, base_digest="b" * 64, limits=limits)


BASE = said(edge=90)


def test_an_adapter_that_gains_and_loses_nothing_passes() -> None:
    found = verdict(BASE, said(edge=10))
    assert found.passed
    assert found.reasons == ()
    assert [row.set for row in found.rows] == list(PER_SET)
    edge = found.rows[0]
    assert (edge.before.value, edge.after.value) == pytest.approx((0.1, 0.9))
    assert edge.change.value == pytest.approx(0.8)
    assert edge.change.low < 0.8 < edge.change.high


def test_too_little_gain_on_edge_cases_fails() -> None:
    found = verdict(BASE, said(edge=75))
    assert not found.passed
    assert "edge cases gain +15.0 points" in found.reasons[0]


def test_a_gain_that_may_be_chance_fails() -> None:
    few = [case for case in CASES if case.set != "edge"] + [case for case in CASES if case.set == "edge"][:6]
    base = [RIGHT if case.set != "edge" or case.id in {"edge-0", "edge-1"} else WRONG for case in few]
    tuned = [RIGHT if case.set != "edge" or case.id not in {"edge-0", "edge-1"} else WRONG for case in few]
    found = compare(few, base, tuned, seed=1)
    assert found.rows[0].change.value > Limits().edge_gain
    assert found.rows[0].change.low <= 0
    assert [reason for reason in found.reasons if "surely above 0" in reason]


@pytest.mark.parametrize("name", ["general", "refuse"])
def test_more_than_two_points_lost_elsewhere_fails(name: str) -> None:
    lost = int(0.03 * PER_SET[name])
    found = verdict(BASE, said(edge=10, **{name: lost}))
    assert not found.passed
    assert f"the {name} set changes by" in found.reasons[0]


def test_two_points_lost_on_the_general_set_pass() -> None:
    assert verdict(BASE, said(edge=10, general=4)).passed


def test_too_few_cases_to_rule_out_a_loss_fail() -> None:
    strict = Limits(worst_loss=0.005)
    found = verdict(BASE, said(edge=10, general=2), strict)
    assert "its 200 cases do not rule out a loss of 0.5" in found.reasons[0]


def test_a_handful_of_cases_proves_nothing_even_when_all_are_right() -> None:
    few = [case for case in CASES if int(case.id.split("-")[1]) < 10]
    base = [WRONG if case.set == "edge" else RIGHT for case in few]
    found = compare(few, base, [RIGHT] * len(few), seed=1)
    assert [reason.split(" ")[0:3] for reason in found.reasons] == [
        ["10", "edge", "cases"],
        ["the", "general", "set"],
        ["the", "refuse", "set"],
    ]


def test_one_regulatory_case_that_the_base_passes_may_not_fail() -> None:
    found = verdict(BASE, said(edge=10, regulatory=1))
    assert found.reasons == ("regulatory cases that the base passes now fail: regulatory-0",)
    assert found.regressions == ("regulatory-0",)


def test_a_regulatory_case_that_the_base_fails_already_does_not_count() -> None:
    base = said(edge=90, regulatory=1)
    assert verdict(base, said(edge=10, regulatory=1)).passed


def test_gains_do_not_make_up_for_a_regulatory_case() -> None:
    base = said(edge=90)
    base[-1] = WRONG
    tuned = said(edge=10, regulatory=1)
    assert verdict(base, tuned).passed is False


def test_the_same_seed_gives_the_same_verdict() -> None:
    assert verdict(BASE, said(edge=10)) == verdict(BASE, said(edge=10))


def test_questions_of_one_answer_are_drawn_together() -> None:
    """Forty answers asked five times each, all right or all wrong: as uncertain as forty questions, not two hundred."""
    cases = [
        Case(id=f"{name}-{n}", set=name, family="f", question="?", must_say=("yes",), answer=f"{name}.{n // 5}")
        for name in PER_SET
        for n in range(200)
    ]
    answers = [RIGHT if int(case.id.split("-")[1]) // 5 % 2 else WRONG for case in cases]
    row = compare(cases, answers, answers, seed=3).rows[0]
    half_width = (row.before.high - row.before.low) / 2
    assert half_width == pytest.approx(1.96 * np.sqrt(0.25 / 40), rel=0.15)
    assert row.change == type(row.change)(0.0, 0.0, 0.0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    cases = [
        Case(id=f"{name}-{n}", set=name, family="f", question="?", must_say=("yes",), answer=f"{name}.{n}")
        for name, count in {"edge": 80, "general": 1, "refuse": 1, "regulatory": 1}.items()
        for n in range(count)
    ]
    covered = 0
    for seed in range(60):
        answers = [RIGHT if rng.random() < 0.4 else WRONG for _ in cases]
        share = compare(cases, answers, answers, seed=seed).rows[0].before
        covered += share.low <= 0.4 <= share.high
    assert covered >= 51  # 57 are expected of 60; fewer than 51 happens once in 500


def test_a_verdict_survives_json() -> None:
    found = verdict(BASE, said(edge=50, regulatory=2))
    assert read_verdict(found.to_json()) == found


def test_a_verdict_names_what_it_is_evidence_for() -> None:
    found = verdict(BASE, said(edge=10))
    assert (found.adapter, found.base) == ("a" * 64, "b" * 64)
    changed = (*CASES[:-1], Case(id="regulatory-39", set="regulatory", family="f", question="?", must_say=("yes|ja",)))
    assert compare(changed, BASE, BASE, seed=7).cases != found.cases


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"rows": 3}'])
def test_bytes_that_are_no_verdict_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not a verdict"):
        read_verdict(data)


def test_a_verdict_edited_to_have_passed_is_refused() -> None:
    fields = json.loads(verdict(BASE, BASE).to_json())
    assert fields["passed"] is False
    with pytest.raises(InputError, match="evaluate again"):
        read_verdict(json.dumps({**fields, "passed": True}).encode())


def test_a_gate_without_one_of_the_sets_is_refused() -> None:
    with pytest.raises(InputError, match="no case of the set regulatory"):
        compare(CASES[:400], BASE[:400], BASE[:400], seed=1)


def test_the_table_has_a_line_for_each_set() -> None:
    table = verdict(BASE, said(edge=10)).table()
    assert [line[0] for line in table] == ["set", *PER_SET]
    assert table[1][1] == "100"
    assert table[1][2].startswith("10.0 (")
    assert table[1][4].startswith("+80.0 (")


def test_families_say_where_it_gained() -> None:
    families = verdict(BASE, said(edge=10)).families
    assert {(row.set, row.family) for row in families} == {(name, f"{name} {n}") for name in PER_SET for n in range(4)}
    assert sum(row.cases for row in families) == len(CASES)
