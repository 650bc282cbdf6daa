"""The words of a text, and the numbers in it: written ("10,000"), spoken ("two and a half thousand") or digit by digit.

One pass over the text gives items; a number is one item, whatever its length, so the rules that read items look only a
few of them ahead and the whole is linear. Cardinals follow British usage ("a hundred and five") and take the American
one ("a hundred five"). Numbers without a scale that follow one another are read as people say them:

    four four two one       digits 4421          all single digits
    double four, oh two     digits 4402
    twenty twenty six       2026, parts 20 26    two numbers of two digits
    two fifty               250, parts 2 50
    twelve thirty four 56   digits 123456        anything longer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from teller.values.reading import Item, Number, is_whole, tokens, word_set


def _numbered(text: str, first: int, step: int = 1) -> dict[str, int]:
    return {word: first + n * step for n, word in enumerate(text.split())}


UNITS: Mapping[str, int] = MappingProxyType(
    _numbered("zero one two three four five six seven eight nine", 0) | {"nought": 0, "naught": 0, "nil": 0}
)
_TEENS = _numbered("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10)
_TENS = _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10) | {"fourty": 40}
_ORDINALS = (
    _numbered("first second third fourth fifth sixth seventh eighth ninth tenth", 1)
    | _numbered("eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth", 11)
    | {"twentieth": 20, "thirtieth": 30}
)
_SUFFIXES = frozenset({"st", "nd", "rd", "th"})
SCALES: Mapping[str, int] = MappingProxyType(
    {"thousand": 10**3, "grand": 10**3, "million": 10**6, "mil": 10**6, "billion": 10**9, "trillion": 10**12}
)
_GLUED_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9}
_FRACTIONS = {"½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75")}
_REPEATS = {"double": 2, "triple": 3, "treble": 3}
_MEASURES = word_set("year years month months week weeks day days hour hours minute minutes percent percentage per %")
_GLUED = _MEASURES | word_set(
    "k m mn bn x p y h am pm yr yrs mo mos mth mths wk wks hr hrs min mins sec secs pct bps bp st nd rd th quid "
    "pounds euros dollars pence cents c a gbp usd eur apr aer thousand million billion hundred percent grand"
)
_GLUED_BEFORE = word_set("x xx xxx xxxx gbp usd eur chf cad aud jpy inr pln sek nok dkk us")
_STARTS = frozenset(
    {*UNITS, *_TEENS, *_TENS, *_ORDINALS, *SCALES, *_FRACTIONS, *_REPEATS}
    | word_set("hundred oh o a an half quarter three point dozen")
)
_CONTINUES = (_STARTS - {"a", "an"}) | _SUFFIXES | set(_GLUED_SCALES) | {"and", "quarters"}
_LONGEST = 18  # digits; a longer run is a code, not a quantity


class _Part(NamedTuple):
    """A piece of a number: its value, the index after it, and how it was said."""

    value: Decimal
    after: int
    digits: str = ""
    scaled: bool = False
    scale: int = 1
    ordinal: bool = False
    parts: tuple[str, ...] = ()


def spoken_numbers(text: str) -> tuple[Number, ...]:
    """The numbers in a text, written or spoken, in order, not overlapping."""
    return tuple(item.number for item in items(text) if item.number is not None)


def items(text: str) -> list[Item]:
    """The words, signs and placeholders of a text, each number, however long, made one item."""
    return join_numbers(tokens(text), text)


def join_numbers(words: Sequence[Item], text: str) -> list[Item]:
    """`tokens` of a text with its numbers joined."""
    found = []
    i = 0
    while i < len(words):
        word = words[i].text
        part = _number_at(words, i) if word in _STARTS or word.isdecimal() else None
        if part is None:
            found.append(words[i])
            i += 1
            continue
        first, last = words[i], words[part.after - 1]
        number = Number(
            part.value, first.start, last.end, part.digits, part.parts, part.ordinal, part.scaled, part.scale
        )
        raw = text[first.start : last.end]
        found.append(Item(raw.lower(), raw, first.start, last.end, first.glued, number))
        i = part.after
    return found


def _word(words: Sequence[Item], i: int) -> str:
    return words[i].text if 0 <= i < len(words) else ""


def _glued(words: Sequence[Item], i: int) -> bool:
    return i < len(words) and words[i].glued


def _number_at(words: Sequence[Item], i: int) -> _Part | None:
    """The number that begins at i, with digits or a word of _STARTS, the longest reading first."""
    word = words[i].text
    if word.isdecimal():
        if _in_a_name(words, i):
            return None
        if len(word) > _LONGEST or not _continues(words, i + 1):
            return _Part(Decimal(word), i + 1, digits=word)
    return _ordinal(words, i) or _sequence(words, i) or _cardinal(words, i)


def _continues(words: Sequence[Item], i: int) -> bool:
    """Whether the item at i can belong to the digits before it; decides quickly for most."""
    word = _word(words, i)
    if word in {".", ",", "-"}:
        return words[i].glued and _word(words, i + 1).isdecimal()
    return word.isdecimal() or word in _CONTINUES


def _in_a_name(words: Sequence[Item], i: int) -> bool:
    """Digits glued to letters that are no unit ("3D", "2FA", "GB29", "401k") belong to a name or a code."""
    after = _word(words, i + 1) if _glued(words, i + 1) else ""
    if (words[i].text, after) == ("401", "k") or (after.isalpha() and after not in _GLUED):
        return True
    return words[i].glued and _word(words, i - 1).isalpha() and _word(words, i - 1) not in _GLUED_BEFORE


def _ordinal(words: Sequence[Item], i: int) -> _Part | None:
    word = _word(words, i)
    if word.isdecimal() and len(word) < _LONGEST and _glued(words, i + 1) and _word(words, i + 1) in _SUFFIXES:
        return _Part(Decimal(word), i + 2, ordinal=True)
    if word in _TENS:
        j = i + 2 if _word(words, i + 1) == "-" else i + 1
        unit = _ORDINALS.get(_word(words, j), 10)
        return _Part(Decimal(_TENS[word] + unit), j + 1, ordinal=True) if unit < 10 else None
    if word == "second" and _word(words, i - 1) in {"a", "one", "per", "each", "every", "just", "split"}:
        return None
    return _Part(Decimal(_ORDINALS[word]), i + 1, ordinal=True) if word in _ORDINALS else None


def _small(words: Sequence[Item], i: int) -> tuple[int, int] | None:
    """A number word below a hundred, and the index after it."""
    word = _word(words, i)
    if word in UNITS:
        return UNITS[word], i + 1
    if word in _TEENS:
        return _TEENS[word], i + 1
    if word not in _TENS:
        return None
    j = i + 2 if _word(words, i + 1) == "-" and _glued(words, i + 1) else i + 1
    unit = UNITS.get(_word(words, j), 0)
    return (_TENS[word] + unit, j + 1) if unit else (_TENS[word], i + 1)


def _atom(words: Sequence[Item], i: int) -> tuple[str, int] | None:
    """A piece of a sequence as digits, and the index after it: "four", "oh", "double one", "fifty six", "4"."""
    word = _word(words, i)
    if word in _REPEATS:
        unit = _word(words, i + 1)
        digit = str(UNITS[unit]) if unit in UNITS else "0" if unit in {"oh", "o"} else unit
        return (digit * _REPEATS[word], i + 2) if len(digit) == 1 and digit.isdecimal() else None
    if word in {"oh", "o"}:
        return "0", i + 1
    if word.isdecimal():
        return (word, i + 1) if len(word) == 1 else None
    small = _small(words, i)
    return (str(small[0]), small[1]) if small else None


def _sequence(words: Sequence[Item], i: int) -> _Part | None:
    """Two or more small numbers that follow one another without a scale."""
    if _word(words, i) in {"oh", "o"} and _is_exclaimed(words, i):
        return None
    parts: list[str] = []
    j, hyphens = i, 0
    while (atom := _atom(words, j)) and not _leads_a_cardinal(words, atom[1]):
        parts.append(atom[0])
        j = atom[1]
        if _word(words, j) == "-" and _glued(words, j) and _glued(words, j + 1) and len(atom[0]) == 1:
            j += 1
            hyphens += 1
    if _word(words, j - 1) == "-":
        j -= 1
    if hyphens and len(parts) < 4:  # "1-2-2026" is a date, "9-5" a range
        return None
    if parts and _word(words, i) in _REPEATS and len(parts) == 1:
        return _Part(Decimal(parts[0]), j, digits=parts[0], parts=(parts[0],))
    if len(parts) < 2 or (len(parts) == 2 and _two_numbers(words, i, j)):
        return None
    digits = "".join(parts)
    return _Part(Decimal(digits), j, digits=digits, parts=tuple(parts))


def _is_exclaimed(words: Sequence[Item], i: int) -> bool:
    """Whether "oh" at i is no nought: once or twice, and no digit after it."""
    after = next((k for k in (i + 1, i + 2) if _word(words, k) not in {"oh", "o"}), i + 3)
    return after < i + 3 and _atom(words, after) is None


def _leads_a_cardinal(words: Sequence[Item], after: int) -> bool:
    """Whether the number word before `after` belongs to what follows it ("one | two hundred", "four | 5.5")."""
    word = _word(words, after)
    if word in {"hundred", "point"} or word in SCALES or word in _ORDINALS:
        return True
    if word == "and" and _half_after(words, after) is not None:
        return True
    if word in {".", ",", "/", ":"}:
        return _glued(words, after) and _glued(words, after + 1) and _word(words, after + 1).isdecimal()
    return word in _GLUED and _glued(words, after)


def _two_numbers(words: Sequence[Item], i: int, j: int) -> bool:
    """Two single digits before a unit are a count and a measure: "two one year bonds"."""
    return (
        _word(words, j) in _MEASURES and j == i + 2 and all(len(w.text) > 1 or w.text.isdecimal() for w in words[i:j])
    )


def _cardinal(words: Sequence[Item], i: int) -> _Part | None:
    """Groups with falling scales: "two million three hundred thousand and five"."""
    group = _group(words, i)
    if group is None:
        return None
    total, limit, j, scaled, digits = Decimal(0), 0, i, group.scaled, group.digits
    while group is not None:
        scale = _scale_at(words, group.after)
        if limit and (scale >= limit or group.value >= limit):
            break
        if not scale:
            return _Part(total + group.value, group.after, digits if not limit else "", scaled or limit > 0)
        total, limit, j = total + group.value * scale, scale, group.after + 1
        group = _rest(words, j, limit, between=_word(words, i - 1) == "between")
    return _Part(total, j, scaled=True, scale=limit) if limit else None


def _rest(words: Sequence[Item], j: int, limit: int, *, between: bool) -> _Part | None:
    """The group that may follow a scale, if it belongs to the same number."""
    joined = _word(words, j) == "and"
    at = j + 1 if joined or _word(words, j) == "," else j
    in_hundreds = _word(words, at).isdecimal() and _word(words, at + 1) == "hundred"  # "4 thousand 2 hundred"
    if _small(words, at) is None and _word(words, at) != "a" and not in_hundreds:
        return None
    if _word(words, at) == "a" and _word(words, at + 1) != "hundred":
        return None
    rest = _group(words, at)
    if rest is None or not 1 <= rest.value < limit or (between and joined and _scale_at(words, rest.after)):
        return None
    if not joined and rest.value < 100 and not _scale_at(words, rest.after) and _word(words, rest.after) in _MEASURES:
        return None
    return rest


def _scale_at(words: Sequence[Item], i: int) -> int:
    word = _word(words, i)
    if word in _GLUED_SCALES and words[i - 1].text.isdecimal() and (words[i].glued or word == "k"):
        return _GLUED_SCALES[word]
    return SCALES.get(word, 0)


def _group(words: Sequence[Item], i: int) -> _Part | None:
    """A number below its scale word: "12", "1.5", "two hundred and five", "two and a half", "half a" (million)."""
    word = _word(words, i)
    if _word(words, i + 1) in {"quarters", "quarter"} and (fraction := _fraction(words, i)):
        return fraction
    if word.isdecimal():
        part = _written(words, i)
    elif word == "point":
        noun = _word(words, i - 1) in {"a", "the", "that", "this", "my"}
        return None if noun else _point(words, i, Decimal(0))
    elif small := _small(words, i):
        part = _Part(Decimal(small[0]), small[1], digits=str(small[0]))
    else:
        return _fraction(words, i) or _implied(words, i)
    part = _point(words, part.after, part.value) or part
    part = _with_fraction(words, part)
    return _hundreds(words, part)


def _implied(words: Sequence[Item], i: int) -> _Part | None:
    """A scale word without a number before it, or after "a": "a hundred", "thousand", "a couple of", "a dozen"."""
    j = i + 1 if _word(words, i) in {"a", "an"} else i
    word = _word(words, j)
    if word == "couple" and j > i:
        return _hundreds(words, _Part(Decimal(2), j + 2 if _word(words, j + 1) == "of" else j + 1))
    if word == "dozen":
        return _Part(Decimal(12), j + 1)
    if word == "hundred":
        return _hundreds(words, _Part(Decimal(1), j))
    return _Part(Decimal(1), j) if word in SCALES and (word != "grand" or j > i) else None


def _hundreds(words: Sequence[Item], part: _Part) -> _Part:
    """`part` as a count of hundreds, with what follows: "twenty five hundred", "two hundred and five"."""
    if _word(words, part.after) != "hundred":
        return part
    value, j = part.value * 100, part.after + 1
    joined = _word(words, j) == "and"
    rest = _small(words, j + 1 if joined else j)
    if rest is None or rest[0] == 0:
        return _Part(value, j, scaled=True)
    again = _word(words, rest[1])
    if again == "hundred" or (not joined and again in _MEASURES):
        return _Part(value, j, scaled=True)
    if joined and _word(words, part.after - 2) == "between" and again in SCALES:
        return _Part(value, j, scaled=True)
    whole = _Part(value + rest[0], rest[1], scaled=True)
    return _point(words, whole.after, whole.value) or whole


def _written(words: Sequence[Item], i: int) -> _Part:
    """Digits with thousands separators and decimals; spaces may separate thousands."""
    digits, j, grouped = words[i].text, i + 1, False
    while len(words[i].text) <= 3 and _next_group(words, j):
        digits += words[j + 1].text if words[j].text == "," else words[j].text
        j += 2 if words[j].text == "," else 1
        grouped = True
    decimals = _glued(words, j) and _word(words, j) == "." and _glued(words, j + 1) and _word(words, j + 1).isdecimal()
    dotted = _word(words, j + 2) == "." and _glued(words, j + 3) and _word(words, j + 3).isdecimal()
    dotted = dotted or (words[i].glued and _word(words, i - 1) == "." and _word(words, i - 2).isdecimal())
    if decimals and not dotted:  # "24.12.2026" is three numbers
        return _Part(Decimal(f"{digits}.{words[j + 1].text}"), j + 2)
    return _Part(Decimal(digits), j, digits="" if grouped else digits)


def _next_group(words: Sequence[Item], j: int) -> bool:
    """Whether three digits follow as thousands: ",000" glued, or " 000" where the digits before and after allow it."""
    if _word(words, j) == "," and _glued(words, j):
        return _glued(words, j + 1) and len(_word(words, j + 1)) == 3 and words[j + 1].text.isdecimal()
    spaced = _word(words, j) == "000" and not words[j].glued
    return spaced and (words[j - 1].text[0] != "0" or words[j - 1].text == "000")


def _point(words: Sequence[Item], i: int, whole: Decimal) -> _Part | None:
    """Decimals after "point": "five", "two five", "twenty five", "oh five"."""
    if _word(words, i) != "point" or not is_whole(whole):
        return None
    digits, j = "", i + 1
    while len(digits) < _LONGEST and (atom := _atom(words, j)):
        digits, j = digits + atom[0], atom[1]
    if not digits and _word(words, j).isdecimal() and len(_word(words, j)) < _LONGEST:
        digits, j = words[j].text, j + 1
    return _Part(whole + Decimal(f"0.{digits}"), j) if digits else None


def _half_after(words: Sequence[Item], i: int) -> _Part | None:
    """The fraction after "and", where i is at "and": "and a half", "and three quarters"."""
    word = _word(words, i + 1)
    if word in {"a", "one"} and _word(words, i + 2) in {"half", "quarter"}:
        return _Part(Decimal("0.5") if words[i + 2].text == "half" else Decimal("0.25"), i + 3)
    if word == "half":
        return _Part(Decimal("0.5"), i + 2)
    if word == "three" and _word(words, i + 2) in {"quarters", "quarter"}:
        return _Part(Decimal("0.75"), i + 3)
    return None


def _with_fraction(words: Sequence[Item], part: _Part) -> _Part:
    """`part` with a fraction that follows it: "2½", "1 1/2", "two and a half"."""
    word = _word(words, part.after)
    if word in _FRACTIONS:
        return _Part(part.value + _FRACTIONS[word], part.after + 1)
    slashed = _slashed(words, part.after)
    if slashed is not None and slashed < 1:
        return _Part(part.value + slashed, part.after + 3)
    half = _half_after(words, part.after) if word == "and" else None
    return _Part(part.value + half.value, half.after) if half else part


def _slashed(words: Sequence[Item], i: int) -> Decimal | None:
    """1/2, 1/4 or 3/4 at i."""
    triple = (_word(words, i), _word(words, i + 1), _word(words, i + 2))
    return {("1", "/", "2"): Decimal("0.5"), ("1", "/", "4"): Decimal("0.25"), ("3", "/", "4"): Decimal("0.75")}.get(
        triple
    )


def _fraction(words: Sequence[Item], i: int) -> _Part | None:
    """A fraction on its own: "half", "a quarter of a" (million), "three quarters", "½"."""
    word = _word(words, i)
    j = i + 1 if word == "a" else i
    name = _word(words, j)
    if word in _FRACTIONS:
        return _Part(_FRACTIONS[word], i + 1)
    if name == "half":
        return _Part(Decimal("0.5"), _before_scale(words, j + 1))
    if word in {"three", "3"} and _word(words, i + 1) in {"quarters", "quarter"}:
        return _Part(Decimal("0.75"), _before_scale(words, i + 2))
    said = j > i or _word(words, j + 1) in {"of", "past", "to", "percent", "per", "%"}
    if name == "quarter" and said:
        return _Part(Decimal("0.25"), _before_scale(words, j + 1))
    return None


def _before_scale(words: Sequence[Item], i: int) -> int:
    """Step over "of a", "a" where a scale follows: "half a million", "a quarter of a million"."""
    j = i + 1 if _word(words, i) == "of" else i
    j = j + 1 if _word(words, j) in {"a", "an"} else j
    return j if _word(words, j) in SCALES else i
