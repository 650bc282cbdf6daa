"""Watches the canary in every turn of this process, and withdraws it when it does worse than what is live."""

from __future__ import annotations

import asyncio
import logging

from teller.adapters.canary import CanaryTrial, Finding
from teller.adapters.ledger import Change, Ledger, Live
from teller.errors import BusyError, StoreError
from teller.observers import Unobserved
from teller.turn import Toggle, TurnRecord

_log = logging.getLogger("teller.adapters")


class CanaryWatch(Unobserved):
    """An observer that ends a canary; each process judges by its own turns.

    Args:
        ledger: as this process follows it.
        drop, false_withdrawals: as `CanaryTrial`.

    Attributes:
        trial: of the canary that there is, None without one.
    """

    def __init__(self, ledger: Ledger, *, drop: float, false_withdrawals: float) -> None:
        self.trial: CanaryTrial | None = None
        self._ledger = ledger
        self._drop = drop
        self._false_withdrawals = false_withdrawals
        self._withdrawing: asyncio.Task[None] | None = None

    def turn_finished(self, record: TurnRecord) -> None:
        """Weigh the turn."""
        live = self._ledger.live
        if live.canary is None:
            self.trial = None
            return
        pair = (live.canary.served, live.served)
        if self.trial is None or (self.trial.canary, self.trial.live) != pair:
            self.trial = CanaryTrial(*pair, drop=self._drop, false_withdrawals=self._false_withdrawals)
        found = self.trial.turn(record)
        if found is not None and (self._withdrawing is None or self._withdrawing.done()):
            self._withdrawing = asyncio.create_task(self._withdraw(live, found))

    async def _withdraw(self, live: Live, found: Finding) -> None:
        """End the canary on record; if that fails, the next turn tries again."""
        facts = {"compared": found.what, "live": found.live, "canary": found.canary, "turns": found.turns}
        change = Change(toggle=Toggle.WITHDRAW, after=live.version, who="teller", why=found.why, facts=facts)
        try:
            await asyncio.to_thread(self._ledger.write, change, seen=live)
        except BusyError:
            return  # somebody else has ended or changed it
        except StoreError as exc:
            _log.error("the canary does worse and cannot be withdrawn: %s", exc)
