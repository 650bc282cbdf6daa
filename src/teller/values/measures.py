"""Amounts of money, percentages and durations."""

from __future__ import annotations

from decimal import Decimal

from teller.turn import ValueKind
from teller.values.numbers import Found, Reading, plain, word_set

_SIGNS = {"£": "GBP", "$": "USD", "€": "EUR", "¥": "JPY", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW"}
_CODES = word_set("gbp usd eur jpy inr chf aud cad nzd pln sek nok dkk czk huf ron cny hkd sgd zar try aed thb mxn brl")
_ALSO_WORDS = frozenset({"try", "cad", "ron", "nok", "sek"})  # codes only in capitals
_WORDS = {
    "pound": "GBP",
    "pounds": "GBP",
    "quid": "GBP",
    "sterling": "GBP",
    "euro": "EUR",
    "euros": "EUR",
    "dollar": "USD",
    "dollars": "USD",
    "buck": "USD",
    "bucks": "USD",
    "yen": "JPY",
    "rupee": "INR",
    "rupees": "INR",
    "franc": "CHF",
    "francs": "CHF",
    "zloty": "PLN",
    "zlotys": "PLN",
    "yuan": "CNY",
    "rand": "ZAR",
    "lira": "TRY",
}
_CENTS = {"p": "GBP", "pence": "GBP", "penny": "GBP", "cent": "", "cents": ""}
_NOTES = {"fiver": 5, "tenner": 10, "fivers": 5, "tenners": 10}
_NOT_MONEY = word_set(
    "points miles people customers users steps followers words characters times transactions questions"
)
_MONEY_BEFORE = word_set(
    "amount balance borrow borrowing borrowed cost costs credit debit deposit deposited depositing earn earning "
    "exceed fee income invest investing lend limit loan mortgage overdraft over owe paid pay paying price repay "
    "salary save saving savings send sending sent spend spending spent take transfer transferred transferring "
    "under up withdraw withdrawal withdrawing withdrew worth"
)
_LENDING_AFTER = frozenset({"loan", "mortgage", "overdraft", "deposit", "limit", "balance", "salary"})
_FUNCTION_WORDS = word_set(
    "a an and abroad across against and any at back by cash each every extra for from if in into is monthly more "
    "my now of on onto or out over per please than that the then to today tomorrow towards using via what when "
    "with would yearly"
)
_UNITS: dict[str, tuple[str, Decimal]] = {
    name: (unit, Decimal(size))
    for unit, size, names in (
        ("M", "12", "year years yr yrs"),
        ("M", "1", "month months mth mths mo mos"),
        ("M", "120", "decade decades"),
        ("D", "14", "fortnight fortnights"),
        ("D", "7", "week weeks wk wks"),
        ("D", "1", "day days"),
        ("TM", "60", "hour hours hr hrs"),
        ("TM", "1", "minute minutes min mins"),
        ("TS", "1", "second seconds sec secs"),
    )
    for name in names.split()
}
_BEFORE_A_TERM = word_set("for in over within after than about around nearly almost last past next takes take")


def shared_unit(reading: Reading, i: int) -> int:
    """Index of the unit of the number at i; a range shares one ("5 to 6 percent", "2-3 years")."""
    after = i + 1
    joins = reading.word(after) in {"to", "-", "–", "or", "and"}
    return after + 2 if joins and reading.number(after + 1) and not reading.number(after + 2) else after


def money(reading: Reading, i: int) -> Found | None:
    """An amount at i: "£10,000", "fifty euros", "USD 20", "10k", "nine pounds ninety nine", "a tenner"."""
    signed = _prefixed(reading, i)
    if signed is not None:
        return signed
    number = reading.number(i)
    if number is None:
        return _note(reading, i)
    if number.ordinal:
        return None
    return _united(reading, i, number.value) or _cued(reading, i)


def _amount(value: Decimal, currency: str) -> str:
    text = plain(value)
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents:0<2} {currency}"


def _code(reading: Reading, i: int) -> str:
    """The ISO 4217 code, sign or word for money at i, as a code."""
    word = reading.word(i)
    if word in _SIGNS:
        return _SIGNS[word]
    if word in _CODES and (word not in _ALSO_WORDS or reading.items[i].raw.isupper()):
        return word.upper()
    return _WORDS.get(word, "")


def _negative(reading: Reading, i: int) -> Decimal:
    minus = reading.word(i - 1)
    opens = minus in {"-", "−"} and reading.glued(i) and not reading.glued(i - 1)
    return Decimal(-1) if opens or minus in {"minus", "negative"} else Decimal(1)


def _prefixed(reading: Reading, i: int) -> Found | None:
    """A sign or code before the number: "£10,000", "US$20", "EUR 5.50", "$20 USD"."""
    word = reading.word(i)
    if word not in _SIGNS and word not in _CODES:
        return None
    code, number = _code(reading, i), reading.number(i + 1)
    if not code or number is None or number.ordinal:
        return None
    after = i + 2
    named = _code(reading, after) if reading.word(after) not in _SIGNS else ""
    value = number.value * _negative(reading, i)
    return Found(ValueKind.MONEY, _amount(value, named or code), i, after + 1 if named else after)


def _note(reading: Reading, i: int) -> Found | None:
    """As in "a tenner", "a pound"."""
    if reading.word(i) not in {"a", "one"}:
        return None
    word = reading.word(i + 1)
    if word in _NOTES:
        return Found(ValueKind.MONEY, _amount(Decimal(_NOTES[word]), "GBP"), i, i + 2)
    if word in {"pound", "quid", "euro", "dollar"}:
        return Found(ValueKind.MONEY, _amount(Decimal(1), _WORDS[word]), i, i + 2)
    return None


def _united(reading: Reading, i: int, value: Decimal) -> Found | None:
    """A unit after the number: "ten pounds", "fifty pence", "20 USD", "nine pounds ninety nine"."""
    unit = shared_unit(reading, i)
    if value < 1 and reading.word(unit) in {"a", "of"}:
        unit += 2 if reading.word(unit) == "of" else 1
    value *= _negative(reading, i)
    word = reading.word(unit)
    after = unit + 1 if unit == i + 1 or value < 1 else i + 1
    if word in _NOTES:
        return Found(ValueKind.MONEY, _amount(value * _NOTES[word], "GBP"), i, after)
    if word in _CENTS and (word != "p" or reading.glued(unit) or reading.word(unit + 1) != "."):
        home = reading.currency if reading.currency != "GBP" else "USD"
        return Found(ValueKind.MONEY, _amount(value / 100, _CENTS[word] or home), i, after)
    code = _code(reading, unit)
    if not code or word in _SIGNS:
        return _signed_after(reading, i, value) if word in _SIGNS else None
    if word.startswith("pound") and reading.word(unit + 1) == "sterling":
        after += 1
    cents = _cents_after(reading, after) if unit == i + 1 else None
    if cents is not None:
        return Found(ValueKind.MONEY, _amount(value + cents[0] / 100, code), i, cents[1])
    return Found(ValueKind.MONEY, _amount(value, code), i, after)


def _signed_after(reading: Reading, i: int, value: Decimal) -> Found | None:
    """The sign after the number, as on the continent: "20€"."""
    if not reading.glued(i + 1) or reading.number(i + 2) is not None:
        return None
    return Found(ValueKind.MONEY, _amount(value, _SIGNS[reading.word(i + 1)]), i, i + 2)


def _cents_after(reading: Reading, i: int) -> tuple[Decimal, int] | None:
    """Pence that follow pounds: "(nine pounds) ninety nine", "and fifty pence"."""
    joined = reading.word(i) == "and"
    number = reading.number(i + 1 if joined else i)
    after = i + 2 if joined else i + 1
    if number is None or number.ordinal or not 0 < number.value < 100 or number.value % 1:
        return None
    if reading.word(after) in _CENTS:
        return number.value, after + 1
    follows = reading.word(after) in _UNITS or reading.word(after) in {"percent", "per", "%", "-"}
    return None if joined or number.value < 10 or follows else (number.value, after)


def _cued(reading: Reading, i: int) -> Found | None:
    """A number that only its size or the words around it make money: "10k", "borrow ten thousand"."""
    number = reading.number(i)
    assert number is not None
    text, after = reading.items[i].text, reading.word(i + 1)
    found = Found(ValueKind.MONEY, _amount(number.value * _negative(reading, i), reading.currency), i, i + 1)
    if (
        after in _NOT_MONEY
        or after in _UNITS
        or _is_percent(reading, i + 1)
        or after in {"/", "-", ":", "st", "nd", "rd", "th"}
    ):
        return None
    if number.scaled and (text.endswith("grand") or (text[-1] in "kmn" and text[-2:-1].isdecimal())):
        return found
    if after in _LENDING_AFTER and number.value >= 50:
        return found
    rate = after in {"a", "per", "each", "every"} and reading.word(i + 2) in {"month", "year", "week", "day", "time"}
    if rate and (number.value >= 50 or len(number.parts) == 2):
        return found
    cued = any(reading.word(k) in _MONEY_BEFORE for k in range(max(0, i - 4), i))
    year = reading.word(i - 1) in {"in", "since", "by", "during", "until", "year"}
    ended = (
        reading.ends(i + 1) or after in _FUNCTION_WORDS or after in _LENDING_AFTER or reading.number(i + 1) is not None
    )
    if (
        cued
        and ended
        and not year
        and (number.value >= 100 or reading.word(i - 1) in _MONEY_BEFORE)
        and number.value >= 20
    ):
        return found
    return (
        found if number.value >= 1000 and not year and after in {"over", "for"} and _is_term(reading, i + 2) else None
    )


def _is_term(reading: Reading, i: int) -> bool:
    return (reading.number(i) is not None and reading.word(i + 1) in _UNITS) or reading.word(i + 1) in {"year", "month"}


def _is_percent(reading: Reading, i: int) -> int:
    """Words that say percent at i: how many, 0 for none."""
    word = reading.word(i)
    if word in {"%", "percent", "pct", "percents", "apr", "aer", "bps", "bp"}:
        return 1
    pair = (word, reading.word(i + 1))
    if pair in {
        ("per", "cent"),
        ("percentage", "points"),
        ("percentage", "point"),
        ("basis", "points"),
        ("basis", "point"),
    }:
        return 2
    return 0


def percentage(reading: Reading, i: int) -> Found | None:
    """A percentage at i: "6.5%", "six and a half per cent", "half a percent", "650 basis points", "APR of 6.5"."""
    number = reading.number(i)
    if number is None or number.ordinal:
        return None
    unit = shared_unit(reading, i)
    if number.value < 1 and reading.word(unit) == "of":
        unit += 1
    if number.value < 1 and (reading.word(unit) in {"a", "one"} or ((one := reading.number(unit)) and one.value == 1)):
        unit += 1
    said = _is_percent(reading, unit)
    value = number.value * _negative(reading, i)
    if said:
        value = value / 100 if reading.word(unit) in {"basis", "bps", "bp"} else value
        ranged = reading.word(i + 1) in {"to", "-", "–", "or", "and"}
        return Found(ValueKind.PERCENT, plain(value), i, i + 1 if ranged else unit + said)
    rate = reading.word(i - 2) in {"apr", "aer", "rate", "interest"} and reading.word(i - 1) in {
        "of",
        "is",
        "at",
        "was",
    }
    rate = rate or (reading.word(i - 1) in {"apr", "aer"})
    plausible = rate and number.value < 100 and reading.word(i + 1) not in _UNITS and not _code(reading, i + 1)
    return Found(ValueKind.PERCENT, plain(value), i, i + 1) if plausible else None


def span_of_time(reading: Reading, i: int) -> tuple[str, Decimal, bool, int] | None:
    """A length of time at i: its unit ("M", "D", "TM", "TS"), how many, if working days, the index after it."""
    first = _term(reading, i)
    if first is None:
        return None
    unit, amount, working, after = first
    half = reading.number(after + 1) if reading.word(after) == "and" else None
    if half is not None and 0 < half.value < 1 and reading.word(after + 2) not in _UNITS:
        return unit, amount + half.value * _UNITS[reading.word(after - 1)][1], working, after + 2
    at = after + 1 if reading.word(after) in {"and", ","} else after
    second = _term(reading, at) if reading.number(at) else None
    if second is not None and second[0] == unit and second[1] < amount:
        return unit, amount + second[1], working, second[3]
    return first


def _term(reading: Reading, i: int) -> tuple[str, Decimal, bool, int] | None:
    number = reading.number(i)
    if number is None:
        value, j = Decimal(1), i + 1
        if reading.word(i) not in {"a", "an"} or (i and reading.word(i - 1) not in _BEFORE_A_TERM):
            half = reading.word(i) in {"a", "an"} and reading.word(i + 2) == "and" and _half(reading, i + 3)
            if not half and reading.word(i + 2) != "ago":
                return None
    else:
        value, j = number.value, shared_unit(reading, i)
        if number.ordinal:
            return None
    ranged = number is not None and j > i + 1
    if number is not None and value < 1:
        j += (reading.word(j) == "of") + (reading.word(j) in {"a", "an"} or reading.word(j + 1) in {"a", "an"})
    if reading.word(j) == "-":
        j += 1
    working = reading.word(j) in {"working", "business"}
    j += working or reading.word(j) in {"full", "calendar", "more", "whole", "consecutive"}
    unit = _UNITS.get(reading.word(j))
    if unit is None and reading.glued(j) and reading.word(j) == "y":
        unit = _UNITS["year"]
    if unit is None:
        return None
    return unit[0], value * unit[1], working, i + 1 if ranged else j + 1


def _half(reading: Reading, i: int) -> bool:
    number = reading.number(i)
    return number is not None and 0 < number.value < 1


def term_text(unit: str, amount: Decimal, *, working: bool = False) -> str:
    """A length of time as ISO 8601: "P60M", "P14D", "PT90M"; working days end in ":business"."""
    prefix = "PT" if unit.startswith("T") else "P"
    return f"{prefix}{plain(amount)}{unit[-1]}{':business' if working else ''}"


def duration(reading: Reading, i: int) -> Found | None:
    """A length of time at i: "five years", "60 months", "a year and a half", "3 working days"."""
    span = span_of_time(reading, i)
    if span is None:
        return None
    unit, amount, working, after = span
    return Found(ValueKind.DURATION, term_text(unit, amount, working=working), i, after)
