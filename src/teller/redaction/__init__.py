"""Personal data out of a question, before anything else sees it: the only maker of `Question`.

A rule that is unsure takes out: a placeholder too many costs an answer, a card number in a log costs much more.

| placeholder | what | source of the rule |
|---|---|---|
| [card] | 12 to 19 digits in an issuer's range, with a right check digit; 6 and more after "card" | ISO/IEC 7812-1 |
| [cvv] | 3 or 4 digits beside "security code", "cvv", "on the back" | PCI DSS 3.2.1, req. 3.2 |
| [pin] | 4 to 12 digits beside "PIN" | ISO 9564-1 |
| [code] | 4 to 10 digits, or letters with digits, beside "code", "passcode", "OTP" | RFC 4226 section 5.3 has 6 to 8 |
| [iban] | a country's code and length, or 10 and more digits after one | ISO 13616, ISO 7064 mod 97-10 |
| [sort-code] | 6 digits after "sort code", or 12-34-56 | UK: Pay.UK sort code |
| [account] | 8 digits, or 6 to 17 after "account" | UK: 8 digits; Nacha: at most 17 |
| [phone] | 10 or 11 digits from 0, 8 and more after +, or 6 and more after "phone" | ITU-T E.164; 080 and 03: Ofcom |
| [number] | other 6 digits and more in a row; 13 and more however parted | a misheard card is still a card |
| [dob] | a date of the calendar near "born", "birth", "birthday" | |
| [email] | written, or spoken "at ... dot com" | RFC 5322 section 3.4.1, without quoted mailboxes |
| [postcode] | UK shapes, also letter by letter; 4 to 9 digits after "postcode", "zip" | BS 7666-0 |
| [address] | a house number, one to three words and a kind of street; what follows "my address is" and a number | |
| [ni] | two letters, six digits, A to D; 4 to 9 digits after "social security" | HMRC NIM39110 |
| [passport] | 6 to 9 digits, or letters with 6 digits, after "passport" | ICAO Doc 9303: at most 9 characters |
| [name] | what follows "my name is", "I'm", "this is" and the like; letters after "name", "surname", "spelled" | |
| [password] | what follows "my password is", "memorable word is", "security answer is", "first school was" | |
| [username] | what follows "user name is", "login is" | |

Spoken numbers count as digits ("double four", "oh", "fifty six"), and signs and hesitations between digits do not part
them. Amounts, rates, terms, dates and the last four digits of a card stay: they are the question's values; so do
freephone and 03 numbers that nobody calls their own, which are the bank's. Not found: names that nothing introduces,
numbers given over several turns, and fewer than 12 digits in groups that phrases part.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from teller.redaction import digits, letters, people, places, told
from teller.redaction.cleaning import MAX_CHARACTERS, clean
from teller.redaction.scene import Scene, Secret, look
from teller.turn import Question, Redaction, Transcript, Value, ValueKind
from teller.values import Catalogue, find_values, values_of

__all__ = ["MAX_CHARACTERS", "nothing_heard", "redact"]

_NO_NAMES = Catalogue.empty()
_UNSETTLED = frozenset({ValueKind.DATE, ValueKind.MONEY})
_PLACEHOLDER = re.compile(r"\[([a-z]+(?:-[a-z]+)?)(?: (\d{1,3}))?\]")


def redact(
    transcript: Transcript,
    catalogue: Catalogue = _NO_NAMES,
    *,
    today: datetime.date | None = None,
    currency: str = "GBP",
) -> Redaction:
    """Take personal data out of a transcript; doing it again changes nothing.

    Args:
        transcript: what was heard or typed; only its text is read, its alternatives are dropped.
        catalogue: the bank's own names, for the question's values.
        today: resolves relative dates among the values.
        currency: ISO 4217 code of amounts that name none.

    Raises:
        InputError: if the text is empty once cleaned, or longer than MAX_CHARACTERS.
    """
    text = clean(transcript.text)
    scene = look(text, None, _NO_NAMES)
    secrets = _secrets(scene)
    if not secrets:
        return Redaction(Question(text, _values(scene, catalogue, today, currency), (), transcript.confidence), {})
    redacted, slots = _replaced(text, secrets)
    question = Question(
        text=redacted,
        values=find_values(redacted, catalogue, today=today, currency=currency),
        redacted=tuple(sorted({secret.kind for secret in secrets})),
        confidence=transcript.confidence,
    )
    return Redaction(question, slots)


def nothing_heard(confidence: float) -> Question:
    """The question of an utterance without words."""
    return Question(text="", confidence=confidence)


def _values(scene: Scene, catalogue: Catalogue, today: datetime.date | None, currency: str) -> tuple[Value, ...]:
    """The values of a text without secrets: those that were seen, unless a name, the day or the currency matters."""
    kinds = {value.kind for value, _, _ in scene.values}
    if _UNSETTLED.isdisjoint(kinds) and not any(catalogue.may_begin(item) for item in scene.items):
        return tuple([value for value, _, _ in scene.values])
    return values_of(scene.items, catalogue, today=today, currency=currency)


def _secrets(scene: Scene) -> list[Secret]:
    """All secrets of a clean text, in order; looks again until nothing is left."""
    found: list[Secret] = []
    while new := _apart(_candidates(scene), found):
        found = sorted([*found, *new], key=lambda secret: secret.start)
        scene = scene.without(found, _NO_NAMES)
    return found


def _candidates(scene: Scene) -> Iterable[Secret]:
    """What the rules find, the surest first."""
    yield from told.find(scene)
    yield from places.find(scene)
    yield from letters.find(scene)
    yield from people.births(scene)
    yield from digits.find(scene)
    yield from people.find(scene)


def _apart(candidates: Iterable[Secret], found: Sequence[Secret]) -> list[Secret]:
    """The candidates that overlap none before them."""
    taken = {position for secret in found for position in range(secret.start, secret.end)}
    new = []
    for secret in candidates:
        positions = range(secret.start, secret.end)
        if taken.isdisjoint(positions):
            taken.update(positions)
            new.append(secret)
    return new


def _replaced(text: str, secrets: Sequence[Secret]) -> tuple[str, dict[str, str]]:
    """The text with placeholders, and what each stands for; those that are in the text already keep their numbers."""
    used: Counter[str] = Counter()
    for kind, number in _PLACEHOLDER.findall(text):
        used[kind] = max(used[kind], int(number or 1))
    pieces, slots, end = [], {}, 0
    for secret in secrets:
        used[secret.kind] += 1
        number = used[secret.kind]
        placeholder = f"[{secret.kind}]" if number == 1 else f"[{secret.kind} {number}]"
        slots[placeholder] = text[secret.start : secret.end]
        pieces += [text[end : secret.start], placeholder]
        end = secret.end
    return "".join([*pieces, text[end:]]), slots
