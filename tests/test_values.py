"""Typed values: what is read, that equal values are equal, and that reading ends in linear time."""

import datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teller.errors import InputError
from teller.turn import Value, ValueKind
from teller.values import (
    Catalogue,
    find_values,
    money_amount,
    months,
    number,
    percent,
    spoken_numbers,
)
from teller.values import numbers as number_rules
from teller.values.reading import Reading, word_list

NAMES = Catalogue(
    products={
        "savings account": "savings",
        "buy-to-let mortgage": "btl",
        "2 year fixed": "fixed-2",
        "mortgage": "mortgage",
    },
    tiers={"premier": "premier"},
    places={"spain": "ES", "south africa": "ZA"},
)
UNITS = word_list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = word_list("twenty thirty forty fifty sixty seventy eighty ninety")
THURSDAY = datetime.date(2026, 10, 15)


def read(text: str, today: datetime.date | None = None) -> list[str]:
    return [f"{value.kind} {value.canonical}" for value in find_values(text, NAMES, today=today)]


def spell(n: int, joint: str = " and ") -> str:
    """The number in English, as it is taught at school; `joint` stands before what is below a hundred."""
    if n < 20:
        return UNITS[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f" {UNITS[n % 10]}" if n % 10 else "")
    for size, name in ((10**6, "million"), (10**3, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            said = f"{spell(n // size, joint)} {name}"
            return said + ((joint if rest < 100 else " ") + spell(rest, joint) if rest else "")
    raise AssertionError(n)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("£10,000", "10000.00 GBP"),
        ("10k", "10000.00 GBP"),
        ("ten thousand pounds", "10000.00 GBP"),
        ("ten grand", "10000.00 GBP"),
        ("borrow ten thousand", "10000.00 GBP"),
        ("a loan of 10000", "10000.00 GBP"),
        ("£1.5m", "1500000.00 GBP"),
        ("1.5 million pounds", "1500000.00 GBP"),
        ("half a million quid", "500000.00 GBP"),
        ("three quarters of a million pounds", "750000.00 GBP"),
        ("two and a half thousand pounds", "2500.00 GBP"),
        ("4 thousand 2 hundred pounds", "4200.00 GBP"),
        ("a couple of grand", "2000.00 GBP"),
        ("a grand", "1000.00 GBP"),
        ("twenty five quid", "25.00 GBP"),
        ("twenty-five pounds", "25.00 GBP"),
        ("fifty euros", "50.00 EUR"),
        ("€50", "50.00 EUR"),
        ("50€", "50.00 EUR"),
        ("EUR 50", "50.00 EUR"),
        ("USD 20", "20.00 USD"),
        ("$20 USD", "20.00 USD"),
        ("20 dollars", "20.00 USD"),
        ("£9.99", "9.99 GBP"),
        ("nine pounds ninety nine", "9.99 GBP"),
        ("nine pounds and ninety nine pence", "9.99 GBP"),
        ("50p", "0.50 GBP"),
        ("fifty pence", "0.50 GBP"),
        ("a tenner", "10.00 GBP"),
        ("a pound", "1.00 GBP"),
        ("-£20", "-20.00 GBP"),
        ("minus twenty pounds", "-20.00 GBP"),
        ("I was charged 2.50 for it", "2.50 GBP"),
        ("two fifty a month", "250.00 GBP"),
        ("200 per month", "200.00 GBP"),
        ("transfer 50 to savings", "50.00 GBP"),
        ("fifteen hundred pounds", "1500.00 GBP"),
        ("a hundred and five pounds", "105.00 GBP"),
        ("£0.125", "0.125 GBP"),
    ],
)
def test_money_is_one_amount_however_it_is_written(text, canonical):
    assert read(text) == [f"money {canonical}"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("6.5%", "6.5"),
        ("6.50 %", "6.5"),
        ("six point five percent", "6.5"),
        ("six and a half per cent", "6.5"),
        ("6½%", "6.5"),
        ("6 1/2 percent", "6.5"),
        ("650 basis points", "6.5"),
        ("a quarter of a percent", "0.25"),
        ("half a percent", "0.5"),
        ("nought point two five percent", "0.25"),
        ("point two five percent", "0.25"),
        ("an APR of 6.5", "6.5"),
        ("6.5 apr", "6.5"),
        ("100%", "100"),
    ],
)
def test_a_percentage_is_one_number_however_it_is_written(text, canonical):
    assert read(text) == [f"percent {canonical}"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("five years", "P60M"),
        ("60 months", "P60M"),
        ("5 yrs", "P60M"),
        ("5y", "P60M"),
        ("a five-year term", "P60M"),
        ("over the next five years", "P60M"),
        ("pay it back in five years", "P60M"),
        ("a year and a half", "P18M"),
        ("18 months", "P18M"),
        ("one and a half years", "P18M"),
        ("two years and six months", "P30M"),
        ("half a year", "P6M"),
        ("for a year", "P12M"),
        ("for two weeks", "P14D"),
        ("14 days", "P14D"),
        ("3 working days", "P3D:business"),
        ("24 hours", "PT1440M"),
        ("half an hour", "PT30M"),
        ("90 minutes", "PT90M"),
    ],
)
def test_a_term_is_one_length_however_it_is_written(text, canonical):
    assert read(text) == [f"duration {canonical}"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("24/12/2026", "2026-12-24"),
        ("24.12.2026", "2026-12-24"),
        ("24-12-26", "2026-12-24"),
        ("2026-12-24", "2026-12-24"),
        ("24 12 2026", "2026-12-24"),
        ("12/24/2026", "2026-12-24"),
        ("24th December 2026", "2026-12-24"),
        ("the 24th of December, 2026", "2026-12-24"),
        ("December 24 2026", "2026-12-24"),
        ("Dec 24th, 2026", "2026-12-24"),
        ("december twenty four twenty twenty six", "2026-12-24"),
        ("the twenty fourth of december twenty twenty six", "2026-12-24"),
        ("24th December", "--12-24"),
        ("Christmas Eve", "--12-24"),
        ("the first of March", "--03-01"),
        ("on march first", "--03-01"),
        ("on 24/12", "--12-24"),
        ("March 2026", "2026-03"),
        ("03/2026", "2026-03"),
        ("in March", "--03"),
        ("in 2026", "2026"),
        ("in twenty twenty six", "2026"),
        ("the tax year 2025/26", "2025/26"),
        ("on the 15th", "---15"),
        ("the 15th of every month", "---15"),
        ("on Monday", "rel:monday"),
        ("today", "rel:today"),
        ("next Monday", "rel:next-monday"),
        ("last month", "rel:last-month"),
        ("in two weeks", "rel:+P14D"),
        ("a week ago", "rel:-P7D"),
        ("the last three months", "rel:last-P3M"),
        ("the end of next month", "end:rel:next-month"),
        ("tomorrow morning", "rel:tomorrow:morning"),
        ("tomorrow in the morning", "rel:tomorrow:morning"),
    ],
)
def test_a_date_is_iso_8601_or_stays_as_relative_as_it_was_said(text, canonical):
    assert read(text) == [f"date {canonical}"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("today", "2026-10-15"),
        ("yesterday", "2026-10-14"),
        ("the day after tomorrow", "2026-10-17"),
        ("next Monday", "2026-10-19"),
        ("next Thursday", "2026-10-22"),
        ("this Thursday", "2026-10-15"),
        ("last Thursday", "2026-10-08"),
        ("in two weeks", "2026-10-29"),
        ("in 4 months", "2027-02-15"),
        ("three days ago", "2026-10-12"),
        ("last month", "2026-09"),
        ("next year", "2027"),
        ("this week", "2026-W42"),
        ("last quarter", "2026-Q3"),
        ("next March", "2027-03"),
        ("last October", "2025-10"),
        ("this weekend", "2026-10-17/P2D"),
        ("24th December", "--12-24"),
    ],
)
def test_a_relative_date_is_resolved_when_the_day_is_known(text, canonical):
    assert read(text, THURSDAY) == [f"date {canonical}"]


def test_months_end_where_they_are_shorter():
    assert read("in one month", datetime.date(2027, 1, 31)) == ["date 2027-02-28"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("9:05 am", "09:05"),
        ("9 05 in the morning", "09:05"),
        ("nine oh five a.m.", "09:05"),
        ("09:05", "09:05"),
        ("9.30pm", "21:30"),
        ("nine thirty in the evening", "21:30"),
        ("5pm", "17:00"),
        ("5 p.m.", "17:00"),
        ("five o'clock", "h12:05:00"),
        ("half past four", "h12:04:30"),
        ("quarter to nine", "h12:08:45"),
        ("twenty five to seven pm", "18:35"),
        ("25 past 23", "23:25"),
        ("ten minutes to one pm", "12:50"),
        ("17:30", "17:30"),
        ("noon", "12:00"),
        ("midnight", "00:00"),
        ("12 am", "00:00"),
        ("12 pm", "12:00"),
    ],
)
def test_a_time_is_24_hours_or_says_that_the_half_of_the_day_is_open(text, canonical):
    assert read(text) == [f"time {canonical}"]


@pytest.mark.parametrize(
    "text",
    [
        "card ending 1234",
        "account ending in one two three four",
        "the card that ends in 1234",
        "the last four digits are 1 2 3 4",
        "****1234",
        "xxxx1234",
        "card ending 12 34",
    ],
)
def test_the_last_digits_of_a_card_are_its_tail(text):
    assert "id_tail 1234" in read(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("two cards", ["count 2"]),
        ("3 cards", ["count 3"]),
        ("the second card", ["count #2"]),
        ("my 2nd card", ["count #2"]),
        ("one card", ["count 1"]),
        ("which one is it", []),
        ("this one", []),
        ("I don't have one yet", []),
        ("wait a second", []),
        ("at first", []),
        ("my first time here", []),
        ("is she coming Monday", ["date rel:monday"]),
        ("how do I use 3D secure or 2FA", []),
        ("my 401k", []),
        ("may I pay", []),
        ("half of it", ["count 0.5"]),
        ("12345678901234567890123", ["count 12345678901234567890123"]),
    ],
)
def test_a_bare_number_is_a_count_and_a_pronoun_is_none(text, values):
    assert read(text) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("savings accounts in Spain", ["product savings", "place ES"]),
        ("a buy to let mortgage", ["product btl"]),
        ("Buy-To-Let mortgages", ["product btl"]),
        ("the two year fixed", ["product fixed-2"]),
        ("my mortgage", ["product mortgage"]),
        ("a South African account", []),
        ("premier customers", ["tier premier"]),
        ("premiere", []),
    ],
)
def test_the_longest_name_of_the_catalogue_is_found_whatever_its_case_hyphens_and_plural(text, values):
    assert read(text) == values


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Is Ethan Gonzalez a customer?", ["ethan gonzalez"]),
        ("pay Mr. Smith", ["mr smith"]),
        ("send it to Sarah", ["sarah"]),
        ("my wife sarah", ["sarah"]),
        ("a payee called Zbigniew Kowalczyk", ["zbigniew kowalczyk"]),
        ("Can I use Apple Pay in the United Kingdom?", []),
        ("Direct Debit Guarantee", []),
        ("WHAT IS MY BALANCE", []),
        ("send it to Savings", []),
    ],
)
def test_people_are_found_where_a_title_a_given_name_or_capitals_show_them(text, people):
    assert [value.canonical for value in find_values(text, NAMES) if value.kind is ValueKind.PERSON] == people


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5 to 6 percent", ["percent 5", "percent 6"]),
        ("2-3 years", ["duration P24M", "duration P36M"]),
        ("3-5 working days", ["duration P3D:business", "duration P5D:business"]),
        ("between 5 and 10 thousand pounds", ["money 5000.00 GBP", "money 10000.00 GBP"]),
        ("£50-£100", ["money 50.00 GBP", "money 100.00 GBP"]),
        ("between one hundred and two hundred pounds", ["money 100.00 GBP", "money 200.00 GBP"]),
        ("between 2024 and 2025", ["date 2024", "date 2025"]),
        ("borrow ten thousand five percent", ["money 10000.00 GBP", "percent 5"]),
        ("two one year bonds", ["count 2", "duration P12M"]),
        ("10 minutes to one hour", ["duration PT10M", "duration PT60M"]),
    ],
)
def test_numbers_that_stand_together_are_kept_apart(text, values):
    assert read(text) == values


def test_a_sentence_gives_its_values_in_order_with_their_places():
    text = "What would £10,000 over 60 months at 6.5% cost, from next Monday?"

    values = find_values(text, NAMES)

    assert [(value.kind.value, text[value.start : value.end]) for value in values] == [
        ("money", "£10,000"),
        ("duration", "60 months"),
        ("percent", "6.5%"),
        ("date", "next Monday"),
    ]


def test_a_placeholder_hides_its_number():
    assert read("my [card 2] and [sort-code]") == []


def test_the_currency_that_nobody_names_is_the_banks():
    assert [value.canonical for value in find_values("borrow 10k", NAMES, currency="EUR")] == ["10000.00 EUR"]


@pytest.mark.parametrize(
    ("text", "value", "digits"),
    [
        ("four four two one", 4421, "4421"),
        ("double four oh two", 4402, "4402"),
        ("oh oh seven", 7, "007"),
        ("triple one", 111, "111"),
        ("twenty twenty six", 2026, "2026"),
        ("nineteen ninety nine", 1999, "1999"),
        ("twenty oh six", 2006, "2006"),
        ("two fifty", 250, "250"),
        ("twelve thirty four fifty six", 123456, "123456"),
        ("4-4-2-1", 4421, "4421"),
        ("0044", 44, "0044"),
        ("two million three hundred thousand", 2300000, ""),
        ("one hundred and five thousand", 105000, ""),
        ("10 000", 10000, ""),
        ("1,234.56", Decimal("1234.56"), ""),
        ("six point oh five", Decimal("6.05"), ""),
        ("minus", None, None),
    ],
)
def test_numbers_are_read_as_they_are_said(text, value, digits):
    found = spoken_numbers(text)

    assert [(n.value, n.digits) for n in found] == ([] if value is None else [(value, digits)])


@given(st.integers(0, 999_999_999), st.sampled_from([" and ", " "]))
@settings(max_examples=400, deadline=None)
def test_a_spelled_number_is_read_back(n, joint):
    found = spoken_numbers(spell(n, joint))

    assert [number.value for number in found] == [n]


@given(st.integers(1, 99_999_999), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_the_formats_of_an_amount_are_one_value(pounds, pence):
    written = [
        f"£{pounds:,}.{pence:02}",
        f"{pounds}.{pence:02} GBP",
        f"GBP {pounds}.{pence:02}",
        f"{pounds:,}.{pence:02} pounds",
    ]
    if not pence:
        written += [f"£{pounds}", f"{spell(pounds)} pounds", f"{spell(pounds, ' ')} quid"]

    assert {tuple(read(text)) for text in written} == {(f"money {pounds}.{pence:02} GBP",)}


@given(st.integers(1, 600))
@settings(max_examples=100, deadline=None)
def test_years_and_months_of_one_length_are_one_value(years):
    texts = [f"{years} years", f"{12 * years} months", f"{spell(years)} years", f"for {12 * years}-month"]

    assert {tuple(read(text)) for text in texts} == {(f"duration P{12 * years}M",)}


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2068, 12, 31)))
@settings(max_examples=100, deadline=None)
def test_the_formats_of_a_date_are_one_value(day):
    texts = [
        f"{day:%d/%m/%Y}",
        f"{day:%d.%m.%y}",
        day.isoformat(),
        f"{day:%d %B %Y}",
        f"{day:%B %d, %Y}",
        f"{day.day} {day:%b %Y}",
    ]

    assert {tuple(read(text)) for text in texts} == {(f"date {day.isoformat()}",)}


@given(st.decimals("0.001", "9999999", places=3), st.decimals("0.001", "9999999", places=3))
@settings(max_examples=200, deadline=None)
def test_different_values_are_never_equal(a, b):
    for unit in ("pounds", "percent", "years", "cards"):
        assert (read(f"{a} {unit}") == read(f"{b} {unit}")) is (a == b)


WORDS = word_list(
    "one two twenty hundred thousand and a half quarter point oh double 12 1,000 9.5 £ € % percent pounds years "
    "month in next last monday march may 24th second / - . : ' am p.m o'clock past to the day after tomorrow ago "
    "ending card digits mr John [card] [card 2] k gbp 2026 99999999999999999999999999999999999999 0 007 minus "
    "basis points working ½ ² ٤٥ İ ß * , three"
)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)), st.booleans())
@settings(max_examples=600, deadline=None)
def test_any_text_gives_values_with_places_in_order_that_the_tools_can_read(text, dated):
    values = find_values(text, NAMES, today=THURSDAY if dated else None)

    assert all(0 <= value.start < value.end <= len(text) for value in values)
    assert all(before.end <= after.start for before, after in pairwise(values))
    for value in values:
        months(value)
        assert value.kind is not ValueKind.MONEY or money_amount(value).is_finite()
        assert value.kind is not ValueKind.PERCENT or percent(value).is_finite()
        assert value.kind is not ValueKind.COUNT or number(value).is_finite()


def test_tools_read_a_value_in_its_unit():
    amount, term, rate, days = find_values("£10,000 for five years at 6.5% after 14 days", NAMES)

    assert money_amount(amount) == 10_000
    assert months(term) == 60
    assert percent(rate) == Decimal("6.5")
    assert number(amount) == 10_000
    assert months(days) is None
    assert months(rate) is None


@pytest.mark.parametrize("reader", [money_amount, percent, number])
def test_a_tool_that_asks_for_another_kind_is_told_so(reader):
    with pytest.raises(InputError, match="duration"):
        reader(Value(ValueKind.DURATION, "P60M", 0, 8))


REPEATED = (
    *("one ", "9", "9 ", "oh ", "double ", "one hundred and ", "a ", "1,000,", "1.", "1/", "[a", "twenty-", "point "),
    *("£", "$1", "three quarters of a ", "5 to ", "the last ", "24/12/", "card ending 1", "December ", "last 4 "),
)


@pytest.mark.parametrize("piece", REPEATED)
def test_the_steps_of_reading_grow_with_the_length_of_the_text(piece, monkeypatch):
    short, long = (_steps((piece * size)[:size], monkeypatch) for size in (1_000, 10_000))

    assert 0 < long < 11 * short + 100


@pytest.mark.parametrize(
    "piece", ["one ", "9", "9 ", "oh ", "1.", "one hundred and ", "[a", "£", "what is my balance "]
)
def test_100_kb_are_read(piece):
    text = (piece * 100_000)[:100_000]

    assert all(value.end <= len(text) for value in find_values(text, NAMES))


def _steps(text, monkeypatch):
    """How often the rules look at an item while they read a text."""
    steps = 0

    def counted(function):
        def look(*args):
            nonlocal steps
            steps += 1
            return function(*args)

        return look

    with monkeypatch.context() as patch:
        patch.setattr(number_rules, "_number_at", counted(number_rules._number_at))
        patch.setattr(number_rules, "_word", counted(number_rules._word))
        patch.setattr(Reading, "word", counted(Reading.word))
        find_values(text, NAMES)
    return steps
