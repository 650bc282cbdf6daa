"""What a scrape reads off the parts of a server."""

from dataclasses import dataclass, field

from teller.adapters.ledger import Live, Version
from teller.server.limits import Lines
from teller.server.readings import of_adapters, of_lines, of_turn_log


@dataclass
class Adapters:
    now: Live
    ready: dict[str, Version] = field(default_factory=dict)


@dataclass
class Log:
    shed: int = 3
    waiting: int = 7


async def told(reader) -> dict[tuple, float]:
    return {(name, *values): number for name, values, number in await reader()}


def version(number: int) -> Version:
    return Version("loans", f"{number:012x}" + "0" * 52)


async def test_the_live_adapter_its_canary_and_a_bounded_past_are_told():
    live, canary = version(100), version(101)
    earlier = (None, *(version(number) for number in range(20)))
    found = await told(of_adapters(Adapters(Live(live, canary, 0.1, earlier), {live.served: live})))

    assert found["teller_adapter_info", live.served, "live"] == 1.0
    assert found["teller_adapter_info", canary.served, "canary"] == 1.0
    assert sum(key[-1] == "before" for key in found) == 8
    assert found["teller_adapter_canary_share_ratio",] == 0.1
    assert found["teller_adapter_served",] == 1


async def test_a_live_adapter_that_is_not_ready_here_is_told_as_not_served():
    assert (await told(of_adapters(Adapters(Live(version(1))))))["teller_adapter_served",] == 0


async def test_without_an_adapter_the_base_model_is_live_and_served():
    found = await told(of_adapters(Adapters(Live(earlier=(None, version(1), None)))))

    assert found["teller_adapter_info", "none", "live"] == 1.0
    assert found["teller_adapter_info", version(1).served, "before"] == 1.0
    assert found["teller_adapter_served",] == 1


async def test_every_code_is_told_before_it_first_happens():
    lines = Lines(4)
    lines.failures["busy"] += 2
    found = await told(of_lines(lines))

    assert found["teller_failures_total", "busy"] == 2
    assert found["teller_failures_total", "engine_failed"] == 0
    assert (found["teller_calls_active",], found["teller_calls_free",]) == (0, 4)


async def test_what_the_turn_log_gives_up_is_told():
    assert await told(of_turn_log(Log())) == {("teller_turn_log_waiting",): 7, ("teller_turn_log_shed_total",): 3}
