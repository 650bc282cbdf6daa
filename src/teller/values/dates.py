"""Dates.

A date is canonical as ISO 8601 writes it, cut off where nothing was said: "2026-12-24", "2026-12", "2026", "--12-24"
(no year), "---15" (a day of some month). What is relative ("next Monday") is resolved when the day of the question is
known, and else symbolic: "rel:next-monday". A bare weekday stays symbolic: whether it is to come or gone is not said.
Days are read before months, as in Britain, unless only the other order is a date.
"""

from __future__ import annotations

import calendar
import datetime
from decimal import Decimal

from teller.turn import ValueKind
from teller.values.measures import Span, span_of_time
from teller.values.reading import Found, Number, Reading, is_whole, word_list, word_set

_MONTH_NAMES = word_list("january february march april may june july august september october november december")
_DAY_NAMES = word_list("monday tuesday wednesday thursday friday saturday sunday")
_MONTHS = {name[:cut]: n for n, name in enumerate(_MONTH_NAMES, 1) for cut in (3, None)} | {"sept": 9}
_SHORT_MONTHS = frozenset(_MONTHS) - frozenset(_MONTH_NAMES)
_SHORT_DAYS = {name[:3]: n for n, name in enumerate(_DAY_NAMES)} | {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
_WEEKDAYS = {name + s: n for n, name in enumerate(_DAY_NAMES) for s in ("", "s")}
_BEFORE = word_set(
    "between on in by since until till before after from to of this next last during every late early mid for"
)
_BEFORE_A_YEAR = word_set("between in since by until till during before after year of from to")
_AFTER_A_DAY = word_set("and or to until till at i but for how what when did was is")
_AFTER_A_YEAR = word_set("and or to did for was is with the i my tax statement statements")
_DIRECTIONS = {
    word: direction
    for direction, words in ((1, "next following coming upcoming"), (0, "this current"), (-1, "last previous past"))
    for word in words.split()
}
_NAMES = {1: "next", 0: "this", -1: "last"}
_PARTS_OF_DAY = frozenset({"morning", "afternoon", "evening", "night"})
_PERIODS = word_set("hour day week month year weekend quarter fortnight decade") | _PARTS_OF_DAY
_DAYS = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
_FEASTS = {
    ("christmas", "eve"): "--12-24",
    ("christmas", "day"): "--12-25",
    ("christmas",): "--12-25",
    ("boxing", "day"): "--12-26",
    ("new", "year's", "eve"): "--12-31",
    ("new", "year's", "day"): "--01-01",
    ("easter",): "rel:easter",
}
_EDGES = {"end": "end", "start": "start", "beginning": "start", "middle": "middle"}
STARTS = frozenset(  # words, not numbers, that a date can begin with
    {*_MONTHS, *_WEEKDAYS, *_SHORT_DAYS, *_DIRECTIONS, *_DAYS, *_EDGES}
    | {words[0] for words in _FEASTS}
    | {"in", "a", "an", "the", "day"}
)


def date(reading: Reading, i: int) -> Found | None:
    """A day, month, year or relative day at i."""
    for rule in _OF_WORDS if reading.number(i) is None else _OF_NUMBERS:
        found = rule(reading, i)
        if found is not None:
            canonical, after = found
            after += 2 * (
                reading.word(after) == "in"
                and reading.word(after + 1) == "the"
                and reading.word(after + 2) in _PARTS_OF_DAY
            )
            part = reading.word(after)
            if part in _PARTS_OF_DAY:  # "tomorrow morning"
                return Found(ValueKind.DATE, f"{canonical}:{part}", i, after + 1)
            return Found(ValueKind.DATE, canonical, i, after)
    return None


def _bare(word: str) -> str:
    return word.removesuffix("'s")


def _year_of(number: Number | None) -> int:
    """The year that a number says, 0 if none: "2026", "twenty twenty six", "two thousand and twenty six"."""
    if number is None or number.ordinal or not 1900 <= number.value < 2100:
        return 0
    said = len(number.digits) == 4 or (number.scaled and number.value >= 2000)
    return int(number.value) if said and is_whole(number.value) else 0


def _day_of(number: Number | None) -> int:
    if number is None or not 1 <= number.value <= 31 or not is_whole(number.value):
        return 0
    return int(number.value)


def _iso(year: int, month: int, day: int) -> str:
    """The date, empty if there is no such day; year 0 if none was said."""
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year or 2024, month)[1]:
        return ""
    return f"{year:04}-{month:02}-{day:02}" if year else f"--{month:02}-{day:02}"


def _relative(reading: Reading, i: int) -> tuple[str, int] | None:
    word = _bare(reading.word(i))
    if word in _DAYS:
        return _shifted(reading, "D", Decimal(_DAYS[word]), i + 1, name=word.replace("tonight", "today"))
    if (word == "the" and reading.word(i + 1) == "day") or word == "day":
        j = i + 2 if word == "the" else i + 1
        pair = (reading.word(j), _bare(reading.word(j + 1)))
        far = {("after", "tomorrow"): 2, ("before", "yesterday"): -2}.get(pair)
        return _shifted(reading, "D", Decimal(far), j + 2) if far else None
    if word in _EDGES and reading.word(i + 1) == "of":
        return _edge(reading, i)
    return _directed(reading, i) if word in _DIRECTIONS else _apart(reading, i)


def _edge(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "end of next month", "the start of the year"."""
    article = reading.word(i + 2) == "the"
    if article and reading.word(i + 3) in _PERIODS:
        period: tuple[str, int] | None = _period(reading, 0, reading.word(i + 3), i + 4)
    else:
        period = _directed(reading, i + 2 + article) or _month(reading, i + 2 + article, anywhere=True)
    return (f"{_EDGES[reading.word(i)]}:{period[0]}", period[1]) if period else None


def _apart(reading: Reading, i: int) -> tuple[str, int] | None:
    """So long ago, or from now: "in two weeks", "three days ago", "a week from today"."""
    ahead = reading.word(i) == "in"
    span = span_of_time(reading, i + 1 if ahead else i)
    if span is None or span.working:
        return None
    after = span.after
    follow = (reading.word(after), _bare(reading.word(after + 1)))
    if ahead and span.unit[0] == "T":
        return None
    if ahead:
        if reading.has_terms and span.unit == "M":
            return None
        return _shifted(
            reading, span.unit, span.amount, after + (2 if follow == ("'", "time") else follow[0] == "time")
        )
    if follow[0] in {"ago", "earlier"}:
        return _shifted(reading, span.unit, -span.amount, after + 1)
    if follow in {("from", "now"), ("from", "today")}:
        return _shifted(reading, span.unit, span.amount, after + 2)
    return None


def _shifted(reading: Reading, unit: str, amount: Decimal, after: int, *, name: str = "") -> tuple[str, int]:
    """The day that lies so far from today."""
    day = None if reading.today is None else _moved(reading.today, unit, amount)
    if day is not None:
        return day.isoformat(), after
    sign = "-" if amount < 0 else "+"
    return f"rel:{name or sign + Span(unit, abs(amount), after).text}", after


def _moved(day: datetime.date, unit: str, amount: Decimal) -> datetime.date | None:
    """`day` moved by days or months, the day of the month cut to the month's length; None out of the calendar."""
    if not is_whole(amount) or abs(amount) > 40_000:
        return None
    try:
        if unit == "D":
            return day + datetime.timedelta(days=int(amount))
        if unit != "M":
            return None
        year, month = divmod(day.year * 12 + day.month - 1 + int(amount), 12)
        return datetime.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError):
        return None


def _directed(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "next Monday", "last month", "this March", "the last three months"."""
    direction = _DIRECTIONS.get(reading.word(i))
    if direction is None or (reading.word(i) == "coming" and reading.word(i - 1) not in {"the", "this"}):
        return None
    name = _bare(reading.word(i + 1))
    weekday = _WEEKDAYS.get(name, _SHORT_DAYS.get(name))
    if weekday is not None:
        return _next_weekday(reading, direction, weekday, i + 2)
    if name in _MONTHS and (name != "may" or reading.items[i + 1].raw[0].isupper()):
        return _next_month(reading, direction, _MONTHS[name], i + 2)
    if name in {"tax", "financial"} and reading.word(i + 2) == "year":
        return f"rel:{_NAMES[direction]}-{name}-year", i + 3
    if name in _PERIODS:
        return _period(reading, direction, name, i + 2)
    return _window(reading, i, direction)


def _window(reading: Reading, i: int, direction: int) -> tuple[str, int] | None:
    """As in "the last three months": a stretch, not a day; "over the next five years" is a length and stays one."""
    span = span_of_time(reading, i + 1) if reading.number(i + 1) else None
    length = direction > 0 and (
        reading.has_terms or {reading.word(i - 1), reading.word(i - 2)} & {"over", "for", "within"}
    )
    return None if span is None or direction == 0 or length else (f"rel:{_NAMES[direction]}-{span.text}", span.after)


def _next_weekday(reading: Reading, direction: int, weekday: int, after: int) -> tuple[str, int]:
    if reading.today is None:
        return f"rel:{_NAMES[direction]}-{_DAY_NAMES[weekday]}", after
    ahead = (weekday - reading.today.weekday()) % 7
    days = {1: ahead or 7, 0: ahead, -1: ahead - 7}[direction]
    return (reading.today + datetime.timedelta(days=days)).isoformat(), after


def _next_month(reading: Reading, direction: int, month: int, after: int) -> tuple[str, int]:
    if reading.today is None or direction == 0:
        return f"rel:{_NAMES[direction]}-{_MONTH_NAMES[month - 1]}", after
    year = reading.today.year
    if direction > 0:
        year += month <= reading.today.month
    else:
        year -= month >= reading.today.month
    return f"{year:04}-{month:02}", after


def _period(reading: Reading, direction: int, name: str, after: int) -> tuple[str, int]:
    """A week, month, quarter or year by its place from today's."""
    today = reading.today
    symbol = f"rel:{_NAMES[direction]}-{name}"
    if today is None:
        return symbol, after
    if name == "week":
        week = (today + datetime.timedelta(weeks=direction)).isocalendar()
        return f"{week.year:04}-W{week.week:02}", after
    if name == "weekend":
        saturday = today + datetime.timedelta(days=5 - today.weekday() + 7 * direction)
        return f"{saturday.isoformat()}/P2D", after
    if name == "month":
        year, month = divmod(today.year * 12 + today.month - 1 + direction, 12)
        return f"{year:04}-{month + 1:02}", after
    if name == "quarter":
        year, quarter = divmod(today.year * 4 + (today.month - 1) // 3 + direction, 4)
        return f"{year:04}-Q{quarter + 1}", after
    if name == "year":
        return f"{today.year + direction:04}", after
    if name in _PARTS_OF_DAY and direction <= 0:
        return f"{(today + datetime.timedelta(days=direction)).isoformat()}:{name}", after
    return symbol, after


def _written(reading: Reading, i: int) -> tuple[str, int] | None:
    """Digits with separators: "24/12/2026", "24.12.26", "2026-12-24", "24/12", "12/2026", "2025/26"."""
    sep = reading.word(i + 1)
    first, second = reading.number(i), reading.number(i + 2)
    if sep not in {"/", "-", "."} or first is None or second is None or not (first.digits and second.digits):
        return _spaced(reading, i)
    if not (reading.glued(i + 1) and reading.glued(i + 2)):
        return None
    third = reading.number(i + 4)
    if reading.word(i + 3) == sep and reading.glued(i + 3) and third is not None and third.digits:
        return _three(first.digits, second.digits, third.digits, i + 5)
    return _two(reading, i, sep, first.digits, second.digits)


def _three(first: str, second: str, third: str, after: int) -> tuple[str, int] | None:
    lengths = (len(first), len(second), len(third))
    if max(lengths) > 4 or lengths[1] > 2:
        return None
    if lengths[0] == 4 and lengths[2] <= 2:
        iso = _iso(int(first), int(second), int(third))
    elif lengths[0] <= 2 and lengths[2] in (2, 4):
        year = int(third) if lengths[2] == 4 else _century(int(third))
        iso = _iso(year, int(second), int(first)) or _iso(year, int(first), int(second))
    else:
        return None
    return (iso, after) if iso else None


def _century(year: int) -> int:
    """Two digits of a year, as POSIX strptime reads them: 69 to 99 are 19.., 00 to 68 are 20..."""
    return 2000 + year if year < 69 else 1900 + year


def _spaced(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "24 12 2026"."""
    numbers = [reading.number(k) for k in (i, i + 1, i + 2)]
    if any(n is None or not n.digits for n in numbers) or reading.glued(i + 1) or reading.glued(i + 2):
        return None
    first, second, third = (n.digits for n in numbers if n is not None)
    return _three(first, second, third, i + 3) if len(third) == 4 and third[:2] in {"19", "20"} else None


def _two(reading: Reading, i: int, sep: str, first: str, second: str) -> tuple[str, int] | None:
    if sep == "/" and len(first) <= 2 and len(second) == 4:
        return (f"{second}-{int(first):02}", i + 3) if 1 <= int(first) <= 12 else None
    if sep in "/-" and len(first) == 4 and len(second) == 2 and first[:2] in {"19", "20"}:
        successive = (int(first) + 1) % 100 == int(second)
        return (f"{first}/{second}", i + 3) if successive else None
    if sep in "/-" and len(first) == len(second) == 4 and "1900" <= first < second < "2100":
        return f"{first}/{second[2:]}", i + 3
    if sep != "/" or max(len(first), len(second)) > 2 or reading.word(i - 1) not in _BEFORE | {"date", "dated", "due"}:
        return None
    iso = _iso(0, int(second), int(first)) or _iso(0, int(first), int(second))
    return (iso, i + 3) if iso else None


def _month_at(reading: Reading, i: int) -> int:
    word = _bare(reading.word(i))
    return _MONTHS.get(word, 0)


def _after_month(reading: Reading, i: int) -> int:
    return i + 1 if reading.word(i) == "." and len(reading.word(i - 1)) <= 4 and reading.number(i + 1) else i


def _day_month(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "24th December 2026", "the first of March", "24 Dec"."""
    day = _day_of(reading.number(i))
    if not day:
        return None
    j = i + 1 + (reading.word(i + 1) == "of")
    j += reading.word(j) in {"the", "-"}
    month = _month_at(reading, j)
    if not month:
        return None
    return _with_year(reading, month, day, _after_month(reading, j + 1))


def _with_year(reading: Reading, month: int, day: int, after: int) -> tuple[str, int] | None:
    at = after + 1 if reading.word(after) in {",", "-"} else after
    year = _year_of(reading.number(at))
    iso = _iso(year, month, day)
    return (iso, at + 1 if year else after) if iso else None


def _month_day(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "December 24 2026", "March the first", "March 2026", "December twenty four twenty twenty six"."""
    month = _month_at(reading, i)
    if not month or not _is_month(reading, i):
        return None
    at = _after_month(reading, i + 1)
    at += reading.word(at) == "the"
    number = reading.number(at)
    year = _year_of(number)
    if year:
        return f"{year:04}-{month:02}", at + 1
    if number is not None and len(number.parts) == 3 and 1 <= int(number.parts[0]) <= 31:
        iso = _iso(int(number.parts[1] + number.parts[2]), month, int(number.parts[0]))
        return (iso, at + 1) if iso and number.parts[1] in {"19", "20"} else None
    day = _day_of(number)
    return _with_year(reading, month, day, at + 1) if day else None


def _is_month(reading: Reading, i: int) -> bool:
    """Whether the month's name before a number at i is one: "may 5" needs more than itself."""
    number = reading.number(i + 1)
    year = reading.number(i + 3 if reading.word(i + 2) == "," else i + 2)
    dated = number is not None and (number.ordinal or bool(_year_of(number) or _year_of(year)))
    named = reading.word(i) not in {"march", "may"} or (i > 0 and reading.items[i].raw[0].isupper())
    return dated or named or reading.word(i - 1) in _BEFORE


def _month(reading: Reading, i: int, *, anywhere: bool = False) -> tuple[str, int] | None:
    """A month alone; short names, "may" and "march" need a word such as "in" before them."""
    month, word = _month_at(reading, i), reading.word(i)
    if not month or (word == "may" and reading.word(i + 1) in {"i", "we", "you", "be", "not", "have"}):
        return None
    sure = anywhere or reading.word(i - 1) in _BEFORE or word not in _SHORT_MONTHS | {"may", "march"}
    return (f"--{month:02}", i + 1) if sure else None


def _year(reading: Reading, i: int) -> tuple[str, int] | None:
    number = reading.number(i)
    year = _year_of(number)
    if not year or number is None:
        return None
    said = len(number.parts) == 2 and len(number.parts[0]) == 2
    before, after = reading.word(i - 1), reading.word(i + 1)
    follows = reading.ends(i + 1) or not after.isalpha() or after in _AFTER_A_YEAR
    again = before in {"and", "or", "to"} and bool(_year_of(reading.number(i - 2)))  # "between 2024 and 2025"
    cued = before == "year" or again or (before in _BEFORE_A_YEAR and follows)
    return (f"{year:04}", i + 1) if said or cued else None


def _weekday(reading: Reading, i: int) -> tuple[str, int] | None:
    word = _bare(reading.word(i))
    if word in _WEEKDAYS:
        return f"rel:{_DAY_NAMES[_WEEKDAYS[word]]}", i + 1
    if word in _SHORT_DAYS and reading.word(i - 1) in {"on", "by", "until", "since", "every"}:
        return f"rel:{_DAY_NAMES[_SHORT_DAYS[word]]}", i + 1
    return None


def _feast(reading: Reading, i: int) -> tuple[str, int] | None:
    words = (reading.word(i), reading.word(i + 1), reading.word(i + 2))
    for length in (3, 2, 1):
        if words[:length] in _FEASTS:
            return _FEASTS[words[:length]], i + length
    return None


def _day_of_month(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "on the 15th", "the first of every month": a day of a month that is not named."""
    number = reading.number(i)
    day = _day_of(number)
    if not day or number is None or not number.ordinal:
        return None
    if reading.word(i + 1) == "of" and reading.word(i + 3) == "month":
        return f"---{day:02}", i + 4
    written = reading.items[i].text[0].isdecimal()  # "the second" is more often a count
    dated = reading.word(i - 1) == "the" and (written or reading.word(i - 2) in _BEFORE - {"of", "in", "for"})
    alone = reading.ends(i + 1) or reading.word(i + 1) in _AFTER_A_DAY
    return (f"---{day:02}", i + 1) if dated and alone else None


_OF_WORDS = (_relative, _month_day, _month, _weekday, _feast)
_OF_NUMBERS = (_apart, _written, _day_month, _year, _day_of_month)
