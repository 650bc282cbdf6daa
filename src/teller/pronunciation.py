"""Phones for words that a pronouncing dictionary lacks: compounds, British spellings, endings, abbreviations.

Phones are those of the CMU dictionary ("K AE SH"). Rules only, tried in one order; a word that none fits has no
pronunciation, and nothing is invented. Not here: letter-to-sound rules, stress.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from types import MappingProxyType

_PREFIXES = MappingProxyType({"co": "K OW", "de": "D IY", "re": "R IY", "un": "AH N", "up": "AH P"})
_MIN_PART = 3  # letters of a part of a compound that is no prefix
_MAX_WORD = 40  # letters
_MAX_ABBREVIATION = 4  # letters; longer unknown words are not abbreviations

# What banks say and dictionaries of American English lack or say otherwise.
_SPECIAL = MappingProxyType(
    {
        "apr": ("EY P IY AA R",),
        "bacs": ("B AE K S",),
        "dodgy": ("D AA JH IY",),
        "d'you": ("D Y UW", "JH UW"),
        "erm": ("ER M", "AH M"),
        "hiya": ("HH AY Y AH",),
        "iban": ("AY B AE N",),
        "id": ("AY D IY",),
        "isa": ("AY S AH", "IY S AH"),
        "jisa": ("JH AY S AH",),
        "lodger": ("L AA JH ER",),
        "nought": ("N AO T",),
        "sepa": ("S IY P AH",),
    }
)
_AMERICAN = (
    ("ise", "ize"),
    ("isation", "ization"),
    ("our", "or"),
    ("lling", "ling"),
    ("lled", "led"),
    ("llery", "lry"),
    ("stalment", "stallment"),
    ("tre", "ter"),
    ("elt", "elled"),
)
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_SIBILANT = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})


def pronounce(word: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The ways to say a word, most usual first; none if no rule fits.

    Args:
        word: small letters and apostrophes; accents are ignored.
        known: the dictionary, word to phones.
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    if len(plain) > _MAX_WORD:
        return ()
    return _as_word(plain, known) or _spelt_out(plain, known)


def _as_word(word: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if word in _SPECIAL:
        return _SPECIAL[word]
    if word in known:
        return known[word]
    for rule in (_respelt, _inflected, _compound):
        if found := tuple(dict.fromkeys(rule(word, known))):
            return found
    return ()


def _respelt(word: str, known: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for british, american in _AMERICAN:
        if british in word:
            yield from known.get(word.replace(british, american), ())


def _inflected(word: str, known: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for ending in ("'s", "es'", "s'", "es", "s"):
        stems = _as_word(word.removesuffix(ending), known) if word.endswith(ending) else ()
        for phones in stems:
            last = phones.rsplit(" ", 1)[-1]
            yield phones + (" IH Z" if last in _SIBILANT else " S" if last in _VOICELESS else " Z")
        if stems:
            return


def _compound(word: str, known: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """A word of two words ("cash" "point"): the split whose shorter part is longest."""
    splits = [(word[:i], word[i:]) for i in range(2, len(word) - 1)]
    for first, second in sorted(splits, key=lambda parts: -min(map(len, parts))):
        said = _PREFIXES.get(first) or (known[first][0] if first in known and len(first) >= _MIN_PART else "")
        if said and len(second) >= _MIN_PART and second in known:
            yield f"{said} {known[second][0]}"
            return


def _spelt_out(word: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """An abbreviation, letter by letter."""
    if len(word) > _MAX_ABBREVIATION or not word.isalpha() or not all(letter in known for letter in word):
        return ()
    return (" ".join("EY" if letter == "a" else known[letter][0] for letter in word),)
