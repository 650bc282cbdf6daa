"""A question with its typed values replaced by marks, so that rules are patterns over words and marks.

"how much is 10k over five years at 6.5%" reads "how much is <m0> over <d1> at <p2>". The letters:

    m  an amount in pounds        r  an amount a month          x  an amount a week or a year
    n  a bare number from 100 on  c  a smaller bare number      f  an amount in another currency
    d  a time in months           w  a time in days             p  a percentage
    s  a savings account

The values are those that `teller.values` found; no number is read a second time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from teller.turn import Question, Value, ValueKind
from teller.values import Catalogue, find_values

_SIGNS = re.compile(r"[^a-z' \[\]]+")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the rules, which have a hundred or so; `re`'s own memory takes longer to look them up."""
    return re.compile(pattern)


_MARK = re.compile(r"<([a-z])(\d+)>")
_HESITATION = re.compile(
    r"\b(?:u+m+|u+h+|e+r+m*|h+m+|a+h+|o+h+|you know|sort of|kind of|basically|well|so|okay|ok|please|hi|hello|hey|hiya"
    r"|right|lovely|great|perfect|alright|thanks|thank you|cheers|good (?:morning|afternoon|evening))\b"
    r"|(?<!would )(?<!'d )\blike\b"
)
_CURRENCY = re.compile(r"£|pound|quid|sterling|\d+p\b|pence|grand|tenner|fiver|k\b")
_A_MONTH = r"(?:(?:(?:a|per|each|every|in a) )?(?:month|mth)|monthly|pm|pcm|p m)\b"
_MONTHLY_SUM = r"monthly (?:payments?|repayments?|instal?ments?|deposits?|budget|savings?) of"
_AFFORD = r"afford(?: to (?:pay|repay|save))?"
_ABOUT = r"(?:an? |the |about |around |roughly |up to |only |just )*"
_PUT = (
    r"(?:put|putting|sav(?:e|ed|ing)|set|setting|pay|paid|paying|deposit(?:ed|ing)?|add(?:ed|ing)?|invest(?:ed|ing)?)"
)
_ASIDE = r"(?: (?:away|aside|by|in|an|extra|another|about|around))*"
_PERIODS = (
    (rf"(?<!\bon )(?<!loan of )(?<!borrow )<[mnc](\d+)>((?: pounds| quid| more| extra)*) {_A_MONTH}", r"<r\1>\2"),
    (r"<[mnc](\d+)> (?:pounds |quid )?(?:a|per|each|every) (?:year|week|day|fortnight)\b", r"<x\1>"),
    (rf"\b({_MONTHLY_SUM}|{_AFFORD}) {_ABOUT}<[mnc](\d+)>", r"\1 <r\2>"),
    (rf"\b({_PUT}{_ASIDE}) <[mn](\d+)>((?: [a-z']+){{1,5}} {_A_MONTH})", r"\1 <r\2>\3"),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value in its place.

    Attributes:
        letter: its kind, as in the module's table.
        value: canonical, without a unit: "10000.00", "6.5", "6.5 APR" if it was called so, "P60M", "P90D", "cash_isa".
        before, after: the words on either side, to the ends of the question.
    """

    letter: str
    value: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A question's words, lower case, without punctuation and hesitation, its values as marks.

    Attributes:
        values: the value of each mark, by its number.
    """

    words: str
    values: Mapping[str, str]
    _found: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def marks(self) -> Iterator[Mark]:
        """The values, in order."""
        for found in _MARK.finditer(self.words):
            before, after = self.words[: found.start()].strip(), self.words[found.end() :].strip()
            yield Mark(found[1], self.values[found[2]], before, after)

    def has(self, pattern: str) -> bool:
        """Whether a pattern is found in the words; rules share patterns, so each is looked for once."""
        found = self._found.get(pattern)
        if found is None:
            found = self._found[pattern] = _compiled(pattern).search(self.words) is not None
        return found


def mark(question: Question, accounts: Collection[str] = ()) -> Marked:
    """Replace the values of a question by marks; `accounts` are the products that are savings accounts."""
    pieces: list[str] = []
    values: dict[str, str] = {}
    end = 0
    for index, value in enumerate(question.values):
        between, raw = _cleaned(question.text[end : value.start]), question.text[value.start : value.end].lower()
        if raw.startswith("a ") and values and between in ("", "pounds", "quid"):
            continue  # "£200 a month" speaks of no term of a month
        found = _letter(value, raw, after_over=between.endswith("over"))
        if value.kind is ValueKind.PRODUCT and value.canonical in accounts:
            found = "s", value.canonical
        if found is None:
            continue
        letter, values[str(index)] = found
        pieces += [between, "in" if value.kind is ValueKind.DATE else "", f"<{letter}{index}>"]
        end = value.end
    words = " ".join(_HESITATION.sub(" ", " ".join([*pieces, _cleaned(question.text[end:])])).split())
    for pattern, marks in _PERIODS if values else ():
        words = _compiled(pattern).sub(marks, words)
    return Marked(words, values)


def _cleaned(text: str) -> str:
    return " ".join(_SIGNS.sub(" ", text.lower().replace("’", "'")).split())


def _letter(value: Value, raw: str, *, after_over: bool) -> tuple[str, str] | None:
    """The letter of a value, and the value without its unit; None for one that no calculation takes."""
    number, _, unit = value.canonical.partition(" ")
    match value.kind:
        case ValueKind.MONEY if after_over and Decimal(number) < 100 and not _CURRENCY.search(raw):
            return "c", f"{Decimal(number).normalize():f}"  # "10k over 5" is over five years
        case ValueKind.MONEY:
            return ("m" if unit == "GBP" else "f"), number
        case ValueKind.PERCENT:
            return "p", f"{number} APR" if "apr" in raw else number
        case ValueKind.COUNT if not number.startswith("#"):
            return ("n" if Decimal(number) >= 100 else "c"), number
        case ValueKind.DURATION if re.fullmatch(r"P\d+(?:\.\d+)?[MD]", number):
            return ("d" if number.endswith("M") else "w"), number
        case ValueKind.DATE if raw.startswith("in "):
            # "in two years" is a day for a payment, but a length of time for a calculation.
            spans = find_values(f"for {raw[3:]}", Catalogue.empty())
            return _letter(spans[0], "", after_over=False) if len(spans) == 1 else None
    return None
