"""A question as the guards read it, and what they find between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from teller.turn import MissReason, Question


@dataclass(frozen=True, slots=True)
class Difference:
    """What two questions differ in.

    Attributes:
        rule: name of the rule, as evidence shows it.
        found: the two sides, for people to read.
    """

    rule: str
    reason: MissReason
    found: str


class Reading(NamedTuple):
    """A question as the rules read it: made once, compared many times.

    Attributes:
        words: of the canonical text.
        bag: the words, without "more" and "least" and their like where they state a bound.
        names: words with a capital inside a sentence, lower-cased.
        content: the words that carry the subject, in order.
        core: stems of the content, without words that only say how many, whose or when.
        negations: how many negations touch what is asked.
        bound: "at least" or "at most" where an amount is bounded so, however that is said; else empty.
        phrases: those of the opposites that are of several words and stand in it.
        contrasts: rows of words that exclude one another and which of them stand in it; codes, as a row of their own.
    """

    question: Question
    words: tuple[str, ...]
    bag: frozenset[str]
    names: frozenset[str]
    content: tuple[str, ...]
    core: frozenset[str]
    negations: int
    bound: str
    phrases: frozenset[str]
    contrasts: frozenset[tuple[str, int | str]]
