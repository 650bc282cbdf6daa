"""Numbers that are personal data: cards, accounts, codes, telephones.

What a run of numbers is follows from its check digit, the words near it, its length and its shape. What `values` reads
as an amount, a date or a term ends a run, unless the whole is a card number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from teller.redaction.runs import Atom, Parted, runs
from teller.redaction.scene import Scene, Secret
from teller.turn import ValueKind
from teller.values.reading import word_set

# Issuer ranges, as first and last prefix, and the lengths in use: ISO/IEC 7812-1 and the issuers' public tables.
_ISSUERS = (
    ("4", "4", (13, 16, 18, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", range(16, 20)),  # Discover
    ("644", "659", range(16, 20)),
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("3528", "3589", range(16, 20)),  # JCB
    ("50", "50", range(12, 20)),  # Maestro
    ("56", "69", range(12, 20)),  # Maestro, UnionPay (62), RuPay
    ("81", "82", range(16, 20)),  # UnionPay, RuPay
    ("2200", "2204", range(16, 20)),  # Mir
    ("9792", "9792", (16,)),  # Troy
    ("1", "1", (15,)),  # UATP
)
_SHORTEST_CARD, _LONGEST_CARD = 12, 19
_LONG = 13  # digits in a row, whatever parts them: nothing but a card or an account is so long
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class _Cue:
    """Words that say what the digits near them are, and how many digits those have."""

    kind: str
    words: tuple[str, ...]
    lengths: range


def _cues(kind: str, lengths: range, *phrases: str) -> tuple[_Cue, ...]:
    return tuple(_Cue(kind, tuple(phrase.split()), lengths) for phrase in phrases)


_CUES = (
    *_cues("sort-code", range(6, 7), "sort code", "sortcode", "sorting code"),
    *_cues("cvv", range(3, 5), "security code", "security number", "cvv", "cvc", "csc", "cv", "verification value"),
    *_cues("cvv", range(3, 5), "cvv code", "cvc code", "csc code"),
    *_cues(
        "cvv",
        range(3, 5),
        "on the back",
        "on the reverse",
        "on the back of it",
        "on the back of my card",
        "on the back of the card",
    ),
    *_cues("pin", range(4, 13), "pin", "pin number", "pin code"),  # ISO 9564-1: 4 to 12 digits
    *_cues("code", range(4, 11), "code", "passcode", "otp", "time password"),
    *_cues("dob", range(4, 9), "born", "birth", "birthday", "dob", "birthdate"),
    *_cues("account", range(6, 18), "account", "account number", "acc", "account no"),
    *_cues("phone", range(6, 16), "phone", "mobile", "telephone", "tel", "phone number", "mobile number"),
    *_cues("phone", range(6, 16), "call me", "ring me", "text me", "reach me"),
    *_cues("passport", range(6, 10), "passport", "passport number"),
    *_cues("ni", range(4, 10), "social", "social security", "social security number", "ssn"),
    *_cues("postcode", range(4, 10), "postcode", "post code", "postal code", "zip", "zip code"),
    *_cues("card", range(6, 20), "card", "card number", "pan", "long number", "digit number"),
)
_BY_LAST_WORD = {
    last: tuple(sorted((cue for cue in _CUES if cue.words[-1] == last), key=lambda cue: -len(cue.words)))
    for last in {cue.words[-1] for cue in _CUES}
}
OTHER_CODES = word_set(
    "area bic country currency dial dialing dialling discount error iata merchant offer product promo "
    "promotional qr reason referral status swift tax transaction voucher"
)
_EXACT = {"sort-code": 6, "account": 8}  # digits after which another number may follow at once
_FARTHEST_CUE = 8
_FEWEST_DIGITS = {  # of a secret, by the last word of its cues: the words before that, and how many
    word + ending: tuple({(cue.words[:-1], cue.lengths.start) for cue in cues})
    for word, cues in _BY_LAST_WORD.items()
    for ending in ("", "'s")
}
_AFTER_DIGITS = word_set(") * , um uh er")
_IS = word_set("is was are 's : = it's its as be number no to now currently reads i got me sent said says on")
# Said plainly, these are what they are, though they look like a date or an amount.
_OWN = frozenset({"pin", "cvv", "code", "dob", "sort-code", "ni", "postcode"})
# Freephone and 03 numbers are given to organisations, not to people: Ofcom, National Telephone Numbering Plan.
_OF_ORGANISATIONS = ("080", "03")
_MINE = word_set("my mine me i'm our account customer")


def find(scene: Scene) -> Iterator[Secret]:
    """Secrets made of digits."""
    stretches = list(runs(scene))
    if not stretches:
        return
    said = scene.said
    cued = [few for word in said for before, few in _FEWEST_DIGITS.get(word, ()) if said.issuperset(before)]
    fewest = min([_SHORTEST_SECRET, *cued])
    secrets = [secret for run in stretches if len(_joined(run)) >= fewest for secret in _in_run(scene, run)]
    yield from secrets
    taken = {position for secret in secrets for position in range(secret.start, secret.end)}
    left = [atom for run in stretches for atom in run if atom.start not in taken]
    yield from _scattered(left)
    kinds = {secret.kind for secret in secrets}
    if left and kinds and "card" not in kinds:
        before = [atom for run in stretches for atom in run if atom.start in taken]
        yield from _other_groups(before, left, tail=kinds == {"number"})


def _in_run(scene: Scene, run: Sequence[Atom]) -> Iterator[Secret]:
    done = 0
    for first, after in _cards(run):
        yield from _others(scene, run[done:first])
        yield _secret("card", run[first:after])
        done = after
    yield from _others(scene, run[done:])


def _scattered(atoms: Sequence[Atom]) -> Iterator[Secret]:
    """Groups of digits all over a text that are together as long as a card: "4111, then there is 1111 ..."."""
    groups = [atom for atom in atoms if len(atom.digits) > 2 and not _is_value(atom)]
    spelled = sum(len(atom.digits) for atom in groups if atom.is_spelled)
    if len(_joined(groups)) >= _SHORTEST_CARD and spelled >= _SHORTEST_SECRET:
        for atom in groups:
            yield _secret("number", [atom])


def _other_groups(taken: Sequence[Atom], left: Sequence[Atom], *, tail: bool) -> Iterator[Secret]:
    """The groups that are left of a number of which some were taken: all together they are as long as a card."""
    groups = [atom for atom in left if atom.one_by_one or (tail and atom.value is ValueKind.ID_TAIL)]
    groups = [atom for atom in groups if len(atom.digits) in {3, 4, 5}]  # "(last) four 7063" is heard as one number
    if len(_joined([*taken, *groups])) >= _SHORTEST_CARD:
        for atom in groups:
            yield _secret("number", [atom])


def _secret(kind: str, atoms: Sequence[Atom]) -> Secret:
    return Secret(kind, atoms[0].start, atoms[-1].end)


def _joined(atoms: Sequence[Atom]) -> str:
    return "".join(atom.digits for atom in atoms)


def _cards(run: Sequence[Atom]) -> Iterator[tuple[int, int]]:
    """Stretches of a run that are card numbers, the longest from each place, as first and after."""
    first = 0
    while first < len(run):
        found, digits = 0, ""
        for after in range(first, len(run)):
            digits += run[after].digits
            if len(digits) > _LONGEST_CARD:
                break
            if is_card_number(digits):
                found = after + 1
        if found:
            yield first, found
        first = found or first + 1


def is_card_number(digits: str) -> bool:
    """Whether digits are a card number: an issuer's range and length, and the check digit of ISO/IEC 7812-1 annex B."""
    if not _SHORTEST_CARD <= len(digits) <= _LONGEST_CARD:
        return False
    issued = any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)
    return issued and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def _others(scene: Scene, run: Sequence[Atom]) -> Iterator[Secret]:
    """What is in a run, or in a part of one, beside card numbers."""
    core = _without_amounts(run)
    if sum(len(atom.digits) for atom in core) >= _LONG and not _labelled(scene, core):
        both = len(core) > 3 and [len(atom.digits) for atom in core[:3]] == [2, 2, 2] and len(_joined(core)) == 14
        if both:
            yield _secret("sort-code", core[:3])
        yield _secret("account" if both else "number", core[3 if both else 0 :])
        return
    for part in _parts(scene, run):
        yield from _named(scene, part)


def _without_amounts(run: Sequence[Atom]) -> Sequence[Atom]:
    """A run without the amounts and typed values at its ends; nothing if it is made of round numbers."""
    if all(_is_value(atom) or (atom.is_round and not atom.one_by_one) for atom in run):
        return ()
    first, after = 0, len(run)
    while first < after and _is_value(run[first]):
        first += 1
    while first < after and _is_value(run[after - 1]):
        after -= 1
    return run[first:after]


def _is_value(atom: Atom) -> bool:
    return atom.value is not None or atom.amount


def _labelled(scene: Scene, core: Sequence[Atom]) -> bool:
    """Whether a word says what the digits are, so that they are parted by it and not taken as one."""
    cue = _cue_before(scene, core[0].first)
    return cue is not None and cue.kind != "card"


def _parts(scene: Scene, run: Sequence[Atom]) -> Iterator[list[Atom]]:
    """A run cut where "and" or a comma parts what is not said digit by digit, and where amounts and values stand."""
    part: list[Atom] = []
    labelled = bool(run) and bool(_cue_before(scene, run[0].first) or _cue_after(scene, run[-1].first))
    labelled = labelled or _is_in_pairs(run)
    own = False
    for atom in run:
        own = _is_own(scene, atom) or (own and atom.value is ValueKind.DATE and atom.parted is Parted.NOT)
        stays = (atom.amount or atom.value is not None) and not own
        if part and (stays or not (labelled or _is_joined(part[-1], atom))):
            yield part
            part = []
        if not stays:
            part.append(atom)
    if part:
        yield part


def _is_joined(before: Atom, atom: Atom) -> bool:
    """Whether two numbers of a run are one: by nothing between them, or by what they look like."""
    if atom.parted is Parted.NOT or (before.one_by_one and atom.one_by_one):
        return True
    return atom.parted is Parted.BY_SIGN and before.is_spelled and (atom.is_spelled or len(atom.digits) > 1)


def _is_in_pairs(run: Sequence[Atom]) -> bool:
    """Whether a run is pairs of digits, and one is no quantity: "44, 01, 76, 32"."""
    return len(run) > 2 and {len(atom.digits) for atom in run} == {2} and any(atom.is_spelled for atom in run)


def _is_own(scene: Scene, atom: Atom) -> bool:
    """Whether a cue beside a number says what it is, though it reads as a date or a time: "my pin is 2019"."""
    if atom.value not in {ValueKind.DATE, ValueKind.TIME, ValueKind.MONEY, ValueKind.ID_TAIL, None}:
        return False
    cue = _cue_before(scene, atom.first, near=True) or _cue_after(scene, atom.first)
    if cue is None or cue.kind not in _OWN:
        return False
    in_twos = cue.kind == "sort-code" and atom.value is ValueKind.DATE and len(atom.digits) == 2  # 07-01-16
    return in_twos or len(atom.digits) in cue.lengths


def _named(scene: Scene, part: Sequence[Atom]) -> Iterator[Secret]:
    """A part of a run by its kind, if it is a secret."""
    digits = _joined(part)
    cue = _cue_before(scene, part[0].first) or _cue_after(scene, part[-1].first)
    if _is_of_organisation(digits) and (cue is None or cue.kind == "phone") and _MINE.isdisjoint(scene.said):
        return
    amounts = all(atom.is_round and not atom.one_by_one for atom in part)
    if cue is not None and (cue.kind in _OWN or not amounts):
        exact = _prefix(part, _EXACT.get(cue.kind, 0))
        if exact:
            yield _secret(cue.kind, part[:exact])
            if part[exact:]:
                yield from _named(scene, part[exact:])
            return
        if len(digits) in cue.lengths:
            yield (
                _by_shape(scene, part, digits)
                if cue.kind == "phone" and _has_plus(scene, part)
                else _secret(cue.kind, part)
            )
            return
    if len(digits) >= _SHORTEST_SECRET and not amounts:
        yield _by_shape(scene, part, digits)


def _is_of_organisation(digits: str) -> bool:
    return digits.startswith(_OF_ORGANISATIONS) and len(digits) in {10, 11}


def _prefix(part: Sequence[Atom], length: int) -> int:
    """How many atoms make exactly `length` digits, 0 if none do."""
    total = 0
    for n, atom in enumerate(part, 1):
        total += len(atom.digits)
        if total >= length:
            return n if total == length else 0
    return 0


def _by_shape(scene: Scene, part: Sequence[Atom], digits: str) -> Secret:
    """The kind of digits that no word explains: a telephone, a sort code, an account of eight digits, or a number."""
    first = part[0].first
    plus = _has_plus(scene, part)
    international = 8 <= len(digits) <= 15 if plus else digits.startswith("00") and 10 <= len(digits) <= 17
    national = digits[0] == "0" and len(digits) in {10, 11}
    lengths = [len(atom.digits) for atom in part]
    if international or national or (digits.startswith("44") and len(digits) == 12) or lengths[-3:] == [3, 3, 4]:
        start = scene.items[first - 1].start if plus else part[0].start
        return Secret("phone", start, part[-1].end)
    if lengths == [2, 2, 2]:
        return _secret("sort-code", part)
    return _secret("account" if len(digits) == 8 else "number", part)


def _has_plus(scene: Scene, part: Sequence[Atom]) -> bool:
    return scene.word(part[0].first - 1) in {"+", "plus"}


def _cue_before(scene: Scene, i: int, *, near: bool = False) -> _Cue | None:
    """The nearest cue before item i in its sentence; `near` lets only words such as "is" stand between."""
    for k in range(i - 1, max(-1, i - 1 - _FARTHEST_CUE), -1):
        item = scene.items[k]
        cue = _cue_ending(scene, k)
        if cue is not None:
            return _said_of(scene, k - len(cue.words) + 1) or cue
        long = item.number is not None and len(item.number.digits) > 2
        if item.is_placeholder or item.text in {".", "?", "!", ";"} or long or (near and item.text not in _IS):
            return None
    return None


def _said_of(scene: Scene, i: int) -> _Cue | None:
    """The code or PIN "of my card": what is said of the thing that is named at item i."""
    for k in range(i - 1, max(-1, i - 4), -1):
        if scene.word(k) in {"of", "for", "on", "to", "with"}:
            cue = _cue_ending(scene, k - 1)
            return cue if cue is not None and cue.kind in _OWN else None
    return None


def _cue_after(scene: Scene, i: int) -> _Cue | None:
    """The cue of "1234 is my pin"."""
    at = i + 1
    while at < i + 4 and scene.word(at) in _AFTER_DIGITS:
        at += 1
    apposed = scene.word(at - 1) == "," and scene.word(at) in {"my", "that's"}
    if not apposed and scene.word(at) not in {"is", "was", "as", "for", "'s"}:
        return None
    for k in range(at + 1, at + 6):
        cue = _cue_ending(scene, k)
        if cue is not None and cue.kind in _OWN | {"phone", "account", "passport"}:
            return cue
        if not scene.word(k).isalpha():
            return None
    return None


def _cue_ending(scene: Scene, k: int) -> _Cue | None:
    """The longest cue whose last word is item k."""
    word = scene.word(k).removesuffix("'s")
    for cue in _BY_LAST_WORD.get(word, ()):
        first = k - len(cue.words) + 1
        if first >= 0 and scene.plain[first:k] == cue.words[:-1]:
            return None if word == "code" and scene.word(k - 1) in OTHER_CODES else cue
    return None
