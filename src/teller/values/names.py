"""Names: those of the bank's catalogue, and of people.

A catalogue name is found by its longest alias, whatever its case, hyphens and plural. People are found conservatively:
a title before a capital, a known given name, a capital after "to", "from", "called", or two capitals within a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from teller.turn import ValueKind
from teller.values.numbers import items
from teller.values.reading import Found, Item, Reading, plain, word_set

TITLES = word_set("mr mrs ms miss mx dr sir lady lord prof professor")
GIVEN_NAMES = word_set(
    "aaron abdul abigail adam ahmed aisha alan alex alexander alice alison amanda amelia amina amy ana andrea "
    "andrew angela anita ann anna anne anthony antonio arthur ashley barbara ben benjamin beth brian carlos carol "
    "caroline catherine charles charlotte chloe chris christine christopher claire connor craig daniel dave david "
    "deborah diana donald donna dylan edward eleanor elena elizabeth ella emily emma eric ethan eva fatima fiona "
    "frances francesca frank gareth gary george grace graham hannah harry hassan heather helen henry hugh ian "
    "ibrahim isabella jack jacob jake james jamie jane janet jason jayden jean jennifer jenny jeremy jessica jim "
    "joan joanna joe john jonathan jose joseph joshua juan judith julia julie karen kate katherine kathleen katie "
    "keith kelly kenneth kevin laura lauren leah leo lewis liam linda lisa louise lucas lucy luke luis margaret "
    "maria marie mark martin mary matthew megan mehmet melissa mia michael michelle miguel mohammed muhammad "
    "natalie nathan neil nicholas nicola nicole noah oliver olivia omar oscar owen pamela patricia patrick paul "
    "paula pedro peter philip priya rachel ravi rebecca richard robert roger ruth ryan sam samantha samuel sandra "
    "sanjay sara sarah scott sean sharon simon sofia sophia sophie stephanie stephen steve steven stuart susan "
    "tariq teresa thomas tim timothy tom tony tracey vanessa victoria wei wendy william yusuf zoe"
)
_ALSO_WORDS = frozenset({"dean", "frank", "grace", "jack", "mark"})  # names in capitals only
_JOINS = frozenset({"-", "–", "'", "’", "&"})
_BEFORE_A_NAME = word_set(
    "to from for called named payee with by wife husband son daughter partner mother father friend brother sister"
)
_KIN = word_set("wife husband son daughter partner mother father friend brother sister mum dad payee called named")
NOT_NAMES = word_set(
    "account accounts airport amazon america american android apple april atm august australia bank bitcoin "
    "british building business card cash cashback centre christmas city club contact credit customer debit "
    "december direct dollar east easter england euro europe european february france friday gold google great "
    "hello hi high house india international iphone isa islands january july june kingdom loan london manager "
    "march mastercard may microsoft mobile monday money mortgage netflix new north november october online open "
    "outgoing park pay paypal payment plan platinum post pound premier premium prime road safe samsung saturday "
    "savings scotland september service society south spain spotify standing states station street sunday support "
    "swift the thanks thursday top transfer tuesday uk union united us usa visa wales wednesday west western "
    "world a about after all also am an and any are as at be been before but by can could did do does for from "
    "get had has have how i i'd i'll i'm i've if in into is isn't it it's just like me my no not of off on or our "
    "out please so some should than that their them then there they this to too up was we what what's when where "
    "which who whose why will with would yes yesterday you your"
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The bank's own names.

    Attributes:
        products: canonical id of a product by each of its names, in lower case.
        tiers: the same for customer and account tiers.
        places: the same for places and countries.
    """

    products: Mapping[str, str] = field(default_factory=dict)
    tiers: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    _by_first: Mapping[str, tuple[tuple[tuple[str, ...], ValueKind, str], ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        by_first: dict[str, list[tuple[tuple[str, ...], ValueKind, str]]] = {}
        kinds = ((ValueKind.PRODUCT, self.products), (ValueKind.TIER, self.tiers), (ValueKind.PLACE, self.places))
        for kind, names in kinds:
            for alias, canonical in names.items():
                words = tuple(_stem(item) for item in items(alias.lower()) if item.text not in _JOINS)
                if words:
                    by_first.setdefault(words[0], []).append((words, kind, canonical))
        ordered = {first: tuple(sorted(rows, key=lambda row: -len(row[0]))) for first, rows in by_first.items()}
        object.__setattr__(self, "_by_first", MappingProxyType(ordered))

    @staticmethod
    def empty() -> Catalogue:
        """A catalogue without names."""
        return Catalogue()

    def may_begin(self, item: Item) -> bool:
        """Whether a name could begin with an item."""
        return bool(self._by_first) and _stem(item) in self._by_first

    def find(self, reading: Reading, i: int) -> Found | None:
        """The longest name that begins at item i."""
        if not self._by_first:
            return None
        for words, kind, canonical in self._by_first.get(_stem(reading.items[i]), ()):
            after = _match(reading, i, words)
            if after:
                return Found(kind, canonical, i, after)
        return None


def _stem(item: Item) -> str:
    """A word without its plural or genitive; a number as digits."""
    if item.number is not None:
        return plain(item.number.value)
    word = item.text.removesuffix("'s").removesuffix("s'")
    if len(word) < 4 or word.endswith("ss") or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes")) else word[:-1]


def _match(reading: Reading, i: int, words: tuple[str, ...]) -> int:
    """The index after `words` at i, stepping over hyphens; 0 if they are not there."""
    j = i
    for n, word in enumerate(words):
        if n and j < len(reading.items) and reading.items[j].text in _JOINS:
            j += 1
        if j >= len(reading.items) or _stem(reading.items[j]) != word:
            return 0
        j += 1
    return j


def is_given_name(item: Item) -> bool:
    """Whether a word is a known given name; one that is a word too ("mark") must have a capital."""
    return item.text in GIVEN_NAMES and (item.text not in _ALSO_WORDS or item.raw[0].isupper())


def person(reading: Reading, i: int) -> Found | None:
    """A person's name at i."""
    if reading.word(i) in TITLES and (titled := _titled(reading, i)):
        return titled
    item = reading.items[i]
    if not item.text.isalpha() or item.number is not None or item.text in NOT_NAMES:
        return None
    names = list(_capitals(reading, i))
    before = reading.word(i - 1)
    given = is_given_name(item)
    if names and (given or (len(names) >= 2 and i > 0 and not reading.ends(i - 1))):
        return _found(names, i)
    if names and before in _BEFORE_A_NAME and len(item.text) > 2 and not item.raw.isupper():
        return _found(names, i)
    if given and not names and (before in _KIN or (before in {"to", "from"} and reading.word(i - 2) != "used")):
        return _found([item.text], i)
    return None


def _found(names: list[str], i: int) -> Found:
    return Found(ValueKind.PERSON, " ".join(name.removesuffix("'s") for name in names), i, i + len(names))


def _titled(reading: Reading, i: int) -> Found | None:
    j = i + 2 if reading.word(i + 1) == "." else i + 1
    names = list(_capitals(reading, j)) if j < len(reading.items) else []
    if not names:
        return None
    return Found(ValueKind.PERSON, " ".join([reading.word(i), *names]), i, j + len(names))


def _capitals(reading: Reading, i: int) -> Iterator[str]:
    """Up to three capitalised words from i that are no words of the bank or of grammar."""
    for item in reading.items[i : i + 3]:
        plain_word = item.text.removesuffix("'s")
        name = (
            item.number is None
            and item.raw[0].isupper()
            and plain_word.replace("'", "").isalpha()
            and len(plain_word) > 1
        )
        if not name or plain_word in NOT_NAMES or (item.raw.isupper() and len(item.raw) > 1):
            return
        yield plain_word
