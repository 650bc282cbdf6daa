"""Times of day: "16:30", or "h12:04:30" where neither morning nor afternoon was said."""

from __future__ import annotations

from teller.turn import ValueKind
from teller.values.reading import Found, Reading, is_whole, word_set

_MINUTE_WORDS = frozenset({"minute", "minutes", "mins"})
_HALVES = {"morning": "am", "afternoon": "pm", "evening": "pm", "night": "night"}
_BEFORE = frozenset({"at", "by", "until", "before", "after", "till"})
_NO_TIME_AFTER = word_set(
    "% a business cent day days euros hour hours minute minutes month months p per percent pounds quid week weeks "
    "working year years"
)


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
    """What is said of the time of day at i, "am", "pm" or "night", empty if nothing, and the index after it."""
    word, after = reading.word(i), reading.word(i + 1)
    if word in {"am", "pm"}:
        return word, i + 1
    if word in {"a", "p"}:
        m = i + 2 if after == "." else i + 1
        if reading.word(m) != "m":
            return "", i
        dot = after == "." and reading.word(m + 1) == "." and reading.glued(m + 1)
        return word + "m", m + 1 + dot
    if (word, after) in {("in", "the"), ("at", "night")}:
        i += 2 if word == "in" else 1
    half = _HALVES.get(reading.word(i), "")
    return (half, i + 1) if half else ("", i)


def _told(hour: int, minute: int, half: str, *, padded: bool = False) -> str:
    """The canonical time, empty if there is none such."""
    if hour > 24 or minute > 59 or (half and hour > 23):
        return ""
    if half == "pm" and hour == 0:
        hour = 12  # "0 45 p.m."
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
    if side not in {"past", "to"} or hour is None or hour.ordinal or not 0 <= hour.value <= 24 or not 1 <= minutes < 60:
        return None
    half, after = _half_of_day(reading, j + 2)
    fives = minutes % 5 == 0 and (half or reading.word(i - 1) in _BEFORE)
    sure = side == "past" or ((spelled or number.value < 1 or fives) and reading.word(after) not in _NO_TIME_AFTER)
    if not sure or not is_whole(minutes) or not is_whole(hour.value):
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
    at = reading.word(i - 1) in _BEFORE and reading.word(end) not in _NO_TIME_AFTER
    if not half and not (sign == ":" or (sign == "parts" and at)):
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
