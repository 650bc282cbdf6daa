"""What a caller takes back: "not the credit card, the debit card", or a turn later "no, I meant a standing order"."""

from __future__ import annotations

import re

_ARTICLE = r"(?:the|an?|my|your|our|this|that)"
_WORD = r"[^\W_][\w'-]*"
_NAMED = rf"{_ARTICLE} (?:{_WORD} ){{0,2}}?{_WORD}"  # as short as what follows allows
_TAKES_BACK = r"(?:(?:no|sorry|wait|hang on|oh|um+|or rather|i mean|i meant|make that|actually)\b\W*)+"
_CONTRASTS = (  # "not the credit card, the debit card", and the other way round
    re.compile(
        rf"\bnot {_ARTICLE} (?:{_WORD} ){{0,2}}?(?P<head>{_WORD})\W+(?:(?:but|rather|i mean) )?"
        rf"(?P<kept>{_ARTICLE} (?:{_WORD} ){{0,2}}?(?P=head))\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?P<kept>{_ARTICLE} (?:{_WORD} ){{1,2}}?(?P<head>{_WORD}))\W+(?:and )?"
        rf"not {_ARTICLE} (?:{_WORD} ){{0,2}}?(?P=head)\b",
        re.IGNORECASE,
    ),
)
_RETAKE = re.compile(rf"\b{_NAMED}\W+{_TAKES_BACK}(?={_ARTICLE}\b)", re.IGNORECASE)
_CORRECTION = re.compile(
    rf"\W*(?:(?:yes|well|but) )?{_TAKES_BACK}((?:{_ARTICLE} )?(?:{_WORD} ){{0,2}}?{_WORD})\W*(?:please\W*)?",
    re.IGNORECASE,
)
_ENDS = r"(?:to|for|in|on|at|from|of|off|with|and|or|if|when|by|is|are|was|do|does|can|will|i|you|it)\b"  # a phrase


def without_repairs(text: str) -> str:
    """The text without what its speaker takes back in the same breath."""
    for contrast in _CONTRASTS:
        text = contrast.sub(r"\g<kept>", text)
    return _RETAKE.sub("", text)


def corrected(text: str, before: str) -> str:
    """The question before with what this utterance puts right in it; empty if it is no such correction.

    What is replaced is the phrase that ends like the one that is said now ("my credit card", "my debit card"), or else
    the last that has an article, as many words of it, or a pronoun.
    """
    said = _CORRECTION.fullmatch(without_repairs(text))
    if said is None:
        return ""
    *more, head = re.sub(rf"^{_ARTICLE} ", "", said[1], flags=re.IGNORECASE).split()
    alike = rf"\b{_ARTICLE} (?:(?!{_ENDS}){_WORD} ){{0,2}}?{re.escape(head)}\b"
    as_long = rf"\b{_ARTICLE} (?!{_ENDS}){_WORD}(?: (?!{_ENDS}){_WORD}){{0,{len(more)}}}"
    found = [
        span for rule in (r"\b(?:it|them|one)\b", as_long, alike) for span in re.finditer(rule, before, re.IGNORECASE)
    ]
    return f"{before[: found[-1].start()]}{said[1]}{before[found[-1].end() :]}" if found else ""
