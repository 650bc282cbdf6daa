"""The exact tier's key: two askings that differ in nothing that could change the answer.

Dropped: case, white space, sentence punctuation, width and look of characters (NFKC), invisible characters, hesitations
("um"). Written out: contractions ("can't" is "can not"). Kept: every other word and symbol, every digit with the
points, commas and signs around it, and the typed values. Words are never dropped for being small: "not" is small.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from teller.turn import Question

CANONICAL = 1  # to be counted up whenever the exact text of some question becomes another: logs keep keys made from it
_HESITATIONS = frozenset({"um", "umm", "uh", "uhh", "uhm", "erm", "hmm", "hm", "mm", "mhm"})
_STAMMERED = frozenset({"i", "the", "a", "to", "my", "what", "how", "can", "is", "and"})  # "the the card" is "the card"
_IS = frozenset({"what", "how", "where", "when", "who", "it", "that", "there", "here", "why"})
_WHOLE = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not"}
_WHOLE |= {"cant": "can not", "dont": "do not", "doesnt": "does not", "didnt": "did not", "isnt": "is not"}
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'m", " am"), ("'ll", " will"), ("'ve", " have"))
_TOKEN = re.compile(
    r"\[[a-z_]+\]"  # what redaction left
    r"|(?<!\w)[-+]?\d+(?:[.,:/]\d+)*"  # numbers with their sign, points and separators
    r"|[^\W_]+(?:'[^\W_]+)*"  # words, apostrophes inside
    r"|[^\s.,;:!?\"'()‚„“”‐‑‒–—―-]"  # any other symbol: currency, percent, @, emoji
)
_APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ‘`´", "'"))


def canonical_text(text: str) -> str:
    """One line of words; equal for askings that are the same but for their spelling and hesitation."""
    if text.isascii():
        text = text.replace("`", "'").lower()
    else:
        text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    words: list[str] = []
    last = ""
    for token in _TOKEN.findall(text):
        for word in _written_out(token).split() if "'" in token or token in _WHOLE else (token,):
            if word not in _HESITATIONS and (word != last or word not in _STAMMERED):
                words.append(word)
                last = word
    return " ".join(words)


def exact_text(question: Question) -> str:
    """Canonical text and values: what must be equal for one question's answer to be the other's."""
    canonical = canonical_text(question.text)
    if not question.values:
        return canonical
    return canonical + "\n" + "\n".join(f"{value.kind}={value.canonical}" for value in question.values)


def exact_key(partition: bytes, exact: str) -> int:
    """63-bit key of a partition's digest and an `exact_text`; collisions are told apart by comparing the texts."""
    digest = hashlib.blake2b(exact.encode("utf-8", "surrogatepass"), digest_size=8, key=partition).digest()
    return int.from_bytes(digest, "little") >> 1


def _written_out(token: str) -> str:
    """A token that has an apostrophe or is written together."""
    if token in _WHOLE:
        return _WHOLE[token]
    for ending, words in _ENDINGS:
        if token.endswith(ending) and len(token) > len(ending):
            return token[: -len(ending)] + words
    if token.endswith("'s") and token[:-2] in _IS:
        return token[:-2] + " is"
    return token
