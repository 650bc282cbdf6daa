"""What a caller gives after saying what it is: passwords, security answers, user names, codes with letters."""

from __future__ import annotations

from collections.abc import Iterator

from teller.redaction.digits import OTHER_CODES
from teller.redaction.scene import Scene, Secret
from teller.values.reading import word_set

_CUES = {  # by their last word: the words before it, the longest first, and the kind
    "password": (((), "password"),),
    "passphrase": (((), "password"),),
    "phrase": ((("pass",), "password"),),
    "word": ((("memorable",), "password"), (("secret",), "password"), (("security",), "password")),
    "place": ((("memorable",), "password"),),
    "date": ((("memorable",), "password"),),
    "answer": ((("memorable",), "password"), (("secret",), "password"), (("security",), "password")),
    "question": ((("security",), "password"), (("secret",), "password")),
    "information": ((("memorable",), "password"),),
    "pet": ((("first",), "password"),),
    "school": ((("first",), "password"),),
    "teacher": ((("first",), "password"), (("favourite",), "password"), (("favorite",), "password")),
    "username": (((), "username"),),
    "name": ((("user",), "username"), (("login",), "username")),
    "id": ((("user",), "username"), (("login",), "username")),
    "login": (((), "username"),),
    "code": (((), "code"),),
    "passcode": (((), "code"),),
    "otp": (((), "code"),),
}
_SAID = frozenset(_CUES) | {f"{word}'s" for word in _CUES}
_IS = frozenset({"is", "was", ":", "="})
_FILLERS = word_set("um uh er now actually")
_BETWEEN_IS = word_set("i we set chose use used have had for on my the this app online account gave picked made")
_ENDS = word_set(". , ? ! ; and but can could please so because thanks what why how")
_LONGEST_ANSWER = 6  # words
_SHORTEST_CODE, _LONGEST_CODE = 4, 12
_NOT_ANSWERS = word_set("change changes field help issue login page problem problems prompt reset rules screen setup")
_NOT_SAID = word_set(
    "also already always an asked being blocked changed compromised correct different disabled expired fine for "
    "forgotten gone hard in incorrect invalid it known locked long lost missing needed never new no not old on "
    "only out private protected rejected required reset safe same saved secret secure short still stolen stored "
    "that the this too unknown very weak what where wrong your"
)


def find(scene: Scene) -> Iterator[Secret]:
    """Secrets that are introduced by what they are."""
    if _SAID.isdisjoint(scene.said):
        return
    for i, word in enumerate(scene.plain):
        if word in _SAID:
            yield from _after_cue(scene, i)


def _after_cue(scene: Scene, i: int) -> Iterator[Secret]:
    """What stands after "my password is"; item i is the last word of what it is called."""
    kind = _kind(scene, i)
    is_said = scene.plain[i].endswith("'s")
    first = _after_clause(scene, i + 1)
    plain = kind == "password" and scene.plain[i] == "word" and _is_one_word(scene, i + 1)  # "memorable word giraffe"
    while scene.word(first) in _FILLERS or (not is_said and scene.word(first) in _IS):
        is_said = is_said or scene.word(first) in _IS
        first += 1
    ends = first >= len(scene.items) or scene.plain[first] in _ENDS or scene.items[first].is_placeholder
    if not kind or ends or (first == i + 1 and scene.items[first].glued):
        return
    after = _after_answer(scene, first) if (is_said or plain) and kind != "code" else 0
    chunk = _after_chunk(scene, first)
    if after > chunk and scene.plain[i] == "password" and scene.word(i - 1) == "the":
        after = 0  # "the password is case sensitive"
    if not after and _is_mixed(scene, first):
        after = chunk
    if after:
        yield Secret(kind, scene.items[first].start, scene.items[after - 1].end)


def _kind(scene: Scene, i: int) -> str:
    for before, kind in _CUES[scene.plain[i].removesuffix("'s")]:
        if scene.ends(i - 1, before):
            return "" if kind == "code" and scene.word(i - 1) in OTHER_CODES else kind
    return ""


def _is_one_word(scene: Scene, i: int) -> bool:
    last = i + 1 >= len(scene.items) or scene.plain[i + 1] in _ENDS
    return last and scene.word(i) not in _NOT_ANSWERS


def _after_clause(scene: Scene, i: int) -> int:
    """The index of "is" in "the password (that I set for the app) is", i if there is none."""
    k = i
    while k < len(scene.items) and scene.plain[k] in _BETWEEN_IS:
        k += 1
    return k if scene.word(k) in _IS else i


def _after_answer(scene: Scene, first: int) -> int:
    """The index after an answer that ends its clause, or is one string with digits or signs; 0 if it is no answer."""
    dated = scene.word(first) == "the" and first + 1 < len(scene.items) and scene.items[first + 1].number is not None
    if scene.word(first) in _NOT_SAID and not dated:
        return 0
    chunk = _after_chunk(scene, first)
    after = chunk
    while after < len(scene.items) and scene.plain[after] not in _ENDS and not scene.items[after].is_placeholder:
        after += 1
    verbal = after > first + 1 and scene.word(first).endswith(("ing", "ed", "ly"))
    if after - first <= max(_LONGEST_ANSWER, chunk - first) and not verbal:
        return after
    written = scene.text[scene.items[first].start : scene.items[chunk - 1].end]
    return chunk if any(not char.isalpha() for char in written) else 0


def _after_chunk(scene: Scene, first: int) -> int:
    """The index after what is written as one string from an item on, without the signs that end it."""
    after = first + 1
    while after < len(scene.items) and scene.items[after].glued and not scene.items[after].is_placeholder:
        after += 1
    while after > first + 1 and scene.plain[after - 1] in {".", ",", "?", ";", ":", ")"}:
        after -= 1
    return after


def _is_mixed(scene: Scene, first: int) -> bool:
    """Whether a string has digits and letters, as codes and user names have and words have not."""
    written = scene.text[scene.items[first].start : scene.items[_after_chunk(scene, first) - 1].end]
    plain = [char for char in written if char.isalnum()]
    digits = sum(char.isdecimal() for char in plain)
    return 0 < digits < len(plain) and _SHORTEST_CODE <= len(plain) <= _LONGEST_CODE
