"""Personal data with letters in it: e-mail, IBAN, postcode, national insurance and passport numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from teller.redaction.scene import Scene, Secret
from teller.values.reading import Item, word_list, word_set

# Lengths by country: the IBAN registry of ISO 13616.
_IBAN_LENGTHS = {
    country: length
    for length, countries in (
        (15, "no"),
        (16, "be"),
        (18, "dk fo fi gl nl sd fk"),
        (19, "mk si"),
        (20, "at ba ee kz xk lt lu mn"),
        (21, "hr lv li ch"),
        (22, "bg bh cr ge de ie me rs gb va"),
        (23, "gi iq il om so tl ae"),
        (24, "ad cz md pk ro sa sk es se tn vg dz"),
        (25, "ly pt st"),
        (26, "is tr"),
        (27, "bi dj fr gr it mc mr sm"),
        (28, "al az by cy do sv gt hu lb ni pl hn"),
        (29, "br eg ps qa ua"),
        (30, "jo kw mu ye"),
        (31, "mt sc"),
        (32, "lc"),
        (33, "ru"),
    )
    for country in countries.split()
}
_FEWEST_IBAN_DIGITS = 10
_SPELLING = {  # ICAO alphabet
    word: word[0]
    for word in word_list(
        "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar "
        "papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu"
    )
}
_PARTS = frozenset({"-", ".", "/", ",", "um", "uh", "dash", "space", "then", "and", "for", "as", "in"})
_TOP_LEVEL = word_set(
    "com co uk org net gov edu ac io eu de fr es it ie pl nl in us ca au nz info biz me app dev bank ltd"
)
_MAIL_HOSTS = word_set(
    "gmail googlemail hotmail outlook yahoo icloud live msn aol proton protonmail gmx btinternet sky mac"
)
_MAIL_JOINS = word_set(". dot _ underscore - dash hyphen + plus")
_NOT_MAILBOX = word_set(
    "a account address am an and are as at be by can contact email for from have i in is it it's mail me my of on "
    "or our send sent so that that's the then this to under use using was we with would you your : , ; . ? !"
)
_LONGEST_MAILBOX = 12  # words
_POSTCODE = re.compile(  # UK: the shapes of BS 7666-0
    r"(?:gir ?0aa|(?:[a-pr-uwyz][0-9]{1,2}|[a-pr-uwyz][a-hk-y][0-9]{1,2}|[a-pr-uwyz][0-9][a-hjkpstuw]"
    r"|[a-pr-uwyz][a-hk-y][0-9][abehmnprvwxy]) ?[0-9][abd-hjlnp-uw-z]{2})"
)
_ORDINAL = re.compile(r"1st|2nd|3rd|[04-9]th")
_PASSPORT = re.compile(r"(?=(?:.*\d){6})[a-z0-9]{7,10}")
_LICENCE = re.compile(r"[a-z9]{5} ?\d{6} ?[a-z9]{2}\d[a-z]{2}", re.IGNORECASE)  # DVLA: surname, date of birth, initials
_LICENCES = frozenset({"licence", "license"})
_WRITTEN_EMAIL = re.compile(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+")
_CUES = frozenset({"@", "at"})


def find(scene: Scene) -> Iterator[Secret]:
    """Secrets with letters in them."""
    if not _CUES.isdisjoint(scene.said):
        for i, item in enumerate(scene.items):
            if item.text in _CUES:
                yield from _email(scene, i)
    if scene.has_numbers:  # each of these has digits
        texts = [spelled(item) for item in scene.items]
        yield from _ibans(scene, texts)
        yield from _chunked(scene)
        yield from _national_insurance(scene, texts)
        if not _LICENCES.isdisjoint(scene.said):
            yield from (Secret("licence", *found.span()) for found in _LICENCE.finditer(scene.text))


def spelled(item: Item) -> str:
    """An item as it is spelled: digits for a number, one letter for "november", else its text."""
    if item.number is not None:
        return item.number.digits
    return _SPELLING.get(item.text, item.text)


def _email(scene: Scene, i: int) -> Iterator[Secret]:
    """An e-mail address around "@" or "at": "john.smith@example.com", "john dot smith at gmail dot com"."""
    after, host = _domain(scene, i + 1)
    if not after:
        yield from (Secret("email", *found.span()) for found in _WRITTEN_EMAIL.finditer(scene.text))
        return
    sign = scene.items[i].text == "@"
    sure = sign or host in _MAIL_HOSTS or any(scene.word(k) in {"email", "mail"} for k in range(max(0, i - 16), i))
    first, joined = _mailbox(scene, i, greedy=sure and not sign)
    begins = first == 0 or scene.items[first - 1].text in {".", "?", "!", ":"}
    if first < i and (sure or joined or begins):
        yield Secret("email", scene.items[first].start, scene.items[after - 1].end)


def _domain(scene: Scene, i: int) -> tuple[int, str]:
    """The index after a domain at i, 0 if there is none, and the name of its host: "gmail dot com", "hot mail.com"."""
    j, host = i, ""
    while j < min(i + 5, len(scene.items)) and scene.word(j) not in {"dot", "."}:
        if not spelled(scene.items[j]).isalnum():
            hyphen = scene.items[j].text in {"-", "dash", "hyphen"} and j > i
            if not hyphen:
                return 0, ""
        host += spelled(scene.items[j])
        j += 1
    after = 0
    while j > i and j + 1 < len(scene.items) and scene.word(j) in {"dot", "."} and scene.word(j + 1).isalpha():
        spaced = scene.word(j) == "." and not scene.items[j + 1].glued
        if spaced and scene.word(j + 1) not in _TOP_LEVEL:
            break
        if scene.word(j + 1) in _TOP_LEVEL or (scene.items[j + 1].glued and len(scene.word(j + 1)) > 1):
            after = j + 2
        j += 2
    return after, host


def _mailbox(scene: Scene, i: int, *, greedy: bool) -> tuple[int, bool]:
    """The index at which the part before "at" begins, and whether it has a joint or a digit, as words have not."""
    first, joined = i, False
    for k in range(i - 1, max(-1, i - 1 - _LONGEST_MAILBOX), -1):
        item = scene.items[k]
        glued = scene.items[k + 1].glued
        joint = item.text in _MAIL_JOINS or (glued and item.text in {"'", "%", "&", "#", "!", "*", "="})
        inside = first < i and scene.word(k + 1) in _MAIL_JOINS and scene.word(k - 1) in _MAIL_JOINS
        if item.is_placeholder or (item.text in _NOT_MAILBOX and not (glued or inside or (joint and first < i))):
            break
        linked = joint or glued or scene.word(k + 1) in _MAIL_JOINS or first == i
        short = len(spelled(item)) == 1 or item.number is not None
        if not (linked or greedy or short) or not (joint or spelled(item).replace("'", "").isalnum()):
            break
        joined = joined or joint or item.number is not None
        first = k
    while first < i and scene.items[first].text in _MAIL_JOINS:
        first += 1
    return first, joined


def _ibans(scene: Scene, texts: Sequence[str]) -> Iterator[Secret]:
    done = 0
    for i, start in enumerate(texts):
        if i < done or not (start in _IBAN_LENGTHS or (len(start) == 1 and start.isalpha())):
            continue
        following = texts[i + 1] if i + 1 < len(texts) else ""
        if following.isalpha() and len(start + following) > 2 and scene.items[i + 1].text not in _PARTS:
            continue  # three letters
        after = _iban(scene, texts, i)
        if after:
            yield Secret("iban", scene.items[i].start, scene.items[after - 1].end)
            done = after


def _iban(scene: Scene, texts: Sequence[str], i: int) -> int:
    """The index after an IBAN, whole or broken off, that begins at item i; 0 if none does."""
    code, after, length = "", i, 34
    for k in range(i, min(i + 60, len(scene.items))):
        item, text = scene.items[k], texts[k]
        if item.text in _PARTS or item.is_placeholder:
            if item.is_placeholder or not code:
                break
            continue
        word = text.isalpha() and len(text) > 1 and not item.glued and not item.raw.isupper()
        if not text.isalnum() or (word and len(code) not in {0, 4}) or len(text) > length - len(code):
            break
        code, after = code + text, k + 1
        if len(code) >= 3 and (code[:2] not in _IBAN_LENGTHS or not code[2:4].isdecimal()):
            return 0
        length = _IBAN_LENGTHS.get(code[:2], 34)
        if len(code) >= length:
            break
    if is_iban(code):
        return after
    fewest = _FEWEST_IBAN_DIGITS if "iban" not in scene.said else _FEWEST_IBAN_DIGITS // 2
    if sum(char.isdecimal() for char in code) < fewest:
        return 0
    word = len(scene.items[i].text) == 2 and scene.items[i].raw.islower() and not scene.items[i + 1].glued  # "is 41..."
    return 0 if word else after


def is_iban(code: str) -> bool:
    """Whether a code has the length of its country and the check digits of ISO 13616 (ISO 7064, mod 97-10)."""
    code = code.lower()
    if len(code) != _IBAN_LENGTHS.get(code[:2], 0) or not (code.isalnum() and code.isascii()):
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def _chunked(scene: Scene) -> Iterator[Secret]:
    """What is written as one or two strings of letters and digits: postcodes, national insurance, passports."""
    chunks = list(_chunks(scene))
    for n, (text, start, end) in enumerate(chunks):
        following = chunks[n + 1] if n + 1 < len(chunks) else ("", 0, 0)
        near = following[1] == end + 1
        if text.isalpha() and text != "gir":  # the one postcode whose first part has no digit
            continue
        if _is_postcode(text):
            yield Secret("postcode", start, end)
        elif near and _is_postcode(f"{text} {following[0]}"):
            yield Secret("postcode", start, following[2])
        elif _PASSPORT.fullmatch(text) and not text.isdecimal() and "passport" in _words_before(chunks, n):
            yield Secret("passport", start, end)


def _chunks(scene: Scene) -> Iterator[tuple[str, int, int]]:
    """Strings of letters and digits that nothing parts, in lower case, with their ends."""
    text, start, end = "", 0, 0
    for word in scene.words:
        plain = word.text.isalnum() and word.text.isascii()
        if text and not (plain and word.glued):
            yield text, start, end
            text = ""
        if plain:
            start = word.start if not text else start
            text, end = text + word.text, word.end
    if text:
        yield text, start, end


def _is_postcode(text: str) -> bool:
    match = _POSTCODE.fullmatch(text)
    return match is not None and not _ORDINAL.fullmatch(text[-3:])


def _words_before(chunks: list[tuple[str, int, int]], n: int) -> set[str]:
    return {text for text, _, _ in chunks[max(0, n - 6) : n]}


def _national_insurance(scene: Scene, texts: Sequence[str]) -> Iterator[Secret]:
    """Two letters, six digits, a letter from A to D (HMRC manual NIM39110), written or spelled."""
    for i, text in enumerate(texts):
        last = _after_six_digits(texts, i) if text.isdecimal() else 0
        letter = texts[last] if 0 < last < len(texts) else ""
        if len(letter) != 1 or letter not in "abcd":
            continue
        two, one = texts[i - 1] if i else "", texts[i - 2] if i > 1 else ""
        if len(two) == 2 and two.isalpha():
            yield Secret("ni", scene.items[i - 1].start, scene.items[last].end)
        elif len(two) == len(one) == 1 and two.isalpha() and one.isalpha():
            yield Secret("ni", scene.items[i - 2].start, scene.items[last].end)


def _after_six_digits(texts: Sequence[str], i: int) -> int:
    """The index after six digits in one or more numbers from item i; 0 if there are not."""
    digits, k = "", i
    while len(digits) < 6 and k < min(i + 8, len(texts)):
        if texts[k].isdecimal():
            digits += texts[k]
        elif texts[k] != "-":
            return 0
        k += 1
    return k if len(digits) == 6 else 0
