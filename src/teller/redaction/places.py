"""Where the caller lives: an address with a kind of street or given as one's own, a postcode that is spelled."""

from __future__ import annotations

from collections.abc import Iterator

from teller.redaction.letters import spelled
from teller.redaction.scene import Scene, Secret
from teller.turn import ValueKind
from teller.values.reading import word_set

_STREETS = word_set("street road avenue lane crescent terrace gardens mews boulevard st rd ave blvd")
_STREETS_IN_CAPITALS = word_set(
    "close court drive grove hill park place rise row square view walk way wharf green parade"
)
_ANY_STREET = _STREETS | _STREETS_IN_CAPITALS
_LONGEST_STREET = 3
_NO_STREET = word_set(
    "a about all am an and any are as at be because but by can could days did do does for from has have hours how i "
    "if in is it last minutes months my next not of on or our per percent pounds since than that the them then they "
    "this times to was we weeks were what when where which who will with would years you your"
)
_OWN = {  # by its last word, what comes before an address that is the caller's
    "is": (("address",),),
    ":": (("address",),),
    "address's": ((),),
    "at": (("live",), ("living",), ("lives",), ("reside",), ("resident",), ("living", "now"), ("live", "now")),
    "to": (("moved",), ("moving",), ("address", "changed")),
}
_BEFORE_NUMBER = word_set("flat house number apartment apt unit no the um uh now floor")
_NO_ADDRESS = word_set("years months weeks days times people of percent % addresses places")
_BANKS = word_set("branch branches office atm machine cashpoint shop store")
_ENDS = word_set(". ? ! ; and but can could do please so because since how what where when why i i'm is now")
_LONGEST_ADDRESS = 18  # words and signs
_POSTCODE = frozenset({"postcode", "postcode's"})
_CODE = frozenset({"code", "code's"})
_CUES = frozenset(_OWN) | _POSTCODE | _CODE | {"box"}
_BEFORE_POSTCODE = word_set("is was it it's : , um uh er = my")
_POSTCODE_LENGTHS = range(5, 8)
_REPEATS = frozenset({"double", "-", ",", "um", "uh"})


def find(scene: Scene) -> Iterator[Secret]:
    """Addresses and spelled postcodes; each has a number or a kind of street."""
    if not scene.has_numbers and _STREETS.isdisjoint(scene.said):
        return
    if not _CUES.isdisjoint(scene.said):
        for i, word in enumerate(scene.plain):
            if word in _CUES:
                yield from _after_cue(scene, i)
    if _ANY_STREET.isdisjoint(scene.said):
        return
    valued = {
        i for value, first, after in scene.values if value.kind is not ValueKind.COUNT for i in range(first, after)
    }
    for i in range(len(scene.items)):
        if i not in valued and _is_number(scene, i) and not _is_of_bank(scene, i):
            yield from _address(scene, i)


def _after_cue(scene: Scene, i: int) -> Iterator[Secret]:
    """The address or the postcode that is introduced by item i."""
    word = scene.plain[i]
    if word in _OWN:
        yield from _own(scene, i)
    elif word in _POSTCODE or (word in _CODE and scene.word(i - 1) in {"post", "postal"}):
        yield from _postcode(scene, i)
    elif word == "box" and scene.word(i - 1) in {"po", "o"} and _is_number(scene, i + 1):
        yield Secret("address", scene.items[i].start, scene.items[i + 1].end)


def _own(scene: Scene, i: int) -> Iterator[Secret]:
    """All that follows "my address is" up to the end of the clause, if a number begins it or a street is in it."""
    if not any(scene.ends(i - 1, words) for words in _OWN[scene.plain[i]]):
        return
    first = i + 1
    while scene.word(first) in _BEFORE_NUMBER:
        first += 1
    numbered = first < len(scene.items) and _is_number(scene, first)
    if numbered and scene.word(first + 1) in _NO_ADDRESS:
        return
    if not numbered and (first >= len(scene.items) or scene.word(first) in _NO_STREET or scene.plain[i] == "to"):
        return
    last = after = first + 1
    while after < min(len(scene.items), i + _LONGEST_ADDRESS):
        glued = after + 1 < len(scene.items) and scene.items[after + 1].glued
        if (
            scene.items[after].is_placeholder
            or (scene.plain[after] in _ENDS and not glued)
            or scene.plain[after] == "@"
        ):
            break
        after += 1
        last = after if scene.plain[after - 1] != "," else last
    shouted = scene.text.isupper()
    named = "," in scene.plain[first:last] or any(
        scene.items[k].raw[0].isupper() and not shouted for k in range(first + 1, last)
    )
    is_street = not _ANY_STREET.isdisjoint(scene.plain[first:last])
    if is_street or (numbered and (scene.plain[i] == "at" or (named and scene.plain[i] != "to"))):
        yield Secret("address", scene.items[i + 1].start, scene.items[last - 1].end)


def _is_number(scene: Scene, i: int) -> bool:
    return i < len(scene.items) and (scene.items[i].number is not None or scene.items[i].text.isdecimal())


def _is_of_bank(scene: Scene, i: int) -> bool:
    """Whether an address is a branch's: "the branch at 12 High Road"."""
    return scene.word(i - 1) in {"at", "on", "in"} and scene.word(i - 2) in _BANKS


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
        if not letter and (not word.replace("'", "").isalpha() or (word in _NO_STREET and not capital)):
            return


def _flat(scene: Scene, i: int) -> int:
    """Where "flat 3," before a house number begins, else i."""
    k = i - 2 if scene.word(i - 1) == "," else i - 1
    flat = k > 0 and scene.items[k].number is not None and scene.word(k - 1) in {"flat", "apartment", "unit", "apt"}
    return k - 1 if flat else i


def _postcode(scene: Scene, i: int) -> Iterator[Secret]:
    """A postcode said letter by letter: "postcode s w one a one double a"."""
    first = i + 1
    while scene.word(first) in _BEFORE_POSTCODE:
        first += 1
    code, after = "", first
    for k in range(first, min(first + 10, len(scene.items))):
        text = spelled(scene.items[k])
        if text in _REPEATS:
            continue
        if not (text.isdecimal() or (len(text) == 1 and text.isalpha())):
            break
        code, after = code + text * (2 if scene.word(k - 1) == "double" and text.isalpha() else 1), k + 1
        if len(code) >= _POSTCODE_LENGTHS.stop - 1:
            break
    digits = sum(char.isdecimal() for char in code)
    if len(code) in _POSTCODE_LENGTHS and 0 < digits < len(code):
        yield Secret("postcode", scene.items[first].start, scene.items[after - 1].end)
