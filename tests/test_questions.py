"""The held-out questions of benchmarks/answers.py are well formed, and name answers that the bank has.

All were written without sight of the bank's ways of asking. q001-q343 and q394-q404 were also worded before the bank's
titles and answers were read; q344-q393 and everything from q405 on were worded after, so the first two ranges are the
stricter measure. The bank's rates and product names were known throughout.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "benchmarks" / "data" / "questions.jsonl"
ANSWERS = ROOT / "src" / "teller" / "data" / "bank" / "answers"
LEAST = {"covered": 300, "out_of_scope": 90, "adversarial": 40, "tool": 40, "dialogue": 40}
EXPECTED_KEYS = {
    "covered": [{"answers"}],
    "out_of_scope": [{"refused"}],
    "adversarial": [{"refused"}, {"answers"}, {"refused", "answers"}],
    "tool": [{"tool", "contains"}],
    "dialogue": [{"answers"}, {"refused", "answers"}, {"tool", "contains"}, {"source"}],
}


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def answer_texts() -> dict[str, str]:
    files = (tomllib.loads(path.read_text(encoding="utf-8")) for path in ANSWERS.glob("*.toml"))
    return {answer["id"]: answer["text"] for file in files for answer in file["answer"]}


def turns(question: dict[str, Any]) -> list[str]:
    ask = question["ask"]
    return ask if isinstance(ask, list) else [ask]


def plain(question: dict[str, Any]) -> str:
    """An ask without case and punctuation, its turns one on each line."""
    return "\n".join(" ".join(re.findall(r"[a-z0-9£%.]+", turn.lower())) for turn in turns(question))


def test_every_question_has_its_four_keys_and_its_own_id(questions: list[dict[str, Any]]) -> None:
    assert all(question.keys() == {"id", "kind", "ask", "expect"} for question in questions)
    assert [question["id"] for question in questions] == [f"q{n:03d}" for n in range(1, len(questions) + 1)]


def test_every_kind_has_enough_questions(questions: list[dict[str, Any]]) -> None:
    counts = Counter(question["kind"] for question in questions)
    assert counts.keys() == LEAST.keys()
    assert {kind: counts[kind] for kind in LEAST if counts[kind] < LEAST[kind]} == {}


def test_no_two_questions_ask_the_same(questions: list[dict[str, Any]]) -> None:
    counts = Counter(plain(question) for question in questions)
    assert [ask for ask, times in counts.items() if times > 1] == []


def test_only_dialogues_have_turns_and_no_turn_is_empty(questions: list[dict[str, Any]]) -> None:
    assert all(isinstance(question["ask"], list) == (question["kind"] == "dialogue") for question in questions)
    assert all(turn.strip() == turn and turn for question in questions for turn in turns(question))
    assert all(len(turns(question)) > 1 for question in questions if question["kind"] == "dialogue")


def test_every_question_expects_what_its_kind_can_be_judged_by(questions: list[dict[str, Any]]) -> None:
    odd = [
        question["id"]
        for question in questions
        if question["expect"].keys() - {"never"} not in EXPECTED_KEYS[question["kind"]]
        or question["expect"].get("refused", True) is not True
        or question["expect"].get("tool", True) is not True
        or question["expect"].get("source", "handoff") != "handoff"
    ]
    assert odd == []


def test_every_list_that_is_expected_has_words_in_it(questions: list[dict[str, Any]]) -> None:
    lists = [
        question["expect"][key]
        for question in questions
        for key in ("answers", "contains", "never")
        if key in question["expect"]
    ]
    assert all(isinstance(words, list) and words and len(set(words)) == len(words) for words in lists)
    assert all(isinstance(word, str) and word.strip() for words in lists for word in words)


def test_every_expected_answer_is_one_that_the_bank_has(
    questions: list[dict[str, Any]], answer_texts: dict[str, str]
) -> None:
    named = {answer for question in questions for answer in question["expect"].get("answers", [])}
    assert named - answer_texts.keys() == set()


def test_no_right_answer_says_what_must_never_be_said(
    questions: list[dict[str, Any]], answer_texts: dict[str, str]
) -> None:
    clashes = [
        (question["id"], answer, words)
        for question in questions
        for answer in question["expect"].get("answers", [])
        for words in question["expect"].get("never", [])
        if words.lower() in answer_texts[answer].lower()
    ]
    assert clashes == []


def test_every_sum_that_a_tool_must_say_is_in_pounds(questions: list[dict[str, Any]]) -> None:
    sums = [text for question in questions for text in question["expect"].get("contains", [])]
    assert [text for text in sums if not re.fullmatch(r"£\d{1,3}(,\d{1,3})*(\.\d\d)?", text)] == []
