from decimal import Decimal
from pathlib import Path

import pytest

import teller
from teller.banking.products import load_catalogue, load_opposites, load_rates, render
from teller.errors import KnowledgeError

ROW = '[{key}]\nvalue = {value}\nunit = "{unit}"\nlabel = "A row"\nversion = 3\nsince = 2026-04-01\n'


def row(key, value, unit):
    return ROW.format(key=key, value=value, unit=unit)


def test_a_row_is_exact_and_stamped():
    rate = load_rates(row("personal_loan_apr", '"6.5"', "percent"), "rates.toml")["personal_loan_apr"]

    assert (rate.value, rate.version, rate.since.isoformat()) == (Decimal("6.5"), 3, "2026-04-01")
    assert rate.stamp == "rate:personal_loan_apr@3"
    assert (rate.citation.id, rate.citation.version) == ("rate:personal_loan_apr", "3")


def test_an_unquoted_decimal_is_exact_too():
    rates = load_rates(row("apr", "6.1", "percent"), "rates.toml")

    assert rates.number("apr", "percent") == Decimal("6.1")


@pytest.mark.parametrize(
    ("value", "unit", "spoken"),
    [
        ('"6.50"', "percent", "6.5%"),
        ('"0"', "percent", "0%"),
        ('"1250"', "gbp", "£1,250"),
        ('"2.5"', "gbp", "£2.50"),
        ('"1"', "days", "1 day"),
        ('"5"', "days", "5 days"),
        ('"1"', "hours", "1 hour"),
        ('"84"', "months", "84 months"),
        ('"100"', "years", "100 years"),
        ("30", "minutes", "30 minutes"),
        ('"4.5"', "count", "4.5"),
        ('"1400000"', "count", "1,400,000"),
        ('"2 pm"', "text", "2 pm"),
    ],
)
def test_a_value_is_said_by_its_unit(value, unit, spoken):
    rates = load_rates(row("it", value, unit), "rates.toml")

    assert render("say {it}.", rates).text == f"say {spoken}."


def test_a_rendered_text_carries_each_stamp_once_in_order():
    rates = load_rates(row("b", '"1"', "days") + row("a", '"2"', "days"), "rates.toml")

    assert render("{b}, {a}, {b}", rates).stamps == ("rate:b@3", "rate:a@3")
    assert render("no rate", rates).stamps == ()
    assert rates.stamps == {"rate:a@3", "rate:b@3"}


@pytest.mark.parametrize("text", ["{other}", "{}", "{ it }", "{it.value}", "{it", "it}", "{{it}}"])
def test_an_unknown_placeholder_names_the_place(text):
    rates = load_rates(row("it", '"1"', "days"), "rates.toml")

    with pytest.raises(KnowledgeError, match=r"^answers\.toml:7: "):
        render(text, rates, "answers.toml:7")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[a\n", 1),
        (row("a", '"1"', "days") + "[b\n", 7),
        (row("a", '"1"', "days") + row("a", '"1"', "days"), 7),  # a key twice
        (row("a", '"1"', "days") + row("b", '"1"', "furlongs"), 7),
        (row("a", '"1"', "days") + row("b", '"one"', "days"), 7),
        (row("a", '"1"', "days") + row("b", '"NaN"', "days"), 7),
        (row("a", '"1"', "days") + row("b", '"-1"', "days"), 7),
        (row("a", '"1"', "days") + row("b", '"1e400"', "days"), 7),
        (row("a", '"1"', "days") + row("b", '"1.005"', "gbp"), 7),
        (row("a", '"1"', "days") + row("b", "true", "days"), 7),
        (row("a", '"1"', "days") + row("b", "[1]", "days"), 7),
        (row("a", '"1"', "days") + row("b", '" "', "text"), 7),
        (row("a", '"1"', "days") + row("b", "1", "text"), 7),
        (row("a", '"1"', "days").replace("version = 3", "version = 0"), 1),
        (row("a", '"1"', "days").replace("version = 3", 'version = "3"'), 1),
        (row("a", '"1"', "days").replace("since = 2026-04-01", 'since = "soon"'), 1),
        (row("a", '"1"', "days").replace("since = 2026-04-01", "since = 2026-04-01T10:00:00"), 1),
        (row("a", '"1"', "days").replace('"A row"', '""'), 1),
        (row("a", '"1"', "days") + "note = 1\n", 1),
        (row("a", '"1"', "days").replace("version = 3\n", ""), 1),
        ("a = 1\n", 1),
    ],
)
def test_a_broken_table_names_file_and_line(text, line):
    with pytest.raises(KnowledgeError, match=rf"^rates\.toml:{line}: "):
        load_rates(text, "rates.toml")


def test_a_missing_key_or_a_wrong_unit_says_so():
    rates = load_rates(row("it", '"1"', "days"), "rates.toml")

    with pytest.raises(KnowledgeError, match=r"no rate 'other'"):
        rates["other"]
    with pytest.raises(KnowledgeError, match=r"in 'days', but 'gbp'"):
        rates.number("it", "gbp")
    assert "it" in rates
    assert "other" not in rates


def test_the_banks_own_table_can_be_read():
    text = (Path(teller.__file__).parent / "data" / "bank" / "rates.toml").read_text(encoding="utf-8")

    rates = load_rates(text, "rates.toml")

    assert all(rate.spoken for rate in rates)


CATALOGUE = """
[products.cash_isa]
name = "Cash ISA"
aliases = ["Easy access ISA"]
kind = "savings"

[tiers]
gold = ["gold level"]

[places.leeds]
name = "Leeds"
aliases = []
kind = "city"

[actions]
pairs = [["block", "unblock"], ["turn on", "turn off"]]
"""


def test_a_catalogue_gives_each_alias_its_canonical_name():
    catalogue = load_catalogue(CATALOGUE, "catalogue.toml")

    assert catalogue.products == {"cash isa": "cash_isa", "easy access isa": "cash_isa"}
    assert catalogue.tiers == {"gold": "gold", "gold level": "gold"}
    assert catalogue.places == {"leeds": "leeds"}


def test_opposites_are_pairs_of_actions():
    assert load_opposites(CATALOGUE, "catalogue.toml") == (("block", "unblock"), ("turn on", "turn off"))
    assert load_opposites("", "catalogue.toml") == ()


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        ('name = "Cash ISA"', "name = 3", 2),
        ('aliases = ["Easy access ISA"]', 'aliases = "Easy access ISA"', 2),
        ('aliases = ["Easy access ISA"]', "aliases = [1]", 2),
        ('["gold level"]', '"gold level"', 8),
        ('name = "Leeds"', 'name = "Leeds', 11),
        ("[places.leeds]", '[places.york]\nname = "York"\naliases = ["leeds"]\n\n[places.leeds]', 14),
        ("[tiers]", "[[tiers]]", 1),
    ],
)
def test_a_broken_catalogue_names_file_and_line(wrong, right, line):
    with pytest.raises(KnowledgeError, match=rf"^catalogue\.toml:{line}: "):
        load_catalogue(CATALOGUE.replace(wrong, right), "catalogue.toml")


@pytest.mark.parametrize(
    "pairs", ['"block"', '[["block"]]', '[["block", 1]]', '[["block", ""]]', '["block", "unblock"]']
)
def test_broken_opposites_name_file_and_line(pairs):
    with pytest.raises(KnowledgeError, match=r"^catalogue\.toml:1: "):
        load_opposites(f"[actions]\npairs = {pairs}\n", "catalogue.toml")


def test_the_banks_own_catalogue_can_be_read():
    text = (Path(teller.__file__).parent / "data" / "bank" / "catalogue.toml").read_text(encoding="utf-8")

    assert load_catalogue(text, "catalogue.toml").products["cash isa"] == "cash_isa"
    assert ("block", "unblock") in load_opposites(text, "catalogue.toml")
