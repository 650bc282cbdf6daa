"""What small words decide where the words of content are the same: "when does it arrive", "where does it arrive".

Between questions of different content small words say little, since much else differs; there the verifier decides. So
these rules speak only where the content is equal, but for the forms of its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from teller.cache.english import English
from teller.cache.reading import Difference, Reading
from teller.turn import MissReason
from teller.values.reading import word_set

_MAY = re.compile(
    r"(?:can|may|could|am i (?:allowed|able)|is it (?:possible|allowed|ok|okay)|are (?:we|you|customers) allowed)\b"
)
_MUST = re.compile(
    r"(?:must|do (?:i|we|you|customers) (?:have|need) to|am i (?:required|obliged)"
    r"|is it (?:necessary|required|mandatory|compulsory|obligatory))\b"
)
_MODAL = frozenset({"can", "may", "could", "am", "is", "are", "must", "do"})
_MANY_MODES = (("am",), ("is",))  # "is it possible", "is it necessary"
_USED_TO = re.compile(
    r"(?<!\bis )(?<!\bare )(?<!\bbe )(?<!\bwas )(?<!\bwere )(?<!\bam )(?<!\bget )(?<!\bgetting )\bused? to (?!.{0,3}$)"
)
_WILL = re.compile(r"\b(?:will|shall)\b(?! not\b)|\b(?:going|about) to\b|\bgonna\b")
_DONE = re.compile(
    r"\b(?:did|was|were|had|been|already)\b|\b(?<!to )(?:has|have) (?:\w+ ){0,5}?\w+(?:ed|en|nt|ne|wn)\b"
)
_NOT_ALL = frozenset({("not", "all"), ("not", "every"), ("not", "everyone"), ("not", "everything")})
_SOMEBODY_IS = re.compile(r"\b(?:he|she|they) (?:is|are|was|were)\b|\b(?:is|are|was|were) (?:he|she|they)\b")
_ENDED = re.compile(r"(?:ed|ing|en)$")
_MEANT = re.compile(r"\b(?:was|were) (?:going|about|planning) to\b")
_OWN = word_set("i me my we us our you your")  # of whom what will be is mostly asked as what is
_ARTICLES = word_set("a the my his her this")
_NOT_GONE = frozenset({"to come", "now", "meant"})
_STATING = frozenset({"i", "we", "they", "he", "she", "you"})
_ONCE = re.compile(r"\bonce (?:i|we|you|he|she|it|they|my|the)\b")
_OPEN = frozenset({"can", "could", "may", "should", "must"})
_INSTEAD = re.compile(r"\binstead of\b|\brather\b.*\bthan\b")
_ASKING = word_set("know tell wonder wondering ask asking explain say see check find out exactly and but")
_AUXILIARIES = word_set("am is are was were do does did has have had can could will would shall should may might must")
_HELPING = _AUXILIARIES - {"am", "is", "are", "was", "were"}
_ABLE = word_set("do can could should would may might must to i you we")
_SUBJECTS = frozenset((word,) for word in word_set("i you we they he she the my a"))
_SPANS = frozenset({"longer", "time", "days", "weeks", "months", "years", "hours", "minutes"})
_WHAT = {
    "time": "time", "day": "time", "date": "time", "reason": "reason", "colour": "what colour", "color": "what colour",
    "size": "what size", "age": "how old",
}  # fmt: skip
_NOT_DEFINED = word_set(
    "way method procedure process fee charge cost price limit rate reason good best easy quick simple fast"
)
# What an answer may tell as well, to "did I cancel it", "can I cancel it", "how is it cancelled", "must I cancel it".
_OF_FACTS = word_set("reason time place person whom amount duration frequency distance own which leave")
_OF_LEAVE = word_set("manner way place whom amount duration frequency distance own which")
_OF_WAYS = word_set("reason manner whom amount distance own which definition fact must")
_OF_DUTY = word_set("reason whom own which fact leave")
# What is asked for in one way with one word and in another way with the other.
_MAY_BE_ONE = frozenset(
    frozenset(pair)
    for pair in (
        ("time", "duration"), ("place", "manner"), ("place", "whom"),
        ("place", "distance"), ("manner", "whom"),
        ("own", "amount"), ("own", "place"), ("own", "manner"), ("own", "time"), ("own", "which"), ("own", "duration"),
        ("which", "place"), ("which", "time"), ("which", "person"), ("which", "whom"), ("which", "manner"),
        ("amount", "what size"), ("definition", "amount"),
        *(("fact", other) for other in _OF_FACTS), *(("leave", other) for other in _OF_LEAVE),
        *(("way", other) for other in _OF_WAYS), *(("must", other) for other in _OF_DUTY),
    )
)  # fmt: skip
_MINE, _YOURS = frozenset({"my", "mine", "our", "ours"}), frozenset({"your", "yours"})
_AS_AS = re.compile(r"(?<!not )\bas (?!(?:soon|well|long|far)\b)(\w+?)e? as\b")
_THIRD = frozenset({"he", "him", "his", "she", "her", "hers"})
_OWNERS = frozenset({"my", "our", "his", "her", "their", "a", "the"})
_JOINS = frozenset({"and", "or"})
_EXISTS = frozenset({"do", "does", "did", "is", "are", "have", "has"})  # before "any", it asks whether there is one


def time_difference(asked: Reading, stored: Reading, english: English) -> Difference | None:
    """Before against after, once against now."""
    here = "" if english.timed.isdisjoint(asked.bag) else _relation(asked, english)
    there = "" if not here or english.timed.isdisjoint(stored.bag) else _relation(stored, english)
    same = asked.core == stored.core
    if here and there and here != there and (same or "during" not in {here, there}):
        return Difference("time", MissReason.POLARITY_DIFFERS, f"{here} against {there}")
    once = _used_to(asked)
    if once != _used_to(stored) and not (same and _tense(stored if once else asked, english) == "gone"):
        return Difference("time", MissReason.POLARITY_DIFFERS, "once against now")
    if same and _foretells(asked) != _foretells(stored) and _OWN.isdisjoint(asked.bag | stored.bag):
        return Difference("time", MissReason.POLARITY_DIFFERS, "now against to come")
    if same and {_is_something(asked), _is_something(stored)} == {"is", "was"}:
        return Difference("time", MissReason.POLARITY_DIFFERS, "once against now")
    if same and (tenses := {_tense(asked, english), _tense(stored, english)}) & _NOT_GONE and "gone" in tenses:
        return Difference(
            "time", MissReason.POLARITY_DIFFERS, f"{_tense(asked, english)} against {_tense(stored, english)}"
        )
    return None


def modality_difference(asked: Reading, stored: Reading) -> Difference | None:
    """May against must."""
    if asked.words[:1] == stored.words[:1] and asked.words[:1] not in _MANY_MODES:
        return None
    modes = {_mode(asked), _mode(stored)}
    return Difference("modality", MissReason.POLARITY_DIFFERS, "may against must") if modes == {"may", "must"} else None


def _as_much_against_more(one: Reading, other: Reading) -> bool:
    """As in "as high as before", "higher than before"."""
    if "as" not in one.bag or "than" not in other.bag or "than" in one.bag:
        return False
    equal = _AS_AS.search(" ".join(one.words))
    return equal is not None and f" {equal[1]}er than " in f" {' '.join(other.words)} "


def _mode(reading: Reading) -> str:
    if reading.words[:1] == () or reading.words[0] not in _MODAL:
        return ""
    line = " ".join(reading.words[:6])
    return "may" if _MAY.match(line) else "must" if _MUST.match(line) else ""


def wording_difference(asked: Reading, stored: Reading, english: English) -> Difference | None:
    """What the small words of two questions of the same content differ in."""
    if _as_much_against_more(asked, stored) or _as_much_against_more(stored, asked):
        return Difference("comparison", MissReason.POLARITY_DIFFERS, "as much against more")
    if asked.core != stored.core:
        return None
    here, there = _asks_for(asked, english), _asks_for(stored, english)
    if here and there and here != there and frozenset({here, there}) not in _MAY_BE_ONE:
        return Difference("question", MissReason.ROLES_DIFFER, f"{here} against {there}")
    if difference := _quantity_difference(asked, stored, english):
        return difference
    if _joins(asked) != _joins(stored) and _unjoined(asked) == _unjoined(stored):
        return Difference("joining", MissReason.POLARITY_DIFFERS, f"{_joins(asked)} against {_joins(stored)}")
    instead = ["instead" if _INSTEAD.search(" ".join(reading.words)) else "beside" for reading in (asked, stored)]
    if instead[0] != instead[1]:
        return Difference("joining", MissReason.POLARITY_DIFFERS, f"{instead[0]} against {instead[1]}")
    whose, other = _whose(asked, english), _whose(stored, english)
    if whose != other and not (_has_kin(asked) and _has_kin(stored)):
        return Difference("person", MissReason.ROLES_DIFFER, f"{whose} against {other}")
    if _yours_against_mine(asked, stored):
        return Difference("person", MissReason.ROLES_DIFFER, "mine against yours")
    return None


def _used_to(reading: Reading) -> bool:
    return ("used" in reading.bag or "use" in reading.bag) and bool(_USED_TO.search(" ".join(reading.words)))


def _foretells(reading: Reading) -> bool:
    return "will" in reading.bag and any(
        word == "will" and before not in _ARTICLES for before, word in pairwise(["", *reading.words])
    )


def _relation(reading: Reading, english: English) -> str:
    found = [name for name, words in english.times.items() if not reading.bag.isdisjoint(words)]
    if "once" in reading.bag and _ONCE.search(" ".join(reading.words)):
        found.append("after")
    return found[0] if len(found) == 1 else ""


def _tense(reading: Reading, english: English) -> str:
    line = " ".join(reading.words)
    if _MEANT.search(line):
        return "meant"
    will = bool(_WILL.search(line)) or (reading.words[0] in _OPEN and reading.words[1:2] != ("you",))
    told = "" if will else _told(reading, english)
    ended = not will and reading.bag.isdisjoint(_AUXILIARIES) and any(word.endswith("ed") for word in reading.content)
    done = told == "gone" or (ended and told != "now") or bool(_DONE.search(line))
    if will != done:
        return "to come" if will else "gone"
    return told


def _told(reading: Reading, english: English) -> str:
    """Whether a statement tells what somebody did, or does: by the verb after "I", "we", "they"."""
    if not reading.bag.isdisjoint(_AUXILIARIES):
        return ""
    for subject, verb in pairwise(reading.words):
        if subject in _STATING and not _is_passed_over(verb, english):
            return "gone" if verb.endswith("ed") or verb in english.irregular else "now"
    return ""


def _is_passed_over(word: str, english: English) -> bool:
    return word in english.small or word in english.adverbs or word in english.negators


def _is_something(reading: Reading) -> str:
    """Whether somebody is or was something: "is he a nurse", "was he a nurse"."""
    named = not reading.bag.isdisjoint({"a", "an"}) or bool(_SOMEBODY_IS.search(" ".join(reading.words)))
    if (
        not named
        or any(_ENDED.search(word) for word in reading.content)
        or not reading.bag.isdisjoint({"there", "it", "this", "that"})
    ):
        return ""
    now, then = (not reading.bag.isdisjoint(words) for words in ({"is", "are", "am"}, {"was", "were"}))
    return "" if now == then else "is" if now else "was"


def _asks_for(reading: Reading, english: English) -> str:
    """What a question asks for by its first question word; empty where that does not tell."""
    words = reading.words
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        before = words[at - 1] if at else ""
        if word == "how":
            return _how(words[at + 1 :], english)
        if word == "why" and before not in {"reason", "is"}:
            return "reason"
        if word in {"when", "where"} and (after in _AUXILIARIES or before in _ASKING):
            return "time" if word == "when" else "place"
        if word in {"who", "whom"} and (at == 0 or before in _ASKING):
            whom = after in {"do", "does", "did", "to"} or (after in _HELPING and words[at + 2 : at + 3] in _SUBJECTS)
            return "whom" if whom else "person"
        if word in {"what", "which"}:
            return _what(word, words[at + 1 :])
    if words[0] in _OPEN and words[1:2] in {("i",), ("we",)}:
        return "leave"
    if _mode(reading) == "must":
        return "must"
    return "fact" if _asks_whether_done(reading) else ""


def _asks_whether_done(reading: Reading) -> bool:
    """As in "did I cancel it", "is it cancelled"."""
    first, second = reading.words[0], reading.words[1:2]
    if first in {"did", "has", "have"}:
        return True
    done = any(word.endswith("ed") for word in reading.content)
    return done and first in {"is", "are", "was", "were"} and second not in {("it",), ("there",)}


def _how(after: Sequence[str], english: English) -> str:
    if not after or after[0] == "about":
        return ""
    if after[0] in english.how:
        return "duration" if after[1:2] and after[1] in _SPANS else english.how[after[0]]
    if after[0] == "come":
        return "reason"
    if after[0] in _ABLE:
        return "" if not {"know", "tell", "sure"}.isdisjoint(after[1:4]) else "manner"
    if after[0] in _AUXILIARIES:
        return "way"
    return "" if after[0] in english.small else f"how {after[0]}"


def _what(word: str, after: Sequence[str]) -> str:
    if after and after[0] in _WHAT:
        return _WHAT[after[0]]
    if word == "which":
        return "which"
    if len(after) > 2 and after[0] in {"is", "are"}:
        if after[1] in {"a", "an"} and _NOT_DEFINED.isdisjoint(after[2:4]):
            return "definition"
        if after[1] in {"my", "our"}:
            return "own"
    return "definition" if len(after) == 2 and after[0] == "is" else ""


def _quantities(reading: Reading, english: English) -> set[str]:
    found = {english.quantities[word] for word in reading.bag if word in english.quantities}
    return found - {"all"} if "not" in reading.bag and not _NOT_ALL.isdisjoint(pairwise(reading.words)) else found


def _quantity_difference(asked: Reading, stored: Reading, english: English) -> Difference | None:
    """All against some, only these against these; all against any in a question of yes or no."""
    here, there = _quantities(asked, english), _quantities(stored, english)
    exists = not _EXISTS.isdisjoint((asked.words[0], stored.words[0])) or _of("any", asked, stored)
    for one, other in ((here, there), (there, here)):
        some = "some" in other or ("any" in other and exists)
        if ("only" in one - other) or ("all" in one - other and some and "some" not in one):
            found = f"{' '.join(sorted(here)) or 'none'} against {' '.join(sorted(there)) or 'none'}"
            return Difference("quantity", MissReason.VALUES_DIFFER, found)
    return None


def _of(word: str, *readings: Reading) -> bool:
    return any((word, "of") in pairwise(reading.words) for reading in readings)


def _joins(reading: Reading) -> list[str]:
    return [word for word in reading.words if word in _JOINS]


def _unjoined(reading: Reading) -> list[str]:
    return sorted(word for word in reading.words if word not in _JOINS)


def _has_kin(reading: Reading) -> bool:
    return any(row == "kin" for row, _ in reading.contrasts)


def _whose(reading: Reading, english: English) -> str:
    """Whose affair it is: the kin that is named, else his or hers, else one's own or nobody's."""
    for before, word in pairwise(reading.words if _has_kin(reading) else ()):
        if before in _OWNERS and english.contrasts.get(word, ("",))[0] == "kin":
            return english.stem(word)
    return "one's own" if reading.bag.isdisjoint(_THIRD) else "another's"


def _yours_against_mine(asked: Reading, stored: Reading) -> bool:
    mine, yours = ([not r.bag.isdisjoint(words) for r in (asked, stored)] for words in (_MINE, _YOURS))
    return mine != yours and mine[0] != mine[1] and yours[0] != yours[1]
