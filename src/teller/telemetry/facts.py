"""What each record says to the series; the only place that knows both."""

from __future__ import annotations

from dataclasses import dataclass

from teller.observers import Unobserved
from teller.telemetry.series import Histogram, Number, Series
from teller.telemetry.table import NONE, STAGES
from teller.telemetry.trace_ids import trace_id_of
from teller.turn import LookupRecord, Source, Tier, ToggleRecord, TrainingRecord, TurnRecord

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

    def turn_finished(self, record: TurnRecord) -> None:
        """Count a turn, its stages and what was refused, generated and grounded; what was cut short has no times."""
        series, source, adapter = self._series, record.answer.source, record.adapter or NONE
        cells = self._cells.get((record.scope.tenant, source, adapter)) or self._resolve(record)
        cells.turns.value += 1
        if record.interrupted:
            series.number("teller_interrupted_turns_total", source).add()
        if source is not Source.BROKEN_OFF:
            self._time(record, cells)
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
        """Count a toggle; what is live is read when somebody scrapes."""
        self._series.number("teller_adapter_toggles_total", record.toggle).add()

    def training_advanced(self, record: TrainingRecord) -> None:
        """Count a training step."""
        self._series.number("teller_training_steps_total", record.name).add()
        self._series.number("teller_training_loss_nats", record.name).value = record.loss
        self._series.number("teller_training_tokens_per_second", record.name).value = record.tokens_per_s

    def _time(self, record: TurnRecord, cells: _OfSource) -> None:
        trace_id, at, timings_ms = trace_id_of(record.call_id), record.started_at, record.timings_ms
        for stage, spent_ms in timings_ms.items():
            stage_cell = self._stages.get(stage) or self._series.histogram("teller_stage_seconds", stage)
            stage_cell.observe(spent_ms / 1000, trace_id, at)
        answered_s = answered_ms(record) / 1000
        cells.answer.observe(answered_s, trace_id, at)
        if (speak_ms := timings_ms.get("speak")) is not None:
            cells.first_sound.observe(answered_s + speak_ms / 1000, trace_id, at)

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
