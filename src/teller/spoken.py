"""Written text as it is said: for a synthesizer to read aloud, and as the words that a recogniser hears.

"£188.71" is said "188 pounds 71", "6.5% APR" is said "6.5 percent A-P-R", a telephone number digit by digit. Rules for
British English, tried in one order over the text; each is linear in its length. Not here: reading spoken numbers back
into values (`values`), the sound itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

_ONES, _TENS = (
    tuple(words.split())
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen",
        "_ ten twenty thirty forty fifty sixty seventy eighty ninety",
    )
)
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1_000, "thousand"))
_ORDINALS = MappingProxyType(
    {
        "one": "first",
        "two": "second",
        "three": "third",
        "five": "fifth",
        "eight": "eighth",
        "nine": "ninth",
        "twelve": "twelfth",
    }
)
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class _Currency(NamedTuple):
    one: str
    many: str
    small_one: str
    small_many: str


_CURRENCIES = MappingProxyType(
    {
        "£": _Currency("pound", "pounds", "penny", "pence"),
        "€": _Currency("euro", "euros", "cent", "cents"),
        "$": _Currency("dollar", "dollars", "cent", "cents"),
    }
)
_MAGNITUDES = MappingProxyType({"k": "thousand", "m": "million", "bn": "billion"})

_ADDRESS_SIGNS = MappingProxyType({".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", "+": "plus"})

# Capitals that are said otherwise than letter by letter.
_SAID = MappingProxyType(
    {
        "BACS": "backs",
        "CHAPS": "chaps",
        "IBAN": "eye ban",
        "ISA": "eye sa",
        "ISAs": "eye sas",
        "JISA": "junior eye sa",
        "LISA": "lifetime eye sa",
        "PAYE": "P-A-Y-E",
        "PIN": "pin",
        "PINs": "pins",
        "SEPA": "seepa",
        "SIM": "sim",
        "SWIFT": "swift",
    }
)
_SHOUTED = re.compile(
    "ALL|AN|AND|ANY|ARE|AS|AT|BE|BUT|BY|CAN|DO|FOR|GET|HAS|HOW|IF|IN|IS|IT|MAY|NEW|NO|NOT|NOW|OF|OFF|ON|ONE|OR|OUR|OUT|"
    "PAY|SO|THE|TO|TWO|UP|WE|YES|YOU"
)
_SHORT = MappingProxyType({"e.g.": "for example", "i.e.": "that is", "etc.": "and so on", "approx.": "about"})

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_DASH = r"\s?[-–—]\s?"
_MAX_DIGITS = 15  # a longer run of digits is no amount
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+")
_CLAUSE_END = re.compile(r"(?<=[,;:])\s+|\s+(?=[–—]\s)")
_ADDRESS = re.compile(r"(?:https?://)?(?:[\w.+-]{1,64}@)?(?:[\w-]{1,63}\.){1,8}[a-z]{2,20}(?:/[\w./-]{0,200})?")


def for_speech(text: str) -> str:
    """The text as a synthesizer should read it: one line, no signs that it could misread."""
    return _spelt(_rewritten(text))


def as_words(text: str) -> tuple[str, ...]:
    """The words of the text as a recogniser would write them: small letters, numbers in words, no punctuation.

    Abbreviations stay whole ("apr"); apostrophes stay inside words ("don't").
    """
    plain = re.sub(rf"{_NUMBER}(?:st|nd|rd|th)?\b", _number_in_words, _rewritten(text)).lower()
    return tuple(word for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", plain.replace("’", "'")))


def number_words(number: int) -> str:
    """A whole number in British words: 188 is "one hundred and eighty eight".

    From a thousand trillion on it is read digit by digit.
    """
    if number < 0:
        return f"minus {number_words(-number)}"
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")
    if number < 1_000:
        rest = number % 100
        return f"{_ONES[number // 100]} hundred" + (f" and {number_words(rest)}" if rest else "")
    for scale, name in _SCALES:
        if scale <= number < 1_000 * scale:
            rest = number % scale
            joint = "" if not rest else " and " if rest < 100 else " "
            return f"{number_words(number // scale)} {name}{joint}{number_words(rest) if rest else ''}"
    return " ".join(_ONES[int(digit)] for digit in str(number))


def clauses(text: str, *, max_chars: int = 200) -> list[str]:
    """The text in pieces that can be spoken one after another: sentences, long ones parted at commas or spaces.

    Joined by spaces they are the text again, its white space made single; none is empty or longer than `max_chars`
    unless one word is.
    """
    pieces: list[str] = []
    for sentence in _SENTENCE_END.split(" ".join(text.split())):
        for clause in [sentence] if len(sentence) <= max_chars else _CLAUSE_END.split(sentence):
            pieces.extend(_wrapped(clause, max_chars))
    return pieces


def _wrapped(clause: str, max_chars: int) -> list[str]:
    lines: list[str] = []
    for word in clause.split():
        if lines and len(lines[-1]) + 1 + len(word) <= max_chars:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _digits(found: re.Match[str]) -> str:
    """Groups digit by digit, parted by commas: "0800 123" is "0 8 0 0, 1 2 3"."""
    groups = re.findall(r"\d+", found[0])
    if len(groups) == 1 and len(groups[0]) > 5:
        groups = [groups[0][i : i + 4] for i in range(0, len(groups[0]), 4)]
    return ", ".join(" ".join(group) for group in groups)


def _telephone(found: re.Match[str]) -> str:
    plus = "plus " if found[0].startswith("+") else ""
    return plus + _digits(found) if 9 <= sum(map(str.isdigit, found[0])) <= 15 else found[0]


def _money(found: re.Match[str]) -> str:
    currency = _CURRENCIES[found["sign"]]
    minus = "minus " if found["minus"] else ""
    whole, _, part = found["amount"].partition(".")
    if found["magnitude"]:
        magnitude = _MAGNITUDES.get(found["magnitude"].lower(), found["magnitude"].lower())
        return f"{minus}{found['amount']} {magnitude} {currency.many}"
    if len(part) > 2:
        return f"{minus}{found['amount']} {currency.many}"
    pounds, pence = whole.replace(",", "").lstrip("0"), int(part.ljust(2, "0")) if part else 0
    small = f"{pence} {currency.small_one if pence == 1 else currency.small_many}"
    if not pounds and pence:
        return minus + small
    said = f"{minus}{whole} {currency.one if pounds == '1' else currency.many}"
    return said if not pence else f"{said} and {small}" if pence < 10 else f"{said} {pence}"


def _date(found: re.Match[str]) -> str:
    day, month = int(found["day"]), int(found["month"])
    return f"{_ordinal(day)} {_MONTHS[month - 1]} {found['year']}" if 1 <= month <= 12 and 1 <= day <= 31 else found[0]


def _ordinal(day: int) -> str:
    ending = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _clock(found: re.Match[str]) -> str:
    hour, minute, half = int(found["hour"]), found["minute"] or "00", found["half"]
    if not half:
        hour, half = hour % 12 or 12, "a" if hour < 12 else "p"
    minutes = "" if minute == "00" else f" oh {minute[1]}" if minute[0] == "0" else f" {minute}"
    return f"{hour}{minutes} {half.upper()}-M"


def _either(found: re.Match[str]) -> str:
    return f"{found[1]} {found[2]}" if found[1].isdigit() else f"{found[1]} or {found[2]}"


def _address(found: re.Match[str]) -> str:
    word = found[0].rstrip(".,;:!?)")
    if not _ADDRESS.fullmatch(word):
        return found[0]
    said = word.removeprefix("https://").removeprefix("http://").rstrip("/")
    for sign, name in _ADDRESS_SIGNS.items():
        said = said.replace(sign, f" {name} ")
    return said + found[0][len(word) :]


_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
_RULES: tuple[_Rule, ...] = (
    (re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028\u2029\ufeff]+|\s+"), " "),
    (
        re.compile(r"(?<=[A-Za-z.)])\s[>›»]\s(?=[A-Za-z])|\s(?:->|=>|[→⇒])\s"),
        ", ",
    ),  # a way through menus: "Settings > Cards"
    (re.compile(r"[*_`#~<>{}|\\^]+|\s[-•·]\s(?=[A-Z])"), " "),
    (re.compile(r"\[([a-z_ ]+)\]"), r"\1"),
    (re.compile(r"\b(?:e\.g\.|i\.e\.|etc\.|approx\.)"), lambda found: _SHORT[found[0]]),
    (re.compile(r"\S+"), _address),
    (re.compile(r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b"), _date),
    (re.compile(r"\b(?P<day>\d\d?)/(?P<month>\d\d?)/(?P<year>\d{4})\b"), _date),
    (re.compile(r"\b\d\d[-–]\d\d[-–]\d\d\b"), _digits),  # a sort code
    (re.compile(r"(?<![\w.,£€$])(?:\+\d{1,15}|0\d{1,5})(?:[ -]\d{2,7}){0,5}\b(?![.,]\d)"), _telephone),
    (re.compile(r"(?<=\b[Cc]all |[Dd]ial |[Rr]ing )\d{3}\b"), _digits),  # 159, 999
    (re.compile(r"\b(?:116 ?\d{3}|1800[0-2]|7726)\b"), _digits),  # helplines, Relay UK, where scam texts are sent
    (re.compile(r"(?<=\bending )(?:in |with )?\d{3,6}\b"), lambda found: re.sub(r"\d+", _digits, found[0])),
    (re.compile(r"(?<![\d.,£€$])(?:\d{7,}|0\d{2,})\b(?![.,]\d)"), _digits),  # an account or card number
    (re.compile(rf"([£€$])({_NUMBER}){_DASH}[£€$]?(?=\d)"), r"\2 to \1"),
    (re.compile(rf"(?<=\d){_DASH}(?=\d)"), " to "),
    (re.compile(rf"(?<=\d%){_DASH}(?=\d)|(?<=[ap]m){_DASH}(?=\d)"), " to "),
    (
        re.compile(
            rf"(?P<minus>[-−]?)(?P<sign>[£€$])\s?(?P<amount>{_NUMBER})"
            r"(?:\s?(?P<magnitude>(?:k|m|bn)\b|thousand|million|billion))?",
            re.IGNORECASE,
        ),
        _money,
    ),
    (
        re.compile(
            r"\b(?P<hour>\d\d?)(?:[:.](?P<minute>[0-5]\d))?\s?(?P<half>[AaPp])\.?[Mm]\b(?:\.(?!\s*$|\s+[A-Z]))?"
        ),
        _clock,
    ),
    (re.compile(r"\b(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?P<half>)\b"), _clock),
    (re.compile(r"(?<=\d)p\b"), " pence"),
    (re.compile(r"\s?%|\s?\bper cent\b"), " percent"),
    (re.compile(r"(?<=\d)\+(?!\w)|(?<=\d)\s\+(?=\s\d)"), " plus"),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), "minus "),
    (re.compile(r"\band/or\b"), "and or"),
    (re.compile(r"\b(\w+)/(\w+)\b"), _either),
    (re.compile(r"\s?&\s?"), " and "),
    (re.compile(r"\s?=\s?"), " equals "),
    (re.compile(r"[^\w\s.,;:!?'’\"()–—-]"), " "),
    (re.compile(r"\s+(?=[.,;:!?])"), ""),
    (re.compile(r" {2,}"), " "),
)


def _rewritten(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.strip()


def _spelt(text: str) -> str:
    """Abbreviations as they are said: "APR" letter by letter, "ISA" as a word."""

    def say(found: re.Match[str]) -> str:
        word = found[0]
        if word in _SAID:
            return _SAID[word]
        letters = word.removesuffix("s")
        if _SHOUTED.fullmatch(word) or (len(letters) > 3 and re.search("[AEIOU]", letters)):
            return word.lower()
        return "-".join(letters) + ("'s" if letters != word else "")

    return re.sub(r"\b[A-Z]{2,5}s?\b", say, text)


def _number_in_words(found: re.Match[str]) -> str:
    text = found[0].replace(",", "")
    ending = re.search(r"[a-z]+$", text)
    whole, _, part = text.removesuffix(ending[0] if ending else "").partition(".")
    said = number_words(int(whole)) if len(whole) <= _MAX_DIGITS else " ".join(_ONES[int(digit)] for digit in whole)
    if part:
        said += " point " + " ".join(_ONES[int(digit)] for digit in part)
    return f" {_as_ordinal(said) if ending else said} "


def _as_ordinal(words: str) -> str:
    rest, _, last = words.rpartition(" ")
    if last not in _ORDINALS:
        return f"{words[:-1]}ieth" if words.endswith("y") else f"{words}th"
    return f"{rest} {_ORDINALS[last]}".strip()
