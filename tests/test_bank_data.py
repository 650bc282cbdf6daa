"""The invented bank's data agree with themselves: answers, rates and catalogue."""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from teller.banking.slots import TOOLS

BANK = Path(__file__).parents[1] / "src" / "teller" / "data" / "bank"
TOPICS = {
    "accounts", "bereavement", "branches", "cards", "complaints", "digital", "edge_cases", "fees",
    "fraud", "general", "hardship", "loans", "mortgages", "payments", "savings",
}  # fmt: skip
UNITS = {"percent", "gbp", "days", "years", "months", "minutes", "hours", "count", "text"}
KINDS = {"account", "card", "loan", "mortgage", "savings", "insurance", "payment"}
PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
NAMES_WITH_DIGITS = ("Section 75",)
NUMBER_WORDS = re.compile(
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|fortnight|dozen)\b",
    re.IGNORECASE,
)
USED_BY_CALCULATORS_ONLY: frozenset[str] = frozenset()


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


RATES = load(BANK / "rates.toml")
CATALOGUE = load(BANK / "catalogue.toml")
ANSWERS = [(path.stem, answer) for path in sorted((BANK / "answers").glob("*.toml")) for answer in load(path)["answer"]]


def plain(ask: str) -> str:
    """An ask without case and punctuation."""
    return " ".join(re.sub(r"[^\w\s]", "", ask.casefold()).split())


def test_the_bank_answers_at_least_180_questions_over_all_its_topics() -> None:
    assert len(ANSWERS) >= 180
    assert {topic for topic, _ in ANSWERS} == TOPICS


def test_an_answer_has_the_fields_of_an_answer_and_no_others() -> None:
    for topic, answer in ANSWERS:
        fields = set(answer) - {"handoff", "sensitive", "tool"}
        assert fields == {"id", "version", "class", "title", "asks", "text"}, answer["id"]
        assert re.fullmatch(rf"{topic}\.[a-z0-9_]+", answer["id"]), answer["id"]
        assert isinstance(answer["version"], int)
        assert answer.get("handoff", True) is True
        assert answer.get("sensitive", True) is True
        assert answer.get("tool", "loan_payment") in TOOLS


def test_ids_and_titles_are_unique() -> None:
    for field in ("id", "title"):
        counts = Counter(answer[field].casefold() for _, answer in ANSWERS)
        assert [value for value, count in counts.items() if count > 1] == []


def test_every_answer_is_asked_for_in_at_least_five_ways() -> None:
    few = {answer["id"]: len(answer["asks"]) for _, answer in ANSWERS if len({plain(a) for a in answer["asks"]}) < 5}
    assert few == {}


def test_no_ask_leads_to_two_answers_or_occurs_twice() -> None:
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for _, answer in ANSWERS:
        for ask in answer["asks"]:
            owners[plain(ask)].append(answer["id"])
    assert {ask: ids for ask, ids in owners.items() if len(ids) > 1} == {}


def test_what_the_bank_does_not_answer_is_written_once_and_is_no_way_of_asking_for_an_answer() -> None:
    files = [(BANK / name).read_text(encoding="utf-8").splitlines() for name in ("near_topic.txt", "close_misses.txt")]
    unanswered = Counter(plain(line) for lines in files for line in lines)
    asks = {plain(ask) for _, answer in ANSWERS for ask in answer["asks"]}
    assert [line for line, count in unanswered.items() if count > 1 or line in asks or not line] == []


def test_asks_are_spoken_so_they_carry_no_digits() -> None:
    assert [ask for _, answer in ANSWERS for ask in answer["asks"] if re.search(r"\d", ask)] == []


def test_every_placeholder_is_a_rate() -> None:
    unknown = {(answer["id"], key) for _, answer in ANSWERS for key in PLACEHOLDER.findall(answer["text"])} - {
        (answer["id"], key) for _, answer in ANSWERS for key in RATES
    }
    assert unknown == set()


def test_every_rate_is_told_by_an_answer() -> None:
    told = {key for _, answer in ANSWERS for key in PLACEHOLDER.findall(answer["text"])}
    assert set(RATES) - told == USED_BY_CALCULATORS_ONLY


def test_texts_carry_no_number_but_in_placeholders_and_names() -> None:
    for _, answer in ANSWERS:
        text = PLACEHOLDER.sub("", answer["text"])
        for name in NAMES_WITH_DIGITS:
            text = text.replace(name, "")
        assert re.search(r"[\d£%{}]", text) is None, answer["id"]
        assert NUMBER_WORDS.search(text) is None, answer["id"]


def test_an_answer_is_of_class_product_if_and_only_if_it_tells_a_rate() -> None:
    for _, answer in ANSWERS:
        expected = "product" if PLACEHOLDER.search(answer["text"]) else "public"
        assert answer["class"] == expected, answer["id"]


def test_texts_are_a_few_spoken_sentences() -> None:
    for _, answer in ANSWERS:
        text = answer["text"]
        assert 40 <= len(text) <= 420, answer["id"]
        assert text == " ".join(text.split()), answer["id"]
        assert text.endswith((".", "?")), answer["id"]


def test_a_rate_has_a_value_of_its_unit() -> None:
    for key, rate in RATES.items():
        assert set(rate) == {"value", "unit", "label", "version", "since"}, key
        assert rate["unit"] in UNITS, key
        assert isinstance(rate["version"], int), key
        if rate["unit"] != "text":
            assert Decimal(rate["value"]) > 0, key


def test_counts_and_times_are_plural_so_that_the_words_after_them_fit() -> None:
    singular = [k for k, r in RATES.items() if r["unit"] not in {"percent", "gbp", "text"} and Decimal(r["value"]) == 1]
    assert singular == []


def test_labels_of_rates_are_unique() -> None:
    assert len({rate["label"] for rate in RATES.values()}) == len(RATES)


def test_lower_limits_lie_below_upper_limits() -> None:
    ladders = [
        ("personal_loan_min", "personal_loan_standard_from", "personal_loan_standard_to", "personal_loan_max"),
        ("personal_loan_min_term", "personal_loan_max_term"),
        ("personal_loan_apr", "personal_loan_apr_large", "personal_loan_apr_small"),
        ("credit_card_limit_min", "credit_card_limit_max"),
        ("credit_card_purchase_apr", "credit_card_cash_apr", "overdraft_ear"),
        ("regular_saver_min", "regular_saver_max"),
        ("fixed_saver_min", "fixed_saver_max"),
        ("easy_saver_aer", "cash_isa_aer", "notice_saver_aer", "fixed_saver_short_aer", "regular_saver_aer"),
        ("mortgage_long_fix_rate", "mortgage_short_fix_rate", "mortgage_first_time_rate", "mortgage_svr"),
        ("mortgage_min_deposit", "mortgage_best_rate_deposit", "mortgage_buy_to_let_deposit"),
        ("youth_account_min_age", "adult_age", "mortgage_max_age"),
        ("silver_monthly_fee", "gold_monthly_fee"),
        ("contactless_limit", "contactless_total", "atm_limit", "debit_spend_limit"),
        ("top_up_min", "top_up_max", "top_up_month_max"),
        ("sepa_fee", "international_fee", "chaps_fee"),
        ("section_75_min", "section_75_max"),
        ("scam_refund_days", "scam_refund_longest_days"),
        ("fscs_limit", "fscs_temporary_limit"),
    ]
    for ladder in ladders:
        steps = [Decimal(RATES[key]["value"]) for key in ladder]
        assert all(low < high for low, high in pairwise(steps)), ladder


def test_a_name_or_alias_means_one_product_tier_or_place() -> None:
    named = [[e["name"], *e["aliases"]] for group in ("products", "places") for e in CATALOGUE[group].values()]
    tiers = [[tier, *aliases] for tier, aliases in CATALOGUE["tiers"].items()]
    counts = Counter(plain(name) for names in named + tiers for name in names)
    assert [name for name, count in counts.items() if count > 1] == []


def test_products_are_of_a_known_kind() -> None:
    assert {product["kind"] for product in CATALOGUE["products"].values()} == KINDS


def test_an_action_has_one_row_and_is_never_its_own_opposite() -> None:
    pairs = [tuple(pair) for pair in CATALOGUE["actions"]["pairs"]]
    assert all(len(pair) == 2 and pair[0] != pair[1] for pair in pairs)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
