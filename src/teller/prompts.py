"""The text that a language model is given; the same for every generator, and part of the cache's partition."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from teller.ports import Message, Passage, Prompt
from teller.turn import Question

_SYSTEM = """\
You are the voice of a bank's contact centre. Answer the caller in one to three short spoken sentences, in plain
English, without lists, headings or symbols that cannot be spoken. Use only the approved text below: every amount,
rate, date, condition and phone number exactly as it stands there, nothing added, nothing promised. If the approved
text does not answer the question, reply exactly: I do not know.

Approved text:
{passages}"""
UNKNOWN = "I do not know."

PROMPT_VERSION = hashlib.sha256(_SYSTEM.encode()).hexdigest()[:12]


def answer_prompt(question: Question, passages: Sequence[Passage]) -> Prompt:
    """The prompt for a question and the passages that may answer it, best first."""
    approved = "\n".join(f"- {passage.title}: {passage.text}" for passage in passages)
    return Prompt(
        messages=(Message("system", _SYSTEM.format(passages=approved)), Message("user", question.text)),
        passages=tuple(passages),
    )
