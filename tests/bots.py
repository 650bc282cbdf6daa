"""A bot of scripted engines and the real core, for tests of whole turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from teller.bank_files import bank_folder
from teller.banking import policy
from teller.banking.products import load_rates
from teller.banking.tools import Toolbox
from teller.cache.partition import Basis
from teller.cache.rules import CacheRules
from teller.cache.semantic import CacheStore, SemanticCache
from teller.cache.verdict import ExactOnly
from teller.call import Call, Memory
from teller.engines.scripted import (
    ScriptedEmbedder,
    ScriptedGenerator,
    ScriptedIndex,
    ScriptedKnowledge,
    ScriptedLog,
    ScriptedSynthesizer,
    ScriptedTranscriber,
)
from teller.engines.scripted_surroundings import ScriptedClock, ScriptedObserver
from teller.orchestrator import Orchestrator
from teller.ports import Passage
from teller.turn import Answer, DataClass, Done, Question, Said, Scope, Transcript, TurnRecord
from teller.values import Catalogue

FREEZE = Passage("cards.freeze", "Freezing a card", "Open the app and tap Freeze.", "1", DataClass.PUBLIC, (), 0.9)
QUESTION = "how do I freeze my card"


@dataclass
class ScriptedBot:
    """The parts, so that a test can look into them, and the orchestrator over them."""

    filed: dict[str, tuple[Passage, ...]] = field(default_factory=lambda: {QUESTION: (FREEZE,)})
    otherwise: tuple[Passage, ...] = ()
    generator: ScriptedGenerator = field(default_factory=ScriptedGenerator)
    transcriber: ScriptedTranscriber = field(default_factory=ScriptedTranscriber)
    synthesizer: ScriptedSynthesizer | None = field(default_factory=ScriptedSynthesizer)
    log: ScriptedLog = field(default_factory=ScriptedLog)
    generate_within_s: float = 5.0
    budgets: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.observer, self.embedder, self.clock = ScriptedObserver(), ScriptedEmbedder(), ScriptedClock()
        self.knowledge = ScriptedKnowledge(self.filed, otherwise=self.otherwise)
        self.cache = SemanticCache(
            CacheStore(log=self.log, make_index=lambda: ScriptedIndex(self.embedder.dim)),
            self.embedder,
            ExactOnly(),
            basis=lambda: Basis("scripted", "prompt", "policy", "knowledge"),
            rules=CacheRules(eligible=_eligible),
            clock=self.clock,
        )
        rates = load_rates((bank_folder() / "rates.toml").read_text(), "rates.toml")
        self.orchestrator = Orchestrator(
            transcriber=self.transcriber,
            toolbox=Toolbox(rates),
            cache=self.cache,
            knowledge=self.knowledge,
            generator=self.generator,
            embedder=self.embedder,
            synthesizer=self.synthesizer,
            observer=self.observer,
            clock=self.clock,
            catalogue=Catalogue.empty(),
            generate_within_s=self.generate_within_s,
            **self.budgets,
        )

    def call(self) -> Call:
        """A new call."""
        return Call(id="call-1", scope=Scope("bank", "en-GB"))

    async def ask(self, text: str, call: Call | None = None) -> Answer:
        """The answer to a typed question, without sound."""
        record = await self.record(text, call)
        return record.answer

    async def record(self, text: str, call: Call | None = None) -> TurnRecord:
        """The record of a typed question, without sound."""
        events = [event async for event in self.orchestrator.turn(Transcript(text), call or self.call(), speak=False)]
        assert any(isinstance(event, Said) for event in events)
        assert isinstance(events[-1], Done)
        return events[-1].record


def _eligible(question: Question, _scope: Scope):
    return policy.cannot_be_cached(question, Memory())
