"""Every metric: one table of name, kind, labels and meaning, and one of labels with their bounds.

`series.py` keeps the numbers, `prometheus.py` writes them out; docs/metrics.md is made from here, and dashboards, rules
and alerts may name nothing else. Units are in the names, as Prometheus wants them. No label holds a caller's words or a
call's id; what a label may hold is bounded, and what is beyond the bound is counted under "other".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from teller.turn import DataClass, MissReason, Source, Tier, Toggle

OTHER = "other"
NONE = "none"


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # a gauge that is always 1; its labels are what it says


@dataclass(frozen=True, slots=True)
class Label:
    """What a label may hold.

    Attributes:
        allowed: its values; empty if they are not known beforehand.
        at_most: values of one label of one metric if they are not; the first ones that come are kept.
    """

    name: str
    help: str
    allowed: frozenset[str] = frozenset()
    at_most: int = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is as in a query, `labels` are names of `LABELS`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


# Of every histogram, in seconds: a hit takes a tenth of a millisecond, a generator ten seconds.
BUCKETS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

# What callers are told instead of an answer: server/failures.py and server/line.py (a test compares).
CODES: Final = (
    "bad_input", "busy", "call_busy", "call_idle", "call_too_long", "engine_failed", "engine_timeout",
    "engine_unavailable", "forbidden_origin", "internal", "method_not_allowed", "not_found", "not_listening",
    "rate_limited", "refused", "server_stopping", "too_large", "too_slow", "turn_timeout", "unauthorized",
    "unsupported_media", "wrong_host",
)  # fmt: skip

STAGES: Final = ("hear", "redact", "tools", "cache", "retrieve", "generate", "ground", "keep", "speak")


def _known(name: str, help_: str, *values: str) -> Label:
    return Label(name, help_, allowed=frozenset(values))


_LABELS = (
    Label("tenant", "bank or brand", at_most=20),
    _known("source", "where the answer came from", *Source),
    Label("reason", "why an answer was refused or handed over: the policy's rule", at_most=60),
    _known("stage", "stage of a turn", *STAGES),
    _known("grounded", "whether the generator's words agreed with the approved answer", "yes", "no"),
    Label("adapter", "served name of a LoRA adapter version, `none` for the base model", at_most=64),
    _known("outcome", "tier of a hit, or why it was a miss", *Tier, *MissReason),
    _known("result", "tier of a hit, or `miss`", *Tier, "miss"),
    _known("data_class", "class of the data that was served, `none` on a miss", *DataClass, NONE),
    Label("risk_class", "the cache's risk class", at_most=20),
    _known("verdict", "how a checked hit turned out", "right", "wrong"),
    _known("action", "what was done to the live adapter", *Toggle),
    _known("state", "part that an adapter version plays", "live", "canary", "before"),
    Label("name", "name of an adapter in training", at_most=16),
    _known("code", "error code that the caller was told", *CODES),
    Label("version", "of Teller", at_most=1),
)
LABELS: Final[Mapping[str, Label]] = MappingProxyType({label.name: label for label in _LABELS})

_C, _G, _H, _I = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.INFO
_METRICS = (
    Metric("teller_build_info", _I, "What runs.", ("version",)),
    # turns
    Metric(
        "teller_turns_total",
        _C,
        "Turns; `broken_off` are those that ended before an answer.",
        ("tenant", "source", "adapter"),
    ),
    Metric(
        "teller_interrupted_turns_total",
        _C,
        "Turns that did not come to their end: the caller spoke over them or hung up, or they took too long or failed.",
        ("source",),
    ),
    Metric("teller_refused_answers_total", _C, "Answers that refuse or hand over, by the rule.", ("reason",)),
    Metric(
        "teller_answer_seconds", _H, "From the start of a turn until its answer was decided and checked.", ("source",)
    ),
    Metric(
        "teller_first_sound_seconds", _H, "From the start of a spoken turn to the first piece of sound.", ("source",)
    ),
    Metric("teller_stage_seconds", _H, "Wall time of a stage of a turn; `speak` ends at the first piece.", ("stage",)),
    Metric("teller_grounding_checks_total", _C, "Generated answers that were checked.", ("adapter", "grounded")),
    Metric(
        "teller_generated_pieces_total",
        _C,
        "Pieces that generators streamed: tokens, on an engine that streams token by token.",
        ("adapter",),
    ),
    # cache
    Metric("teller_cache_lookups_total", _C, "Lookups in the cache.", ("tenant", "outcome", "data_class")),
    Metric("teller_cache_lookup_seconds", _H, "Wall time of a lookup.", ("result",)),
    Metric("teller_cache_entries", _G, "Entries in service."),
    Metric("teller_cache_held_entries", _G, "Entries in quarantine."),
    Metric("teller_cache_memory_bytes", _G, "Memory that entries and indexes take."),
    Metric("teller_cache_checked_hits", _G, "Checked hits of the entries that are there now.", ("verdict",)),
    Metric("teller_cache_class_open", _G, "1 if semantic hits are served in the class, 0 if not.", ("risk_class",)),
    Metric("teller_cache_class_certified", _G, "1 if the class's limit is certified, 0 if estimated.", ("risk_class",)),
    Metric(
        "teller_cache_certified_bound_ratio",
        _G,
        "Certified upper limit on the share of wrong hits, where there is one.",
        ("risk_class",),
    ),
    Metric(
        "teller_cache_observed_bound_ratio",
        _G,
        "Upper limit on the share of wrong hits from those checked while serving, valid at all times.",
        ("risk_class",),
    ),
    Metric("teller_cache_false_hit_limit_ratio", _G, "Share of wrong hits that the operator allows."),
    # adapters
    Metric("teller_adapter_toggles_total", _C, "Changes of the live adapter, refused ones too.", ("action",)),
    Metric(
        "teller_adapter_info", _I, "The live version, the canary and the versions before them.", ("adapter", "state")
    ),
    Metric("teller_adapter_served", _G, "1 if what is live is loaded and proven here, 0 if calls get the base model."),
    Metric("teller_adapter_canary_share_ratio", _G, "Share of new calls that get the canary."),
    Metric("teller_training_steps_total", _C, "Training steps done.", ("name",)),
    Metric("teller_training_loss_nats", _G, "Mean loss of the latest step.", ("name",)),
    Metric("teller_training_tokens_per_second", _G, "Tokens a second in the latest step.", ("name",)),
    # server
    Metric("teller_calls_active", _G, "Calls that run."),
    Metric("teller_calls_free", _G, "Calls that could begin; 0 while the server stops."),
    Metric("teller_failures_total", _C, "Times that a caller was told an error instead of an answer.", ("code",)),
    # logs and telemetry
    Metric("teller_turn_log_waiting", _G, "Records that wait to be written to the turn log."),
    Metric("teller_turn_log_shed_total", _C, "Records that the turn log gave up rather than slow a call."),
    Metric("teller_telemetry_dropped_total", _C, "Records that came faster than they could be counted."),
)
METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _METRICS})
