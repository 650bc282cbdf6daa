"""Rules that forbid an answer from being given to another question, however alike the two sound.

Each rule compares what was asked with what an entry was asked, and names the first difference that it finds: a typed
value, a negation or an opposite, a time, who does what to whom. The rules fail closed: what they cannot read as equal
differs. Where words alone do not decide they say nothing; the pair verifier does (`verifier.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from teller.cache.canonical import canonical_text
from teller.cache.english import Turn, load_english
from teller.cache.moves import only_moved
from teller.cache.reading import Difference, Reading
from teller.cache.roles import compared_the_other_way, role_difference, sides_traded
from teller.cache.small_words import modality_difference, time_difference, wording_difference
from teller.cache.traded import leaves_open, traded_word_difference
from teller.turn import MissReason, Question, Value, ValueKind
from teller.values.reading import word_set

__all__ = ["Difference", "Guards", "Reading", "indifferent_kinds"]

_OF_VERBS = ("un", "dis", "de", "mis")
_PREFIXES = (*_OF_VERBS, "in", "im", "ir", "il", "non")
_ASKS = "(?= (?:how|what|why|when|where|which|who|if|whether|about))"
_AUXILIARY = "(?:is|are|am|was|were|do|does|did|can|could|will|would|should|has|have|had)"
# Negations that do not touch what is asked.
_HEDGES = re.compile(
    r"\b(?:do|am|was|can|could|did) not (?:seem to |quite |really |fully )?"
    rf"(?:sure|know|understand|certain|clear|get|see|figure out|work out|tell|remember|recall){_ASKS}|\bnot sure{_ASKS}"
    r"|\bwhether or not\b|\bor not$|\bif not\b|\bnot only\b|\bwhy not\b|\bno (?:problem|worries|doubt|idea)\b"
    r"|\bno (?:wait|sorry|thanks|thank you|i mean)\b|\b(?:no|not) (?:more|less|fewer|later|earlier|longer) than\b"
    rf"|\b{_AUXILIARY} (?:(?:it|he|she|they|you|that|there) not|not (?:it|he|she|they|you))$"
    r"|^no(?= (?:i|my|the|it|can|how|what)\b)"
)
_DENIED = re.compile(
    r"\b(?:fail(?:s|ed|ing)?|refus(?:e|es|ed|ing)) to\b|\bstop(?:s|ped)? (?!being\b|paying\b)\w{2,}ing\b"
    r"|\b(?:all|(?:any|every)(?:one|body|thing|where)|no one|nobody|nothing|none) but\b"
    r"|\b(?:absence of|far from|free of(?! charge\b| cost\b)|yet to)\b"
)
_DENYING = frozenset(
    {
        "fail",
        "fails",
        "failed",
        "failing",
        "refuse",
        "refuses",
        "refused",
        "refusing",
        "stop",
        "stops",
        "stopped",
        "but",
    }
    | {"absence", "far", "free", "yet"}
)
# Bounds of an amount, however they are said.
_AT_MOST = re.compile(r"\b(?:(?:no|not) (?:more|longer|later) than|at most|(?<!no )(?<!not )(?:less|fewer) than)\b")
_AT_LEAST = re.compile(r"\b(?:(?:no|not) (?:less|fewer|earlier) than|at least|(?<!no )(?<!not )more than)\b")
_DIGIT = re.compile("[0-9]")
# Letters and digits in one word, as a flight's or a tax code, but no number with its unit.
_CODE = re.compile(
    r"(?!\d+(?:st|nd|rd|th|k|m|mn|bn|am|pm|p|c|h|x|s|d|y|g|kg|km|cm|mm|ml|mb|gb|min|mins|hr|hrs|yr|yrs|gbp|usd|eur)$)"
    r"(?=\w*[a-z])(?=\w*\d)\w{3,}"
)
_ONCE = re.compile(r"(?<!\bthan )\bonce (?:a|an|per|every|each)\b")  # not "once it has come"
_COMPARING = frozenset({"more", "most", "less", "least", "fewer"})
_LESS = frozenset({"less", "least"})
_BEFORE_NOUNS = frozenset({"a", "an", "the", "my", "your", "our", "his", "her", "their", "this", "that"})
_PARTICLES = frozenset({"in", "on", "off", "out", "up", "down", "over", "back", "away"})
# Words that a question of the same content may have or not.
_LEADING = frozenset(
    {"going", "gonna", "able", "already", "still", "yet", "ago", "ever", "possible", "allowed", "take", "takes"}
    | {"gone", "went", "hers", "ours", "yours", "theirs"}
    | {"instead", "rather", "time", "day", "date", "reason", "colour", "color", "size", "age"}
)
_NONE: frozenset[str] = frozenset()
_KNOWN_WORDS = 8_192  # whose stems are remembered
# Values that often only tell the circumstances: "it happened on Monday", "for two of my cards", "while in Spain".
_OF_CIRCUMSTANCE = frozenset({ValueKind.DATE, ValueKind.TIME, ValueKind.DURATION, ValueKind.COUNT, ValueKind.PLACE})
_ROWS_OF_KIND = {"country": ValueKind.PLACE, "city": ValueKind.PLACE, "day_part": ValueKind.TIME}
_MOST_TURNED = 2  # words of a question that its opposites may stand for
_ENOUGH_VALUES = 4  # with three, answers of a middling margin were right in 92 to 97 % (docs/decisions.md)
_BEING = frozenset({"is", "are", "was", "were", "does", "did"})
_HELPING = frozenset({"do", "have", "has", "can", "could", "will", "would", "should"})
_SUBJECTS = frozenset((word,) for word in word_set("i you we they he she it the my your this that"))
_OTHER_WAY = "compared one way round against the other"
_Said = tuple[ValueKind, str]


class Guards:
    """All the rules, with a bank's own opposite actions beside the ones that ship.

    Args:
        opposites: pairs of opposite effect, as in ("block", "unblock") or ("activate", "turn off").
    """

    def __init__(self, opposites: Iterable[tuple[str, str]] = ()) -> None:
        self._english = load_english(opposites)
        self._stem = lru_cache(maxsize=_KNOWN_WORDS)(self._english.stem)
        self._facing = lru_cache(maxsize=_KNOWN_WORDS)(self._opposites)
        kin = frozenset(word for word, (row, _) in self._english.contrasts.items() if row == "kin")
        counted = self._english.quantities.keys() | self._english.how.keys()
        self._uncounted = frozenset(map(self._stem, kin | counted | self._english.timed | _LEADING))
        self._says_no = self._english.negators | self._english.denials
        self._small = self._english.small | self._english.negators
        self._may_say_no = self._says_no | _DENYING
        self._contrasting = frozenset(self._english.contrasts)
        self._by_verb: dict[str, dict[str, list[str]]] = {}
        for phrase in self._english.phrasal:
            verb, *particles = phrase.split()
            self._by_verb.setdefault(verb, {})[phrase] = particles
        self._verbs = frozenset(self._by_verb)

    def read(self, question: Question) -> Reading:
        """Read a question for `difference`."""
        line = canonical_text(question.text)
        words = tuple(line.split())
        bag = frozenset(words)
        bound = "" if _COMPARING.isdisjoint(bag) else _bound(line)
        small = self._small
        content = tuple([word for word in words if word not in small])
        telling = not self._contrasting.isdisjoint(bag) or _DIGIT.search(line)
        return Reading(
            question,
            words,
            bag - _COMPARING if bound else bag,
            self._names(question),
            content,
            self._core(words, content),
            0 if self._may_say_no.isdisjoint(bag) else self._negations(line, bag),
            bound,
            _NONE if self._verbs.isdisjoint(bag) else self._phrases_in(words, bag),
            self._contrasts(line, bag) if telling else frozenset(),
        )

    def difference(
        self, asked: Reading, stored: Reading, *, indifferent: frozenset[ValueKind] = frozenset()
    ) -> Difference | None:
        """The first difference that forbids giving one's answer to the other; None if no rule finds any.

        Args:
            asked: the question.
            stored: the question of an entry.
            indifferent: kinds of value that the entry's answer is known not to depend on.
        """
        some = asked.question.values or stored.question.values
        values = _value_difference(asked, stored, indifferent) if some else None
        if values or asked.words == stored.words:
            return values
        if not (asked.words and stored.words):
            return Difference("words", MissReason.VALUES_DIFFER, "words against none")
        return (
            _name_difference(asked, stored)
            or _contrast(asked, stored, indifferent)
            or self._polarity_difference(asked, stored)
            or modality_difference(asked, stored)
            or time_difference(asked, stored, self._english)
            or role_difference(asked, stored, self._english)
            or wording_difference(asked, stored, self._english)
            or traded_word_difference(asked, stored, self._english)
        )

    def proves_same(self, asked: Reading, stored: Reading) -> bool:
        """Whether two questions between which `difference` finds none are the same by their words.

        As in a phrase that stands elsewhere, or where two turns make up for each other: "is oak harder than pine" and
        "is pine softer than oak", "how can I be more hopeful" and "how can I be less hopeless".
        """
        here, there = Counter(asked.words), Counter(stored.words)
        left, other = frozenset(here - there), frozenset(there - here)
        if not left and not other:
            return asked.words == stored.words or only_moved(asked, stored, self._english)
        if len(left) > _MOST_TURNED or len(other) > _MOST_TURNED:
            return False
        traded = self._traded(left, other)
        turned = {word for found, turn in traded if turn is not Turn.ACTION for word in found.split(" against ")}
        if not turned or not (left | other) - turned <= self._english.negators:
            return False
        turns = len(traded) + asked.negations + stored.negations
        if [word for word in asked.words if word not in left] == [word for word in stored.words if word not in other]:
            return turns % 2 == 0
        return turns % 2 == 1 and sides_traded(asked, stored, turned, self._english)

    def leaves_open(self, asked: Reading, stored: Reading) -> bool:
        """Whether so little differs that it may be all that matters, and no table knows it for the same."""
        return leaves_open(asked, stored, self._english)

    def _contrasts(self, line: str, bag: frozenset[str]) -> frozenset[tuple[str, int | str]]:
        known = self._english.contrasts
        found: set[tuple[str, int | str]] = {known[word] for word in bag & self._contrasting}
        found |= {("code", word) for word in bag if _CODE.fullmatch(word)}
        if "once" in bag and not _ONCE.search(line):
            found.discard(known["once"])
        return frozenset(found)

    def _negations(self, line: str, bag: frozenset[str]) -> int:
        count = 0
        if not self._says_no.isdisjoint(bag):
            count = sum([word in self._says_no for word in _HEDGES.sub(" ", line).split()])
        return count if _DENYING.isdisjoint(bag) else count + len(_DENIED.findall(line))

    def _core(self, words: tuple[str, ...], content: Sequence[str]) -> frozenset[str]:
        core = frozenset(map(self._stem, content)) - self._uncounted
        if "how" in words:
            after = words.index("how") + 1
            core -= set(map(self._stem, words[after : after + 1]))
        return core

    def _names(self, question: Question) -> frozenset[str]:
        """Words with a capital inside a sentence, lower-cased; none where capitals mean nothing, or in a value."""
        text = question.text
        rest = text[1:].replace(" I ", " i ").replace(" I'", " i'")
        if rest == rest.lower():
            return _NONE
        for value in question.values:
            if value.kind is not ValueKind.PERSON:
                text = text[: value.start] + text[value.start : value.end].lower() + text[value.end :]
        words = re.findall(r"[^\W\d_]+|[.!?]", text)
        inside = [word for before, word in pairwise(words) if before not in ".!?" and word not in ".!?"]
        capital = {word.casefold() for word in inside if word[0].isupper()} - {"i"}
        return _NONE if capital & self._english.small else frozenset(capital)  # a Headline, or SHOUTED

    def _polarity_difference(self, asked: Reading, stored: Reading) -> Difference | None:
        turns = [f"{asked.negations} against {stored.negations} negations"] * ((asked.negations + stored.negations) % 2)
        if asked.bound and stored.bound and asked.bound != stored.bound:
            turns.append(f"{asked.bound} against {stored.bound}")
        if _negated_question(asked) != _negated_question(stored):
            return _turned(["a question with not against one without"])
        traded = [
            (found, turn)
            for found, turn in self._traded(asked.bag - stored.bag, stored.bag - asked.bag)
            if turn is Turn.ACTION or not _lessened(asked, stored, found)
        ]
        phrase = "" if traded else self._opposite_phrase(asked, stored)
        told = [found for found, turn in traded if turn is Turn.ACTION] or [phrase] * bool(phrase)
        states = [found for found, turn in traded if turn is Turn.STATE]
        if told or len(states) > 1:
            return _turned(told or states)
        turns += [found for found, _ in traded]
        compared = "than" in asked.bag and "than" in stored.bag
        if compared and not traded and ("less" in asked.bag) != ("less" in stored.bag):
            turns.append("less against more")
        if compared and compared_the_other_way(asked, stored, self._english):
            if not turns:
                return Difference("roles", MissReason.ROLES_DIFFER, _OTHER_WAY)
            turns.append(_OTHER_WAY)
        return _turned(turns) if len(turns) % 2 else None

    def _traded(self, here: frozenset[str], there: frozenset[str]) -> list[tuple[str, Turn]]:
        """Words of one side whose opposites are on the other."""
        pairs: dict[tuple[str, str], Turn] = {}
        for one, other in ((here, there), (there, here)):
            for word in one:
                facing = self._facing(word)
                if facing and not other.isdisjoint(facing):
                    opposite = min(other & facing.keys())
                    pairs[(word, opposite) if one is here else (opposite, word)] = facing[opposite]
        found, used = [], set[str]()
        for pair in sorted(pairs, key=sorted):
            if used.isdisjoint(pair):  # "correct" and "right" against "wrong" are one opposition
                found.append((" against ".join(pair), pairs[pair]))
                used.update(pair)
        return found

    def _opposites(self, word: str) -> dict[str, Turn]:
        """Every word that says the opposite; of one that says no, none, for negations are counted apart."""
        english = self._english
        if word in self._says_no:
            return {}
        prefixes = _PREFIXES if not word.endswith("ing") else _OF_VERBS
        found: dict[str, Turn] = {word[len(prefix) :]: Turn.STATE for prefix in prefixes if _begins(word, prefix, 4)}
        for beginning, other in english.twins.items():
            if _begins(word, beginning, 3):
                found[other + word[len(beginning) :]] = Turn.ACTION
        for ending, other in (("ful", "less"), ("less", "ful")):
            if word.endswith(ending):
                found[word.removesuffix(ending) + other] = Turn.STATE
        found |= english.opposites.get(word, {})
        return {other: turn for other, turn in found.items() if other not in self._says_no}

    def _opposite_phrase(self, asked: Reading, stored: Reading) -> str:
        for phrase in asked.phrases - stored.phrases:
            facing = self._english.phrasal[phrase] & stored.phrases - asked.phrases
            if facing:
                return f"{phrase} against {min(facing)}"
        return ""

    def _phrases_in(self, words: Sequence[str], bag: frozenset[str]) -> frozenset[str]:
        """Phrases whose verb is there with its particle, which may stand apart: "turn off", "turn my card off"."""
        found = []
        for word in bag & self._verbs:
            at = words.index(word)
            for phrase, rest in self._by_verb[word].items():
                particles = [
                    other
                    for beside, (other, after) in enumerate(pairwise([*words[at + 1 :], ""]))
                    if other in _PARTICLES and (not beside or after not in _BEFORE_NOUNS)
                ]
                if particles[: len(rest)] == rest:
                    found.append(phrase)
        return frozenset(found) if found else _NONE


def _lessened(asked: Reading, stored: Reading, found: str) -> bool:
    """Whether "less" or "least" before one of two opposites makes them the same: "least expensive", "cheapest"."""
    before = [
        {degree for degree, word in pairwise(reading.words) if word == side} & _COMPARING
        for reading, side in zip((asked, stored), found.split(" against "), strict=True)
    ]
    return any(one and one <= _LESS and not other for one, other in (before, before[::-1]))


def _negated_question(reading: Reading) -> bool:
    """Whether it begins as "isn't it" or "can't I", of which nobody can tell whether it denies or supposes."""
    if "not" not in reading.bag or reading.words[1:2] != ("not",):
        return False
    return reading.words[0] in _BEING or (reading.words[0] in _HELPING and reading.words[2:3] in _SUBJECTS)


def _turned(turns: Sequence[str]) -> Difference:
    return Difference("polarity", MissReason.POLARITY_DIFFERS, "; ".join(turns))


def _bound(line: str) -> str:
    most, least = bool(_AT_MOST.search(line)), bool(_AT_LEAST.search(line))
    return "" if most == least else "at most" if most else "at least"


def _name_difference(asked: Reading, stored: Reading) -> Difference | None:
    if not (asked.names and stored.names):
        return None
    here, there = asked.names - stored.bag, stored.names - asked.bag
    if not (here and there) or _initials(here, there) or _initials(there, here):
        return None
    found = f"{', '.join(sorted(here))} against {', '.join(sorted(there))}"
    return Difference("names", MissReason.VALUES_DIFFER, found)


def _initials(short: frozenset[str], long: frozenset[str]) -> bool:
    """Whether one name is made of the other's first letters, as NYC is of New York City."""
    return len(short) == 1 and len(long) > 1 and sorted(min(short)) == sorted(word[0] for word in long)


def _contrast(asked: Reading, stored: Reading, indifferent: frozenset[ValueKind]) -> Difference | None:
    """Words that exclude one another where each side has one that the other has not: "breakfast", "dinner"."""
    if not asked.contrasts or not stored.contrasts or asked.contrasts == stored.contrasts:
        return None
    here, there = asked.contrasts - stored.contrasts, stored.contrasts - asked.contrasts
    for row in sorted({row for row, _ in here} & {row for row, _ in there}):
        if _ROWS_OF_KIND.get(row) not in indifferent:
            return Difference("contrast", MissReason.VALUES_DIFFER, f"one {row} against another")
    return None


def indifferent_kinds(readings: Sequence[Reading]) -> frozenset[ValueKind]:
    """Kinds of value that an answer does not depend on, from the questions that it was given to.

    What was the answer for four different dates is the answer for a fifth: where the value decides, as in a quote,
    each value has an answer of its own. Amounts, rates, products, tiers, ids and people are never among them: a limit
    or a product's terms may be the same for several and then change.
    """
    given: dict[ValueKind, set[frozenset[str]]] = {}
    for reading in readings:
        for kind in _OF_CIRCUMSTANCE.intersection(value.kind for value in reading.question.values):
            said = frozenset(value.canonical for value in reading.question.values if value.kind is kind)
            given.setdefault(kind, set()).add(said)
    return frozenset(kind for kind, values in given.items() if len(values) >= _ENOUGH_VALUES)


def _value_difference(asked: Reading, stored: Reading, indifferent: frozenset[ValueKind]) -> Difference | None:
    here, there = _values(asked, stored, indifferent), _values(stored, asked, indifferent)
    if here == there:
        return None
    found = f"{_listed(here - there)} against {_listed(there - here)}"
    return Difference("values", MissReason.VALUES_DIFFER, found)


def _values(reading: Reading, other: Reading, indifferent: frozenset[ValueKind]) -> Counter[_Said]:
    """The values that may make a question differ from another.

    A name that stands in the other too does not, even if there nothing showed that it is one: "is Ann paid by Bo"
    and "does Bo pay Ann". Who does it to whom is for another rule.
    """
    return Counter(
        _said(value.kind, value.canonical)
        for value in reading.question.values
        if value.kind not in indifferent and not _said_in_words(value, other.bag)
    )


def _said(kind: ValueKind, canonical: str) -> _Said:
    """A value as it is compared: "three days ago" may be said as "for three days"."""
    if kind is ValueKind.DATE and canonical.startswith("rel:-P"):
        return ValueKind.DURATION, canonical.removeprefix("rel:-")
    return kind, canonical


def _said_in_words(value: Value, other: frozenset[str]) -> bool:
    """Whether the other side says it in words that are no value there: a name, "twice", "both", "a" for "one"."""
    if value.kind is ValueKind.PERSON:
        return all(word in other or f"{word}'s" in other for word in value.canonical.split())
    if value.kind is not ValueKind.COUNT:
        return False
    if value.canonical == "1":
        return other.isdisjoint({"both", "all", "each", "every"})
    return value.canonical == "2" and not other.isdisjoint({"twice", "both"})


def _listed(values: Counter[_Said]) -> str:
    return ", ".join(f"{kind} {canonical}" for kind, canonical in sorted(values)) or "none"


def _begins(word: str, beginning: str, least: int) -> bool:
    """Whether a word begins so and at least so many letters follow."""
    return word.startswith(beginning) and len(word) >= len(beginning) + least
