"""What each of a bank's documents is about, so that no fee is told of another product.

Nobody lists the products: the documents' ids and titles do. A word of them is a name's word if running text writes it
with a capital ("the Silver Account", "your Evergreen debit card") and most documents do not use it (as they use the
bank's own name), or if it alone tells two titles apart ("Silver card", "Gold card") and few use it. The other words of
a name ("account", "card", "business") decide between products whose names' words a question matches alike
(`document_names.py`).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from teller.banking.documents import Document, running_lines
from teller.banking.lexical import is_empty, stem

CAPITALS = 0.6  # least share of a name's word in running text that has a capital
COMMON = 0.5  # a word that more of the families use, and few of them have in a title, is the bank's own name
MOST = 0.75  # and so is one that more of them have in a title
KIND = 0.3  # a word that several names end in and at least so many families have is a kind of product: "card"
RARE = 0.25  # a word that only tells titles apart is a product's if no more of the families use it
_LONGEST_NAME = 6  # words
_SEVERAL = 3  # names that begin alike, from which that word is none of their own
_FEW = 4  # families, of which any word may be in most

# Capitals of these tell nothing of products.
_DATES = frozenset(
    re.split(
        " ",
        "january february march april may june july august september october november december monday tuesday wednesday"
        " thursday friday saturday sunday spring summer autumn winter",
    )
)
WORD = re.compile(r"[^\W\d_]+|\d{1,3}(?![\d%.,])")
_NUMBER = re.compile(r"[\W_]*\d+$")
_LEAD_END = re.compile(r"\s*(?:[:|–—]|\s-)\s")
_CAPITALS = re.compile(r"[A-Z][\w-]*(?: [A-Z][\w-]*)*")
_WITHIN = re.compile(r"(?<=[a-z,0-9%] )[^\W\d_]+")  # after a small letter, a comma or a digit no sentence begins


@dataclass(frozen=True, slots=True)
class Subject:
    """What a document is about.

    Attributes:
        names: words of a product's name; none: it is about no product in particular.
        kinds: stems of the other words of its name and id.
        spoken: the product's name as the titles write it, empty if they do not.
        common: those of the names' words that documents about other things use as any word: "fixed".
        titled: those that only tell titles apart: "travel" of "Travel insurance" beside "Phone insurance".
        proper: those of the kinds that are written with a capital beside a name's word: "Business".
    """

    names: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    spoken: str = ""
    common: frozenset[str] = frozenset()
    titled: frozenset[str] = frozenset()
    proper: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Names:
    """Words of products' names.

    Attributes:
        everywhere: names' words wherever they stand in a title or an id.
        titled: those that only tell titles apart.
        common: those that documents about other things use as any word.
        beside: the words that running text writes with a capital beside a name's word, or only titles have.
        house: the bank's own name, or a brand that most names begin with.
    """

    everywhere: frozenset[str]
    titled: frozenset[str]
    common: frozenset[str]
    beside: Mapping[str, frozenset[str]]
    house: frozenset[str]


def subjects_of(documents: Sequence[Document]) -> dict[str, Subject]:
    """What each document is about, by its id."""
    families: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        families[_family(document)].append(document)
    names, leads = _names(families), _leads(families)
    return {
        one.id: subject for key, members in families.items() for one, subject in _subjects(key, members, names, leads)
    }


def small_words(text: str) -> list[str]:
    """The words and short numbers of a text, in small letters."""
    return [word.lower() for word in WORD.findall(text)]


def _family(document: Document) -> str:
    """A document's id without the number at its end, unless its title has that number, as "Notice 60" has."""
    number = _NUMBER.search(document.id)
    named = number and re.sub(r"\D", "", number[0]) in small_words(document.title)
    return document.id if named or not number else document.id[: number.start()]


def _lead(title: str) -> str:
    """What a title begins with before a colon or a dash; all of it if it has none."""
    return _LEAD_END.split(title, maxsplit=1)[0]


def _leads(families: Mapping[str, Sequence[Document]]) -> set[tuple[str, ...]]:
    return {tuple(small_words(_lead(document.title))) for members in families.values() for document in members}


def _folder(key: str, leads: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """Words of the folder that a family of documents is in, if a document is titled like it."""
    words = tuple(small_words(key.rpartition("/")[0].rpartition("/")[2]))
    return words if words in leads else ()


def _own(key: str) -> set[str]:
    """Words of a family's key without its folders."""
    return set(small_words(key.rpartition("/")[2]))


def _names(families: Mapping[str, Sequence[Document]]) -> _Names:
    capital: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    using: Counter[str] = Counter()
    bearing: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    leads, phrases = _leads(families), set[str]()
    titles = [document.title for members in families.values() for document in members]
    capitals = {word.lower() for title in titles for word in WORD.findall(title) if word[0].isupper()}
    smalls = {word for title in titles if not title.islower() for word in WORD.findall(title) if word[0].islower()}
    for key, members in families.items():
        born = _own(key).union(_folder(key, leads), *(small_words(document.title) for document in members))
        used, small = set(born), set[str]()
        for line in chain.from_iterable(running_lines(document.markdown) for document in members):
            used.update(small_words(line))
            within = _WITHIN.findall(line)
            seen.update(map(str.lower, within))
            capital.update(word.lower() for word in within if word[0].isupper() and not word.isupper())
            small.update(word for word in within if word[0].islower())
            phrases.update(phrase.lower() for phrase in _CAPITALS.findall(line) if " " in phrase)
        bearing.update(born)
        using.update(used)
        elsewhere.update(small - born)
    contrasting, ending = (
        _contrasting(leads) | _lengthening(leads, phrases),
        Counter(lead[-1] for lead in leads if len(lead) > 1),
    )
    many = len(families) if len(families) >= _FEW else math.inf

    def is_capital(word: str) -> bool:
        return capital[word] > CAPITALS * seen[word]

    heads = set(filter(is_capital, _heads(leads) - contrasting))
    house = heads if len(heads) == 1 else set()

    def may_name(word: str) -> bool:
        if is_empty(word) or word in _DATES or word in house or (len(word) < 3 and not word.isdigit()):
            return False
        return not (ending[word] > 1 and bearing[word] >= KIND * len(families))

    def in_capitals(word: str) -> bool:
        everywhere = bearing[word] > MOST * many or using[word] > max(COMMON * many, 2 * bearing[word])
        return is_capital(word) and not everywhere

    able = set(filter(may_name, bearing))
    everywhere = frozenset(filter(in_capitals, able))
    titled = frozenset(
        word for word in able - everywhere - smalls if word in contrasting and using[word] <= RARE * many
    )
    common = frozenset(word for word in everywhere | titled if elsewhere[word] or word.isdigit())
    unseen = frozenset(word for word in capitals if not seen[word])
    beside = dict.fromkeys(everywhere | titled, unseen)
    for phrase in map(str.split, phrases):
        for name in beside.keys() & phrase:
            beside[name] |= frozenset(phrase)
    return _Names(everywhere, titled, common, beside, frozenset(house))


def _heads(leads: Collection[tuple[str, ...]]) -> frozenset[str]:
    """Words that several names begin with and none is told apart by; one alone is the bank's or a brand."""
    rests: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for lead in leads:
        if 2 <= len(lead) <= _LONGEST_NAME:
            rests[lead[0]].add(lead[1:])
    return frozenset(word for word, rest in rests.items() if len(rest) >= _SEVERAL and rest.isdisjoint(leads))


def _contrasting(leads: Iterable[tuple[str, ...]]) -> set[str]:
    """Words that alone tell two names apart, as in "Silver card" and "Gold card"."""
    rivals: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for lead in leads:
        if 2 <= len(lead) <= _LONGEST_NAME:
            for at, word in enumerate(lead):
                rivals[(*lead[:at], "", *lead[at + 1 :])].add(word)
    return {word for words in rivals.values() if len(words) > 1 for word in words}


def _lengthening(leads: Collection[tuple[str, ...]], phrases: Collection[str]) -> set[str]:
    """Words by which a name that is written in capitals is longer than another: "Plus" of "Easy Saver Plus"."""
    words = set[str]()
    for lead in leads:
        if 2 <= len(lead) <= _LONGEST_NAME and " ".join(lead) in phrases:
            words.update(word for word, rest in ((lead[-1], lead[:-1]), (lead[0], lead[1:])) if rest in leads)
    return words


def _subjects(
    key: str, members: Sequence[Document], names: _Names, leads: Collection[tuple[str, ...]]
) -> Iterator[tuple[Document, Subject]]:
    """Each document with its subject: what its family shares, else what its own title says."""
    titles = [set(small_words(document.title)) for document in members]
    counts = Counter(word for title in titles for word in title)
    titled = {word for word, count in counts.items() if 2 * count >= len(members)}.union(_folder(key, leads))
    subject = _subject(_own(key), titled, names, [document.title for document in members])
    if subject.names:
        yield from ((document, subject) for document in members)
    else:
        for document, title in zip(members, titles, strict=True):
            yield document, _subject(set(), title, names, [document.title])


def _subject(key: set[str], titled: set[str], names: _Names, titles: Sequence[str]) -> Subject:
    words = key | titled
    found = (names.everywhere & words) | (names.titled & titled)
    if not found:
        return Subject()
    kinds = {word for word in words - found - names.house if not is_empty(word)}
    proper = kinds & frozenset[str]().union(*(names.beside[name] for name in found))
    return Subject(
        found,
        frozenset(map(stem, kinds)),
        _spoken(found, titles),
        found & names.common,
        found & names.titled,
        frozenset(map(stem, proper)),
    )


def _spoken(names: frozenset[str], titles: Sequence[str]) -> str:
    """The longest phrase with all the names' words that is about as frequent in the titles as any.

    A phrase is what is in capitals, or the beginning of a title up to a colon or a dash; of several titles two have it.
    """
    counts: Counter[str] = Counter()
    for title in titles:
        lead = _lead(title)
        phrases = {lead} if len(lead.split()) <= _LONGEST_NAME and not lead.endswith("?") else set[str]()
        for run in _CAPITALS.findall(title):
            words = run.split()
            spans = (words[at : at + size] for at in range(len(words)) for size in range(1, _LONGEST_NAME + 1))
            phrases.update(" ".join(span) for span in spans)
        counts.update(phrase for phrase in phrases if names.issubset(small_words(phrase)))
    least = max(max(counts.values(), default=0) / 2, min(len(titles), 2))
    return max((phrase for phrase in counts if counts[phrase] >= least), key=lambda one: (len(one), one), default="")
