"""Last digits of cards and accounts, and numbers that are nothing else."""

from __future__ import annotations

from teller.turn import ValueKind
from teller.values.dates import date
from teller.values.measures import duration
from teller.values.reading import Found, Reading, plain, word_set

_TAIL_CUES = word_set("ending ends ended end finishing finishes terminating last final")
_TAIL_JOINS = word_set(
    "in with on is are : of the my card account it its digits digit numbers number four three that as"
)
_PRONOUN_BEFORE = word_set(
    "this that which the another each new any only no every old a an other wrong right same first last"
)
_NOT_COUNTED = word_set(
    "already and another as at because before but can for from has here i if in is it more now of on or please so "
    "than that thing to today too was when which who with would yet you"
)


def id_tail(reading: Reading, i: int) -> Found | None:
    """The last digits of a card or account: "ending 1234", "last four digits 4 4 2 1", "****1234"."""
    said = reading.number(i)
    if said is None or not said.digits or len(said.digits) > 8:
        return None
    digits, after = said.digits, i + 1
    if _is_masked(reading, i):
        return Found(ValueKind.ID_TAIL, digits, i, after)
    if not _tail_cued(reading, i):
        return None
    while (more := reading.number(after)) is not None and more.digits and len(digits + more.digits) <= 6:
        digits, after = digits + more.digits, after + 1
    if len(digits) == 5 and reading.word(i - 1) in {"last", "final"} and said.parts[:1] == ("4",):
        digits = digits[1:]  # "last four four four two one"
    alone = reading.ends(after) or (reading.word(after) != "" and not duration(reading, after - 1))
    tail = 3 <= len(digits) <= 6 and not date(reading, i) and alone
    return Found(ValueKind.ID_TAIL, digits, i, after) if tail else None


def _is_masked(reading: Reading, i: int) -> bool:
    """Whether the digits at i end a masked number: "****1234", "xxxx1234"."""
    if not reading.glued(i) or reading.word(i + 1) == "*" or (reading.glued(i - 1) and reading.number(i - 2)):
        return False
    stars = reading.word(i - 1) == reading.word(i - 2) == "*"
    return stars or reading.word(i - 1) in {"•", "x", "xx", "xxx", "xxxx"}


def _tail_cued(reading: Reading, i: int) -> bool:
    for k in range(i - 1, max(-1, i - 7), -1):
        word = reading.word(k)
        if word in _TAIL_CUES:
            return True
        four = reading.number(k)
        if word not in _TAIL_JOINS and not (four is not None and four.value in (3, 4)):
            return False
    return False


def count(reading: Reading, i: int) -> Found | None:
    """A number that is nothing else: "two cards" is "2", "the second card" is "#2"."""
    said = reading.number(i)
    if said is None:
        return None
    text = reading.items[i].text
    after = reading.word(i + 1)
    if text == "one" and (reading.word(i - 1) in _PRONOUN_BEFORE or not after.isalpha() or after in _NOT_COUNTED):
        return None
    if said.ordinal:
        idiom = after in {"of", "name", "names", "party", "parties", "hand"} or (
            text == "first" and (reading.word(i - 1) == "at" or after == "time")
        )
        return None if idiom and not text[0].isdecimal() else Found(ValueKind.COUNT, f"#{plain(said.value)}", i, i + 1)
    leading = said.digits if len(said.digits) > 1 and said.digits[0] == "0" else plain(said.value)
    return Found(ValueKind.COUNT, leading, i, i + 1)
