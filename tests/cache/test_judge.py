"""What the judge makes of a neighbourhood, with vectors that place each neighbour where a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from teller.cache.entries import Text
from teller.cache.judge import CertifiedJudge, Region
from teller.cache.verdict import Accept, Neighbour, Probe
from teller.cache.verifier import Verifier
from teller.turn import DataClass, MissReason, Question, Value, ValueKind

DIM = 384


class Fixed:
    """One region for every class."""

    def region(self, risk_class: str) -> Region:  # noqa: ARG002
        return Region(0.9)


def unit(*parts: tuple[int, float]) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    for axis, length in parts:
        vector[axis] = length
    return vector / np.linalg.norm(vector)


def on(day: str) -> Question:
    return Question(f"my transfer of {day} has not come", (Value(ValueKind.DATE, day, 0, 1),))


def probe(asked: Question, stored: Sequence[tuple[Question, str]], tokens=None, sketches=None) -> Probe:
    """Neighbours all equally near to the question, none nearer to one another than to it."""
    vectors = [unit((0, 1.0), (at + 1, 0.5)) for at in range(len(stored))]
    near = tuple(
        Neighbour(
            at,
            Text(question.text, question.values, sketches[at] if sketches else b""),
            answer_id,
            0.9,
            0.5,
            0.0,
            DataClass.PUBLIC,
            vectors[at],
        )
        for at, (question, answer_id) in enumerate(stored)
    )
    return Probe(asked, unit((0, 1.0)), tokens, near, "public")


def test_an_answer_that_many_days_share_is_served_for_another_day():
    judge = CertifiedJudge(Fixed())
    stored = [(on(day), "late") for day in ("today", "yesterday", "sunday", "today", "sunday")]

    refused = judge.judge(probe(on("monday"), stored))
    assert not isinstance(refused, Accept)
    assert refused.reason is MissReason.VALUES_DIFFER

    served = judge.judge(probe(on("monday"), [*stored, (on("friday"), "late")]))
    assert isinstance(served, Accept)
    assert "whatever the date" in served.checks["guards"]


def test_each_day_with_an_answer_of_its_own_keeps_it():
    judge = CertifiedJudge(Fixed())
    stored = [(on(f"day {at}"), f"answer {at}") for at in range(6)]
    refused = judge.judge(probe(on("monday"), stored))
    assert not isinstance(refused, Accept)
    assert refused.reason is MissReason.VALUES_DIFFER


class Words(Verifier):
    """A verifier that reads its verdict off the sketch: 1 for the same words, 0 for others."""

    def unsketch(self, sketch: bytes) -> np.ndarray:
        return np.frombuffer(sketch, np.uint8).astype(np.float32)

    def log_odds(self, asked: np.ndarray, stored: np.ndarray, facts: np.ndarray) -> float:  # noqa: ARG002
        return 4.0 if stored[0] == 1.0 else -4.0


@pytest.mark.parametrize(("same", "is_served"), [(1, True), (2, False)])
def test_a_near_copy_among_rivals_is_served_when_they_say_something_else(same, is_served):
    judge = CertifiedJudge(Fixed(), verifier=Words())
    animals = ("the cat", "that cat", "the owl", "the pig", "the rat", "the hen")
    stored = [(Question(f"is {animal} on the sofa"), animal) for animal in animals]
    sketches = [bytes([at < same]) for at in range(len(stored))]
    asked = Question("is the cat truly on the sofa")
    found = probe(asked, stored, np.zeros((3, DIM), np.float32), sketches)
    near = tuple(n._replace(similarity=0.97 if at < same else 0.93) for at, n in enumerate(found.neighbours))

    assert isinstance(judge.judge(replace(found, neighbours=near)), Accept) is is_served


@pytest.mark.parametrize(
    ("asked", "times", "is_served"),
    [
        ("how do I mend a leather coat", 1, False),
        ("how do I mend a suede boat", 1, False),
        ("how do I repair a suede coat", 1, True),
        ("how do I mend my suede coat please", 1, True),
        ("how do I mend a torn suede coat", 1, False),
        ("how do I mend a torn suede coat", 6, True),
    ],
)
def test_a_word_traded_or_added_takes_an_answer_that_was_given_more_than_once(asked, times, is_served):
    judge = CertifiedJudge(Fixed(), verifier=Words())
    stored = [(Question(f"how do I mend a suede coat{' please' * at}"), "sew") for at in range(times)]
    found = probe(Question(asked), stored, np.zeros((3, DIM), np.float32), [b"\1"] * times)

    assert isinstance(judge.judge(found), Accept) is is_served
