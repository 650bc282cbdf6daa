"""Dates and times of day.

A date is canonical as ISO 8601 writes it, cut off where nothing was said: "2026-12-24", "2026-12", "2026", "--12-24"
(no year), "---15" (a day of some month). What is relative ("next Monday") is resolved when the day of the question is
known, and else symbolic: "rel:next-monday". A bare weekday stays symbolic: whether it is to come or gone is not said.
Days are read before months, as in Britain, unless only the other order is a date.

Times are "16:30"; "h12:04:30" where neither morning nor afternoon was said.
"""

from __future__ import annotations

import calendar
import datetime
from decimal import Decimal

from teller.turn import ValueKind
from teller.values.measures import span_of_time, term_text
from teller.values.numbers import Found, Number, Reading, word_set

_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS = (
    {name: n for n, name in enumerate(_MONTH_NAMES, 1)}
    | {name[:3]: n for n, name in enumerate(_MONTH_NAMES, 1)}
    | {"sept": 9}
)
_AMBIGUOUS = frozenset({"march", "may", "mar", "jan", "jun", "jul", "apr", "aug", "sep", "oct", "nov", "dec"})
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT_DAYS = {
    "mon": 0,
    "tue": 1,
    "tues": 1,
    "wed": 2,
    "weds": 2,
    "thu": 3,
    "thur": 3,
    "thurs": 3,
    "fri": 4,
    "sat": 5,
    "sun": 6,
}
_WEEKDAYS = {name: n for n, name in enumerate(_DAY_NAMES)} | {f"{name}s": n for n, name in enumerate(_DAY_NAMES)}
_BEFORE = word_set("on in by since until till before after from to of this next last during every late early mid for")
_DIRECTIONS = {
    "next": 1,
    "following": 1,
    "coming": 1,
    "upcoming": 1,
    "this": 0,
    "current": 0,
    "last": -1,
    "previous": -1,
    "past": -1,
}
_NAMES = {1: "next", 0: "this", -1: "last"}
_PERIODS = word_set("week month year weekend quarter fortnight night morning afternoon evening")
_DAYS = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
_FEASTS = {
    ("christmas", "eve"): "--12-24",
    ("christmas", "day"): "--12-25",
    ("christmas", ""): "--12-25",
    ("boxing", "day"): "--12-26",
    ("new", "year's", "eve"): "--12-31",
    ("new", "year's", "day"): "--01-01",
    ("easter", ""): "rel:easter",
}
_EDGES = {"end": "end", "start": "start", "beginning": "start", "middle": "middle"}
_MINUTE_WORDS = frozenset({"minute", "minutes", "mins"})


def date(reading: Reading, i: int) -> Found | None:
    """A day, month, year or relative day at i."""
    for rule in (_relative, _written, _day_month, _month_day, _month, _year, _weekday, _feast, _day_of_month):
        found = rule(reading, i)
        if found is not None:
            return Found(ValueKind.DATE, found[0], i, found[1])
    return None


def _bare(word: str) -> str:
    return word.removesuffix("'s")


def _year_of(number: Number | None) -> int:
    """The year that a number says, 0 if none: "2026", "twenty twenty six", "two thousand and twenty six"."""
    if number is None or number.ordinal or not 1900 <= number.value < 2100:
        return 0
    said = len(number.digits) == 4 or (number.scaled and number.value >= 2000)
    return int(number.value) if said and number.value % 1 == 0 else 0


def _day_of(number: Number | None) -> int:
    plausible = number is not None and 1 <= number.value <= 31 and number.value == number.value.to_integral_value()
    return int(number.value) if number is not None and plausible else 0


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
    if word in _DIRECTIONS:
        return _directed(reading, i)
    return _apart(reading, i)


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
    if not ahead and reading.number(i) is None and reading.word(i) not in {"a", "an"}:
        return None
    span = span_of_time(reading, i + 1 if ahead else i)
    if span is None or span[0].startswith("T") or span[2]:
        return None
    unit, amount, _, after = span
    follow = (reading.word(after), _bare(reading.word(after + 1)))
    if ahead:
        if reading.is_loan and unit == "M":
            return None
        after += follow[0] in {"'", "time"} or follow == ("'", "time")
        return _shifted(reading, unit, amount, after)
    if follow[0] in {"ago", "earlier", "later"}:
        return _shifted(reading, unit, -amount if follow[0] != "later" else amount, after + 1)
    if follow in {("from", "now"), ("from", "today"), ("from", "tomorrow")}:
        extra = 1 if follow[1] == "tomorrow" else 0
        return _shifted(reading, unit, amount, after + 2, extra=extra)
    return None


def _shifted(
    reading: Reading, unit: str, amount: Decimal, after: int, *, name: str = "", extra: int = 0
) -> tuple[str, int]:
    """The day that lies so far from today."""
    day = None if reading.today is None else _moved(reading.today, unit, amount, extra)
    if day is not None:
        return day.isoformat(), after
    sign = "-" if amount < 0 else "+"
    return f"rel:{name or sign + term_text(unit, abs(amount))}{f'+{extra}' if extra else ''}", after


def _moved(day: datetime.date, unit: str, amount: Decimal, extra: int) -> datetime.date | None:
    """`day` moved by days or months, the day of the month cut to the month's length; None out of the calendar."""
    if amount != amount.to_integral_value() or abs(amount) > 40_000:
        return None
    try:
        if unit == "D":
            return day + datetime.timedelta(days=int(amount) + extra)
        year, month = divmod(day.year * 12 + day.month - 1 + int(amount), 12)
        last = calendar.monthrange(year, month + 1)[1]
        return datetime.date(year, month + 1, min(day.day, last)) + datetime.timedelta(days=extra)
    except (ValueError, OverflowError):
        return None


def _directed(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "next Monday", "last month", "this March", "the last three months"."""
    direction = _DIRECTIONS.get(reading.word(i))
    if direction is None:
        return None
    name = _bare(reading.word(i + 1))
    if name in _WEEKDAYS or name in _SHORT_DAYS:
        return _next_weekday(reading, direction, _WEEKDAYS.get(name, _SHORT_DAYS.get(name, 0)), i + 2)
    if (name in _MONTHS and name not in {"may"}) or (name == "may" and reading.items[i + 1].raw[0].isupper()):
        return _next_month(reading, direction, _MONTHS[name], i + 2)
    if name in {"tax", "financial"} and reading.word(i + 2) == "year":
        return f"rel:{_NAMES[direction]}-{name}-year", i + 3
    if name in _PERIODS:
        return _period(reading, direction, name, i + 2)
    if name.endswith("s") and name[:-1] in _PERIODS and name not in {"weeks", "months", "years"}:
        return None
    return _window(reading, i, direction)


def _window(reading: Reading, i: int, direction: int) -> tuple[str, int] | None:
    """As in "the last three months": a stretch, not a day; "over the next five years" is a length and stays one."""
    span = span_of_time(reading, i + 1) if reading.number(i + 1) else None
    if span is None or direction == 0 or (direction > 0 and reading.is_loan):
        return None
    unit, amount, working, after = span
    return f"rel:{_NAMES[direction]}-{term_text(unit, amount, working=working)}", after


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
    if name in {"night", "morning", "afternoon", "evening"} and direction <= 0:
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
    """Whether the month's name at i is one: "may", "march" and short names need more than themselves."""
    if reading.word(i) not in _AMBIGUOUS:
        return True
    number = reading.number(i + 1)
    dated = number is not None and (number.ordinal or bool(_year_of(number)))
    return reading.word(i - 1) in _BEFORE or dated or reading.word(i) not in {"march", "may"}


def _month(reading: Reading, i: int, *, anywhere: bool = False) -> tuple[str, int] | None:
    month = _month_at(reading, i)
    if not month:
        return None
    raw = reading.items[i].raw
    sure = anywhere or reading.word(i - 1) in _BEFORE
    sure = sure or (reading.word(i) not in _AMBIGUOUS and (len(raw) > 3))
    if reading.word(i) == "may" and reading.word(i + 1) in {"i", "we", "you", "be", "not", "have"}:
        return None
    return (f"--{month:02}", i + 1) if sure else None


def _year(reading: Reading, i: int) -> tuple[str, int] | None:
    number = reading.number(i)
    year = _year_of(number)
    if not year or number is None:
        return None
    said = len(number.parts) == 2 and len(number.parts[0]) == 2
    before = reading.word(i - 1)
    cued = before in {"in", "since", "by", "until", "during", "before", "after", "year", "of", "from", "to", "till"}
    alone = reading.ends(i + 1) or not reading.word(i + 1).isalpha() or before == "year"
    follows = reading.word(i + 1) in {
        "and",
        "or",
        "to",
        "did",
        "for",
        "was",
        "is",
        "with",
        "the",
        "i",
        "my",
        "tax",
        "statement",
        "statements",
    }
    return (f"{year:04}", i + 1) if said or (cued and (alone or follows)) else None


def _weekday(reading: Reading, i: int) -> tuple[str, int] | None:
    word = _bare(reading.word(i))
    if word in _WEEKDAYS:
        return f"rel:{_DAY_NAMES[_WEEKDAYS[word]]}", i + 1
    if word in _SHORT_DAYS and reading.word(i - 1) in {"on", "by", "until", "since", "every"}:
        return f"rel:{_DAY_NAMES[_SHORT_DAYS[word]]}", i + 1
    return None


def _feast(reading: Reading, i: int) -> tuple[str, int] | None:
    words = tuple(reading.word(k) for k in (i, i + 1, i + 2))
    for length in (3, 2):
        if words[:length] in _FEASTS:
            return _FEASTS[words[:length]], i + length
    found = _FEASTS.get((words[0], ""))
    return (found, i + 1) if found else None


def _day_of_month(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "on the 15th": a day of a month that is not named."""
    number = reading.number(i)
    day = _day_of(number)
    if not day or number is None or not number.ordinal:
        return None
    dated = reading.word(i - 1) == "the" and reading.word(i - 2) in {
        "on",
        "by",
        "before",
        "after",
        "until",
        "since",
        "from",
        "to",
    }
    if reading.word(i + 1) == "of" and reading.word(i + 2) in {"the", "each", "every", "next", "this"}:
        if reading.word(i + 3) == "month":
            return f"---{day:02}", i + 4
        return None
    alone = reading.ends(i + 1) or reading.word(i + 1) in {"and", "or", "to", "at", "i", "but", "for"}
    return (f"---{day:02}", i + 1) if dated and alone else None


def time_of_day(reading: Reading, i: int) -> Found | None:
    """A time at i: "9:05", "9 05 in the morning", "half past four", "25 to 7 p.m.", "noon"."""
    found = _named(reading, i) or _past(reading, i) or _clock(reading, i)
    return Found(ValueKind.TIME, found[0], i, found[1]) if found else None


def _named(reading: Reading, i: int) -> tuple[str, int] | None:
    word = reading.word(i)
    if word in {"noon", "midday"}:
        return "12:00", i + 1
    return ("00:00", i + 1) if word == "midnight" else None


def _half_of_day(reading: Reading, i: int) -> tuple[str, int]:
    """As in "am" or "pm" as said at i, empty if neither, and the index after it."""
    word, after = reading.word(i), reading.word(i + 1)
    if word in {"am", "pm"}:
        return word, i + 1
    if word in {"a", "p"} and after in {"m", "."}:
        dotted = after == "." and reading.word(i + 2) == "m"
        if after == "m" or dotted:
            end = i + 3 if dotted else i + 2
            return word + "m", end + (dotted and reading.word(end) == "." and reading.glued(end))
    if (word, after) == ("in", "the"):
        half = {"morning": "am", "afternoon": "pm", "evening": "pm"}.get(reading.word(i + 2), "")
        return (half, i + 3) if half else ("", i)
    if (word, after) == ("at", "night"):
        return "night", i + 2
    return "", i


def _told(hour: int, minute: int, half: str, *, padded: bool = False) -> str:
    """The canonical time, empty if there is none such."""
    if hour > 24 or minute > 59 or (half and hour > 23):
        return ""
    if half == "night":
        half = "pm" if 6 <= hour < 12 else "am"
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
        return f"{hour:02}:{minute:02}"
    known = half or padded or hour > 12 or hour == 0
    return f"{hour % 24:02}:{minute:02}" if known else f"h12:{hour:02}:{minute:02}"


def _past(reading: Reading, i: int) -> tuple[str, int] | None:
    """As in "half past four", "quarter to nine", "25 past 23", "ten minutes to five"."""
    number, j = reading.number(i), i + 1
    if number is None or number.ordinal:
        return None
    minutes = number.value * 60 if 0 < number.value < 1 else number.value
    spelled = reading.word(j) in _MINUTE_WORDS
    j += spelled
    side, hour = reading.word(j), reading.number(j + 1)
    if (
        side not in {"past", "to"}
        or hour is None
        or hour.value % 1
        or not 0 <= hour.value <= 24
        or not 1 <= minutes < 60
    ):
        return None
    half, after = _half_of_day(reading, j + 2)
    sure = side == "past" or spelled or number.value < 1 or (bool(half) and minutes % 5 == 0)
    if not sure or minutes % 1:
        return None
    total = int(hour.value) * 60 + (int(minutes) if side == "past" else -int(minutes))
    if total < 60 and half:
        total += 12 * 60
    text = _told(total // 60, total % 60, half)
    return (text, after) if text else None


def _clock(reading: Reading, i: int) -> tuple[str, int] | None:
    """Hours and minutes one after another: "9:05", "9.30 pm", "nine thirty", "nine oh five am", "5 o'clock"."""
    hour, minute, after, sign = _hour_minute(reading, i)
    if after == i:
        return None
    if reading.word(after) in {"o'clock", "oclock"} and minute == "":
        after += 1
        sign = ":"
    half, end = _half_of_day(reading, after)
    at = reading.word(i - 1) in {"at", "by", "until", "before", "after", "till"}
    follows = reading.word(end) in {"a", "per", "percent", "%", "pounds", "quid", "euros", "p", "cent"}
    if not half and not (sign == ":" or (sign == "parts" and at and not follows)):
        return None
    text = _told(int(hour), int(minute or 0), half, padded=hour[0] == "0" and sign == ":")
    return (text, end) if text else None


def _hour_minute(reading: Reading, i: int) -> tuple[str, str, int, str]:
    """Hour, minute, the index after them and how they were parted; the index is i if there is no such thing."""
    number, second = reading.number(i), reading.number(i + 2)
    none = ("", "", i, "")
    if number is None or number.ordinal or number.scaled:
        return none
    if reading.word(i + 1) == ":" and reading.glued(i + 1) and second is not None and len(second.digits) == 2:
        short = 0 < len(number.digits) <= 2
        return (number.digits, second.digits, i + 3, ":") if short else none
    hour, dot, minute = reading.items[i].text.partition(".")
    if dot and hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and len(hour) <= 2:
        return hour, minute, i + 1, "."
    if len(number.parts) == 2 and len(number.parts[1]) == 2 and len(number.parts[0]) <= 2:
        return number.parts[0], number.parts[1], i + 1, "parts"
    if len(number.parts) == 3 and number.parts[1] == "0" and len(number.digits) == 3:
        return number.parts[0], "0" + number.parts[2], i + 1, "parts"
    if not 0 < len(number.digits) <= 2:
        return none
    beside = reading.number(i + 1)
    if beside is not None and len(beside.digits) == 2 and not reading.glued(i + 1):
        return number.digits, beside.digits, i + 2, " "
    return number.digits, "", i + 1, ""
