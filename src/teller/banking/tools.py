"""The tools that answer with banking arithmetic, and the little dialogue that collects their values.

A calculation is a form: its tool, and the slots that are filled. What is missing is asked for, one thing a turn; what
the caller changes is changed; what the bank's limits forbid is said with the limits, and the form stays open. A form
that is complete stays for further questions ("and over seven years?") until two turns in a row were about other things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import pandas as pd

from teller.banking.intents import recognise
from teller.banking.loan_quotes import LoanQuotes
from teller.banking.marks import Marked, mark
from teller.banking.products import Rate, RateTable, spoken_money, spoken_number
from teller.banking.quotes import Filled, Problem, spoken_time
from teller.banking.savings_quotes import SavingsQuotes
from teller.banking.slots import TOOLS, Filling, Tool, cancels, fill, only_values
from teller.call import Memory
from teller.errors import InputError
from teller.turn import Answer, DataClass, Question, Source

_OF_TOPIC: Mapping[str, str] = {"loans": "loan_payment", "savings": "savings_interest"}
_LONGEST_QUESTION = 600  # characters: nobody asks for one calculation in more

# What is asked for a slot that is missing, by family.
ASKS: Mapping[tuple[str, str], str] = {
    ("loan", "amount"): "How much would you like to borrow?",
    ("loan", "term"): "For how long would you like to borrow it?",
    ("loan", "after"): "After how long would you pay it off?",
    ("loan", "payment"): "How much would you like to pay each month?",
    ("loan", "extra"): "How much more would you pay each month?",
    ("savings", "amount"): "How much would you save?",
    ("savings", "term"): "For how long would you save?",
    ("savings", "goal"): "How much would you like to have in the end?",
    ("savings", "deposit"): "How much would you put away each month?",
}


@dataclass(frozen=True, slots=True)
class ToolReply:
    """What a tool says, and what the call remembers from now on."""

    answer: Answer
    memory: Memory


class Toolbox:
    """All tools over one rate table.

    The loan tools need the rows personal_loan_{apr,apr_small,apr_large,standard_from,standard_to,min,max,min_term,
    max_term}, the savings tools easy_saver_aer; a table that has none of a family's rows is of a bank without it.

    Raises:
        KnowledgeError: if some rows of a family are there and others are not, or one is in another unit.
    """

    def __init__(self, rates: RateTable) -> None:
        self._loans = LoanQuotes(rates) if any(rate.key.startswith("personal_loan_") for rate in rates) else None
        self._savings = SavingsQuotes(rates) if any(rate.key.endswith("_saver_aer") for rate in rates) else None

    def handle(self, question: Question, memory: Memory) -> ToolReply | None:
        """Answer a question that is a calculation, or that fills or changes the open one; None if it is neither."""
        if len(question.text) > _LONGEST_QUESTION:
            return None
        asked = mark(question, self._savings.accounts if self._savings else ())
        open_tool = TOOLS.get(memory.form)
        if open_tool and cancels(asked):
            return _reply("Of course, I have put that aside. What else can I do?", f"{open_tool.name}.cancelled")
        tool = None if open_tool else _continued(asked, memory.topic)
        if tool := tool or recognise(asked, open_tool.family if open_tool else ""):
            filling = fill(asked, tool)
            return self._advance(tool, _carried(open_tool, tool, memory.filled, filling), filling)
        if open_tool and only_values(asked):
            filling = fill(asked, open_tool, memory.filled)
            if not filling.unused:
                return self._advance(open_tool, memory.filled, filling)
        return None

    def begin(self, name: str, question: Question, memory: Memory) -> ToolReply | None:
        """Open a tool by its name for a question that knowledge found to be about it; None if the bank lacks it.

        Raises:
            InputError: if there is no such tool.
        """
        if name not in TOOLS:
            raise InputError(f"there is no tool '{name}'; there are {', '.join(sorted(TOOLS))}")
        tool, filling = TOOLS[name], fill(mark(question), TOOLS[name])
        return self._advance(tool, _carried(TOOLS.get(memory.form), tool, memory.filled, filling), filling)

    def lapse(self, memory: Memory) -> Memory:
        """The memory after a turn that was about something else: an open form waits one such turn, then it is gone."""
        if not memory.form or memory.topic.startswith(memory.form):
            return memory
        return replace(memory, form="", filled={})

    def schedule(self, amount: Decimal, months: int, *, apr_percent: Decimal | None = None) -> pd.DataFrame:
        """The whole schedule of a loan at the bank's rate or a given APR, in pence; see `loans.Plan.frame`.

        Raises:
            InputError: if the bank lends nothing, or for an amount, term or rate that is not such.
        """
        if self._loans is None:
            raise InputError("the rate table has no personal_loan_ rows, so there is no loan to schedule")
        return self._loans.plan(amount, months, f"{apr_percent} APR" if apr_percent is not None else "").frame()

    def _advance(self, tool: Tool, kept: Filled, filling: Filling) -> ToolReply | None:
        """Put the values in, and say what comes next: a problem, a question, or the answer."""
        quotes = self._loans if tool.family == "loan" else self._savings
        if quotes is None:
            return None
        problem = next(_problems(quotes, filling), None)
        usable = {slot: value for slot, value in filling.slots.items() if quotes.problem(slot, value) is None}
        filled = {slot: value for slot, value in kept.items() if slot not in _replaced(filling)} | usable
        missing = tool.missing(filled)
        if problem is None and missing:
            heard = ", ".join(_spoken(slot, value) for slot, value in usable.items())
            text = f"{heard}. {ASKS[tool.family, missing]}".removeprefix(". ")
            return _reply(text, f"{tool.name}?{missing}", tool, filled)
        said = problem or quotes.answers[tool.name](filled)
        if isinstance(said, Problem):
            filled.pop(said.slot, None)
            return _reply(said.text, f"{tool.name}!{said.slot}", tool, filled, said.rates)
        values = ", ".join(f"{slot}={filled[slot]}" for slot in tool.slots if slot in filled)
        return _reply(said.text, f"{tool.name}({values})", tool, filled, said.rates)


def _continued(asked: Marked, topic: str) -> Tool | None:
    """The calculation of a bare sum after an answer about savings or loans: "five thousand pounds, two years"."""
    name = _OF_TOPIC.get(topic.partition(".")[0], "")
    bare = asked.has(r"<[mn]\d+>") and not asked.has(r"\b(?:what|how|if)\b") and only_values(asked)
    return TOOLS[name] if name and bare else None


def _carried(open_tool: Tool | None, tool: Tool, filled: Filled, filling: Filling) -> Filled:
    """What a new calculation takes over from the open one: nothing if it is of another kind, or names all itself."""
    if open_tool is None or open_tool.family != tool.family or not tool.missing(filling.slots):
        return {}
    return {slot: value for slot, value in filled.items() if slot in tool.slots}


def _replaced(filling: Filling) -> set[str]:
    """Slots whose old value no longer holds; "after" and "early" are two ways of saying one thing."""
    named = set(filling.slots) | set(filling.clashes)
    return named | ({"after", "early"} if named & {"after", "early"} else set())


def _problems(quotes: LoanQuotes | SavingsQuotes, filling: Filling) -> Iterator[Problem]:
    """What stands against the values of a question."""
    for slot, values in filling.clashes.items():
        both = " and ".join(_spoken(slot, value) for value in values)
        yield Problem(slot, f"I heard {both}. Which one shall I take?")
    for slot, value in filling.slots.items():
        if problem := quotes.problem(slot, value):
            yield problem


def _spoken(slot: str, value: str) -> str:
    """A filled value as it is said."""
    if slot in ("term", "after", "early"):
        return f"{spoken_time(value)}{' early' if slot == 'early' else ''}"
    if slot == "rate":
        return f"{spoken_number(Decimal(value.removesuffix(' APR')))}%"
    if slot == "account":
        return value.replace("_", " ")
    return spoken_money(Decimal(value)) if " " not in value else "another currency"


def _reply(
    text: str, answer_id: str, tool: Tool | None = None, filled: Filled | None = None, rates: tuple[Rate, ...] = ()
) -> ToolReply:
    answer = Answer(
        text,
        Source.TOOL,
        answer_id,
        DataClass.PRODUCT,
        citations=tuple(rate.citation for rate in rates),
        stamps=tuple(rate.stamp for rate in rates),
    )
    return ToolReply(answer, Memory(form=tool.name if tool else "", filled=dict(filled or {}), topic=answer_id))
