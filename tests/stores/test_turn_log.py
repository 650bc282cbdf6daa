"""The writing side: nothing waits for it, nothing is lost quietly, nothing is kept that must not be."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.bots import ScriptedBot
from tests.stores.turn_stage import ENABLED, START, composed, hit, lookup_of, tell, write

from teller.errors import StoreCorrupt, StoreError
from teller.stores.turn_erasure import erase
from teller.stores.turn_figures import cache_hits
from teller.stores.turn_log import TurnLog
from teller.stores.turn_reader import Span, TurnReader
from teller.stores.turn_schema import STAGES, STEPS, open_readable, open_writable
from teller.turn import Answer, DataClass, Question, Scope, Source, TrainingRecord, Transcript

EVER = Span(0.0, 1e11)
DAY_S = timedelta(days=1).total_seconds()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log" / "turns.sqlite"


def ids(path):
    with TurnReader(path) as reader:
        return [turn.turn_id for turn in reader.walk(EVER)]


def everything_in(folder):
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_everything_told_is_read_back(path):
    training = TrainingRecord(START, "banking-lora", 3, 10, 1.5, 900.0)
    write(path, composed(1), hit(2), ENABLED, training)
    with TurnReader(path) as reader:
        first, second = reader.page()
        assert (first.turn_id, first.call_id, first.started_at) == ("turn-1", "call-0", START + 1)
        assert (first.question, first.answer, first.pieces) == ("how do I freeze my card", "Tap Freeze.", 40)
        assert first.kind.source == "model"
        assert first.kind.outcome == "too_far"
        assert first.timings_ms == pytest.approx({**composed(1).timings_ms}, abs=1e-3)
        assert first.details["citations"] == [["cards.freeze", "Freezing", "1"]]
        assert second.kind.outcome == "semantic"
        assert second.details["evidence"]["matched"] == "freeze my card"
        assert second.details["evidence"]["checks"] == {"values": "equal"}
        assert reader.toggles(EVER) == [ENABLED]
        assert reader.training(EVER) == [training]


def test_the_file_and_its_folder_are_private(path):
    write(path, composed())
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_turns_of_a_running_bot_are_logged_with_every_stage(path):
    bot = ScriptedBot()
    log = TurnLog(path)

    async def ask():
        parts = replace(bot.orchestrator, observer=log)
        call = bot.call()
        return [event async for event in parts.turn(Transcript("how do I freeze my card"), call)]

    record = asyncio.run(ask())[-1].record
    log.close()
    assert set(record.timings_ms) <= set(STAGES)
    with TurnReader(path) as reader:
        (turn,) = reader.page()
    assert turn.turn_id == record.turn_id
    assert turn.answer_ms == pytest.approx(record.answered_ms, abs=0.01)
    assert turn.details["spoken_s"] == pytest.approx(record.spoken_s)


def test_a_turn_that_was_spoken_over_says_so_with_what_was_spoken(path):
    nothing = Answer("", Source.BROKEN_OFF, "")
    write(
        path,
        composed(1, interrupted=True, spoken_s=1.25),
        composed(2, interrupted=True, answer=nothing, grounded=None, answered_ms=0.0),
        composed(3),
    )
    with TurnReader(path) as reader:
        spoken_over, unanswered, whole = reader.page()
        found = cache_hits(reader, EVER)
    assert (spoken_over.kind.source, spoken_over.details["interrupted"], spoken_over.details["spoken_s"]) == (
        "model",
        True,
        1.25,
    )
    assert (unanswered.kind.source, unanswered.kind.data_class, unanswered.answer) == ("broken_off", "", "")
    assert (unanswered.question, unanswered.kind.outcome) == ("how do I freeze my card", "too_far")
    assert "interrupted" not in whole.details
    assert (found.turns, found.unfinished, found.misses) == (2, 1, 3)


def test_many_are_written_in_the_order_in_which_they_were_told(path):
    write(path, *(composed(number) for number in range(3_500)))
    with TurnReader(path) as reader:
        assert [turn.turn_id for turn in reader.walk(EVER)] == [f"turn-{number}" for number in range(3_500)]


def test_a_clock_that_jumps_back_changes_neither_the_order_nor_the_times(path):
    write(path, composed(10), composed(11, started_at=START - 3_600), composed(12))
    with TurnReader(path) as reader:
        assert [turn.started_at - START for turn in reader.page()] == [10, -3_600, 12]
        assert [turn.turn_id for turn in reader.page(span=Span(START, START + 60))] == ["turn-10", "turn-12"]


def test_what_was_written_survives_a_kill(path):
    script = """
        import sys, time
        from pathlib import Path
        from tests.stores.turn_stage import composed
        from teller.stores.turn_log import TurnLog
        log, number = TurnLog(Path(sys.argv[1])), 0
        while True:
            log.turn_finished(composed(number))
            number += 1
            if number - log.waiting > 2_000:
                print("written", flush=True)
            time.sleep(0.0001)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        said = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert said == b"written\n"
    found = ids(path)
    assert len(found) >= 2_000
    assert found == [f"turn-{number}" for number in range(len(found))]
    write(path, composed(77))  # and the log goes on
    assert ids(path)[-1] == "turn-77"


def test_two_servers_write_to_one_log(path):
    logs = [TurnLog(path), TurnLog(path)]
    for number in range(400):
        logs[number % 2].turn_finished(composed(number) if number % 3 else hit(number))
    for log in logs:
        log.close()
    with TurnReader(path) as reader:
        assert {turn.turn_id for turn in reader.page()} == {f"turn-{number}" for number in range(400)}
        assert sum(tally.turns for tally in reader.tallies(EVER)) == 400
        assert len(reader.kinds()) == 2


def test_a_toggle_that_two_servers_tell_of_is_kept_once(path):
    logs = [TurnLog(path), TurnLog(path)]
    for log in logs:
        tell(log, ENABLED, replace(ENABLED, at=START + 51))
        log.close()
    with TurnReader(path) as reader:
        assert [toggle.at for toggle in reader.toggles(EVER)] == [START + 50, START + 51]


def test_a_log_that_cannot_be_written_sheds_and_says_so_when_it_can_again(path, caplog):
    log = TurnLog(path, most_waiting=100, busy_timeout_s=0.01, clock=lambda: START)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(130):
        log.turn_finished(composed(number))
    assert (log.waiting, log.shed) == (100, 30)
    assert "loses records" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    log.close()
    assert (log.waiting, log.shed) == (0, 30)
    with TurnReader(path) as reader:
        assert [turn.turn_id for turn in reader.page()] == [f"turn-{number}" for number in range(100)]
        assert reader.shed(EVER) == [(START, 30)]


def test_a_full_disk_sheds_writes_and_costs_the_log_nothing_else(path):
    script = """
        import resource, signal, sys, time
        from pathlib import Path
        from tests.stores.turn_stage import composed
        from teller.stores.turn_log import TurnLog
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = TurnLog(Path(sys.argv[1]), most_waiting=50)
        log.turn_finished(composed(0))
        while log.waiting:
            time.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        for number in range(1, 200):
            log.turn_finished(composed(number))
        while not log._failures:
            time.sleep(0.01)
        print(log.shed, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log.close(30)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 149
    assert "it will be tried again" in done.stderr
    assert ids(path) == [f"turn-{number}" for number in range(51)]
    with TurnReader(path) as reader:
        assert [records for _, records in reader.shed(EVER)] == [149]


def test_a_log_that_stays_locked_is_given_up_on_closing(path):
    log = TurnLog(path, busy_timeout_s=0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tell(log, composed(1), composed(2))
    log.close()
    other.close()
    assert log.shed == 2
    assert ids(path) == []


def test_one_record_that_cannot_be_a_row_costs_itself_alone(path):
    lookup = replace(lookup_of(hit(4)), spent_ms=float("inf"))
    log = write(
        path, composed(1), composed(2, started_at=float("nan")), lookup, replace(ENABLED, at=1e300), composed(3)
    )
    assert log.shed == 3
    assert ids(path) == ["turn-1", "turn-3"]


def test_half_a_surrogate_pair_is_no_obstacle(path):
    write(path, composed(question=Question("card \ud83d?"), call_id="\udcff"))
    with TurnReader(path) as reader:
        assert reader.page()[0].question == "card ??"


def test_a_lookup_is_folded_into_its_turn_and_stands_alone_without_one(path):
    ended, spoken_over = composed(1), hit(2)
    write(path, lookup_of(ended), lookup_of(spoken_over), ended)
    with TurnReader(path) as reader:
        assert [(tally.kind.outcome, tally.turns) for tally in reader.lone_lookups(EVER)] == [("semantic", 1)]
        assert [(tally.kind.outcome, tally.turns) for tally in reader.tallies(EVER)] == [("too_far", 1)]


def test_texts_are_left_out_where_they_are_not_to_be_kept(path):
    write(path, hit(1, question=Question("secret words")), keep_text=False)
    assert b"secret" not in everything_in(path.parent)
    assert b"Tap Freeze" not in everything_in(path.parent)
    assert b"freeze my card" not in everything_in(path.parent)
    with TurnReader(path) as reader:
        (turn,) = reader.page()
    assert (turn.question, turn.answer, turn.kind.outcome) == (None, None, "semantic")
    assert turn.details["evidence"]["votes"] == 11


def test_neither_a_customers_key_nor_the_answer_to_their_own_affairs_is_kept(path):
    answer = Answer("You have 17 pounds.", Source.MODEL, "balance", DataClass.CUSTOMER)
    write(path, composed(scope=Scope("bank", "en-GB", "customer-4711"), answer=answer))
    kept = everything_in(path.parent)
    assert b"4711" not in kept
    assert b"17 pounds" not in kept
    with TurnReader(path) as reader:
        assert reader.page()[0].kind.identified == 1


def test_a_call_is_erased_from_the_file_and_its_journal(path):
    secret = Question("the words of call nine")
    write(path, *(composed(number, question=secret, call_id="call-9") for number in range(1_200)), composed(2_000))
    assert b"call nine" in everything_in(path.parent)
    assert erase(path, call_id="call-9") == 1_200
    assert b"call nine" not in everything_in(path.parent)
    assert ids(path) == ["turn-2000"]


def test_what_is_too_old_is_erased_beside_the_writing(path, monkeypatch):
    monkeypatch.setattr("teller.stores.turn_log._PRUNE_EVERY_S", 0.0)
    old = composed(1, started_at=START - 100 * DAY_S, question=Question("long ago"))
    write(path, old, replace(ENABLED, at=START - 100 * DAY_S), composed(2))
    log = TurnLog(path, keep_days=30, clock=lambda: START)
    deadline = time.monotonic() + 60
    while b"long ago" in everything_in(path.parent) and time.monotonic() < deadline:
        time.sleep(0.05)
    log.close()
    assert ids(path) == ["turn-2"]
    with TurnReader(path) as reader:
        assert reader.toggles(EVER) == []


def test_a_clock_that_jumps_ahead_does_not_empty_the_log(path, monkeypatch):
    monkeypatch.setattr("teller.stores.turn_log._PRUNE_EVERY_S", 0.0)
    times = iter([START])
    log = TurnLog(path, keep_days=30, clock=lambda: next(times, START + 1_000 * DAY_S))
    tell(log, composed(1))
    while log.waiting:
        time.sleep(0.01)
    tell(log, composed(2))  # a second batch: the first was looked through for what is too old by then
    log.close()
    assert ids(path) == ["turn-1", "turn-2"]


def test_numbers_are_never_given_again_after_an_erasure(path):
    write(path, composed(1), composed(2))
    erase(path, before=START + 10)
    write(path, composed(3))
    with TurnReader(path) as reader:
        assert [turn.id for turn in reader.page()] == [3]


def test_a_log_of_a_newer_version_is_refused_and_left_alone(path):
    write(path, composed())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    for opened in (TurnLog, TurnReader):
        with pytest.raises(StoreError, match=r"format 99, this program knows 1.*install the newer Teller"):
            opened(path)
    assert path.read_bytes() == before


def test_an_older_log_is_brought_up_to_date_by_whoever_opens_it_first(path):
    write(path, composed())
    newer = (*STEPS, "ALTER TABLE turn ADD COLUMN mood TEXT; CREATE INDEX by_mood ON turn (mood)")
    connection = open_readable(path, steps=newer)
    assert connection.execute("SELECT turn_id, mood FROM turn").fetchall() == [("turn-0", None)]
    connection.close()
    open_writable(path, busy_timeout_s=1.0, steps=newer).close()
    with pytest.raises(StoreError, match="format 2"):
        TurnReader(path)


def test_a_file_of_another_program_is_refused_and_left_alone(path, tmp_path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    noise = tmp_path / "noise.sqlite"
    noise.write_bytes(os.urandom(5_000))
    for file, said in ((path, "another program"), (noise, "cannot be read")):
        before = file.read_bytes()
        with pytest.raises(StoreCorrupt, match=said):
            TurnLog(file)
        assert file.read_bytes() == before


def test_closing_twice_does_nothing(path):
    log = write(path, composed())
    log.close()
    assert ids(path) == ["turn-0"]
