"""Which of a bank's products a question names: what `document_subjects.py` found documents to be about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import pairwise

from teller.banking.document_subjects import WORD, Subject, small_words
from teller.banking.lexical import is_empty, stem

_FILLERS = frozenset(
    re.split(" ", "a about an and for how i it its m mean meant my of oh on one our please s the uh um what with your")
)
_BETWEEN = frozenset(("and", "from", "or", "than", "with"))

# What stands before a product and names none: "how many cards".
_QUANTITIES = frozenset(
    re.split(
        " ",
        "additional another both each every extra few first fewer last less many more most much new next old other own"
        " same second several single third one two three four five six seven eight nine ten",
    )
)


class Products:
    """What questions may name: the products that documents are about."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._products = frozenset(subject for subject in subjects if subject.names)
        self._names = frozenset(name for product in self._products for name in product.names)
        self._kinds = frozenset(kind for product in self._products for kind in product.kinds)
        spoken = {tuple(small_words(product.spoken)) for product in self._products if product.spoken}
        ends = Counter(stem(words[-1]) for words in spoken if words[-1] not in self._names)
        self._last = frozenset(word for word, times in ends.items() if times > 1)
        uses = Counter(word for words in spoken for word in {stem(word) for word in words})
        self._shared = frozenset(word for word, times in uses.items() if times > 1)

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
            fits = {product: fit for product in self._products if (fit := self._fit(phrase, product))}
            if not fits:
                continue
            best = max(fits.values(), default=None)
            meanings.append(frozenset(product for product, fit in fits.items() if fit == best))
        return meanings

    def _fit(self, phrase: Collection[str], product: Subject) -> tuple[int, int, int, int] | None:
        """How well a product fits what was named, best highest; None if not at all."""
        named = product.names.intersection(phrase)
        said = frozenset(map(stem, phrase))
        if not named or (named <= product.common and not self._is_telling(said, product)):
            return None
        return len(named), len(product.kinds & said), -len(product.names - named), -len(product.proper - said)

    def _is_telling(self, said: frozenset[str], product: Subject) -> bool:
        """Whether words are more than half of what only this name has: "fixed" is not enough for "Fixed Rate Bonds"."""
        own = frozenset(map(stem, (*product.names, *small_words(product.spoken))))
        if product.names <= product.titled:
            return len(own & said) > 1 or len(own) == 1
        own = frozenset(word for word in own - self._shared if not is_empty(word)) or frozenset(
            map(stem, product.names)
        )
        return 2 * len(own & said) > len(own)

    def are_rivals(self, one: Subject, other: Subject) -> bool:
        """Whether two are different products: "limits of the saver" and "saver" are one, a card and an account two."""
        types = [self._last.intersection(map(stem, small_words(subject.spoken)[-1:])) for subject in (one, other)]
        return one.names != other.names or one.proper != other.proper or (all(types) and types[0] != types[1])

    def is_bare(self, text: str) -> bool:
        """Whether a text is a product's name and no more: "the silver card, please"."""
        return bool(self.asked(text)) and _FILLERS.issuperset(small_words(self.nameless(" ".join(self._words(text)))))

    def nameless(self, text: str) -> str:
        """A text without the products that it names."""
        kinds = frozenset(kind for product in self.asked(text) for kind in product.kinds)

        def left(word: str) -> bool:
            return word not in self._names and stem(word) not in kinds

        return " ".join(WORD.sub(lambda found: found[0] if left(found[0].lower()) else "", text).split())

    def instead(self, text: str, named: str) -> str:
        """A text about the products that another one names, in place of its own."""
        new = [word for phrase in self._phrases(named) for word in phrase]
        old = {word for phrase in self._phrases(text) for word in phrase if word in self._names}
        if len(new) > 1:  # "the gold card", in place of "the silver account"
            old |= {word for phrase in self._phrases(text) for word in phrase}
        others = [" ".join(new)]

        def swapped(found: re.Match[str]) -> str:
            if found[0].lower() not in old:
                return found[0]
            return others.pop() if others else ""

        swap = " ".join(WORD.sub(swapped, text).split())
        return f"{swap} {others[0]}" if others else swap

    def telling_words(self) -> frozenset[str]:
        """The names' words, and the longer ones of the names as they are spoken but for what most of them end in."""
        spoken = {word for product in self._products for word in small_words(product.spoken) if len(word) > len("fee")}
        telling = self._names.union(word for word in spoken if stem(word) not in self._last)
        return frozenset(word for word in telling if not word.isdigit())  # numbers are compared as numbers

    def named_like(self, text: str) -> tuple[str, ...]:
        """Words that stand where a product's name would: "titanium" of "is the titanium card free"."""
        words = self._words(text)
        before = (word for word, after in pairwise(words) if stem(after) in self._last)
        return tuple(word for word in before if word not in self._names and not _is_any(word))

    def _phrases(self, text: str) -> list[list[str]]:
        """Runs of words that are in names, each with a name's word: "silver card" of "is the silver card free".

        One word that carries no topic may stand in it ("buy to let"), but for one between two names.
        """
        phrases: list[list[str]] = [[]]
        gap = 0
        for word in self._words(text):
            if word in self._names or stem(word) in self._kinds:
                phrases[-1].append(word)
                gap = 0
            elif phrases[-1]:
                gap += 1
                if gap > 1 or not is_empty(word) or word in _BETWEEN:
                    phrases.append([])
        return [phrase for phrase in phrases if not self._names.isdisjoint(phrase)]

    def _words(self, text: str) -> list[str]:
        """Words, small; two that make one of the names together ("eco card") are one."""
        words: list[str] = []
        for word in small_words(text):
            if word not in self._names and word.removesuffix("s") in self._names:
                word = word.removesuffix("s")
            if words and words[-1] + word in self._names:
                words[-1] += word
            else:
                words.append(word)
        return words


def _is_any(word: str) -> bool:
    return is_empty(word) or word.isdigit() or word in _QUANTITIES
