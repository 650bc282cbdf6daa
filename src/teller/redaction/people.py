"""Who the caller is: a name that introduces itself, a date of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from teller.redaction.given_names import is_name
from teller.redaction.scene import Scene, Secret
from teller.turn import ValueKind
from teller.values.names import NOT_NAMES, TITLES
from teller.values.reading import word_set

_SURE = (  # what follows is a name, capitals or not
    ("my", "name", "is"),
    ("name's",),
    ("name", "is"),
    ("name", ":"),
    ("surname", "is"),
    ("surname's",),
    ("holder", "is"),
    ("in", "the", "name", "of"),
    ("under", "the", "name"),
    ("under", "the", "name", "of"),
    ("you're", "speaking", "to"),
    ("you", "are", "speaking", "to"),
    ("you're", "through", "to"),
    ("in", "the", "name"),
    ("they", "call", "me"),
    ("i'm", "called"),
    ("i", "am", "called"),
)
_PART_OF_NAME = (  # what follows is a name if it is one word, or has a capital
    *(("first", "name"), ("last", "name"), ("middle", "name"), ("family", "name"), ("maiden", "name")),
    *(("surname",), ("forename",)),
)
_IN_CAPITALS = (("my", "name", ","), ("name",), ("call", "me"), ("it's", "under"), ("is", "under"))
_UNSURE = (("i'm",), ("i", "am"), ("im",), ("this", "is"), ("it's",), ("it", "is"), ("speaking", "with"))
_SPELLED = (("spelled",), ("spelt",))  # what follows are letters
_NAMING = frozenset({"name", "name's", "surname", "forename", "spelled", "spelt", "spell"})
_GREETINGS = word_set("hi hiya hey hello morning afternoon evening yes yeah")
_ALL_CUES = (*_SURE, *_PART_OF_NAME, *_IN_CAPITALS, *_UNSURE, *_SPELLED)
_BY_LAST_WORD = {
    last: tuple(sorted((cue for cue in _ALL_CUES if cue[-1] == last), key=lambda cue: -len(cue)))
    for last in {cue[-1] for cue in _ALL_CUES}
}
_ANNOUNCING = frozenset({"speaking", "here", "calling"})
_TOLD_BY = frozenset(_BY_LAST_WORD) | _ANNOUNCING
_CUES = _TOLD_BY - {",", ":"}
_FARTHEST_NAME = 6  # words from "name" to "is" in "the name on the front of the card is"
_SPEAKING = frozenset({"speaking", "calling", "here", "again"})
_NO_NAME = NOT_NAMES | word_set(
    "abroad afraid already asking back being british calling changed changing correct deceased different double "
    "english expired fine getting going here having hers his incorrect interested irish locked looking lost "
    "making misspelled misspelt missing moving not now nothing old overdrawn printed ready really registered "
    "retired said same scottish shown sorry speaking spelled spelling spelt still stuck sure their there thinking "
    "travelling trying unable unhappy urgent very waiting welsh what wondering worried writing wrong first last "
    "full middle only both one mine yours know want need wish think help got get see tell give let order open "
    "close check find change cancel block report surname name again terms field box tomorrow later today review "
    "maiden initial holder northern ireland self employed"
)
_TITLES = TITLES | {"doctor", "reverend", "rev"}
_EVERYDAY = word_set(  # given names that are words too; names where nothing but a name can stand
    "april art bill chase dawn dean drew eve faith frank gene grace grant guy heath hope iris ivy jack jean joy june "
    "lance lily mark max may miles pat penny ray rob rose ruby rusty sandy skip sky sue summer ted victor violet will"
)
_ENDS_NAME = word_set(". , ! ? ; and from calling speaking here please thanks last first surname")
_PARTICLES = word_set("al bin da de del den der di du el la le mac mc o van von")
_VERBAL = re.compile(r".{2,}ing|.{3,}ed|.{4,}ly")  # not King, Fred, Kelly
_FEWEST_LETTERS = 3
_ACRONYMS = word_set("aer apr apy atm bic csc cvv eur fca gbp iban isa nhs otp pin ppi sms uk usa usd vat")
_MONTHS = word_set(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug "
    "sep sept oct nov dec"
)
_IN_DATE = frozenset({"of", "the", "in", "on", "-", "/", ".", ","})
_BIRTH = frozenset({"born", "birth", "birthday", "birthday's", "dob", "dob's", "birthdate"})
_CALENDAR = re.compile(r"\d{4}(-\d\d){0,2}|--\d\d(-\d\d)?")
_FARTHEST_BIRTH = 8


def find(scene: Scene) -> Iterator[Secret]:
    """Names."""
    if _CUES.isdisjoint(scene.said):
        return
    if not _NAMING.isdisjoint(scene.said):
        yield from _spelled(scene)
    for i, word in enumerate(scene.plain):
        if word not in _TOLD_BY:
            continue
        if word in _BY_LAST_WORD:
            yield from _introduction(scene, i)
        if word == "name" and i > 1:
            yield from _owner(scene, i)
        if word in _ANNOUNCING and i:
            yield from _announced(scene, i)


def _spelled(scene: Scene) -> Iterator[Secret]:
    """Names that are spelled where a name is spoken of: "that's K O W A L, my surname"."""
    done = 0
    for i, word in enumerate(scene.plain):
        if i >= done and len(word) == 1 and word.isalpha():
            done = _letters(scene, i)
            if done > i:
                yield Secret("name", scene.items[i].start, scene.items[done - 1].end)


def births(scene: Scene) -> Iterator[Secret]:
    """Dates of birth: dates of the calendar that stand near "born" or "birthday"."""
    if _BIRTH.isdisjoint(scene.said):
        return
    for first, after in _said_dates(scene):
        if _born_before(scene, first) or _born_after(scene, after):
            yield Secret("dob", scene.items[first].start, scene.items[after - 1].end)
    for value, first, after in scene.values:
        if value.kind is not ValueKind.DATE or not _CALENDAR.fullmatch(value.canonical.split(":")[0]):
            continue
        if _born_before(scene, first) or _born_after(scene, after):
            short_year = value.canonical.startswith("--") and after < len(scene.items) and _is_short_year(scene, after)
            yield Secret("dob", value.start, scene.items[after].end if short_year else value.end)


def _said_dates(scene: Scene) -> Iterator[tuple[int, int]]:
    """Stretches of numbers and months of which one is a month or an ordinal: "the first of the second seventy six"."""
    first = after = parts = 0
    is_date = False
    for i, item in enumerate(scene.items):
        number = item.number
        month = item.text in _MONTHS
        if month or (number is not None and number.value < 2100 and (not number.scaled or number.value > 1900)):
            first = i if not parts else first
            after, parts = i + 1, parts + 1
            is_date = is_date or month or (number is not None and number.ordinal)
        elif parts and item.text not in _IN_DATE:
            if parts > 1 and is_date:
                yield first, after
            parts, is_date = 0, False
    if parts > 1 and is_date:
        yield first, after


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
    return scene.word(i) in {"is", "was", ","} and any(scene.word(k) in _BIRTH for k in range(i + 1, i + 5))


def _introduction(scene: Scene, i: int) -> Iterator[Secret]:
    """The name after "my name is", "I'm", "this is"; item i is the last of those words."""
    cue = _cue_ending(scene, i)
    if not cue:
        return
    first = i + 1
    while scene.word(first) in {"um", "uh", "er"} or (cue in _PART_OF_NAME and scene.word(first) == "was"):
        first += 1
    after = _name(scene, first, cue) if cue not in _SPELLED else first
    if after > first:
        yield Secret("name", scene.items[first].start, scene.items[after - 1].end)


def _owner(scene: Scene, i: int) -> Iterator[Secret]:
    """Whose name it is: "in Gwendolyn's name"; item i is "name"."""
    owner = scene.items[i - 1]
    named = owner.text.endswith("'s") and scene.word(i - 2) in {"in", "under"} and not scene.text.isupper()
    if named and owner.raw[0].isupper() and owner.text.removesuffix("'s") not in _NO_NAME:
        yield Secret("name", owner.start, owner.end - 2)


def _cue_ending(scene: Scene, i: int) -> tuple[str, ...]:
    """The longest cue whose last word is item i; empty if there is none."""
    before = scene.items[i - 1].text if i else ""
    for cue in _BY_LAST_WORD[scene.plain[i]]:
        if len(cue) == 1 or (cue[-2] == before and scene.ends(i, cue)):
            return cue
    if scene.plain[i] == "is" and "name" in scene.said:
        named = scene.plain[max(0, i - _FARTHEST_NAME) : i]
        if ("name", "on") in pairwise(named):
            return _SURE[0]
    return ()


def _letters(scene: Scene, i: int) -> int:
    """The index after a name that is spelled letter by letter from item i, i if none is: "s m i t h", "S-M-I"."""
    letters, after = "", i
    for k in range(i, min(i + 30, len(scene.items))):
        word = scene.word(k)
        if len(word) == 1 and word.isalpha():
            letters, after = letters + word, k + 1
        elif word not in {"-", ".", ",", "double"}:
            break
    return after if len(letters) >= _FEWEST_LETTERS and letters not in _ACRONYMS else i


def _name(scene: Scene, i: int, cue: tuple[str, ...]) -> int:
    """The index after a name at i, i if there is none."""
    titled = scene.word(i) in _TITLES
    announced = cue[-1] in {"is", "it's"} and cue in _UNSURE and _is_announced(scene, i)
    sure = cue in _SURE or cue in _PART_OF_NAME or titled or announced
    first = j = i + 1 + (scene.word(i + 1) == ".") if titled else i
    while j < min(first + 7, len(scene.items)) and _is_name(scene, j, sure=sure, first=first, titled=titled):
        j += 1
    while j > first and scene.items[j - 1].text in {"-", "'"}:
        j -= 1
    if j == first:
        return _everyday(scene, first, cue)
    words = [scene.items[k] for k in range(first, j) if scene.items[k].text not in {"-", "'"}]
    capitals = 0 if scene.text.isupper() else sum(word.raw[0].isupper() for word in words)
    greeted = capitals == 1 and scene.word(i - len(cue) - 1) in _GREETINGS and _ends_name(scene, j)
    known = titled or is_name(words[0]) or scene.word(j) in _SPEAKING or greeted
    if cue in _PART_OF_NAME or cue in _IN_CAPITALS:
        sure = titled or capitals > 0 or (cue in _PART_OF_NAME and len(words) == 1 and _ends_name(scene, j))
    return j if sure or known or capitals >= 2 else _everyday(scene, first, cue)


def _everyday(scene: Scene, i: int, cue: tuple[str, ...]) -> int:
    """The index after a given name that is a word too, if what stands around it leaves nothing else; i if not."""
    word = scene.word(i)
    named = word in _EVERYDAY and _ends_name(scene, i + 1)
    dated = word in _MONTHS and cue in _UNSURE and scene.word(i + 1) not in _SPEAKING
    return i + 1 if named and not dated else i


def _ends_name(scene: Scene, i: int) -> bool:
    """Whether nothing follows at i that would make a word before it other than a name."""
    return i >= len(scene.items) or scene.plain[i] in _ENDS_NAME


def _is_announced(scene: Scene, i: int) -> bool:
    """Whether one or two words from i on are followed by "speaking" or "calling", as only a name is."""
    return any(scene.word(k) in {"speaking", "calling"} for k in (i + 1, i + 2))


def _is_name(scene: Scene, j: int, *, sure: bool, first: int, titled: bool) -> bool:
    """Whether item j can be part of a name that began at `first`."""
    item = scene.items[j]
    if item.text in {"-", "'"}:
        return j > first and item.glued
    if item.number is not None or item.is_placeholder or not item.text.replace("'", "").isalpha():
        return False
    if len(item.text) == 1 and item.text not in _PARTICLES:
        initials = sure and item.raw.isupper() and len(scene.word(j + 1)) == 1
        return titled or j > first or initials
    everyday = sure and item.text in _EVERYDAY and (j > first or item.raw[0].isupper())
    if (item.text in _NO_NAME and not everyday) or item.text in _SPEAKING:
        return False
    lower = scene.items[first].raw[0].islower() or scene.text.isupper()
    capital = item.raw[0].isupper() and not scene.text.isupper()
    if j > first and not capital and item.text not in _PARTICLES and not lower:
        return False
    if is_name(item) or capital or (j > first and item.text in _PARTICLES):
        return True
    verbal = _VERBAL.fullmatch(item.text) is not None and not item.glued
    before = sum(scene.plain[k] not in _PARTICLES | {"-", "'"} for k in range(first, j))
    fits = before < 2 or (before == 2 and item.glued) or (sure and before == 2 and _ends_name(scene, j + 1))
    return not verbal and fits and (sure or is_name(scene.items[first]))


def _announced(scene: Scene, i: int) -> Iterator[Secret]:
    """The name of "John Smith speaking" at the beginning of a sentence."""
    for first in range(max(0, i - 5), i):
        begins = first == 0 or scene.items[first - 1].text in _GREETINGS | {".", ",", "!"}
        item = scene.items[first]
        known = is_name(item) or scene.word(first) in _TITLES
        capital = item.raw[0].isupper() and _ends_name(scene, i + 1) and not scene.text.isupper()
        if begins and (known or capital) and _name(scene, first, ("this", "is")) == i:
            yield Secret("name", scene.items[first].start, scene.items[i - 1].end)
            return
