"""Log lines of a call carry its trace, also where many calls go wrong at once."""

import asyncio
import io
import json

from tests.server.server_stage import Line, StageBot, said, stage

from teller.telemetry.json_logs import log_as_json

SECRET = "Wilhelmina Stonebridge"


async def fail(_: str) -> None:
    await asyncio.sleep(0.02)
    raise RuntimeError(SECRET)


async def test_each_of_many_failing_calls_logs_under_its_own_trace_and_without_words():
    bot, stream = StageBot({"fail": Line(said("never"), act=fail)}), io.StringIO()
    with log_as_json(stream):
        async with stage(bot) as st:

            async def talk() -> None:
                async with st.call() as caller:
                    await caller.say(type="ask", text="fail")
                    await caller.until("error")

            await asyncio.gather(*(talk() for _ in range(20)))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    failed = [line for line in lines if line["logger"] == "teller.server"]

    assert sorted(line["trace_id"] for line in failed) == sorted(call.id for call in bot.calls)
    assert SECRET not in stream.getvalue()
