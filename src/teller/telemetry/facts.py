"""What each record says to the series; the only place that knows both."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from teller.observers import Unobserved
from teller.telemetry.series import Histogram, Number, Series
from teller.telemetry.table import NONE, STAGES
from teller.telemetry.trace_ids import trace_id_of
from teller.turn import LookupRecord, Source, Tier, Toggle, ToggleRecord, TrainingRecord, TurnRecord

_HISTORY = 8  # adapter versions that the info metric still names
_TIERS = frozenset(Tier)
_RESOLVED = 500  # combinations of labels whose cells are kept at hand


@dataclass(frozen=True, slots=True)
class _OfSource:
    turns: Number
    answer: Histogram
    first_sound: Histogram


class Facts(Unobserved):
    """Counts records into series; not for the path of a call."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._cells: dict[tuple[str, str, str], _OfSource] = {}
        self._lookups: dict[tuple[str, str, str], tuple[Number, Histogram]] = {}
        self._stages = {stage: series.histogram("teller_stage_seconds", stage) for stage in STAGES}
        self._versions: OrderedDict[str, None] = OrderedDict()  # the latest last

    def turn_finished(self, record: TurnRecord) -> None:
        """Count a turn, its stages and what was refused, generated and grounded."""
        series, source, adapter = self._series, record.answer.source, record.adapter or NONE
        trace_id, at, timings_ms = trace_id_of(record.call_id), record.started_at, record.timings_ms
        cells = self._cells.get((record.scope.tenant, source, adapter)) or self._resolve(record)
        cells.turns.value += 1
        for stage, spent_ms in timings_ms.items():
            stage_cell = self._stages.get(stage) or series.histogram("teller_stage_seconds", stage)
            stage_cell.observe(spent_ms / 1000, trace_id, at)
        answered_s = answered_ms(record) / 1000
        cells.answer.observe(answered_s, trace_id, at)
        if (speak_ms := timings_ms.get("speak")) is not None:
            cells.first_sound.observe(answered_s + speak_ms / 1000, trace_id, at)
        if source is Source.REFUSED or source is Source.HANDOFF:
            series.number("teller_refused_answers_total", record.answer.reason or NONE).add()
        if record.grounded is not None:
            series.number("teller_grounding_checks_total", adapter, "yes" if record.grounded else "no").add()
            series.number("teller_generated_pieces_total", adapter).add(record.pieces)

    def lookup_finished(self, record: LookupRecord) -> None:
        """Count a lookup."""
        key = (record.tenant, record.outcome, record.data_class or NONE)
        count, time_s = self._lookups.get(key) or self._resolve_lookup(key)
        count.value += 1
        time_s.observe(record.spent_ms / 1000)

    def adapter_toggled(self, record: ToggleRecord) -> None:
        """Count a toggle and say what is live now."""
        self._series.number("teller_adapter_toggles_total", record.toggle.value).add()
        if record.toggle is Toggle.REFUSE:
            return  # nothing changed
        live, canary = record.after or NONE, record.canary
        for version in (record.before or NONE, canary, live):
            if version is not None:
                self._versions[version] = None
                self._versions.move_to_end(version)
        while len(self._versions) > _HISTORY:
            self._versions.popitem(last=False)
        self._series.forget("teller_adapter_info")
        for version in self._versions:
            state = "live" if version == live else "canary" if version == canary else "before"
            self._series.number("teller_adapter_info", version, state).value = 1.0
        self._series.number("teller_adapter_canary_share_ratio").value = record.share if canary else 0.0

    def training_advanced(self, record: TrainingRecord) -> None:
        """Count a training step."""
        self._series.number("teller_training_steps_total", record.name).add()
        self._series.number("teller_training_loss_nats", record.name).value = record.loss
        self._series.number("teller_training_tokens_per_second", record.name).value = record.tokens_per_s

    def _resolve(self, record: TurnRecord) -> _OfSource:
        """The cells of a turn, looked up once for the usual labels."""
        tenant, source, adapter = record.scope.tenant, record.answer.source, record.adapter or NONE
        cells = _OfSource(
            self._series.number("teller_turns_total", tenant, source, adapter),
            self._series.histogram("teller_answer_seconds", source),
            self._series.histogram("teller_first_sound_seconds", source),
        )
        if len(self._cells) < _RESOLVED:
            self._cells[(tenant, source, adapter)] = cells
        return cells

    def _resolve_lookup(self, key: tuple[str, str, str]) -> tuple[Number, Histogram]:
        result = key[1] if key[1] in _TIERS else "miss"
        cells = (
            self._series.number("teller_cache_lookups_total", *key),
            self._series.histogram("teller_cache_lookup_seconds", result),
        )
        if len(self._lookups) < _RESOLVED:
            self._lookups[key] = cells
        return cells


def answered_ms(record: TurnRecord) -> float:
    """Wall time from the start of a turn until its answer was decided; from its stages where nobody took the time."""
    if record.answered_ms > 0:
        return record.answered_ms
    return sum(max(0.0, spent) for stage, spent in record.timings_ms.items() if stage != "speak")
