"""Amounts of money, percentages and durations.

An amount is canonical as "10000.00 GBP" (ISO 4217), a percentage as "6.5". A duration is written as ISO 8601, years as
months, weeks as days, hours as minutes: "P60M", "P14D", "PT90M"; "P3D:business" for working days. Of a range, both ends
are values: "5 to 6 percent" is "5" and "6".
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from teller.turn import ValueKind
from teller.values.reading import Found, Number, Reading, is_whole, plain, word_set

_SIGNS = {"£": "GBP", "$": "USD", "€": "EUR", "¥": "JPY", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW"}
_CODES = word_set("gbp usd eur jpy inr chf aud cad nzd pln sek nok dkk czk huf ron cny hkd sgd zar try aed thb mxn brl")
_CODES_AND_WORDS = frozenset({"try", "cad", "ron", "nok", "sek"})  # codes in capitals only
_WORDS = {
    name: code
    for code, names in (
        ("GBP", "pound pounds quid sterling"),
        ("EUR", "euro euros"),
        ("USD", "dollar dollars buck bucks"),
        ("JPY", "yen"),
        ("INR", "rupee rupees"),
        ("CHF", "franc francs"),
        ("PLN", "zloty zlotys"),
        ("CNY", "yuan"),
        ("ZAR", "rand"),
        ("TRY", "lira"),
    )
    for name in names.split()
}
_CENTS = {"p": "GBP", "pence": "GBP", "penny": "GBP", "cent": "", "cents": ""}
_NOTES = {"fiver": 5, "fivers": 5, "tenner": 10, "tenners": 10}
_UNITS: dict[str, tuple[str, int]] = {
    name: (unit, size)
    for unit, size, names in (
        ("M", 120, "decade decades"),
        ("M", 12, "year years yr yrs"),
        ("M", 1, "month months mth mths mo mos"),
        ("D", 14, "fortnight fortnights"),
        ("D", 7, "week weeks wk wks"),
        ("D", 1, "day days"),
        ("TM", 60, "hour hours hr hrs"),
        ("TM", 1, "minute minutes min mins"),
        ("TS", 1, "second seconds sec secs"),
    )
    for name in names.split()
}
STARTS = frozenset({*_SIGNS, *_CODES, "a", "an", "one"})  # words, not numbers, that a measure can begin with

_JOINS = frozenset({"to", "-", "–", "or", "and"})
_PERCENT = word_set("% percent pct percents apr aer bps bp")
_PERCENT_PAIRS = frozenset(
    {("per", "cent"), ("percentage", "points"), ("percentage", "point"), ("basis", "points"), ("basis", "point")}
)
_BASIS = frozenset({"basis", "bps", "bp"})
_RATES = frozenset({"apr", "aer", "rate", "interest"})
_NOT_MONEY = word_set("points miles people customers users steps followers words times transactions questions / - :")
_PAYING = word_set(  # "pay 50 into", "transfer 20 to"
    "borrow borrowing borrowed deposit deposited depositing invest investing lend of owe paid pay paying repay "
    "save saving send sending sent spend spending spent transfer transferred transferring withdraw withdrawing "
    "withdrew worth"
)
_MONEY_BEFORE = _PAYING - {"of"} | word_set(
    "amount balance charge charged charges charging cost costs credit debit earn earning exceed fee income limit loan "
    "mortgage overdraft price salary savings withdrawal"
)
_LENDING_AFTER = word_set("balance deposit limit loan mortgage overdraft payment refund salary transfer withdrawal")
_FUNCTION_WORDS = word_set(
    "a abroad across against an and any at back by cash each every extra for from if in into is monthly more my "
    "now of on onto or out over per please than that the then to today tomorrow towards using via what when with "
    "would yearly"
)
_DATED = word_set("in since by during until year")
_BEFORE_A_TERM = word_set("for in over within after than about around nearly almost last past next takes take")


def money(reading: Reading, i: int) -> Found | None:
    """An amount at i: "£10,000", "fifty euros", "USD 20", "10k", "nine pounds ninety nine", "a tenner"."""
    number = reading.number(i)
    if number is None:
        return _prefixed(reading, i) or _note(reading, i)
    return None if number.ordinal else _united(reading, i, number) or _cued(reading, i, number)


def percentage(reading: Reading, i: int) -> Found | None:
    """A percentage at i: "6.5%", "six and a half per cent", "half a percent", "650 basis points", "APR of 6.5"."""
    number = reading.number(i)
    if number is None or number.ordinal:
        return None
    unit, ranged = _unit_of(reading, i, number)
    value, first = _signed(reading, i, number.value)
    said = _percent_words(reading, unit)
    if said:
        value = value / 100 if reading.word(unit) in _BASIS else value
        return Found(ValueKind.PERCENT, plain(value), first, i + 1 if ranged else unit + said)
    rate = reading.word(i - 1) in {"apr", "aer"} or (
        reading.word(i - 2) in _RATES and reading.word(i - 1) in {"of", "is", "at", "was"}
    )
    if rate and number.value < 100 and reading.word(unit) not in _UNITS and not _currency(reading, i + 1):
        return Found(ValueKind.PERCENT, plain(value), first, i + 1)
    return None


def duration(reading: Reading, i: int) -> Found | None:
    """A length of time at i: "five years", "60 months", "a year and a half", "3 working days"."""
    span = span_of_time(reading, i)
    return Found(ValueKind.DURATION, span.text, i, span.after) if span else None


class Span(NamedTuple):
    """A length of time: so many months ("M"), days ("D"), minutes ("TM") or seconds ("TS"), up to item `after`."""

    unit: str
    amount: Decimal
    after: int
    working: bool = False

    @property
    def text(self) -> str:
        """As ISO 8601; working days end in ":business"."""
        prefix = "PT" if self.unit[0] == "T" else "P"
        return f"{prefix}{plain(self.amount)}{self.unit[-1]}{':business' if self.working else ''}"


def span_of_time(reading: Reading, i: int) -> Span | None:
    """The length of time at i, one or two units long: "two years and six months", "a year and a half"."""
    first = _term(reading, i)
    if first is None:
        return None
    joined = reading.word(first.after) in {"and", ","}
    at = first.after + 1 if joined else first.after
    more = reading.number(at)
    if more is None:
        return first
    if joined and 0 < more.value < 1 and reading.word(at + 1) not in _UNITS:
        size = _UNITS.get(reading.word(first.after - 1), ("", 1))[1]
        return Span(first.unit, first.amount + more.value * size, at + 1, first.working)
    second = _term(reading, at)
    if second is not None and second.unit == first.unit and second.amount < first.amount:
        return Span(first.unit, first.amount + second.amount, second.after, first.working)
    return first


def _term(reading: Reading, i: int) -> Span | None:
    number = reading.number(i)
    if number is None:
        if not _is_article_of_a_term(reading, i):
            return None
        value, j, ranged = Decimal(1), i + 1, False
    elif number.ordinal:
        return None
    else:
        value = number.value
        j, ranged = _unit_of(reading, i, number)
    j += reading.word(j) == "-"
    working = reading.word(j) in {"working", "business"}
    j += working or reading.word(j) in {"full", "calendar", "more", "whole", "consecutive"}
    word = reading.word(j)
    unit = _UNITS["year"] if word == "y" and reading.glued(j) else _UNITS.get(word)
    return Span(unit[0], value * unit[1], i + 1 if ranged else j + 1, working) if unit else None


def _is_article_of_a_term(reading: Reading, i: int) -> bool:
    """Whether "a" counts a unit: "a year" is a term after "for"; after an amount it is a rate ("£5 a month")."""
    if reading.word(i) not in {"a", "an"} or reading.word(i + 1) not in _UNITS:
        return False
    half = reading.number(i + 3) if reading.word(i + 2) == "and" else None
    return (
        i == 0
        or reading.word(i - 1) in _BEFORE_A_TERM
        or reading.word(i + 2) in {"ago", "from"}
        or (half is not None and 0 < half.value < 1)
    )


def _unit_of(reading: Reading, i: int, number: Number) -> tuple[int, bool]:
    """Index of the unit of the number at i, and whether it is shared: "5 to 6 percent", "2-3 years"."""
    after = reading.number(i + 2)
    if reading.word(i + 1) in _JOINS and after is not None and not after.ordinal and reading.number(i + 3) is None:
        return i + 3, True
    unit = i + 1
    if 0 < number.value < 1:  # "a quarter of a percent", "half of one percent", "half an hour"
        unit += reading.word(unit) == "of"
        one = reading.number(unit)
        unit += reading.word(unit) in {"a", "an", "one"} or (one is not None and one.value == 1)
    return unit, False


def _signed(reading: Reading, i: int, value: Decimal) -> tuple[Decimal, int]:
    """`value` with the minus before it, and where it begins then: "-£20", "minus five"."""
    minus = reading.word(i - 1)
    sign = minus == "-" and reading.glued(i) and not reading.glued(i - 1)
    return (-value, i - 1) if sign or minus in {"minus", "negative"} else (value, i)


def _amount(value: Decimal, currency: str) -> str:
    whole, _, cents = plain(value).partition(".")
    return f"{whole}.{cents:0<2} {currency}"


def _currency(reading: Reading, i: int) -> str:
    """ISO 4217 code of the sign, code or word at i, empty if it is none."""
    word = reading.word(i)
    if word in _CODES and (word not in _CODES_AND_WORDS or reading.items[i].raw.isupper()):
        return word.upper()
    return _SIGNS.get(word) or _WORDS.get(word, "")


def _prefixed(reading: Reading, i: int) -> Found | None:
    """A sign or code before the number: "£10,000", "US$20", "EUR 5.50", "$20 USD"."""
    number = reading.number(i + 1)
    if reading.word(i) in _WORDS or number is None or number.ordinal:
        return None
    code, after = _currency(reading, i), i + 2
    if not code:
        return None
    named = "" if reading.word(after) in _SIGNS else _currency(reading, after)
    value, first = _signed(reading, i, number.value)
    return Found(ValueKind.MONEY, _amount(value, named or code), first, after + bool(named))


def _note(reading: Reading, i: int) -> Found | None:
    """As in "a tenner", "a pound"."""
    word = reading.word(i + 1)
    if reading.word(i) != "a" or not (word in _NOTES or word in {"pound", "quid", "euro", "dollar"}):
        return None
    text = _amount(Decimal(_NOTES.get(word, 1)), _WORDS.get(word, "GBP"))
    return Found(ValueKind.MONEY, text, i, i + 2)


def _united(reading: Reading, i: int, number: Number) -> Found | None:
    """A unit after the number: "ten pounds", "fifty pence", "20 USD", "20€", "nine pounds ninety nine"."""
    unit, ranged = _unit_of(reading, i, number)
    value, first = _signed(reading, i, number.value * (_shared_scale(reading, i, number) if ranged else 1))
    word, after = reading.word(unit), i + 1 if ranged else unit + 1
    if word in _CENTS:
        foreign = reading.currency if reading.currency != "GBP" else "USD"
        return Found(ValueKind.MONEY, _amount(value / 100, _CENTS[word] or foreign), first, after)
    if word in _NOTES:
        return Found(ValueKind.MONEY, _amount(value * _NOTES[word], "GBP"), first, after)
    code = _currency(reading, unit)
    if not code or (word in _SIGNS and (not reading.glued(unit) or reading.number(unit + 1) is not None)):
        return None
    if not ranged:
        after += word.startswith("pound") and reading.word(after) == "sterling"
        cents, after = _cents_at(reading, after)
        value += cents / 100
    return Found(ValueKind.MONEY, _amount(value, code), first, after)


def _shared_scale(reading: Reading, i: int, number: Number) -> int:
    """The scale that a range gives its first number too: "5 to 10 thousand pounds"."""
    upper = reading.number(i + 2)
    if upper is None or number.scaled or number.value >= 1000 or upper.scale <= 1:
        return 1
    return upper.scale if number.value * upper.scale <= upper.value else 1


def _cents_at(reading: Reading, i: int) -> tuple[Decimal, int]:
    """Pence at i, after pounds, and the index after them: "ninety nine", "and fifty pence"."""
    joined = reading.word(i) == "and"
    at = i + 1 if joined else i
    number = reading.number(at)
    if number is None or number.ordinal or not 0 < number.value < 100 or not is_whole(number.value):
        return Decimal(0), i
    if reading.word(at + 1) in _CENTS:
        return number.value, at + 2
    other = reading.word(at + 1) in _UNITS or reading.word(at + 1) in {"-", "/"} or _percent_words(reading, at + 1)
    return (Decimal(0), i) if joined or number.value < 10 or other else (number.value, at + 1)


def _cued(reading: Reading, i: int, number: Number) -> Found | None:
    """A number that only its size or the words around it make money: "10k", "borrow ten thousand"."""
    if not _is_cued(reading, i, number):
        return None
    value, first = _signed(reading, i, number.value)
    return Found(ValueKind.MONEY, _amount(value, reading.currency), first, i + 1)


def _is_cued(reading: Reading, i: int, number: Number) -> bool:
    after = reading.word(i + 1)
    if after in _NOT_MONEY or after in _UNITS or _percent_words(reading, i + 1) or number.digits[:1] == "0":
        return False
    if _is_short_for_money(reading.items[i].text):
        return True
    before = reading.word(i - 1)
    if len(number.digits) > 9 or (before in _DATED and 1900 <= number.value < 2100):
        return False
    if after in _LENDING_AFTER or _is_rate(reading, i + 1):
        return number.value >= 50 or len(number.parts) == 2
    if after in {"over", "for"} and number.value >= 1000 and _begins_a_term(reading, i + 2):
        return True
    if not (reading.ends(i + 1) or after in _FUNCTION_WORDS or reading.number(i + 1) is not None):
        return False
    if before in _PAYING and before != "of":
        return True
    near = any(reading.word(k) in _MONEY_BEFORE for k in range(i - 4, i))
    return near and (number.value >= 100 or (number.value.as_tuple().exponent == -2 and not number.scaled))  # "85.31"


def _is_short_for_money(text: str) -> bool:
    return text.endswith("grand") or (len(text) > 1 and text[-1] in "kmn" and text[-2] in "0123456789 b")


def _is_rate(reading: Reading, i: int) -> bool:
    return reading.word(i) in {"a", "per", "each", "every"} and reading.word(i + 1) in _UNITS


def _begins_a_term(reading: Reading, i: int) -> bool:
    """Whether a number, with a unit or without, or "a year" follows: "5000 over 3"."""
    return reading.number(i) is not None or reading.word(i + 1) in _UNITS


def _percent_words(reading: Reading, i: int) -> int:
    """How many words at i say percent, 0 for none."""
    word = reading.word(i)
    if word == "apr":
        year = reading.number(i + 1)  # "1 Apr", "1 apr 2027"
        return 0 if reading.items[i].raw == "Apr" or (year is not None and len(year.digits) == 4) else 1
    if word in _PERCENT:
        return 1
    return 2 if (word, reading.word(i + 1)) in _PERCENT_PAIRS else 0
