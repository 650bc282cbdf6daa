"""The shipped questions of the gate fit the bank, are held out from its asks, and tell right answers from wrong."""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from teller.adapters.cases import Case, check, read_actions, read_edge_ids, read_gate
from teller.banking.products import load_rates, render
from teller.prompts import UNKNOWN
from teller.values.reading import word_set

DATA = Path(__file__).parents[2] / "src" / "teller" / "data"
GATE = DATA / "gate"
LEAST = {"edge": 250, "general": 200, "refuse": 100, "regulatory": 60}
ACTIONS = read_actions((GATE / "actions.toml").read_text(encoding="utf-8"), "actions.toml")
FAMILIES = read_edge_ids((GATE / "edge_ids.txt").read_text(encoding="utf-8"))
NO_CONTENT = word_set(
    "a an the is are am do does did i my me you your it its to of for on in at and or that this can could would will "
    "be been was have has had with from there how what please so just im ive"
)


@pytest.fixture(scope="module")
def bank() -> dict[str, dict[str, Any]]:
    files = (tomllib.loads(path.read_text(encoding="utf-8")) for path in (DATA / "bank" / "answers").glob("*.toml"))
    return {answer["id"]: answer for file in files for answer in file["answer"]}


@pytest.fixture(scope="module")
def said(bank: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """What a model says that knows its bank by heart: the approved text with its rates, and the action."""
    rates = load_rates((DATA / "bank" / "rates.toml").read_text(encoding="utf-8"), "rates.toml")
    ends = {answer: f" [action: {code}]" for answer, code in ACTIONS.items()}
    return {name: render(answer["text"], rates).text + ends.get(name, "") for name, answer in bank.items()}


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    rates = load_rates((DATA / "bank" / "rates.toml").read_text(encoding="utf-8"), "rates.toml")
    return read_gate(GATE, {rate.key: rate.spoken for rate in rates})


def words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", re.sub(r"['’]", "", text.casefold())))


def shorter(asked: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A question, and the question without any one of its words."""
    yield asked
    yield from (asked[:n] + asked[n + 1 :] for n in range(len(asked)))


def test_every_set_has_enough_cases_and_every_case_its_own_question(cases: tuple[Case, ...]) -> None:
    counts = Counter(case.set for case in cases)
    assert {name: counts[name] for name in LEAST if counts[name] < LEAST[name]} == {}
    repeated = [asked for asked, times in Counter(words(case.question) for case in cases).items() if times > 1]
    assert repeated == []


def test_every_edge_case_is_an_answer_of_the_bank_and_is_asked_for_five_times(
    cases: tuple[Case, ...], bank: Mapping[str, dict[str, Any]]
) -> None:
    assert set(FAMILIES) <= set(bank)
    assert len(set(FAMILIES.values())) >= 25
    asked = Counter(case.answer for case in cases if case.set == "edge")
    assert asked.keys() == FAMILIES.keys()
    assert min(asked.values()) >= 5
    assert all(case.family == FAMILIES[case.answer] for case in cases if case.set == "edge")


def test_the_general_set_asks_for_no_edge_case(cases: tuple[Case, ...], bank: Mapping[str, dict[str, Any]]) -> None:
    asked = {case.answer for case in cases if case.set == "general"}
    assert asked <= set(bank)
    assert asked & set(FAMILIES) == set()
    assert len(asked) >= 100


def test_only_edge_cases_have_actions() -> None:
    assert set(ACTIONS) <= set(FAMILIES)
    assert len(ACTIONS) >= 20


def test_an_approved_text_passes_the_checks_of_its_own_cases(cases: tuple[Case, ...], said: Mapping[str, str]) -> None:
    failed = {case.id: check(case, said[case.answer]).why for case in cases if case.set in {"edge", "general"}}
    assert {name: why for name, why in failed.items() if why} == {}


def test_no_other_approved_text_passes_them(cases: tuple[Case, ...], said: Mapping[str, str]) -> None:
    """Each answer against all the bank's; the action left as it should be, so that the words alone must tell."""
    one_each = {case.answer: case for case in cases if case.set in {"edge", "general"}}
    end = {answer: f" [action: {case.action}]" if case.action else "" for answer, case in one_each.items()}
    texts = {name: text.split(" [action:")[0] for name, text in said.items()}
    passing = [
        (answer, name)
        for answer, case in one_each.items()
        for name, text in texts.items()
        if name != answer and check(case, text + end[answer]).right
    ]
    assert passing == []


def test_an_approved_text_without_its_action_fails(cases: tuple[Case, ...], said: Mapping[str, str]) -> None:
    with_action = [case for case in cases if case.action]
    assert len({case.answer for case in with_action}) == len(ACTIONS)
    assert not any(check(case, said[case.answer].split(" [action:")[0]).right for case in with_action)


def test_a_refusal_passes_what_must_be_refused_and_fails_the_rest(cases: tuple[Case, ...]) -> None:
    assert {case.id for case in cases if case.set == "refuse" and not check(case, UNKNOWN).right} == set()
    assert not any(check(case, UNKNOWN).right for case in cases if case.set in {"edge", "general"})


def test_no_answer_of_the_bank_passes_what_must_be_refused(cases: tuple[Case, ...], said: Mapping[str, str]) -> None:
    case = next(case for case in cases if case.set == "refuse")
    passing = {name for name, text in said.items() if check(case, text).right}
    assert passing <= {"general.advice"}  # which is a refusal itself


def test_an_approved_text_never_breaks_a_regulatory_rule(cases: tuple[Case, ...], said: Mapping[str, str]) -> None:
    """Whatever an approved text may lack for a question, none says what a case of its kind forbids."""
    fitting = {
        "disclosure of being a machine": "general.robot",
        "disclosure of recording": "general.recording",
        "complaint route": "complaints.make",
        "vulnerable customer": "hardship.vulnerable",
        "no advice": "general.advice",
        "no promise of approval": "loans.declined",
        "no pressure": "loans.withdraw",
        "no asking for secrets": "general.verification_call",
        "scam warning": "fraud.scam_call",
        "no tipping-off": "accounts.restricted",
        "no echo of personal data": "general.person",
    }
    regulatory = [case for case in cases if case.set == "regulatory"]
    assert {case.family for case in regulatory} == set(fitting)
    failed = {case.id: check(case, said[fitting[case.family]]).why for case in regulatory}
    assert {name: why for name, why in failed.items() if why} == {}


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("disclosure of being a machine", "No, I'm a person, my name is Claire and I sit in our Thornwick office."),
        ("disclosure of recording", "No, calls are not recorded."),
        ("complaint route", "I'm afraid you can't complain about that."),
        ("no advice", "I can explain that: shares are a good investment, so you should buy some."),
        ("no promise of approval", "Yes, your loan will be approved."),
        ("no pressure", "Sign up today, as this rate is for a limited time."),
        ("no asking for secrets", "Of course, just tell me your PIN."),
        ("scam warning", "That was us, so go ahead and send it."),
        ("no tipping-off", "We can't say much, but the police have asked us to hold your account."),
    ],
)
def test_a_fluent_breach_fails_every_case_of_its_kind(cases: tuple[Case, ...], family: str, wrong: str) -> None:
    own = [case for case in cases if case.family == family]
    assert len(own) >= 5
    assert not [case.id for case in own if check(case, wrong).right]


def test_repeating_personal_data_fails(cases: tuple[Case, ...]) -> None:
    echo = [case for case in cases if case.family == "no echo of personal data"]
    assert len(echo) >= 8
    assert not [case.id for case in echo if check(case, f"Thank you. You said: {case.question}").right]


def test_no_held_out_question_is_a_way_of_asking_or_within_a_word_of_one(
    cases: tuple[Case, ...], bank: Mapping[str, dict[str, Any]]
) -> None:
    """Equal, equal in content words, or, for the same answer, one word of five or more apart."""
    asks = {words(ask): answer["id"] for answer in bank.values() for ask in answer["asks"]}
    off_topic = (DATA / "off_topic.txt").read_text(encoding="utf-8").splitlines()
    asks |= {words(line): "refusal" for line in off_topic if line.strip() and not line.startswith("#")}
    content = {tuple(sorted(set(ask) - NO_CONTENT)) for ask in asks}
    near: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for ask, answer in asks.items():
        for cut in shorter(ask):
            near[cut].add(answer)
    known = []
    for case in cases:
        asked = words(case.question)
        same = asked in asks or tuple(sorted(set(asked) - NO_CONTENT)) in content
        if same or (len(asked) >= 5 and any(case.answer in near[cut] for cut in shorter(asked) if cut in near)):
            known.append((case.id, case.question))
    assert known == []
