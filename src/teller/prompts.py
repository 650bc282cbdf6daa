"""The text that a language model is given; the same for every generator, and part of the cache's partition."""

from __future__ import annotations

import hashlib
import re
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
APPROVED = "Approved text:\n"  # what stands before the passages: a chat template may look for it
_ACTION = re.compile(r"\s*\[\s*action\s*:\s*([a-z][a-z0-9_]{0,62})\s*\]\s*$", re.IGNORECASE)

PROMPT_VERSION = hashlib.sha256(_SYSTEM.encode()).hexdigest()[:12]


def answer_prompt(question: Question, passages: Sequence[Passage]) -> Prompt:
    """The prompt for a question and the passages that may answer it, best first."""
    approved = "\n".join(f"- {passage.title}: {passage.text}" for passage in passages)
    return Prompt(
        messages=(Message("system", _SYSTEM.format(passages=approved)), Message("user", question.text)),
        passages=tuple(passages),
    )


def spoken_part(text: str) -> tuple[str, str]:
    """A generation without its action code, and the code: "It is blocked. [action: block_card]" ends with one.

    The code is in snake_case, empty if the text ends with none; only one at the very end is taken for a code.
    """
    found = _ACTION.search(text)
    return (text[: found.start()].rstrip(), found[1].lower()) if found else (text, "")
