"""Who the caller is: a name that introduces itself, an address, a date of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from teller.redaction.scene import Scene, Secret
from teller.turn import ValueKind
from teller.values.names import NOT_NAMES, TITLES, is_given_name
from teller.values.reading import word_set

_SURE = (  # what follows is a name, capitals or not
    ("my", "name", "is"),
    ("my", "name's"),
    ("name", "is"),
    ("name", ":"),
    ("surname", "is"),
    ("you're", "speaking", "to"),
    ("you", "are", "speaking", "to"),
    ("they", "call", "me"),
    ("i'm", "called"),
    ("i", "am", "called"),
)
_UNSURE = (("i'm",), ("i", "am"), ("im",), ("this", "is"), ("it's",), ("it", "is"), ("call", "me"))
_BY_LAST_WORD = {
    last: tuple(cue for cue in (*_SURE, *_UNSURE) if cue[-1] == last)
    for last in {cue[-1] for cue in (*_SURE, *_UNSURE)}
}
_CUES = frozenset(_BY_LAST_WORD) | {"speaking", "here"}
_SPEAKING = frozenset({"speaking", "calling", "here", "again"})
_NO_NAME = NOT_NAMES | word_set(
    "abroad afraid already asking back being british calling changed changing correct deceased different double "
    "english expired fine getting going here having hers his incorrect interested irish locked looking lost "
    "making misspelled misspelt missing moving not now nothing old overdrawn printed ready really registered "
    "retired said same scottish shown sorry speaking spelled spelling spelt still stuck sure their there thinking "
    "travelling trying unable unhappy urgent very waiting welsh what wondering worried writing wrong first last "
    "full middle only both one mine yours know want need wish think help got get see tell give let order open "
    "close check find change cancel block report"
)
_PARTICLES = word_set("al bin da de del den der di du el la le mac mc o van von")
_STREETS = word_set("street road avenue lane crescent terrace gardens mews boulevard st rd ave blvd")
_STREETS_IN_CAPITALS = word_set(
    "close court drive grove hill park place rise row square view walk way wharf green parade"
)
_LONGEST_STREET = 3
_BIRTH = frozenset({"born", "birth", "birthday", "dob", "birthdate"})
_CALENDAR = re.compile(r"\d{4}(-\d\d){0,2}|--\d\d(-\d\d)?")
_FARTHEST_BIRTH = 8


def find(scene: Scene) -> Iterator[Secret]:
    """Names and addresses."""
    if not scene.has_numbers and _CUES.isdisjoint(scene.said):
        return
    valued = {
        i for value, first, after in scene.values if value.kind is not ValueKind.COUNT for i in range(first, after)
    }
    for i, item in enumerate(scene.items):
        if item.number is not None or item.text.isdecimal():
            if i not in valued:
                yield from _address(scene, i)
        elif item.text in _BY_LAST_WORD:
            yield from _introduction(scene, i)
        elif item.text in {"speaking", "here"} and i:
            yield from _announced(scene, i)


def births(scene: Scene) -> Iterator[Secret]:
    """Dates of birth: dates of the calendar that stand near "born" or "birthday"."""
    for value, first, after in () if _BIRTH.isdisjoint(scene.said) else scene.values:
        if value.kind is not ValueKind.DATE or not _CALENDAR.fullmatch(value.canonical.split(":")[0]):
            continue
        if _born_before(scene, first) or _born_after(scene, after):
            short_year = value.canonical.startswith("--") and after < len(scene.items) and _is_short_year(scene, after)
            yield Secret("dob", value.start, scene.items[after].end if short_year else value.end)


def _is_short_year(scene: Scene, k: int) -> bool:
    number = scene.items[k].number
    return number is not None and len(number.digits) == 2


def _born_before(scene: Scene, i: int) -> bool:
    for k in range(i - 1, max(-1, i - 1 - _FARTHEST_BIRTH), -1):
        if scene.word(k) in _BIRTH:
            return True
        if scene.items[k].text in {".", "?", "!"}:
            return False
    return False


def _born_after(scene: Scene, i: int) -> bool:
    return scene.word(i) in {"is", "was"} and any(scene.word(k) in _BIRTH for k in range(i + 1, i + 5))


def _introduction(scene: Scene, i: int) -> Iterator[Secret]:
    """The name after "my name is", "I'm", "this is"; item i is the last of those words."""
    for cue in _BY_LAST_WORD[scene.items[i].text]:
        if all(scene.word(i - len(cue) + 1 + n) == word for n, word in enumerate(cue)):
            after = _name(scene, i + 1, sure=cue in _SURE)
            if after > i + 1:
                yield Secret("name", scene.items[i + 1].start, scene.items[after - 1].end)
            return


def _name(scene: Scene, i: int, *, sure: bool) -> int:
    """The index after a name at i, i if there is none."""
    titled = scene.word(i) in TITLES
    j = i + 1 + (scene.word(i + 1) == ".") if titled else i
    first = j
    while j < min(first + 5, len(scene.items)) and _is_name(scene, j, sure=sure or titled, first=first):
        j += 1
    while j > first and scene.items[j - 1].text in {"-", "'"}:
        j -= 1
    if j == first:
        return i
    words = [scene.items[k] for k in range(first, j) if scene.items[k].text not in {"-", "'"}]
    known = titled or is_given_name(words[0])
    announced = scene.word(j) in _SPEAKING
    capitals = sum(word.raw[0].isupper() for word in words)
    return j if sure or known or announced or capitals >= 2 else i


def _is_name(scene: Scene, j: int, *, sure: bool, first: int) -> bool:
    """Whether item j can be part of a name that began at `first`."""
    item = scene.items[j]
    if item.text in {"-", "'"}:
        return j > first and item.glued
    if item.number is not None or item.is_placeholder or not item.text.replace("'", "").isalpha():
        return False
    if item.text in _NO_NAME or item.text in _SPEAKING:
        return False
    capital, lower = item.raw[0].isupper(), scene.items[first].raw[0].islower()
    if j > first and not capital and item.text not in _PARTICLES and not lower:
        return False
    if is_given_name(item) or capital or (j > first and item.text in _PARTICLES):
        return True
    verbal = item.text.endswith(("ing", "ed", "ly"))
    return not verbal and j - first < 2 and (sure or is_given_name(scene.items[first]))


def _announced(scene: Scene, i: int) -> Iterator[Secret]:
    """The name of "John Smith speaking" at the beginning of a sentence."""
    for first in range(max(0, i - 3), i):
        begins = first == 0 or scene.items[first - 1].text in {".", ",", "!", "hello", "hi", "yes"}
        if (
            begins
            and (is_given_name(scene.items[first]) or scene.word(first) in TITLES)
            and _name(scene, first, sure=False) == i
        ):
            yield Secret("name", scene.items[first].start, scene.items[i - 1].end)
            return


def _address(scene: Scene, i: int) -> Iterator[Secret]:
    """A house number, one to three words and a kind of street: "12 High Street", "flat 3, 12 high street"."""
    for k in range(i + 1, min(i + 2 + _LONGEST_STREET, len(scene.items))):
        word = scene.word(k)
        capital = word != "" and scene.items[k].raw[0].isupper()
        if k > i + 1 and (word in _STREETS or (word in _STREETS_IN_CAPITALS and capital)):
            first = _flat(scene, i)
            yield Secret("address", scene.items[first].start, scene.items[k].end)
            return
        letter = k == i + 1 and scene.items[k].glued and len(word) == 1  # "12a High Street"
        if not letter and (not word.replace("'", "").isalpha() or (word in _NO_NAME and not capital)):
            return


def _flat(scene: Scene, i: int) -> int:
    """Where "flat 3," before a house number begins, else i."""
    k = i - 2 if scene.word(i - 1) == "," else i - 1
    flat = k > 0 and scene.items[k].number is not None and scene.word(k - 1) in {"flat", "apartment", "unit", "apt"}
    return k - 1 if flat else i
