"""Which of a bank's products a document is about, and which ones a question names: no fee is told of another product.

Nobody lists the products: the documents' ids and titles do. A word of them is a name's word if running text writes it
with a capital ("the Silver Account", "your Evergreen debit card") and most documents do not use it (as they use the
bank's own name), or if it alone tells two titles apart ("Silver card", "Gold card") and few use it. The other words of
a name ("account", "card", "business") decide between products whose names' words a question matches alike.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from teller.banking.documents import Document
from teller.banking.lexical import stem

CAPITALS = 0.6  # least share of a name's word in running text that has a capital
COMMON = 0.5  # a word that more of the families use, and few of them have in a title, is the bank's own name
MOST = 0.75  # and so is one that more of them have in a title
KIND = 0.3  # a word that several names end in and at least so many families have is a kind of product: "card"
RARE = 0.25  # a word that only tells titles apart is a product's if no more of the families use it
_LONGEST_NAME = 6  # words
_FEW = 4  # families, of which any word may be in most

_FILLERS = frozenset(
    re.split(" ", "a about an and for how i it its m mean meant my of oh on one our please s the uh um what with your")
)

_WORD = re.compile(r"[^\W\d_]+")
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
    """

    names: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    spoken: str = ""


class Products:
    """What questions may name: the products that documents are about."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._products = frozenset(subject for subject in subjects if subject.names)
        self._names = frozenset(name for product in self._products for name in product.names)
        self._kinds = frozenset(kind for product in self._products for kind in product.kinds)
        last = (_small(product.spoken)[-1:] for product in self._products)
        self._last = frozenset(stem(word) for words in last for word in words) - self._names

    def within(self, text: str) -> frozenset[str]:
        """The names' words that a text has."""
        return self._names.intersection(self._words(text))

    def asked(self, text: str) -> frozenset[Subject]:
        """The products that a question may mean; empty if it names none."""
        return frozenset().union(*self._meanings(text))

    def are_several(self, text: str) -> bool:
        """Whether a question names one product beside another: "can I pair the EcoCard with a Green Account"."""
        meanings = self._meanings(text)
        return any(meanings[0].isdisjoint(other) for other in meanings[1:])

    def _meanings(self, text: str) -> list[frozenset[Subject]]:
        """The products that each name in a text may mean."""
        meanings = []
        for phrase in self._phrases(text):
            fits = {product: fit for product in self._products if (fit := _fit(phrase, product))}
            best = max(fits.values(), default=None)
            meanings.append(frozenset(product for product, fit in fits.items() if fit == best))
        return meanings

    def is_bare(self, text: str) -> bool:
        """Whether a text is a product's name and no more: "the silver card, please"."""
        return bool(self.asked(text)) and _FILLERS.issuperset(_small(self.nameless(" ".join(self._words(text)))))

    def nameless(self, text: str) -> str:
        """A text without the products that it names."""
        kinds = frozenset(kind for product in self.asked(text) for kind in product.kinds)

        def left(word: str) -> bool:
            return word not in self._names and stem(word) not in kinds

        return " ".join(_WORD.sub(lambda found: found[0] if left(found[0].lower()) else "", text).split())

    def telling_words(self) -> frozenset[str]:
        """The names' words, and the longer ones of the names as they are spoken but for what most of them end in."""
        spoken = {word for product in self._products for word in _small(product.spoken) if len(word) > len("fee")}
        return self._names.union(word for word in spoken if stem(word) not in self._last)

    def named_like(self, text: str) -> tuple[str, ...]:
        """Words that stand where a product's name would: "titanium" of "is the titanium card free"."""
        words = self._words(text)
        return tuple(word for word, after in pairwise(words) if stem(after) in self._last and word not in self._names)

    def _phrases(self, text: str) -> list[list[str]]:
        """Runs of words that are in names, each with a name's word: "silver card" of "is the silver card free"."""
        phrases: list[list[str]] = [[]]
        for word in self._words(text):
            if word in self._names or stem(word) in self._kinds:
                phrases[-1].append(word)
            elif phrases[-1]:
                phrases.append([])
        return [phrase for phrase in phrases if not self._names.isdisjoint(phrase)]

    def _words(self, text: str) -> list[str]:
        """Words, small; two that make one of the names together ("eco card") are one."""
        words: list[str] = []
        for word in _small(text):
            if words and words[-1] + word in self._names:
                words[-1] += word
            else:
                words.append(word)
        return words


def subjects_of(documents: Sequence[Document]) -> dict[str, Subject]:
    """What each document is about, by its id."""
    families: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        families[_NUMBER.sub("", document.id)].append(document)
    names = _names(families)
    return {one.id: subject for key, members in families.items() for one, subject in _subjects(key, members, names)}


def _fit(phrase: Collection[str], product: Subject) -> tuple[int, int, int, int] | None:
    """How well a product fits what was named, best highest; None if not at all."""
    named = product.names.intersection(phrase)
    if not named:
        return None
    kinds = product.kinds.intersection(map(stem, phrase))
    return len(named), len(kinds), -len(product.names - named), -len(product.kinds - kinds)


def _small(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _lead(title: str) -> str:
    """What a title begins with before a colon or a dash; all of it if it has none."""
    return _LEAD_END.split(title, maxsplit=1)[0]


def _names(families: Mapping[str, Sequence[Document]]) -> frozenset[str]:
    capital: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    using: Counter[str] = Counter()
    bearing: Counter[str] = Counter()
    for key, members in families.items():
        born = set(_small(key)).union(*(_small(document.title) for document in members))
        used = set(born)
        for line in chain.from_iterable(document.markdown.splitlines() for document in members):
            if not line.lstrip().startswith("#"):
                used.update(_small(line))
                within = _WITHIN.findall(line)
                seen.update(map(str.lower, within))
                capital.update(word.lower() for word in within if word[0].isupper() and not word.isupper())
        bearing.update(born)
        using.update(used)
    leads = {tuple(_small(_lead(document.title))) for members in families.values() for document in members}
    contrasting, ending = _contrasting(leads), Counter(lead[-1] for lead in leads if len(lead) > 1)
    many = len(families) if len(families) >= _FEW else math.inf

    def is_name(word: str) -> bool:
        if len(word) < 3 or (ending[word] > 1 and bearing[word] >= KIND * len(families)):
            return False
        everywhere = bearing[word] > MOST * many or using[word] > max(COMMON * many, 2 * bearing[word])
        in_capitals = capital[word] > CAPITALS * seen[word] and not everywhere
        return in_capitals or (word in contrasting and using[word] <= RARE * many)

    return frozenset(filter(is_name, bearing))


def _contrasting(leads: Iterable[tuple[str, ...]]) -> set[str]:
    """Words that alone tell two names apart, as in "Silver card" and "Gold card"."""
    rivals: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for lead in leads:
        if 2 <= len(lead) <= _LONGEST_NAME:
            for at, word in enumerate(lead):
                rivals[(*lead[:at], "", *lead[at + 1 :])].add(word)
    return {word for words in rivals.values() if len(words) > 1 for word in words}


def _subjects(key: str, members: Sequence[Document], names: frozenset[str]) -> Iterator[tuple[Document, Subject]]:
    """Each document with its subject: what its family shares, else what its own title says."""
    titles = [set(_small(document.title)) for document in members]
    counts = Counter(word for title in titles for word in title)
    shared = set(_small(key)) | {word for word, count in counts.items() if 2 * count >= len(members)}
    if names & shared:
        subject = _subject(shared, names, [document.title for document in members])
        yield from ((document, subject) for document in members)
    else:
        for document, title in zip(members, titles, strict=True):
            yield document, _subject(title, names, [document.title])


def _subject(words: set[str], names: frozenset[str], titles: Sequence[str]) -> Subject:
    found = names & words
    kinds = frozenset(stem(word) for word in words - found)
    return Subject(found, kinds, _spoken(found, titles)) if found else Subject()


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
        counts.update(phrase for phrase in phrases if names.issubset(_small(phrase)))
    least = max(max(counts.values(), default=0) / 2, min(len(titles), 2))
    return max((phrase for phrase in counts if counts[phrase] >= least), key=lambda one: (len(one), one), default="")
