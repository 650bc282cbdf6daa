"""What callers say, to train a recogniser on: the questions on file, short replies, and amounts, terms and rates.

Questions on file rarely hold a number or a bare "yes"; callers do say them, so these get sentences of their own.
Deterministic: the same questions give the same sentences. Not here: probabilities (`ngrams`), answers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator

from teller.spoken import as_words

Sentence = tuple[tuple[str, ...], float]

REPLY_WEIGHT = 3.0  # of a reply that no file has, but every call
VALUE_WEIGHT = 0.2  # of a sentence that is made up, against 1 of a question on file; by measurement
_PER_TEMPLATE = 16
_SEED = 20261124

_REPLIES = (
    "yes, yeah, yep, yes please, yes that's right, no, nope, no thanks, no thank you, no that's wrong, okay, sure, "
    "correct, maybe, I don't know, I'm not sure, hello, hi, good morning, thank you, thanks, thanks bye, goodbye, bye, "
    "that's all, nothing else, what, pardon, sorry, repeat that please, say that again, can you repeat that, hold on, "
    "wait, stop, cancel, go back, start again, start over, carry on, continue, help, help me, agent, operator, "
    "adviser, a person please, a human please, customer service, talk to someone, speak to a person, fraud, emergency"
)
_TEMPLATES = (
    "how much would I pay each month for {money}",
    "what would a loan of {money} over {years} cost me",
    "I want to borrow {money} over {years}",
    "can I borrow {money} for {months}",
    "a loan of {money} over {months}",
    "what would {money} cost me a month over {years} at {percent}",
    "what is the monthly payment on {money} over {months} at {percent}",
    "what are the repayments on {money}",
    "I could pay back {money} a month",
    "if I pay {money} a month how long will it take",
    "what if I overpay by {money} a month",
    "a mortgage of {money} over {years} at {percent}",
    "if I save {money} a month for {years} how much will I have",
    "if I put {money} into savings at {percent} what will I get",
    "what interest would I get on {money} after {years}",
    "I would like to send {money}",
    "can I take out {money}",
    "I was charged {money}",
    "my card ends in {digits}",
    "{money} over {years}",
    "{money}",
    "{months}",
    "{years}",
    "{percent}",
    "at {percent}",
)
_ENDINGS = ("", "", "", " please", " thanks")
_MONEY = (
    *range(10, 100, 10),
    *range(100, 1_000, 50),
    *range(1_000, 10_000, 500),
    *range(10_000, 50_000, 1_000),
    *range(50_000, 500_001, 25_000),
)
_MONTHS = (6, 12, 18, 24, 30, 36, 42, 48, 60, 72, 84, 96, 120)


def caller_sentences(questions: Iterable[str]) -> Iterator[Sentence]:
    """The words and the weight of each sentence: every question once, short replies, sentences with values."""
    for question in questions:
        yield as_words(question), 1.0
    for reply in _REPLIES.split(", "):
        yield as_words(reply), REPLY_WEIGHT
    chance = random.Random(_SEED)
    for template in _TEMPLATES:
        for ending in itertools.islice(itertools.cycle(_ENDINGS), _PER_TEMPLATE):
            yield as_words(template.format(**_values(chance)) + ending), VALUE_WEIGHT


def _values(chance: random.Random) -> dict[str, str]:
    years = chance.randint(1, 35)
    part = chance.choice(("", "", ".5", ".25", ".75", f".{chance.randint(1, 9)}"))
    return {
        "money": f"£{chance.choice(_MONEY)}",
        "years": "1 year" if years == 1 else f"{years} years",
        "months": f"{chance.choice(_MONTHS)} months",
        "percent": f"{chance.randint(0, 19)}{part}%",
        "digits": " ".join(str(chance.randint(0, 9)) for _ in range(4)),
    }
