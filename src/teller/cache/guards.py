"""Rules that forbid an answer from being given to another question, however alike the two sound.

Each rule compares what was asked with what an entry was asked, and names the first difference that it finds: a typed
value, a negation or an opposite, a time, who does what to whom. The rules fail closed: what they cannot read as equal
differs. Where words alone do not decide they say nothing; the pair verifier does (`verifier.py`).
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import chain, pairwise

from teller.cache.canonical import canonical_text
from teller.turn import MissReason, Question, ValueKind

_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "de")
_ASKS = "(?= (?:how|what|why|when|where|which|who|if|whether|about))"
# Negations that do not touch what is asked.
_HEDGES = re.compile(
    r"\b(?:i|we) (?:do|am|was|can|could|did) not (?:sure|know|understand|certain|clear|get|see|figure out|work out|tell"
    rf"|remember|recall){_ASKS}|\bnot sure{_ASKS}"
    r"|\bwhether or not\b|\bor not$|\bif not\b|\bnot only\b|\bwhy not\b|\bno (?:problem|worries|doubt|idea)\b"
    r"|\b(?:is|does|do|did|can|could|will|would|are|was) (?:it|he|she|they|you|that) not$"
    r"|^no(?= (?:i|my|the|it|can|how|what)\b)"
)
_BE = frozenset({"am", "is", "are", "was", "were", "be", "been", "being", "get", "gets", "got"})
_PARTICIPLE = re.compile(
    r".+(?:ed|en|wn|rn|ght|elt|ept|ost|aid|ung|unk|ent|eld|ead|old|ound|ut|it)$"
    r"|(?:left|made|done|met|won|run|set|shot|understood|begun|hurt|beat|let|sat|dug|stuck|struck)$"
)
_MAY = re.compile(
    r"(?:can|may|could|am i (?:allowed|able)|is it (?:possible|allowed|ok|okay)|are (?:we|you|customers) allowed)\b"
)
_MUST = re.compile(
    r"(?:must|do (?:i|we|you|customers) (?:have|need) to|am i (?:required|obliged)"
    r"|is it (?:necessary|required|mandatory|compulsory|obligatory))\b"
)
_USED_TO = re.compile(
    r"(?<!\bis )(?<!\bare )(?<!\bbe )(?<!\bwas )(?<!\bwere )(?<!\bam )(?<!\bget )(?<!\bgetting )\bused? to (?!.{0,3}$)"
)
_PARTICLES = frozenset({"in", "on", "off", "out", "up", "down", "over", "back", "away"})
_NONE: frozenset[str] = frozenset()
_KNOWN_WORDS = 8_192  # whose prefixes are remembered
# Values that often only tell the circumstances: "it happened on Monday", "for two of my cards", "while in Spain".
_OF_CIRCUMSTANCE = frozenset({ValueKind.DATE, ValueKind.TIME, ValueKind.DURATION, ValueKind.COUNT, ValueKind.PLACE})
_ENOUGH_VALUES = 4  # with three, answers of a middling margin were right in 92 to 97 % (docs/decisions.md)
_Said = tuple[ValueKind, str]
_HE, _SHE = frozenset({"he", "him", "his", "himself"}), frozenset({"she", "her", "hers", "herself"})


@dataclass(frozen=True, slots=True)
class Difference:
    """What two questions differ in.

    Attributes:
        rule: name of the rule, as evidence shows it.
        found: the two sides, for people to read.
    """

    rule: str
    reason: MissReason
    found: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A question as the rules read it: made once, compared many times.

    Attributes:
        words: of the canonical text.
        names: words with a capital inside a sentence, lower-cased.
        content: the words that carry the subject, in order.
        negations: how many negations touch what is asked.
        phrases: those of the opposites that are of several words and stand in it.
    """

    question: Question
    words: tuple[str, ...]
    names: frozenset[str]
    content: tuple[str, ...]
    negations: int
    phrases: frozenset[str]


class Guards:
    """All the rules, with a bank's own opposite actions beside the ones that ship.

    Args:
        opposites: pairs of opposite effect, as in ("block", "unblock") or ("activate", "turn off").
    """

    def __init__(self, opposites: Iterable[tuple[str, str]] = ()) -> None:
        words = tomllib.loads(resources.files("teller").joinpath("data/english.toml").read_text("utf-8"))
        self._small = frozenset(words["small"].split())
        self._negators = frozenset(words["negators"].split())
        self._breaks = frozenset(words["breaks"].split())
        self._before, self._after = frozenset(words["before"].split()), frozenset(words["after"].split())
        self._opposite: dict[str, set[str]] = {}
        self._stripped = lru_cache(maxsize=_KNOWN_WORDS)(_stripped)
        pairs = [tuple(pair) for pair in opposites]
        self._phrases = [(left, right) for left, right in pairs if " " in left + right]
        self._by_verb: dict[str, dict[str, list[str]]] = {}
        for phrase in chain.from_iterable(self._phrases):
            self._by_verb.setdefault(phrase.split()[0], {})[phrase] = phrase.split()[1:]
        for left, right in [*words["opposites"], *(pair for pair in pairs if " " not in "".join(pair))]:
            for here, there in ((left, right), (right, left)):
                for word in here.split():
                    self._opposite.setdefault(word, set()).update(there.split())

    def read(self, question: Question) -> Reading:
        """Read a question for `difference`."""
        line = canonical_text(question.text)
        words = tuple(line.split())
        negations = 0
        if not self._negators.isdisjoint(words):
            negations = sum(word in self._negators for word in _HEDGES.sub(" ", line).split())
        content = tuple(word for word in words if word not in self._small and word not in self._negators)
        return Reading(question, words, self._names(question.text), content, negations, self._phrases_in(words))

    def difference(
        self, asked: Reading, stored: Reading, *, indifferent: frozenset[ValueKind] = frozenset()
    ) -> Difference | None:
        """The first difference that forbids giving one's answer to the other; None if no rule finds any.

        Args:
            asked: the question.
            stored: the question of an entry.
            indifferent: kinds of value that the entry's answer is known not to depend on.
        """
        values = _value_difference(asked, stored, indifferent)
        if values or asked.words == stored.words:
            return values
        return (
            self._name_difference(asked, stored)
            or self._polarity_difference(asked, stored)
            or _modality_difference(asked, stored)
            or self._time_difference(asked, stored)
            or self._role_difference(asked, stored)
        )

    def _name_difference(self, asked: Reading, stored: Reading) -> Difference | None:
        if not (asked.names and stored.names):
            return None
        here, there = asked.names.difference(stored.words), stored.names.difference(asked.words)
        if not (here and there):
            return None
        found = f"{', '.join(sorted(here))} against {', '.join(sorted(there))}"
        return Difference("names", MissReason.VALUES_DIFFER, found)

    def _names(self, text: str) -> frozenset[str]:
        """Words with a capital inside a sentence, lower-cased; none where capitals mean nothing."""
        if text == text.lower():
            return _NONE
        words = re.findall(r"[^\W\d_]+|[.!?]", text)
        inside = [word for before, word in pairwise(words) if before not in ".!?" and word not in ".!?"]
        capital = {word.casefold() for word in inside if word[0].isupper()} - {"i"}
        return _NONE if capital & self._small else frozenset(capital)  # a Headline, or SHOUTED

    def _polarity_difference(self, asked: Reading, stored: Reading) -> Difference | None:
        turns = [f"{asked.negations} against {stored.negations} negations"] * ((asked.negations + stored.negations) % 2)
        here, there = set(asked.words) - set(stored.words), set(stored.words) - set(asked.words)
        opposed = len(turns)
        prefixed: dict[str, set[str]] = {}
        for other in there:
            for stem in self._stripped(other):
                prefixed.setdefault(stem, set()).add(other)
        for word in sorted(here):
            facing = (self._opposite.get(word, _NONE) | self._stripped(word)) & there | prefixed.get(word, _NONE)
            if facing:
                turns.append(f"{word} against {min(facing)}")
        if len(turns) == opposed:
            turns += self._opposite_phrase(asked, stored)
        if len(turns) % 2:
            return Difference("polarity", MissReason.POLARITY_DIFFERS, "; ".join(turns))
        return None

    def _opposite_phrase(self, asked: Reading, stored: Reading) -> list[str]:
        if not asked.phrases or not stored.phrases:
            return []
        for left, right in self._phrases:
            for here, there in ((left, right), (right, left)):
                if {here, there} & asked.phrases == {here} and {here, there} & stored.phrases == {there}:
                    return [f"{here} against {there}"]
        return []

    def _phrases_in(self, words: Sequence[str]) -> frozenset[str]:
        """Phrases whose verb is there with its particle, which may stand apart: "turn off", "turn my card off"."""
        found = set()
        for at, word in enumerate(words):
            for phrase, rest in self._by_verb.get(word, {}).items():
                particles = [other for other in words[at + 1 :] if other in _PARTICLES]
                if particles[: len(rest)] == rest:
                    found.add(phrase)
        return frozenset(found)

    def _time_difference(self, asked: Reading, stored: Reading) -> Difference | None:
        before = [bool(self._before & set(reading.words)) for reading in (asked, stored)]
        after = [bool(self._after & set(reading.words)) for reading in (asked, stored)]
        if before[0] != before[1] and after[0] != after[1] and before[0] == after[1]:
            return Difference("time", MissReason.POLARITY_DIFFERS, "before against after")
        once = [
            ("used" in r.words or "use" in r.words) and bool(_USED_TO.search(" ".join(r.words)))
            for r in (asked, stored)
        ]
        if once[0] != once[1]:
            return Difference("time", MissReason.POLARITY_DIFFERS, "once against now")
        return None

    def _role_difference(self, asked: Reading, stored: Reading) -> Difference | None:
        here, there = self._ends(asked.words), self._ends(stored.words)
        if here[0] & there[1] - there[0] or here[1] & there[0] - there[1]:
            return Difference("direction", MissReason.ROLES_DIFFER, f"from {_said(here)} against from {_said(there)}")
        people = [[word in _SHE for word in reading.words if word in _SHE | _HE] for reading in (asked, stored)]
        if people[0] and people[1] and people[0] != people[1]:
            return Difference("pronouns", MissReason.ROLES_DIFFER, "he against she")
        if self._swapped(asked, stored):
            return Difference("roles", MissReason.ROLES_DIFFER, "who does it against whom it is done to")
        return None

    def _swapped(self, asked: Reading, stored: Reading) -> bool:
        passive, other = self._passive(asked.words), self._passive(stored.words)
        if passive and other:
            return bool(passive.doer & other.done_to or passive.done_to & other.doer)
        if passive:
            return not _does(stored.words, passive)
        if other:
            return not _does(asked.words, other)
        if ("than" in asked.words) != (
            "than" in stored.words
        ):  # "is a or b larger" asks what "is a larger than b" asks
            return False
        return sorted(asked.content) == sorted(stored.content) and _unlisted(asked) != _unlisted(stored)

    def _ends(self, words: Sequence[str]) -> tuple[set[str], set[str]]:
        """The content words that follow "from" and those that follow "to", as far as the phrase goes."""
        ends: tuple[set[str], set[str]] = (set(), set())
        at: int | None = None
        for word in words if "from" in words else ():
            if word in {"from", "to", "into"}:
                at = 0 if word == "from" else 1
            elif word in self._breaks:
                at = None
            elif at is not None and word not in self._small:
                ends[at].add(word)
        return ends

    def _passive(self, words: Sequence[str]) -> _Passive | None:
        """Reads "was the land bought by Tyler"; None if there is no such phrase."""
        for at, word in enumerate(words):
            if word != "by" or at < 2 or not _PARTICIPLE.match(words[at - 1]) or not _BE & set(words[: at - 1]):
                continue
            done_to = frozenset(words[: at - 1]) - self._small
            doer = frozenset(words[at + 1 : at + 6]) - self._small
            if done_to and doer:
                return _Passive(done_to, doer)
        return None


@dataclass(frozen=True, slots=True)
class _Passive:
    done_to: frozenset[str]
    doer: frozenset[str]


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
        (value.kind, value.canonical)
        for value in reading.question.values
        if value.kind not in indifferent
        and not (value.kind is ValueKind.PERSON and set(value.canonical.split()) <= set(other.words))
    )


def _listed(values: Counter[_Said]) -> str:
    return ", ".join(f"{kind} {canonical}" for kind, canonical in sorted(values)) or "none"


def _stripped(word: str) -> frozenset[str]:
    if not word.startswith(_PREFIXES):
        return _NONE
    return frozenset(
        word[len(prefix) :] for prefix in _PREFIXES if word.startswith(prefix) and len(word) > len(prefix) + 3
    )


def _modality_difference(asked: Reading, stored: Reading) -> Difference | None:
    may, must = ([bool(way.match(" ".join(reading.words))) for reading in (asked, stored)] for way in (_MAY, _MUST))
    if (may[0] and must[1]) or (may[1] and must[0]):
        return Difference("modality", MissReason.POLARITY_DIFFERS, "may against must")
    return None


def _said(ends: tuple[set[str], set[str]]) -> str:
    return f"{' '.join(sorted(ends[0])) or '?'} to {' '.join(sorted(ends[1])) or '?'}"


def _does(words: Sequence[str], passive: _Passive) -> bool:
    """Whether an active sentence does not say the reverse of a passive one: the doer comes before the done-to."""
    doer = [at for at, word in enumerate(words) if word in passive.doer]
    done_to = [at for at, word in enumerate(words) if word in passive.done_to]
    return not (doer and done_to) or doer[0] < done_to[0]


def _unlisted(reading: Reading) -> list[str]:
    """Content words in order, but the items of a list ("a, b and c") in the order of the alphabet."""
    groups: list[list[str]] = []
    joined = False
    for word in reading.words:
        if word in {"and", "or"}:
            joined = True
        elif word in reading.content:
            if joined and groups:
                groups[-1].append(word)
            else:
                groups.append([word])
            joined = False
    return [word for group in groups for word in sorted(group)]
