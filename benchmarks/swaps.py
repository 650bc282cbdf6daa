"""Questions of the bank with one thing changed that changes the answer: a value, a direction, a negation, an action."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BANK = Path(__file__).parents[1] / "src" / "teller" / "data" / "bank"
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
PEOPLE = "Sarah Ahmed Oliver Brown Emma Taylor Rashid Khan Grace Murphy Daniel Okoro Lucy Evans Peter Novak".split()  # noqa: SIM905

TEMPLATES = {
    "amount": "can I pay {x} into my account today|what happens if I borrow {x}|I was charged {x} for a transfer, why"
    "|is a card payment of {x} possible|what would {x} earn in an easy access account",
    "rate": "what do I pay on a loan at {x}|is {x} a fixed rate|my statement says {x} interest, is that right",
    "date": "will the branch be open on {x}|can you move my direct debit to {x}|I was charged on {x}, what was it",
    "duration": "can I have a loan over {x}|how long is {x} notice on my savings|is my money locked away for {x}",
    "id": "why was the card ending {x} declined|is the account ending in {x} still open|replace my card ending {x}",
    "count": "can I have {x} debit cards|may I make {x} withdrawals a month|can {x} people share an account",
    "product": "how do I close my {x}|what is the interest on a {x}|can I apply for a {x} in the app|fees of the {x}",
    "place": "can I use my card in {x}|what does a payment to {x} cost|do I need to tell you before I go to {x}",
    "name": "can I send money to {x} today|did {x} pay into my account|is {x} a joint owner of my account",
    "direction": "move money from {x} to {y}|how do I transfer from {x} to {y}|can I switch from {x} to {y}",
    "negation": "can I use my card abroad|is it possible to pay early|do I have to pay a fee|will my card be replaced"
    "|is the payment protected|should I tell you about a new address|does the account pay interest",
    "action": "how do I {x} my card|can I {x} a standing order in the app|I want to {x} it, what must I do",
}
ASIDES = ("", "", "", "hi, ", "please tell me, ", "um, ", "quick question, ")
NEGATED = {
    "can": "can't", "is": "isn't", "do": "don't", "will": "won't", "should": "shouldn't", "does": "doesn't",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Swap:
    """A stored question, and one that must never get its answer."""

    kind: str
    stored: str
    asked: str


def make_swaps(count: int, *, seed: int) -> Iterator[Swap]:
    """Draw swaps, every kind as often; equal arguments, equal swaps."""
    rng = random.Random(seed)
    draw = _drawers(rng)
    kinds = list(TEMPLATES)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        template = rng.choice(TEMPLATES[kind].split("|"))
        if kind == "negation":
            stored, asked = template, _negated(template)
        elif kind == "action":
            here, there = draw[kind]()
            stored, asked = template.format(x=here), template.format(x=there)
        else:
            here, there = _two(draw[kind])
            stored, asked = template.format(x=here, y=there), template.format(x=there, y=here)
        if rng.random() < 0.5:
            stored, asked = asked, stored
        yield Swap(kind, rng.choice(ASIDES) + stored, rng.choice(ASIDES) + asked)


def _negated(text: str) -> str:
    first, rest = text.split(" ", 1)
    return f"{NEGATED[first]} {rest}"


def _two(draw: Callable[[], str]) -> tuple[str, str]:
    here = there = draw()
    while there == here:
        there = draw()
    return here, there


def _drawers(rng: random.Random) -> dict[str, Callable[[], Any]]:
    tree = tomllib.loads((BANK / "catalogue.toml").read_text(encoding="utf-8"))
    products = [entry["name"] for entry in tree["products"].values()]
    accounts = [entry["name"] for entry in tree["products"].values() if entry["kind"] in {"account", "savings"}]
    places = [entry["name"] for entry in tree["places"].values()]
    return {
        "amount": lambda: f"£{rng.choice([rng.randint(1, 999), rng.randrange(1000, 90_000, 50)]):,}",
        "rate": lambda: f"{rng.randint(1, 29)}.{rng.randint(0, 9)}%",
        "date": lambda: f"{rng.randint(1, 28)} {rng.choice(MONTHS)}",
        "duration": lambda: f"{rng.randint(2, 11)} {rng.choice(['days', 'months', 'years'])}",  # none equals another
        "id": lambda: f"{rng.randint(0, 9999):04d}",
        "count": lambda: str(rng.randint(2, 40)),
        "product": lambda: rng.choice(products),
        "place": lambda: rng.choice(places),
        "name": lambda: f"{rng.choice(PEOPLE[::2])} {rng.choice(PEOPLE[1::2])}",
        "direction": lambda: rng.choice(accounts),
        "action": lambda: rng.choice(tree["actions"]["pairs"]),
    }
