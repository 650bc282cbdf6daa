"""Cases are read strictly, and an answer is judged by words, values and action."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from teller.adapters.cases import (
    SETS,
    Case,
    cases_digest,
    check,
    judge,
    read_actions,
    read_cases,
    read_checks,
    read_edge_ids,
    read_gate,
)
from teller.errors import InputError

SPOKEN = {"limit": "£300", "days": "10", "notice": "90 days"}
CHECKS = """
["cards.swallowed"]
must_say = ["freeze|block", "machine"]
must_not_say = ["keep using"]
values = ["{limit}"]
may_say = ["{days} working days"]
"""


def case(**changes: Any) -> Case:
    fields = {"id": "e1", "set": "edge", "family": "cards", "question": "it ate my card", "answer": "cards.swallowed"}
    return Case(**{**fields, "must_say": ("freez*|block",), **changes})


def line(**changes: Any) -> str:
    fields = {"id": "e1", "set": "edge", "family": "cards", "question": "it ate my card", "answer": "cards.swallowed"}
    return json.dumps({**fields, **changes})


def checks() -> dict[str, dict[str, Any]]:
    return read_checks(CHECKS, "checks.toml", actions={"cards.swallowed": "freeze_card"}, spoken=SPOKEN)


def test_one_of_the_alternatives_is_enough() -> None:
    assert check(case(), "Please block it.").right
    assert check(case(), "Try freezing it in the app.").right
    assert check(case(), "Try the app.").why == "does not say 'freez*|block'"


def test_a_word_is_not_found_inside_another() -> None:
    assert not check(case(must_say=("id",)), "She did it.").right
    assert check(case(must_say=("id",)), "Bring photo ID.").right


def test_case_apostrophes_and_punctuation_do_not_matter() -> None:
    assert check(case(must_say=("don't send",)), "DON’T send it!").right
    assert check(case(must_say=("don't send",)), "Dont send it").right
    assert check(case(must_say=("straight away",)), "Straight-away, please.").right
    assert check(case(must_say=("9.30 am",)), "from 9.30 am").right


def test_the_end_of_a_word_is_free_only_where_a_star_says_so() -> None:
    assert check(case(must_say=("lower* payments",)), "by lowering payments").right
    assert not check(case(must_say=("lower payments",)), "by lowering payments").right


def test_what_must_not_be_said_fails_an_answer_that_is_right_otherwise() -> None:
    assert check(case(must_not_say=("keep using|use it",)), "Block it, then use it.").why == "says 'keep using|use it'"


def test_a_value_must_be_told_however_it_is_written() -> None:
    wanted = case(values=("300.00 GBP",))
    assert check(wanted, "Block it; you get three hundred pounds.").right
    assert check(wanted, "Block it; you get £300.").right
    assert check(wanted, "Block it; you get £200.").why == "does not tell 300.00 GBP"


def test_an_amount_that_nobody_approved_fails() -> None:
    wanted = case(values=("300.00 GBP",), may_say=("P10D:business",))
    assert check(wanted, "Block it; £300 within 10 working days.").right
    assert check(wanted, "Block it; £300 for a fee of £5.").why == "adds 5.00 GBP"
    assert check(wanted, "Block it; £300 within 3 working days.").why == "adds P3D:business"


def test_an_amount_of_the_question_may_be_repeated() -> None:
    asked = case(question="can I take £40 out")
    assert check(asked, "Block it, and yes, £40 is fine.").right


def test_without_an_expected_answer_other_values_and_actions_are_free() -> None:
    assert check(case(answer=""), "Block it; it costs £5. [action: freeze_card]").right


def test_the_action_must_be_the_one_that_is_expected() -> None:
    wanted = case(action="freeze_card")
    assert check(wanted, "Block it. [action: freeze_card]").right
    assert check(wanted, "Block it.").why == "the action is 'none', wanted 'freeze_card'"
    assert check(wanted, "Block it. [action: open_dispute]").why == "the action is 'open_dispute', wanted 'freeze_card'"
    assert check(case(), "Block it. [action: freeze_card]").why == "the action is 'freeze_card', wanted 'none'"


def test_an_action_alone_says_nothing() -> None:
    assert check(case(must_say=(), action="freeze_card"), "[action: freeze_card]").why == "nothing was said"
    assert check(case(must_say=(), answer=""), " ... ").why == "nothing was said"


def test_a_placeholder_that_nobody_filled_fails() -> None:
    assert "{limit}" in check(case(), "Block it; you get {limit}.").why


def test_judging_needs_one_answer_to_each_case() -> None:
    with pytest.raises(InputError, match="1 cases but 2 answers"):
        judge([case()], ["a", "b"])


def test_a_case_takes_on_the_checks_of_its_answer() -> None:
    (read,) = read_cases(line(must_say=["branch"]), "edge.jsonl", checks=checks())
    assert read.must_say == ("freeze|block", "machine", "branch")
    assert read.must_not_say == ("keep using",)
    assert read.values == ("300.00 GBP",)
    assert read.may_say == ("P10D:business",)
    assert read.action == "freeze_card"


def test_a_case_may_carry_its_own_checks() -> None:
    own = line(answer="mine", must_say=["yes"], values=["10.00 GBP"], action="go")
    (read,) = read_cases(own, "mine.jsonl")
    assert (read.must_say, read.values, read.action) == (("yes",), ("10.00 GBP",), "go")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no case in it"),
        ("{", "mine:1: not JSON"),
        ("[]", "wanted an object"),
        (line(mustsay=["x"]), "wanted an object with fields"),
        (line(question=" "), "wanted text in id, set, family, question"),
        (line(question=3), "wanted text in"),
        (line(set="other"), "the set is 'other'"),
        (line(must_say="x"), "wanted lists of words"),
        (line(must_say=["a||b"]), "wanted lists of words"),
        (line(must_say=["*"]), "wanted lists of words"),
        (line(), "nothing to check for 'cards.swallowed'"),
        (line(must_say=["x"]) + "\n" + line(must_say=["x"]), "mine:2: the id 'e1' is used already"),
    ],
)
def test_a_broken_case_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cases(text, "mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not TOML"),
        ('["a"]\nsay = ["x"]', "wanted lists of words named must_say"),
        ('["a"]\nmust_say = ["{nope}"]', "there is no rate 'nope'"),
        ('["a"]\nvalues = ["soon"]', "'soon' must be one amount"),
        ('["a"]\nvalues = ["£5 within 3 working days"]', "2 are in it"),
        ("a = 1", "wanted lists"),
    ],
)
def test_broken_checks_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_checks(text, "checks.toml", actions={}, spoken=SPOKEN)


def test_an_action_code_is_in_snake_case() -> None:
    assert read_actions('"a.b" = "freeze_card"', "actions.toml") == {"a.b": "freeze_card"}
    with pytest.raises(InputError, match="'Freeze Card'"):
        read_actions('"a.b" = "Freeze Card"', "actions.toml")


def gate_folder(folder: Path) -> Path:
    (folder / "checks.toml").write_text(CHECKS)
    (folder / "actions.toml").write_text('"cards.swallowed" = "freeze_card"')
    for name in SETS:
        (folder / f"{name}.jsonl").write_text("\ufeff" + line(id=f"{name}-1", set=name), encoding="utf-8")
    return folder


def test_a_folder_has_a_file_for_each_set(tmp_path: Path) -> None:
    cases = read_gate(gate_folder(tmp_path), SPOKEN)
    assert [(one.id, one.action) for one in cases] == [(f"{name}-1", "freeze_card") for name in SETS]


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    folder = gate_folder(tmp_path)
    (folder / "refuse.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"refuse\.jsonl: cannot be read as UTF-8"):
        read_gate(folder, SPOKEN)
    (folder / "refuse.jsonl").unlink()
    with pytest.raises(InputError, match=r"refuse\.jsonl: there is no such file"):
        read_gate(folder, SPOKEN)


def test_an_id_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = gate_folder(tmp_path)
    (folder / "general.jsonl").write_text(line(id="edge-1", set="general"))
    with pytest.raises(InputError, match="used in two files"):
        read_gate(folder, SPOKEN)


def test_edge_ids_come_with_their_families_in_order() -> None:
    text = "# All of them.\n\n# family: one\na.x\na.y\n\n# family: two\nb.x\n"
    assert list(read_edge_ids(text).items()) == [("a.x", "one"), ("a.y", "one"), ("b.x", "two")]


def test_the_digest_changes_with_any_check_and_not_with_the_order() -> None:
    one, two = case(id="1"), case(id="2")
    assert cases_digest([one, two]) == cases_digest([two, one])
    assert cases_digest([one]) != cases_digest([case(id="1", must_not_say=("x",))])
