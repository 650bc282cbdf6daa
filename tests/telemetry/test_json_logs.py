"""Logs as JSON: with the trace, without anybody's words."""

import io
import json
import logging

from tests.telemetry.records import SECRET, turn

from teller.telemetry.json_logs import TurnLines, log_as_json
from teller.telemetry.trace_ids import CURRENT_TRACE
from teller.turn import Source


def lines_of(act) -> list[dict]:
    stream = io.StringIO()
    with log_as_json(stream):
        act()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_turn_is_a_line_with_its_trace_and_times_and_no_words():
    record = turn(adapter="loans@0123")

    (line,) = lines_of(lambda: TurnLines().turn_finished(record))

    assert line["trace_id"] == record.call_id
    assert line["turn_id"] == record.turn_id
    assert (line["logger"], line["level"], line["message"]) == ("teller.turns", "info", "turn")
    assert (line["source"], line["tier"], line["adapter"]) == ("cache", "exact", "loans@0123")
    assert line["stages_ms"] == {"redact": 0.05, "cache": 0.2, "speak": 2.0}
    assert "Wilhelmina" not in json.dumps(line)
    assert "customer-4711" not in json.dumps(line)


def test_a_line_says_that_a_turn_was_interrupted_and_what_was_spoken():
    (line,) = lines_of(lambda: TurnLines().turn_finished(turn(interrupted=True, spoken_s=1.23456)))

    assert (line["interrupted"], line["spoken_s"]) == (True, 1.235)


def test_no_source_of_answers_puts_words_in_a_line():
    def act():
        for source in Source:
            TurnLines().turn_finished(turn(source=source))

    assert SECRET not in json.dumps(lines_of(act))


def test_a_line_of_a_call_carries_its_trace():
    def act():
        token = CURRENT_TRACE.set("f" * 32)
        logging.getLogger("teller.server").warning("slow: %s", 3)
        CURRENT_TRACE.reset(token)
        logging.getLogger("teller.server").warning("late")

    first, second = lines_of(act)

    assert (first["message"], first["trace_id"]) == ("slow: 3", "f" * 32)
    assert "trace_id" not in second


def test_what_a_library_fills_in_and_what_an_exception_says_are_withheld():
    def act():
        library = logging.getLogger("asyncio")
        library.error("Task %s was never retrieved", SECRET)
        library.error(f"already filled in: {SECRET}")
        try:
            int(SECRET)
        except ValueError:
            library.exception("it broke on %s", SECRET)
            logging.getLogger("teller.server").exception("an unexpected error")

    lines = lines_of(act)

    assert SECRET not in json.dumps(lines)
    assert lines[0]["message"] == "Task %s was never retrieved"
    assert "withheld" in lines[1]["message"]
    assert lines[2]["error"] == lines[3]["error"] == "ValueError"
    assert lines[3]["came_through"][0].endswith("act:" + lines[3]["came_through"][0].rsplit(":", 1)[1])


def test_logging_is_as_it_was_afterwards():
    before = logging.getLogger().handlers[:], logging.getLogger("teller").level

    lines_of(lambda: None)

    assert (logging.getLogger().handlers[:], logging.getLogger("teller").level) == before


def test_a_clock_that_is_far_off_still_gives_a_line():
    (line,) = lines_of(lambda: TurnLines().turn_finished(turn(started_at=1e18)))

    assert line["started_at"] == "1e+18"
