"""How soon a canary that does worse is found, and how often one that does not is withdrawn, by simulated turns.

    nice -n 15 python -m benchmarks.adapter_canary [--runs 2000] [--turns 2000] [--json]

One call in ten gets the canary; outcomes are drawn by the shares given, and looked at after every turn of the canary.
Only grounding speaks, weighed as in a trial of all three comparisons. `turns_with_known_shares` is what the evidence
must reach over what one canary turn and the live turns beside it add to it on average, if both shares were known
beforehand: no test that bets within the same blocks is faster on average.
"""

from __future__ import annotations

import argparse
import random
from math import log
from typing import Any

from benchmarks.cache_parts import machine, report
from teller.adapters.canary import Comparison

OF_CALLS = 0.1
DROP = 0.1
LEVEL = 0.01
ENOUGH = log(1 / (LEVEL * 0.7))  # grounding has 0.7 of the stake of a trial
EXPECTED = 0.95
SHARES = (0.99, 0.95, 0.90)
TARGETS = {"median_turns_of_a_drop_of_10_points": 50, "withdrawn_without_a_drop": LEVEL}


def turns_until_found(dice: random.Random, live: float, canary: float, *, most: int) -> int | None:
    """Canary turns until it is withdrawn; None if it still is there after `most`."""
    found, turns = Comparison(DROP, EXPECTED), 0
    while turns < most:
        is_canary = dice.random() < OF_CALLS
        found.add(is_canary=is_canary, good=dice.random() < (canary if is_canary else live))
        turns += is_canary
        if is_canary and found.evidence >= ENOUGH:
            return turns
    return None


def turns_with_known_shares(live: float, canary: float) -> float:
    """Of the canary, on average: for one of them there are (1 - OF_CALLS) / OF_CALLS of the live version."""
    beside = (1 - OF_CALLS) / OF_CALLS
    null = (beside * live + canary) / (beside + 1)
    gain = sum(
        weight * (share * log(share / null) + (1 - share) * log((1 - share) / (1 - null)))
        for weight, share in ((beside, live), (1.0, canary))
    )
    return ENOUGH / gain


def figures(live: float, drop: float, *, runs: int, most: int, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    turns = sorted(turns_until_found(dice, live, live - drop, most=most) or most + 1 for _ in range(runs))
    withdrawn = sum(one <= most for one in turns)
    seen: dict[str, Any] = {"runs": runs, "withdrawn": withdrawn, "share_withdrawn": withdrawn / runs}
    if drop:
        seen |= {"median_turns": turns[runs // 2], "p90_turns": turns[runs * 9 // 10]}
        seen["turns_with_known_shares"] = round(turns_with_known_shares(live, live - drop), 1)
    return seen


def main(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": machine(), "targets": TARGETS}
    for live in SHARES:
        for drop in (DROP, 0.3, 0.0):
            name = f"live_{live:.2f}_drop_{drop:.2f}".replace(".", "_")
            found[name] = figures(live, drop, runs=options.runs, most=options.turns, seed=options.seed)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=2_000, help="of the canary, after which a run ends")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report(main(given), as_json=given.json)
