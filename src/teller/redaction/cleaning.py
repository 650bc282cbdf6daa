"""A text made plain before anything is looked for in it.

The same look must be the same characters, or a card number in full-width digits, with a zero-width space in each group,
would pass for something else.
"""

from __future__ import annotations

import re
import unicodedata

from teller.errors import InputError

MAX_CHARACTERS = 2_000  # a minute and a half of speech is about 1,500

_QUOTES = dict.fromkeys("’‘ʼ‛′`´＇", "'") | dict.fromkeys("“”„‟″«»＂", '"')
_DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣－", "-") | {"⁄": "/"}
_SAME = str.maketrans(_QUOTES | _DASHES)
_FRACTIONS = {"½": "5", "¼": "25", "¾": "75"}
_AFTER_DIGIT = re.compile(r"(?<=\d)([½¼¾])")
_BRACKETED = re.compile(r"[\[(] ?(at|dot) ?[\])]", re.IGNORECASE)  # "name [at] host [dot] com"
_DATE_OF_BIRTH = re.compile(r"(?<![^\W\d_])d\.o\.b(?![^\W\d_])\.?", re.IGNORECASE)
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Me"})  # control, format, private, unassigned, surrogate, enclosing


def clean(text: str) -> str:
    """One line of plain characters: NFKC, ASCII digits, one kind of quote and dash, nothing hidden, single spaces.

    Raises:
        InputError: if nothing is left, or more than MAX_CHARACTERS.
    """
    if len(text) > 10 * MAX_CHARACTERS:  # before any work is done on it
        raise _too_long(len(text))
    before = ""
    while text != before:  # what is dropped can join what it parted; settles within three rounds
        before = text
        text = " ".join(_plain(text).split())
        if ".b" in text or ".B" in text:
            text = _DATE_OF_BIRTH.sub("dob", text)
        if "[" in text or "(" in text:
            text = " ".join(_BRACKETED.sub(r" \1 ", text).split())
    if not text:
        raise InputError("the question is empty: say or type at least one word")
    if len(text) > MAX_CHARACTERS:
        raise _too_long(len(text))
    return text


def _too_long(length: int) -> InputError:
    return InputError(
        f"the question has {length:,} characters, at most {MAX_CHARACTERS:,} are read: ask in fewer words"
    )


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable() and "`" not in text:
        return text
    text = _AFTER_DIGIT.sub(lambda match: f".{_FRACTIONS[match.group(1)]}", text)
    for sign, decimals in _FRACTIONS.items():
        text = text.replace(sign, f"0.{decimals}")
    text = unicodedata.normalize("NFKC", text.translate(_SAME)).translate(_SAME)
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    on_letter = False  # where an accent may stand
    for char in text:
        category = unicodedata.category(char)
        if char.isspace():
            kept.append(" ")
        elif category == "Nd":
            kept.append(str(unicodedata.decimal(char)))
        elif category not in _HIDDEN and (category != "Mn" or on_letter):
            kept.append(char)
        on_letter = char.isalpha() or (category == "Mn" and on_letter)
    return "".join(kept)
